"""Archives of images: what `docker save`, `ctr images export`, skopeo and podman write, read and held to its digests.

Three forms: an OCI layout (index.json, blobs/sha256/...), `docker save` of before Docker 25 (manifest.json, a folder a
layer), and both at once, as it writes them since. A layout that lists more platforms than it holds, as an export of a
single one does, counts as what it holds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images import documents, tar
from nornir_etcd.images.platform import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nornir_etcd.images.blob import Blob

SUFFIX = ".tar"
LIMIT = 4 * 1024 * 1024
"""Bytes of a document: registries take no larger ones (maxManifestBodyBytes, distribution/distribution)."""
DEPTH = 3
"""Indexes within indexes: Docker writes two."""


@dataclass(frozen=True)
class Build:
    """An image for one platform.

    Args:
        platform: what it is for.
        media_type: of its manifest.
        raw: its manifest, to the byte; made here where the archive has none.
        config: its configuration, whose digest is the image's ID.
        blobs: all that the manifest names, by digest, in its order: the configuration and the layers.
        layers: digests of the layers, in their order.
    """

    platform: Platform
    media_type: str
    raw: bytes
    config: str
    blobs: Mapping[str, Blob]
    layers: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Digest of its manifest."""
        return digest_of(self.raw)

    @property
    def size(self) -> int:
        """Bytes of all its blobs."""
        return sum(blob.size for blob in self.blobs.values())


@dataclass(frozen=True)
class Image:
    """An image in an archive.

    Args:
        archive: the file.
        names: what the archive calls it; none where it has no name.
        builds: its builds, one for each platform that is there.
        index: the document that lists them, where all that it lists are there.
        index_type: its media type.
    """

    archive: Path
    names: tuple[str, ...]
    builds: tuple[Build, ...]
    index: bytes = b""
    index_type: str = ""


def digest_of(raw: bytes) -> str:
    """Return `sha256:...` of bytes."""
    return f"sha256:{sha256(raw).hexdigest()}"


def find(directory: Path) -> list[Path]:
    """Return the archives of a folder: its files *.tar.

    Raises:
        ImageError: there is no such folder, or none in it.
    """
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == SUFFIX and path.is_file())
    except OSError as error:
        raise ImageError(str(directory), wanted="a folder of archives", found=error.strerror or "none") from error
    if not found:
        raise ImageError(
            str(directory),
            wanted=f"archives of images (*{SUFFIX})",
            found="none",
            remedy=f"`docker save -o etcd{SUFFIX} IMAGE` or `ctr images export etcd{SUFFIX} IMAGE` writes one",
        )
    return found


def read(path: Path) -> tuple[Image, ...]:
    """Return the images of an archive; every blob of theirs has been held to its digest.

    Args:
        path: the file.

    Raises:
        ImageError: it cannot be read, is cut short, holds other bytes than it says, or no image.
    """
    reader = _Reader(path, tar.blobs(path))
    images = tuple(reader.images())
    if not images:
        raise reader.unwanted("an image", "none")
    return images


