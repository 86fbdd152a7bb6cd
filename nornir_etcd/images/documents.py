"""The JSON documents of images, as far as they are read here. Pure.

OCI image format: https://github.com/opencontainers/image-spec/blob/v1.1.0/spec.md (index, manifest, config).
manifest.json is what `docker save` writes: https://github.com/moby/moby/blob/v27.0.0/image/tarexport/tarexport.go
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (OCI_INDEX, DOCKER_LIST)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)

FULL_NAME = "io.containerd.image.name"
"""Annotation of the whole reference, by containerd and Docker."""
REF_NAME = "org.opencontainers.image.ref.name"
"""Annotation of a tag or reference (image-spec, annotations.md)."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Descriptor(_Read):
    """What one document says of another."""

    media_type: Annotated[str, Field(alias="mediaType")] = ""
    digest: Digest
    size: Annotated[int, Field(ge=0, strict=True)]
    annotations: dict[str, Any] | None = None


class Index(_Read):
    """Manifests of several platforms, or all images of an archive."""

    schema_version: Annotated[Literal[2], Field(alias="schemaVersion")]
    manifests: list[Descriptor]


class Manifest(_Read):
    """An image for one platform."""

    schema_version: Annotated[Literal[2], Field(alias="schemaVersion")]
    config: Descriptor
    layers: list[Descriptor]


class Saved(_Read):
    """An entry of manifest.json."""

    config: Annotated[str, Field(alias="Config")]
    repo_tags: Annotated[list[str] | None, Field(alias="RepoTags")] = None
    layers: Annotated[list[str], Field(alias="Layers")]


class _Layers(_Read):
    diff_ids: list[Digest]


class Config(_Read):
    """What an image is for, and what its layers unpack to."""

    system: Annotated[str, Field(alias="os", min_length=1)]
    architecture: Annotated[str, Field(min_length=1)]
    rootfs: _Layers


Kind = TypeVar("Kind", bound=BaseModel)


def load(kind: type[Kind], raw: bytes) -> Kind:
    """Return a document.

    Raises:
        ValueError: it is none of that kind; the message says where.
    """
    return _checked(kind, _json(raw))


def load_saved(raw: bytes) -> list[Saved]:
    """Return the entries of a manifest.json.

    Raises:
        ValueError: as above.
    """
    entries = _json(raw)
    if not isinstance(entries, list):
        raise ValueError("no list")  # noqa: TRY004 - a wrong document, no wrong call
    return [_checked(Saved, entry) for entry in entries]


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError("no JSON") from error


def _checked(kind: type[Kind], content: object) -> Kind:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        raise ValueError(f"{place}: {first['msg']}") from error
