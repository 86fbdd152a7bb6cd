"""Archives of images as `docker save`, containerd and buildx write them, made of a few bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nornir_etcd.images import documents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAME = "registry.k8s.io/etcd:3.5.16-0"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pack(path: Path, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> Path:
    """Write a tar of files and symbolic links."""
    with tarfile.open(path, "w") as tar:
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def layer(content: bytes) -> bytes:
    """A layer with one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("usr/local/bin/etcd")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@dataclass
class Made:
    """An image's parts."""

    config: bytes
    layers: list[bytes]  # as they lie in the archive

    @property
    def id(self) -> str:
        return f"sha256:{sha(self.config)}"

    @property
    def manifest(self) -> bytes:
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": documents.OCI_MANIFEST,
                "config": descriptor(self.config, documents.OCI_CONFIG),
                "layers": [descriptor(one, documents.OCI_LAYER) for one in self.layers],
            }
        ).encode()


def descriptor(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{sha(content)}", "size": len(content), **more}


def make(
    architecture: str = "amd64", contents: Sequence[bytes] = (b"etcd " * 400, b"more"), *, zipped: bool = False
) -> Made:
    """Make an image of one layer for each content."""
    plain = [layer(content) for content in contents]
    config = {
        "os": "linux",
        "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha(one)}" for one in plain]},
    }
    layers = [gzip.compress(one, mtime=0) for one in plain] if zipped else plain
    return Made(json.dumps(config).encode(), layers)


def saved_files(made: Made, name: str | None = NAME) -> dict[str, bytes]:
    """The files of `docker save` before Docker 25."""
    config = f"{sha(made.config)}.json"
    layers = {f"{number}{sha(one)[1:]}/layer.tar": one for number, one in enumerate(made.layers)}
    entry = {"Config": config, "RepoTags": [name] if name else None, "Layers": list(layers)}
    return {config: made.config, **layers, "manifest.json": json.dumps([entry]).encode()}


def blob_files(*contents: bytes) -> dict[str, bytes]:
    return {f"blobs/sha256/{sha(content)}": content for content in contents}


def layout_files(
    *builds: Made, name: str = NAME, listed: Sequence[Made] = (), nested: bool = False
) -> dict[str, bytes]:
    """The files of an OCI layout; `listed` are in its index and not in the archive."""
    platforms = [descriptor(one.manifest, documents.OCI_MANIFEST) for one in (*builds, *listed)]
    annotations = {documents.FULL_NAME: name}
    files = blob_files(*(part for one in builds for part in (one.config, *one.layers, one.manifest)))
    if len(platforms) > 1 or nested:
        index = json.dumps({"schemaVersion": 2, "mediaType": documents.OCI_INDEX, "manifests": platforms}).encode()
        files |= blob_files(index)
        entries = [descriptor(index, documents.OCI_INDEX, annotations=annotations)]
    else:
        entries = [{**platforms[0], "annotations": annotations}]
    top = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": top, **files}
