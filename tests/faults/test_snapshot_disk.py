"""A disk of the controller that is too small for a snapshot, or becomes full under one. It is a tmpfs of its own."""

from __future__ import annotations

import hashlib
import subprocess
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.exceptions import SnapshotError
from nornir_etcd.snapshots import RESERVE, SavedSnapshot, check_space, save
from tests.lab.conftest import need_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
MIB = 1024 * 1024
DISK = RESERVE + 16 * MIB
COMMAND_TIMEOUT = 20.0  # seconds
BLOCK = bytes(MIB)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder for snapshots on a file system of 16 MiB more than the reserve."""
    need_root()
    place = tmp_path / "disk"
    place.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(place))
    try:
        yield place / "one"
    finally:
        _run("umount", str(place))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=COMMAND_TIMEOUT)  # noqa: S603 - mount and umount of our own folder


def stream(blocks: int) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(BLOCK)
        yield BLOCK
    yield digest.digest()


def never() -> Iterator[bytes]:
    raise AssertionError("etcd was asked")
    yield b""


def take(folder: Path, chunks: Iterable[bytes], database: int, **changes: Any) -> SavedSnapshot:
    facts: dict[str, Any] = {"revision": 7, "keep": 7, "now": NOW, "timeout": 10.0, **changes}
    return save(chunks, folder, "one", database=database, **facts)


@pytest.fixture(autouse=True)
def _no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tool of etcd's: it would find no database in what is made up here."""
    monkeypatch.setattr("nornir_etcd.etcdutl.TOOLS", ())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_disk_without_room_is_told_before_etcd_is_asked(disk: Path) -> None:
    with pytest.raises(SnapshotError) as caught:
        take(disk, never(), 17 * MIB)
    assert str(caught.value) == (
        f"{disk}: wanted 81.0 MiB free for a snapshot, found 80.0 MiB; free space there, or set etcd_snapshot_dir"
    )
    assert names(disk) == []
    assert take(disk, stream(15), 15 * MIB).bytes == 15 * MIB + 32


def test_a_disk_that_fills_up_under_a_snapshot_keeps_the_older_ones_alone(disk: Path) -> None:
    older = take(disk, stream(1), MIB).path
    content = older.read_bytes()
    with pytest.raises(SnapshotError) as caught:  # a database that has grown since its status was asked for
        take(disk, stream(200), MIB, now=NOW + timedelta(hours=1), keep=1)
    line = str(caught.value)
    assert line.startswith(f"{disk}: wanted room for a snapshot, found No space left on device, after 7")
    assert line.endswith(" MiB; free space there, or set etcd_snapshot_dir")
    assert names(disk) == [older.name]
    assert older.read_bytes() == content
    assert take(disk, stream(2), 2 * MIB, now=NOW + timedelta(hours=2), keep=1).removed == (older,)


def test_what_a_killed_run_has_left_counts_as_free(disk: Path) -> None:
    check_space(disk, "one", 15 * MIB)
    disk.mkdir(mode=0o700)
    (disk / "other").write_bytes(BLOCK * 14)
    with pytest.raises(SnapshotError, match=r"found 66\.0 MiB"):
        check_space(disk, "one", 15 * MIB)
    (disk / "other").rename(disk / ".etcd-one.db.new")
    check_space(disk, "one", 15 * MIB)
    assert take(disk, stream(15), 15 * MIB).bytes == 15 * MIB + 32
