"""Snapshots on the controller: whole and checked, or not there at all.

The streams are made here; etcd's own are in tests/contract/test_snapshots.py. A disk that is really full is in
tests/faults/test_snapshot_disk.py.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.exceptions import EtcdUnreachable, SnapshotError
from nornir_etcd.signers import files
from nornir_etcd.snapshots import Checksum, SavedSnapshot, check_space, file_name, kept, save, status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NOW = datetime(2026, 11, 22, 12, 30, 5, tzinfo=timezone.utc)
PAGES = os.urandom(8 * 512)
LIMIT = 30.0  # seconds for a child process


@pytest.fixture(autouse=True)
def _no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH without etcd's tools: they would find no database in what is made up here."""
    monkeypatch.setenv("PATH", "/nonexistent")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where snapshots go; not there yet."""
    return tmp_path / "snapshots" / "one"


def stream(database: bytes = PAGES) -> bytes:
    return database + hashlib.sha256(database).digest()


def take(folder: Path, chunks: Iterable[bytes] | None = None, **changes: Any) -> SavedSnapshot:
    facts: dict[str, Any] = {"database": 4096, "revision": 7, "keep": 7, "now": NOW, "timeout": 10.0}
    given = [stream()] if chunks is None else chunks
    return save(given, folder, changes.pop("cluster", "one"), **{**facts, **changes})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def cut(whole: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(places), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


def test_a_snapshot_is_a_file_that_only_its_owner_can_read(folder: Path) -> None:
    before = os.umask(0)
    try:
        taken = take(folder)
    finally:
        os.umask(before)
    assert taken == SavedSnapshot(
        path=folder / "etcd-one-20261122T123005Z-rev7.db",
        bytes=len(PAGES) + 32,
        sha256=hashlib.sha256(PAGES).hexdigest(),
        revision=7,
        checked_by="SHA-256 trailer alone: no etcdutl or etcdctl for it in PATH",
        removed=(),
    )
    assert taken.path.read_bytes() == stream()
    assert stat.S_IMODE(taken.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert names(folder) == [taken.path.name]


@given(places=st.lists(st.integers(0, len(PAGES) + 32), max_size=40))
def test_any_chunking_gives_the_same_file(places: list[int]) -> None:
    with tempfile.TemporaryDirectory() as one:
        taken = take(Path(one), cut(stream(), places))
        assert taken.path.read_bytes() == stream()
        assert taken.sha256 == hashlib.sha256(PAGES).hexdigest()


@given(place=st.integers(0, len(PAGES) + 31), flip=st.integers(1, 255), places=st.lists(st.integers(0, len(PAGES))))
def test_any_altered_byte_is_found(place: int, flip: int, places: list[int]) -> None:
    altered = bytearray(stream())
    altered[place] ^= flip
    with tempfile.TemporaryDirectory() as one:
        with pytest.raises(
            SnapshotError, match="wanted a database and its SHA-256 in the last 32 bytes, found another"
        ):
            take(Path(one), cut(bytes(altered), places))
        assert names(Path(one)) == []


@given(end=st.integers(0, len(PAGES) + 31))
def test_whatever_is_cut_off_is_found(end: int) -> None:
    with tempfile.TemporaryDirectory() as one:
        with pytest.raises(SnapshotError, match="cut off or damaged: take another one"):
            take(Path(one), [stream()[:end]])
        assert names(Path(one)) == []


@given(data=st.binary(max_size=200), places=st.lists(st.integers(0, 200)))
def test_a_checksum_goes_by_content_alone(data: bytes, places: list[int]) -> None:
    checksum = Checksum()
    for chunk in cut(data, [min(place, len(data)) for place in places]):
        checksum.update(chunk)
    assert (checksum.size, checksum.hexdigest) == (len(data), hashlib.sha256(data[:-32]).hexdigest())


@pytest.mark.parametrize("content", [b"", hashlib.sha256(b"").digest(), stream(b"x" * 100)])
def test_what_is_no_database_is_no_snapshot(folder: Path, content: bytes) -> None:
    with pytest.raises(SnapshotError, match=f"found {len(content)} bytes, which is no such file"):
        take(folder, [content])
    assert names(folder) == []


def breaks(error: BaseException) -> Iterator[bytes]:
    yield PAGES
    raise error


@pytest.mark.parametrize("error", [EtcdUnreachable("etcd"), KeyboardInterrupt()])
def test_a_stream_that_breaks_off_leaves_nothing(folder: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        take(folder, breaks(error))
    assert names(folder) == []
    assert take(folder).bytes == len(stream())


KILLED = """
import os, signal, sys
from datetime import datetime, timezone
from pathlib import Path
from nornir_etcd.snapshots import save

def chunks():
    yield bytes(1 << 20)
    os.kill(os.getpid(), signal.SIGKILL)

