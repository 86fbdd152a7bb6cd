"""Which image of the archives is meant by what the inventory needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images.archive import read
from nornir_etcd.images.choice import choose
from nornir_etcd.images.platform import Platform, of_machine
from nornir_etcd.images.reference import parse, short
from tests.unit.images.archives import NAME, Made, layout_files, make, pack, saved_files

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.images.archive import Image

WANTED = parse("registry.ikubeops.local/ikubeops/etcd:3.5.16-0")


def image(folder: Path, made: Made, name: str = NAME) -> Image:
    (found,) = read(pack(folder / f"{len(list(folder.iterdir()))}.tar", saved_files(made, name)))
    return found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("r.example/etcd:1", ("r.example", "etcd", "1", "")),
        ("r.example:5000/a/b/etcd:3.5.16-0", ("r.example:5000", "a/b/etcd", "3.5.16-0", "")),
        ("[::1]:5000/a/etcd:1@sha256:" + "0" * 64, ("[::1]:5000", "a/etcd", "1", "sha256:" + "0" * 64)),
    ],
)
def test_a_reference_is_taken_apart_and_put_together_again(text: str, parts: tuple[str, ...]) -> None:
    found = parse(text)
    assert (found.registry, found.repository, found.tag, found.digest) == parts
    assert str(found) == text
    assert short(text) == found.short


def test_an_image_of_the_whole_name_is_preferred_to_one_of_another_registry(tmp_path: Path) -> None:
    ours, theirs = make(contents=[b"ours"]), make(contents=[b"theirs"])
    found = choose(WANTED, [image(tmp_path, theirs), image(tmp_path, ours, WANTED.tagged)])
    assert [build.config for build in found.builds] == [ours.id]
    assert choose(WANTED, [image(tmp_path, theirs)]).builds[0].config == theirs.id


def test_another_tag_or_name_is_not_taken(tmp_path: Path) -> None:
    images = [image(tmp_path, make(), name) for name in ("quay.io/coreos/etcd:3.5.17-0", "r.example/my-etcd:3.5.16-0")]
    with pytest.raises(ImageError, match=r"wanted an archive with .*\.\.\./etcd:3\.5\.16-0, found quay\.io") as caught:
        choose(WANTED, images)
    assert "\n" not in str(caught.value)


def test_archives_of_different_platforms_go_together_under_one_index(tmp_path: Path) -> None:
    found = choose(WANTED, [image(tmp_path, make()), image(tmp_path, make("arm64"))])
    assert found.platforms == "linux/amd64, linux/arm64"
    assert [one["platform"]["architecture"] for one in json.loads(found.index)["manifests"]] == ["amd64", "arm64"]
    assert found.build_for("node-1", of_machine("aarch64")).platform == Platform("linux", "arm64")


def test_the_index_of_an_archive_is_kept(tmp_path: Path) -> None:
    (whole,) = read(pack(tmp_path / "a.tar", layout_files(make(), make("arm64"))))
    assert choose(WANTED, [whole]).index == whole.index
    assert choose(WANTED, [whole, whole]).index == whole.index


def test_two_images_for_one_platform_are_refused_and_the_same_twice_is_not(tmp_path: Path) -> None:
    one = image(tmp_path, make())
    assert choose(WANTED, [one, image(tmp_path, make())]).builds == one.builds
    with pytest.raises(ImageError, match="wanted one image for linux/amd64, found different ones in"):
        choose(WANTED, [one, image(tmp_path, make(contents=[b"another"]))])


def test_an_image_of_another_architecture_is_refused_with_both_named(tmp_path: Path) -> None:
    chosen = choose(WANTED, [image(tmp_path, make("arm64"))])
    with pytest.raises(ImageError) as caught:
        chosen.build_for("node-1", of_machine("x86_64"))
    line = str(caught.value)
    assert line.startswith(f"node-1: {WANTED}: wanted an image for linux/amd64, which the host is, found one for linux")
    assert "linux/arm64" in line


def test_a_digest_of_the_inventory_is_held(tmp_path: Path) -> None:
    made = make()
    (kept,) = read(pack(tmp_path / "a.tar", layout_files(made)))
    digest = kept.builds[0].digest
    assert choose(parse(f"{WANTED}@{digest}"), [kept]).digest == digest
    with pytest.raises(ImageError, match="wanted the image with the digest that the inventory names"):
        choose(parse(f"{WANTED}@sha256:{'0' * 64}"), [kept])
