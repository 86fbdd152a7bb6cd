"""Archives: every form that is written is read, and nothing that is damaged goes through."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images import documents
from nornir_etcd.images.archive import Image, digest_of, find, read
from nornir_etcd.images.platform import Platform
from tests.unit.images.archives import NAME, blob_files, layout_files, make, pack, saved_files, sha

if TYPE_CHECKING:
    from pathlib import Path

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")
OF_ONE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
"""The folder is the test's, and each example writes the same files in it anew."""


def only(path: Path) -> Image:
    (image,) = read(path)
    return image


def refused(path: Path) -> str:
    """The line by which an archive is refused."""
    with pytest.raises(ImageError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: wanted ")
    assert "\n" not in line
    assert len(line) < 600
    return line


@pytest.mark.parametrize("zipped", [False, True])
def test_an_archive_of_docker_save_is_read_with_its_layers_held_to_what_they_unpack_to(
    tmp_path: Path, zipped: bool
) -> None:
    made = make(zipped=zipped)
    image = only(pack(tmp_path / "a.tar", saved_files(made)))
    (build,) = image.builds
    assert (image.names, build.platform, build.config, image.index) == ((NAME,), AMD, made.id, b"")
    assert [build.blobs[digest].read() for digest in build.layers] == made.layers
    layers = json.loads(build.raw)["layers"]
    assert [one["digest"] for one in layers] == [f"sha256:{sha(one)}" for one in made.layers]
    assert {one["mediaType"].endswith("+gzip") for one in layers} == {zipped}


def test_a_layout_is_read_to_the_byte(tmp_path: Path) -> None:
    made = make()
    image = only(pack(tmp_path / "a.tar", layout_files(made)))
    (build,) = image.builds
    assert (image.names, build.raw, build.config) == ((NAME,), made.manifest, made.id)
    assert build.digest == digest_of(made.manifest)


def test_both_forms_at_once_as_docker_writes_them_since_25_are_one_image(tmp_path: Path) -> None:
    made = make()
    path = pack(tmp_path / "a.tar", layout_files(made, nested=True) | saved_files(made))
    assert [build.raw for build in only(path).builds] == [made.manifest]


def test_an_image_of_several_platforms_keeps_the_index_that_lists_them(tmp_path: Path) -> None:
    amd, arm = make(), make("arm64")
    image = only(pack(tmp_path / "a.tar", layout_files(amd, arm)))
    assert [build.platform for build in image.builds] == [AMD, ARM]
    assert [one["digest"] for one in json.loads(image.index)["manifests"]] == [build.digest for build in image.builds]


def test_platforms_that_were_not_exported_are_not_missed(tmp_path: Path) -> None:
    image = only(pack(tmp_path / "a.tar", layout_files(make(), listed=[make("arm64"), make("s390x")])))
    assert [build.platform for build in image.builds] == [AMD]
    assert image.index == b""


def test_a_layer_that_is_a_link_to_another_is_that_other(tmp_path: Path) -> None:
    """Docker before 25 writes a layer that occurs twice once."""
    made = make(contents=[b"same", b"same"])
    files = saved_files(made)
    first, second = (name for name in files if name.endswith("layer.tar"))
    del files[second]
    path = pack(tmp_path / "a.tar", files, {second: f"../{first}"})
    assert [build.blobs[one].read() for build in only(path).builds for one in build.layers] == made.layers


def test_an_image_of_two_names_has_both(tmp_path: Path) -> None:
    files = layout_files(make())
    top = json.loads(files["index.json"])
    top["manifests"].append({**top["manifests"][0], "annotations": {documents.REF_NAME: "a.example/b:1"}})
    path = pack(tmp_path / "a.tar", files | {"index.json": json.dumps(top).encode()})
    assert only(path).names == (NAME, "a.example/b:1")


def test_what_is_no_archive_is_told_for_what_it_is(tmp_path: Path) -> None:
    contents = {
        b"": "an empty file",
        b"<!DOCTYPE html><title>Sign in</title>": "HTML",
        b"\n <html>": "HTML",
        b"\x1f\x8b\x08" + bytes(600): "compressed by gzip",
        b"\x28\xb5\x2f\xfd" + bytes(600): "compressed by zstd",
        b"nonsense" * 100: "no tar",
    }
    for content, said in contents.items():
        path = tmp_path / "a.tar"
        path.write_bytes(content)
        assert said in refused(path)
    assert "No such file" in refused(tmp_path / "none.tar")
    assert "a tar without them" in refused(pack(tmp_path / "b.tar", {"etc/passwd": b"root"}))
    assert "wanted an image, found none" in refused(pack(tmp_path / "c.tar", {"manifest.json": b"[]"}))


@OF_ONE_FOLDER
@given(st.data())
def test_an_archive_that_is_cut_short_is_refused_wherever_it_is_cut(tmp_path: Path, data: st.DataObject) -> None:
    files = data.draw(st.sampled_from([saved_files(make()), layout_files(make()), layout_files(make(zipped=True))]))
    path = pack(tmp_path / "a.tar", files)
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    path.write_bytes(whole[: data.draw(st.integers(0, last.offset_data + last.size - 1))])
    refused(path)


@OF_ONE_FOLDER
@given(st.data())
def test_a_byte_that_changed_in_a_layer_configuration_or_manifest_is_found(tmp_path: Path, data: st.DataObject) -> None:
    files = data.draw(st.sampled_from([saved_files(make()), layout_files(make()), layout_files(make(zipped=True))]))
    names = [name for name in files if name not in {"index.json", "manifest.json", "oci-layout"}]
    name = data.draw(st.sampled_from(names))
    content = bytearray(files[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    refused(pack(tmp_path / "a.tar", files | {name: bytes(content)}))


KEYS = st.sampled_from(["schemaVersion", "manifests", "digest", "size", "annotations", "Config", "RepoTags", "Layers"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda it: st.lists(it) | st.dictionaries(KEYS, it)
)


@OF_ONE_FOLDER
@given(
    st.sampled_from(["index.json", "manifest.json"]),
    st.binary(max_size=60) | JSON.map(lambda it: json.dumps(it).encode()) | st.just(b"[" * 100_000),
)
def test_nonsense_for_a_document_is_refused_in_a_line(tmp_path: Path, name: str, content: bytes) -> None:
    refused(pack(tmp_path / "a.tar", {**blob_files(b"{}"), name: content}))


@pytest.mark.parametrize(
    "change",
    [
        {"Config": "../../etc/shadow"},
        {"Config": "blobs/sha256/0"},
        {"Layers": []},
        {"Layers": ["a", "b"]},
        {"Layers": None},
        {"RepoTags": "etcd"},
    ],
)
def test_a_wrong_entry_of_docker_save_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    files = saved_files(make())
    (entry,) = json.loads(files["manifest.json"])
    files["manifest.json"] = json.dumps([entry | change]).encode()
    refused(pack(tmp_path / "a.tar", files))


def test_a_document_of_another_size_or_without_end_is_refused(tmp_path: Path) -> None:
    files = saved_files(make()) | {"manifest.json": b" " * (4 * 1024 * 1024 + 1)}
    assert "at most" in refused(pack(tmp_path / "a.tar", files))
    inner = {"schemaVersion": 2, "manifests": []}
    content = json.dumps(inner).encode()
    layers = {}
    for _ in range(6):
        layers |= blob_files(content)
        entry = {"digest": f"sha256:{sha(content)}", "size": len(content)}
        content = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    assert "indexes that end" in refused(pack(tmp_path / "b.tar", {**layers, "index.json": content}))


def test_the_archives_of_a_folder_are_its_tars(tmp_path: Path) -> None:
    for name in ("b.tar", "a.tar", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.tar").mkdir()
    assert [path.name for path in find(tmp_path)] == ["a.tar", "b.tar"]
    with pytest.raises(ImageError, match=r"wanted archives of images \(\*.tar\), found none"):
        find(tmp_path / "folder.tar")
    with pytest.raises(ImageError, match="No such file"):
        find(tmp_path / "none")
