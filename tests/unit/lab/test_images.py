from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab import LabError
from nornir_etcd.lab.cache import version_key
from nornir_etcd.lab.debian import upstream
from nornir_etcd.lab.images import Storage, etcd_files, layer

if TYPE_CHECKING:
    from pathlib import Path


def unpacked(root: Path, *, merged: bool, etcdutl: bool = True) -> Path:
    """A tree as dpkg-deb leaves it: before or after the move of /lib into /usr."""
    library = root / ("usr/lib" if merged else "lib") / "x86_64-linux-gnu"
    loader = root / ("usr/lib64" if merged else "lib64") / "ld-linux-x86-64.so.2"
    for directory in (library, loader.parent, root / "usr/bin"):
        directory.mkdir(parents=True)
    for name in ("etcd", "etcdctl", *(["etcdutl"] if etcdutl else [])):
        (root / "usr/bin" / name).write_text(name)
    (library / "libc.so.6").write_text("libc")
    (library / "ld-linux-x86-64.so.2").write_text("loader")
    # Absolute in bookworm: it must not be followed into the machine's own /lib.
    loader.symlink_to("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    return root


@pytest.mark.parametrize("merged", [True, False])
def test_an_image_has_its_programs_on_the_path_and_the_c_library_where_they_look(tmp_path: Path, merged: bool) -> None:
    files = etcd_files(unpacked(tmp_path, merged=merged))
    assert sorted(files) == [
        "lib/x86_64-linux-gnu/libc.so.6",
        "lib64/ld-linux-x86-64.so.2",
        "usr/local/bin/etcd",
        "usr/local/bin/etcdctl",
        "usr/local/bin/etcdutl",
    ]
    assert files["lib64/ld-linux-x86-64.so.2"].read_text() == "loader"
    assert not files["lib64/ld-linux-x86-64.so.2"].is_symlink()


def test_a_version_without_etcdutl_makes_an_image_without_it(tmp_path: Path) -> None:
    assert "usr/local/bin/etcdutl" not in etcd_files(unpacked(tmp_path, merged=True, etcdutl=False))


def test_packages_without_a_c_library_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="wanted ld-linux and libc"):
        etcd_files(tmp_path)


def test_a_layer_depends_on_its_files_content_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("x")
    second.write_text("x")
    second.chmod(0o600)
    assert layer({"usr/local/bin/a": first}) == layer({"usr/local/bin/a": second})
    with tarfile.open(fileobj=io.BytesIO(layer({"usr/local/bin/a": first}))) as tar:
        assert tar.getnames() == ["usr", "usr/local", "usr/local/bin", "usr/local/bin/a"]
        assert tar.getmember("usr/local/bin/a").mode == 0o755


def test_the_registry_finds_manifest_config_and_layer_by_their_digests(tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("x")
    digest = Storage(tmp_path / "s").add(
        "ikubeops/etcd", "3.5.16-0", {"usr/local/bin/etcd": tmp_path / "etcd"}, ["etcd"]
    )
    top = tmp_path / "s/docker/registry/v2"

    def blob(name: str) -> bytes:
        content = (top / "blobs/sha256" / name[7:9] / name[7:] / "data").read_bytes()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == name
        assert (top / "repositories/ikubeops/etcd/_layers/sha256" / name[7:] / "link").read_text() == name
        return content

    current = top / "repositories/ikubeops/etcd/_manifests/tags/3.5.16-0/current/link"
    assert current.read_text() == digest
    manifest = json.loads(blob(digest))
    config, packed = json.loads(blob(manifest["config"]["digest"])), blob(manifest["layers"][0]["digest"])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(packed).hexdigest()}"]
    assert config["config"] == {"Env": ["PATH=/usr/local/bin"], "Cmd": ["etcd"]}


@pytest.mark.parametrize(
    ("debian", "version"),
    [("3.4.23-4+b4", "3.4.23"), ("1:3.5.16-4", "3.5.16"), ("3.5.30~rc1-2", "3.5.30~rc1"), ("3.6", "3.6")],
)
def test_upstream_versions_are_taken_out_of_debians(debian: str, version: str) -> None:
    assert upstream(debian) == version


def test_tags_are_sorted_by_number() -> None:
    assert sorted(["3.5.16-0", "3.10.1-0", "3.5.9-0"], key=version_key) == ["3.5.9-0", "3.5.16-0", "3.10.1-0"]
