"""Container images made of Debian's binaries, laid out as the storage of a registry.

An image is one layer: etcd, etcdctl, etcdutl where the version has it, and the C library they need. The layout is
that of the registry's filesystem driver (docker/registry/v2), which Debian's docker-registry then serves read-only.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from nornir_etcd.lab.debian import architecture
from nornir_etcd.lab.error import LabError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
BIN = "usr/local/bin"


def etcd_files(root: Path) -> dict[str, Path]:
    """Pick an etcd image's files from unpacked Debian packages.

    Args:
        root: tree with etcd-server, etcd-client and libc6 in it.

    Returns:
        Source of each file, by its path in the image.

    Raises:
        LabError: a file is missing from the packages.
    """
    files = {f"{BIN}/{name}": root / "usr/bin" / name for name in ("etcd", "etcdctl", "etcdutl")}
    # 3.4 has no etcdutl.
    files = {target: source for target, source in files.items() if source.exists() or not target.endswith("etcdutl")}
    loaders = sorted(root.rglob("ld-linux*.so.*"), key=lambda path: len(path.parts))
    libraries = [path for path in root.rglob("libc.so.6") if not path.is_symlink()]
    if not loaders or not libraries:
        raise LabError(f"lab: {root}: wanted ld-linux and libc.so.6 of libc6, found none")
    # The shortest path is the one that programs name as their interpreter; /usr/lib is /lib in every suite by now.
    loader = loaders[0].relative_to(root).as_posix().removeprefix("usr/")
    files[loader] = libraries[0].parent / loaders[0].name
    files[libraries[0].relative_to(root).as_posix().removeprefix("usr/")] = libraries[0]
    return files


def layer(files: dict[str, Path]) -> bytes:
    """Pack files into a tar that depends on nothing but their content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        folders = {parent.as_posix() for target in files for parent in Path(target).parents} - {"."}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for target, source in sorted(files.items()):
            content = source.read_bytes()
            entry = tarfile.TarInfo(target)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class Storage:
    """The storage directory of a registry, written without the registry."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "docker/registry/v2"

    def add(self, repository: str, tag: str, files: dict[str, Path], command: list[str]) -> str:
        """Add an image.

        Args:
            repository: e.g. ikubeops/etcd.
            tag: e.g. 3.5.16-0.
            files: source of each file by its path in the image.
            command: what it runs.

        Returns:
            Digest of its manifest.
        """
        packed = layer(files)
        config = {
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": [f"PATH=/{BIN}"], "Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(packed).hexdigest()}"]},
        }
        packed_config = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._blob(repository, packed_config, CONFIG_TYPE),
            "layers": [self._blob(repository, packed, LAYER_TYPE)],
        }
        digest = str(self._blob(repository, json.dumps(manifest).encode(), MANIFEST_TYPE)["digest"])
        manifests = self._root / "repositories" / repository / "_manifests"
        hexadecimal = digest.removeprefix("sha256:")
        _write(manifests / "revisions/sha256" / hexadecimal / "link", digest.encode())
        _write(manifests / "tags" / tag / "current/link", digest.encode())
        _write(manifests / "tags" / tag / "index/sha256" / hexadecimal / "link", digest.encode())
        return digest

    def _blob(self, repository: str, content: bytes, media_type: str) -> dict[str, object]:
        hexadecimal = hashlib.sha256(content).hexdigest()
        _write(self._root / "blobs/sha256" / hexadecimal[:2] / hexadecimal / "data", content)
        link = self._root / "repositories" / repository / "_layers/sha256" / hexadecimal / "link"
        _write(link, f"sha256:{hexadecimal}".encode())
        return {"mediaType": media_type, "digest": f"sha256:{hexadecimal}", "size": len(content)}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
