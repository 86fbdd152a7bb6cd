"""What goes to a runtime: one tar, the same bytes from wherever it is gone on with."""

from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nornir_etcd.images.archive import read
from nornir_etcd.images.bundle import Bundle
from nornir_etcd.images.reference import parse
from tests.unit.images.archives import layout_files, make, pack, saved_files

if TYPE_CHECKING:
    from pathlib import Path

WANTED = parse("registry.ikubeops.local/ikubeops/etcd:3.5.16-0")


def bundle_of(path: Path) -> Bundle:
    (image,) = read(path)
    return Bundle(WANTED, image.builds[0])


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of(pack(tmp_path / "a.tar", saved_files(make())))


@pytest.mark.parametrize("zipped", [False, True])
def test_it_is_the_same_image_under_the_name_of_the_inventory_in_both_forms(tmp_path: Path, zipped: bool) -> None:
    made = make(zipped=zipped)
    bundle = bundle_of(pack(tmp_path / "a.tar", layout_files(made, make("arm64"))))
    for left_out in ("index.json", "manifest.json"):
        path = _without(bundle, tmp_path, left_out)
        (image,) = read(path)
        assert (image.names, [build.config for build in image.builds]) == ((WANTED.tagged,), [made.id])
        assert [build.blobs[one].read() for build in image.builds for one in build.layers] == made.layers


def _without(bundle: Bundle, folder: Path, name: str) -> Path:
    whole = folder / "whole.tar"
    whole.write_bytes(b"".join(bundle.pieces(0, bundle.size)))
    with tarfile.open(whole) as tar:
        files = {one.name: (tar.extractfile(one) or pytest.fail(one.name)).read() for one in tar if one.name != name}
    return pack(folder / "part.tar", files)


def test_size_and_sha256_are_those_of_its_bytes(bundle: Bundle) -> None:
    whole = b"".join(bundle.pieces(0, bundle.size))
    assert (len(whole), hashlib.sha256(whole).hexdigest()) == (bundle.size, bundle.sha256)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_whatever_is_cut_off_is_gone_on_with_to_the_same_bytes(bundle: Bundle, data: st.DataObject) -> None:
    whole = b"".join(bundle.pieces(0, bundle.size))
    cuts = sorted(data.draw(st.lists(st.integers(0, bundle.size), max_size=4)))
    parts = zip([0, *cuts], [*cuts, bundle.size], strict=True)
    assert b"".join(piece for start, stop in parts for piece in bundle.pieces(start, stop)) == whole
