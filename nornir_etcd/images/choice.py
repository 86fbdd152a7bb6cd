"""Which images an inventory needs, and which image of the archives is meant by each. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images import documents
from nornir_etcd.images.archive import digest_of
from nornir_etcd.images.reference import Reference, parse, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.images.archive import Build, Image
    from nornir_etcd.images.platform import Platform


@dataclass(frozen=True)
class Chosen:
    """An image that the inventory needs, as the archives have it.

    Args:
        reference: what the inventory calls it.
        builds: one for each platform that the archives have.
        index: the document that lists them; empty where there is one build alone.
        index_type: its media type.
    """

    reference: Reference
    builds: tuple[Build, ...]
    index: bytes = b""
    index_type: str = ""

    @property
    def digest(self) -> str:
        """Digest of what the tag leads to."""
        return digest_of(self.index) if self.index else self.builds[0].digest

    @property
    def platforms(self) -> str:
        """The platforms, in words."""
        return ", ".join(str(build.platform) for build in self.builds if build.platform.known)

    def build_for(self, host: str, platform: Platform) -> Build:
        """Return the build for a host.

        Raises:
            ImageError: there is none for its platform.
        """
        for build in self.builds:
            if build.platform == platform:
                return build
        raise ImageError(
            str(self.reference),
            host=host,
            wanted=f"an image for {platform}, which the host is",
            found=f"one for {self.platforms}",
            remedy=f"save the image with --platform {platform}",
        )


def needed(clusters: Iterable[Cluster]) -> dict[Reference, list[str]]:
    """Return every image that the members need, with the names of their hosts."""
    found: dict[Reference, list[str]] = {}
    for cluster in clusters:
        for member in cluster.members:
            found.setdefault(parse(member.settings.etcd_image), []).append(member.name)
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def choose(reference: Reference, images: Sequence[Image]) -> Chosen:
    """Return what the archives have for a reference.

    An image of that whole name is meant; where there is none, one of that last part and tag, whatever its registry.
    Archives that hold different platforms of it go together.

    Raises:
        ImageError: none has it, or two have different ones for one platform.
    """
    found = [image for image in images if reference.tagged in image.names] or [
        image for image in images if reference.short in map(short, image.names)
    ]
    if not found:
        there = ", ".join(sorted({name for image in images for name in image.names})) or "images without a name"
        raise ImageError(
            str(reference),
            wanted=f"an archive with an image {reference.tagged} or .../{reference.short}",
            found=there,
            remedy="save that image too, or correct etcd_version or etcd_image",
        )
    chosen = _together(reference, found)
    if reference.digest and chosen.digest != reference.digest:
        raise ImageError(
            str(reference),
            wanted="the image with the digest that the inventory names",
            found=chosen.digest,
            remedy="save it in a form that keeps manifests (`skopeo copy --all docker://IMAGE oci-archive:FILE`)",
        )
    return chosen


def _together(reference: Reference, images: Sequence[Image]) -> Chosen:
    builds: dict[Platform, Build] = {}
    for image in images:
        for build in image.builds:
            known = builds.setdefault(build.platform, build)
            if build.platform.known and known.config != build.config:
                raise ImageError(
                    str(reference),
                    wanted=f"one image for {build.platform}",
                    found=f"different ones in {', '.join(sorted({str(one.archive) for one in images}))}",
                    remedy="leave one of them in the folder",
                )
    first = images[0]
    if first.index and {one.digest for one in first.builds} >= {one.digest for one in builds.values()}:
        return Chosen(reference, first.builds, first.index, first.index_type)
    named = tuple(build for build in builds.values() if build.platform.known)
    index = _index(named) if len(named) > 1 else b""
    return Chosen(reference, named, index, documents.OCI_INDEX if index else "")


def _index(builds: Iterable[Build]) -> bytes:
    manifests = [
        {
            "mediaType": build.media_type,
            "digest": build.digest,
            "size": len(build.raw),
            "platform": {"os": build.platform.system, "architecture": build.platform.architecture},
        }
        for build in builds
    ]
    document = {"schemaVersion": 2, "mediaType": documents.OCI_INDEX, "manifests": manifests}
    return json.dumps(document, separators=(",", ":")).encode()