class _Reader:
    """One archive while it is read; what was held to its digest once is not read again."""

    def __init__(self, path: Path, files: Mapping[str, Blob]) -> None:
        self._path = path
        self._files = files
        self._held: set[str] = set()

    def unwanted(self, wanted: str, found: str) -> ImageError:
        return ImageError(str(self._path), wanted=wanted, found=found, remedy="save and copy the archive again")

    def images(self) -> Iterator[Image]:
        if "index.json" in self._files:
            yield from self._from_index()
        elif "manifest.json" in self._files:
            for entry in self._saved_entries():
                yield Image(self._path, tuple(entry.repo_tags or ()), (self._saved(entry),))
        else:
            raise self.unwanted("index.json or manifest.json, as archives of images have", "a tar without them")

    def _saved_entries(self) -> list[documents.Saved]:
        try:
            return documents.load_saved(self._small("manifest.json"))
        except ValueError as error:
            raise self.unwanted("manifest.json as `docker save` writes it", str(error)) from error

    def _small(self, name: str) -> bytes:
        """Return the content of a document."""
        if name not in self._files:
            raise self.unwanted(name, "none: the archive is cut short or was not saved whole")
        blob = self._files[name]
        if blob.size > LIMIT:
            raise self.unwanted(f"{name} of at most {LIMIT} bytes", f"{blob.size}")
        return blob.read()

    def _from_index(self) -> Iterator[Image]:
        """Yield the images of a layout: entries of one digest are one image with several names."""
        names: dict[str, list[str]] = {}
        entries = {}
        for entry in self._document(documents.Index, "index.json", self._small("index.json")).manifests:
            entries[entry.digest] = entry
            names.setdefault(entry.digest, []).extend(_names(entry))
        for digest, entry in entries.items():
            builds = tuple(self._builds(entry, DEPTH))
            if not any(build.platform.known for build in builds):
                continue
            raw = self._document_of(entry)
            whole = self._is_index(raw) and {one.digest for one in self._listed(raw)} == {one.digest for one in builds}
            index, media_type = (raw, entry.media_type or documents.OCI_INDEX) if whole else (b"", "")
            yield Image(self._path, tuple(dict.fromkeys(names[digest])), builds, index, media_type)

    def _builds(self, entry: documents.Descriptor, depth: int) -> Iterator[Build]:
        """Yield the builds that an entry leads to, as far as they are there."""
        raw = self._document_of(entry)
        if not self._is_index(raw):
            yield self._build(entry, raw)
            return
        if not depth:
            raise self.unwanted("indexes that end", "one within another and so on")
        for inner in self._listed(raw):
            if _place(inner.digest) in self._files:
                yield from self._builds(inner, depth - 1)

    def _is_index(self, raw: bytes) -> bool:
        """Whether a document is an index: by what it has, since its type may be left out."""
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise self.unwanted("a manifest of an image", "no JSON") from error
        return isinstance(content, dict) and "manifests" in content

    def _listed(self, raw: bytes) -> list[documents.Descriptor]:
        return self._document(documents.Index, "index", raw).manifests

    def _document(self, kind: type[documents.Kind], name: str, raw: bytes) -> documents.Kind:
        try:
            return documents.load(kind, raw)
        except ValueError as error:
            raise self.unwanted(f"{name} of an image", str(error)) from error

    def _document_of(self, entry: documents.Descriptor) -> bytes:
        raw = self._small(_place(entry.digest))
        if digest_of(raw) != entry.digest:
            raise self.unwanted(f"{_short(entry.digest)} with that SHA-256", f"another, {_short(digest_of(raw))}")
        return raw

    def _build(self, entry: documents.Descriptor, raw: bytes) -> Build:
        manifest = self._document(documents.Manifest, "manifest", raw)
        config = self._document(documents.Config, "configuration", self._document_of(manifest.config))
        parts = [manifest.config, *manifest.layers]
        return Build(
            platform=Platform(config.system, config.architecture),
            media_type=entry.media_type or documents.OCI_MANIFEST,
            raw=raw,
            config=manifest.config.digest,
            blobs={part.digest: self._held_blob(part) for part in parts},
            layers=tuple(layer.digest for layer in manifest.layers),
        )

    def _held_blob(self, part: documents.Descriptor) -> Blob:
        blob = self._files.get(_place(part.digest))
        if blob is None:
            found = "none: the archive is cut short or was not saved whole"
            raise self.unwanted(f"the layer {_short(part.digest)}", found)
        if blob.size != part.size:
            raise self.unwanted(f"{part.size} bytes of {_short(part.digest)}", f"{blob.size}")
        if part.digest not in self._held:
            if (found := blob.digest()) != part.digest:
                raise self.unwanted(f"{_short(part.digest)} with that SHA-256", f"another, {_short(found)}")
            self._held.add(part.digest)
        return blob

    def _saved(self, entry: documents.Saved) -> Build:
        """Return the build of an entry of manifest.json. The configuration is named by its digest, and names layers."""
        raw_config = self._small(entry.config)
        found = digest_of(raw_config)
        if found.removeprefix("sha256:") != entry.config.rpartition("/")[2].removesuffix(".json"):
            raise self.unwanted(f"{entry.config} with that SHA-256", f"another, {_short(found)}")
        config = self._document(documents.Config, "configuration", raw_config)
        wanted = config.rootfs.diff_ids
        if len(wanted) != len(entry.layers):
            raise self.unwanted(f"{len(wanted)} layers", str(len(entry.layers)))
        blobs = {found: self._files[entry.config]}
        layers = []
        for name, diff_id in zip(entry.layers, wanted, strict=True):
            blob = self._saved_layer(name, diff_id)
            digest = blob.digest() if blob.gzipped else diff_id
            blobs[digest] = blob
            layers.append({"mediaType": _layer_type(blob), "digest": digest, "size": blob.size})
        document = {
            "schemaVersion": 2,
            "mediaType": documents.OCI_MANIFEST,
            "config": {"mediaType": documents.OCI_CONFIG, "digest": found, "size": len(raw_config)},
            "layers": layers,
        }
        return Build(
            platform=Platform(config.system, config.architecture),
            media_type=documents.OCI_MANIFEST,
            raw=json.dumps(document, separators=(",", ":")).encode(),
            config=found,
            blobs=blobs,
            layers=tuple(str(layer["digest"]) for layer in layers),
        )

    def _saved_layer(self, name: str, diff_id: str) -> Blob:
        blob = self._files.get(name)
        if blob is None:
            raise self.unwanted(f"the layer {name}", "none: the archive is cut short or was not saved whole")
        if (found := blob.unpacked_digest()) != diff_id:
            raise self.unwanted(f"{name} with the SHA-256 {_short(diff_id)}", f"another, {_short(found)}")
        return blob


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _short(digest: str) -> str:
    return digest[:19]


def _names(entry: documents.Descriptor) -> list[str]:
    """Return the name of an image in a layout; a bare tag is none."""
    annotations = entry.annotations or {}
    found = str(annotations.get(documents.FULL_NAME) or annotations.get(documents.REF_NAME) or "")
    return [found] if ":" in found else []


def _layer_type(blob: Blob) -> str:
    return f"{documents.OCI_LAYER}+gzip" if blob.gzipped else documents.OCI_LAYER
