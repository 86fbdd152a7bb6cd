"""An image as one tar for a runtime, named as the inventory names it: always the same bytes, made while they are sent.

It has the two forms that Docker writes since version 25, an OCI layout and manifest.json. containerd takes the first
(https://github.com/containerd/containerd/blob/v1.6.20/images/archive/importer.go), Docker whichever it knows.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from functools import cached_property
from typing import TYPE_CHECKING

from nornir_etcd.images import documents
from nornir_etcd.images.blob import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.images.archive import Build
    from nornir_etcd.images.reference import Reference

_BLOCK = tarfile.BLOCKSIZE


class Bundle:
    """One build of an image as the bytes of a tar.

    Args:
        reference: what it is to be called.
        build: the image.
    """

    def __init__(self, reference: Reference, build: Build) -> None:
        files = _documents(reference, build) | {_place(digest): blob for digest, blob in build.blobs.items()}
        self._parts: list[bytes | Blob] = []
        for name, content in files.items():
            size = len(content) if isinstance(content, bytes) else content.size
            self._parts += [_header(name, size), content, bytes(-size % _BLOCK)]
        self._parts.append(bytes(2 * _BLOCK))

    @cached_property
    def size(self) -> int:
        """Bytes of it."""
        return sum(map(_size, self._parts))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of it, in hexadecimal digits."""
        return self.sha256_to(self.size)

    def sha256_to(self, stop: int) -> str:
        """Return the SHA-256 of its first bytes, in hexadecimal digits."""
        found = hashlib.sha256()
        for piece in self.pieces(0, stop):
            found.update(piece)
        return found.hexdigest()

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to `stop`, at most a MiB at a time.

        Raises:
            ImageError: an archive can no longer be read.
        """
        at = 0
        for part in self._parts:
            size = _size(part)
            first, last = max(start - at, 0), min(stop - at, size)
            if first < last:
                if isinstance(part, Blob):
                    yield from part.pieces(first, last)
                else:
                    yield part[first:last]
            at += size


def _size(part: bytes | Blob) -> int:
    return part.size if isinstance(part, Blob) else len(part)


def _place(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _documents(reference: Reference, build: Build) -> dict[str, bytes | Blob]:
    entry = {
        "mediaType": build.media_type,
        "digest": build.digest,
        "size": len(build.raw),
        "annotations": {documents.FULL_NAME: reference.tagged, documents.REF_NAME: reference.tag},
    }
    saved = {
        "Config": _place(build.config),
        "RepoTags": [reference.tagged],
        "Layers": [_place(digest) for digest in build.layers],
    }
    return {
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
        "manifest.json": json.dumps([saved]).encode(),
        _place(build.digest): build.raw,
    }


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    # GNU's form holds sizes above 8 GiB in the header itself.
    return entry.tobuf(tarfile.GNU_FORMAT)