now = datetime.now(tz=timezone.utc)
save(chunks(), Path(sys.argv[1]), "one", database=1, revision=1, keep=1, now=now, timeout=1)
"""


def test_a_run_that_was_killed_leaves_nothing_that_looks_whole_and_the_next_one_clears_it_away(folder: Path) -> None:
    argv = [sys.executable, "-c", KILLED, str(folder)]
    done = subprocess.run(argv, timeout=LIMIT, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # noqa: S603 - our own program
    assert done.returncode == -signal.SIGKILL
    assert names(folder) == [".etcd-one.db.new"]
    assert stat.S_IMODE((folder / ".etcd-one.db.new").stat().st_mode) == 0o600
    assert kept(folder, "one") == ()
    taken = take(folder)
    assert names(folder) == [taken.path.name]


def never() -> Iterator[bytes]:
    raise AssertionError("etcd was asked")
    yield b""


def test_without_room_nothing_is_asked_and_nothing_written(folder: Path) -> None:
    with pytest.raises(SnapshotError) as caught:
        take(folder, never(), database=2**60)
    assert str(caught.value).startswith(f"{folder}: wanted 1073741824 GiB free for a snapshot, found ")
    assert str(caught.value).endswith("; free space there, or set etcd_snapshot_dir")
    assert names(folder) == []


def test_room_is_looked_for_without_making_the_folder(folder: Path) -> None:
    check_space(folder, "one", 1)
    with pytest.raises(SnapshotError, match="free for a snapshot"):
        check_space(folder, "one", 2**60)
    assert not folder.parent.exists()


def test_a_file_that_may_not_grow_leaves_what_was_there(folder: Path) -> None:
    before = take(folder).path
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(SnapshotError) as caught:
            take(folder, cut(stream(), [1000, 2000, 3000]), now=NOW + timedelta(hours=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith(f"{folder}: wanted room for a snapshot, found File too large, after ")
    assert str(caught.value).endswith("; free space there, or set etcd_snapshot_dir")
    assert names(folder) == [before.name]


def test_a_folder_that_others_can_read_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o750)
    for attempt in (lambda: take(folder, never()), lambda: check_space(folder, "one", 1)):
        with pytest.raises(SnapshotError) as caught:
            attempt()
        assert str(caught.value) == (
            f"{folder} is open to other users: wanted mode 0700, found mode 0750; chmod 700 {folder}"
        )
    assert list(folder.iterdir()) == []


def test_a_link_for_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.parent.mkdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SnapshotError, match=f"{folder}: wanted a folder, found a link"):
        take(folder, never())


def test_a_file_for_a_folder_is_refused(folder: Path) -> None:
    folder.parent.mkdir()
    folder.touch()
    with pytest.raises(SnapshotError, match=str(folder)):
        take(folder, never())


def test_a_link_in_the_way_is_not_followed(folder: Path, tmp_path: Path) -> None:
    take(folder)
    (tmp_path / "other").write_text("mine", encoding="utf-8")
    (folder / ".etcd-one.db.new").symlink_to(tmp_path / "other")
    take(folder)
    assert (tmp_path / "other").read_text(encoding="utf-8") == "mine"


def test_a_second_run_is_refused_while_one_writes(folder: Path) -> None:
    with files.writing(folder), pytest.raises(SnapshotError) as caught:
        take(folder, never())
    assert str(caught.value) == (
        f"{folder}: wanted one run that writes, found another one at it; let it end, then run again"
    )


# Retention


def test_the_oldest_beyond_the_number_kept_are_removed_and_told(folder: Path) -> None:
    taken = [take(folder, now=NOW + timedelta(hours=hour), revision=100 - hour, keep=3) for hour in range(5)]
    assert [one.removed for one in taken] == [(), (), (), (taken[0].path,), (taken[1].path,)]
    assert [one.path for one in kept(folder, "one")] == [one.path for one in taken[2:]]
    last = take(folder, now=NOW + timedelta(hours=9), keep=1)
    assert last.removed == tuple(one.path for one in taken[2:])
    assert names(folder) == [last.path.name]


def test_a_snapshot_that_is_not_whole_removes_none(folder: Path) -> None:
    before = [take(folder, now=NOW + timedelta(hours=hour)).path.name for hour in range(3)]
    with pytest.raises(SnapshotError):
        take(folder, [PAGES], now=NOW + timedelta(hours=4), keep=1)
    assert names(folder) == before


def test_the_new_snapshot_stays_though_the_clock_was_set_back(folder: Path) -> None:
    later = take(folder, now=NOW + timedelta(days=1), keep=1)
    taken = take(folder, now=NOW, keep=1)
    assert taken.removed == (later.path,)
    assert names(folder) == [taken.path.name]


def test_what_is_not_a_snapshot_of_the_cluster_is_never_removed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    others = [
        "etcd-one-20200101T000000Z-rev1.db.bak",
        "etcd-one-20200101T000000Z-rev.db",
        "etcd-one-20201301T000000Z-rev1.db",
        "etcd-one-two-20200101T000000Z-rev1.db",
        "etcd-One-20200101T000000Z-rev1.db",
        "my-etcd-one-20200101T000000Z-rev1.db",
        "etcd-one-20200101T000000Z-rev1\n.db",
        "notes",
    ]
    for name in others:
        (folder / name).touch()
    (folder / "etcd-one-20200101T000000Z-rev1.db").mkdir()
    (tmp_path / "elsewhere").touch()
    (folder / "etcd-one-20200102T000000Z-rev1.db").symlink_to(tmp_path / "elsewhere")
    before = names(folder)
    taken = take(folder, keep=1)
    assert taken.removed == ()
    assert names(folder) == sorted([*before, taken.path.name])


def test_another_users_file_is_never_removed(folder: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, to give a file away")
    old = take(folder, now=NOW - timedelta(days=1)).path
    os.chown(old, 65534, 65534)
    assert take(folder, keep=1).removed == ()
    assert old.exists()


@given(
    hours=st.lists(st.integers(0, 10**6), min_size=1, max_size=20),
    cluster=st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True),
)
def test_names_sort_by_time_and_are_read_back(hours: list[int], cluster: str) -> None:
    times = sorted(NOW + timedelta(hours=hour) for hour in set(hours))
    made = [file_name(cluster, time, 5) for time in times]
    assert made == sorted(made)
    with tempfile.TemporaryDirectory() as one:
        for name in made:
            (Path(one) / name).touch()
        found = kept(Path(one), cluster)
    assert [(one.path.name, one.time, one.revision) for one in found] == [
        (name, time, 5) for name, time in zip(made, times, strict=True)
    ]


def test_a_name_tells_the_time_in_utc() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert file_name("one", there, 12) == "etcd-one-20261122T123005Z-rev12.db"


def test_where_no_folder_is_there_are_no_snapshots(folder: Path) -> None:
    assert kept(folder, "one") == ()


# status


def test_a_file_is_checked_again(folder: Path) -> None:
    taken = take(folder)
    found = status(taken.path, timeout=10)
    assert (found.bytes, found.sha256, found.checked_by, found.told) == (
        taken.bytes,
        taken.sha256,
        taken.checked_by,
        None,
    )


@pytest.mark.parametrize("alter", [lambda b: b[:-1], lambda b: b[:2000] + b"x" + b[2001:], lambda _: b""])
def test_a_damaged_file_is_told(folder: Path, alter: Any) -> None:
    path = take(folder, [stream(bytes(4096))]).path
    path.write_bytes(alter(path.read_bytes()))
    with pytest.raises(SnapshotError) as caught:
        status(path, timeout=10)
    line = str(caught.value)
    assert line.startswith(f"snapshot {path}: wanted a database and its SHA-256 in the last 32 bytes, found ")
    assert line.endswith("; it is cut off or damaged: take another one")


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(SnapshotError, match=r"a\.db cannot be read: found No such file or directory"):
        status(folder / "a.db", timeout=10)


def test_what_a_tool_knows_better_is_in_the_name(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool is a script: a made stream holds no database."""
    tool = tmp_path / "etcdutl"
    monkeypatch.setenv("PATH", str(tmp_path))
    for revision, named in ((9, 9), (5, 7)):  # below what the member had: a compaction takes marks of deletion away
        tool.write_text(
            f'#!/bin/sh\necho \'{{"hash":1,"revision":{revision},"totalKey":1,"totalSize":4096}}\'\n', encoding="utf-8"
        )
        tool.chmod(0o700)
        taken = take(folder)
        assert (taken.revision, taken.path.name) == (named, f"etcd-one-20261122T123005Z-rev{named}.db")
        assert taken.checked_by == "SHA-256 trailer and etcdutl snapshot status"


def test_a_tool_that_is_content_with_half_a_database_is_not_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above; the etcdctl of 3.4 is content where the missing half holds no page in use."""
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = '{"hash":1,"revision":5,"totalKey":1,"totalSize":8192}'
    (tmp_path / "etcdctl").write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    (tmp_path / "etcdctl").chmod(0o700)
    with pytest.raises(SnapshotError, match="wanted the 8192 bytes of database that it says it has, found 4096"):
        take(folder)
    assert names(folder) == []


def test_what_a_tool_cannot_read_is_no_snapshot(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "etcdutl").write_text("#!/bin/sh\necho 'Error: invalid database' >&2\nexit 1\n", encoding="utf-8")
    (tmp_path / "etcdutl").chmod(0o700)
    with pytest.raises(SnapshotError, match="found invalid database"):
        take(folder)
    assert names(folder) == []
