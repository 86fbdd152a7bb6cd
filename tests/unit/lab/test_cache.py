from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab import LabError, cache
from nornir_etcd.lab.debian import architecture

if TYPE_CHECKING:
    from pathlib import Path

TAG = "3.5.16-0"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound build, and a mirror that refuses connections: what is not kept cannot be had."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache, "mirror", lambda: "http://127.0.0.1:9/debian")
    directory = cache.root() / f"{cache.FORMAT}-{architecture()}"
    (directory / "bin").mkdir(parents=True)
    (directory / "bin/etcdctl").write_text("x" * 10)
    (directory / "build.json").write_text(json.dumps({"tags": [TAG], "files": {"bin/etcdctl": 10}}))
    return directory


def set_age(directory: Path, seconds: float) -> None:
    os.utime(directory / "build.json", times=(time.time(), time.time() - seconds))


def test_a_sound_build_is_used_as_it_is(kept: Path) -> None:
    build = cache.ready()
    assert (build.tags, [tool.name for tool in build.tools]) == ([TAG], ["etcdctl"])
    assert build.directory == kept
    assert build.cfssl.relative_to(kept).as_posix() == "cfssl/cfssl"


@pytest.mark.parametrize("damage", ["shorter", "missing", "no list"])
def test_a_damaged_build_is_not_used_and_why_no_other_could_be_made_is_said(kept: Path, damage: str) -> None:
    if damage == "shorter":
        (kept / "bin/etcdctl").write_text("x" * 9)
    else:
        (kept / ("bin/etcdctl" if damage == "missing" else "build.json")).unlink()
    with pytest.raises(LabError, match="apt-get"):
        cache.ready()
    assert [path.name for path in kept.parent.iterdir() if ".new-" in path.name] == []


def test_an_old_build_stays_in_use_where_no_new_one_can_be_made_and_is_tried_again_tomorrow(kept: Path) -> None:
    set_age(kept, cache.MAX_AGE + 3600)
    assert cache.ready().tags == [TAG]
    age = time.time() - (kept / "build.json").stat().st_mtime
    assert cache.MAX_AGE - 24 * 3600 - 60 < age < cache.MAX_AGE


def test_what_a_killed_build_has_left_goes_with_the_next(kept: Path) -> None:
    left = kept.parent / f"{kept.name}.new-killed"
    left.mkdir()
    set_age(kept, cache.MAX_AGE + 3600)
    cache.ready()
    assert not left.exists()
