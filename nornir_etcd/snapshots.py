"""Snapshots of a cluster on the controller: files that only their owner can read, since they hold every Secret.

A snapshot gets its name when it is whole and checked, so whatever bears such a name can be restored.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.etcdutl import TOOLS, FileStatus, snapshot_status
from nornir_etcd.exceptions import PkiError, SnapshotError
from nornir_etcd.report.figures import size
from nornir_etcd.signers import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RESERVE = 64 * 1024 * 1024
"""Bytes that stay free beside a snapshot: the database may grow until the stream begins, and others write there too."""

_TRAILER = hashlib.sha256().digest_size
_UNIT = 512
"""A database is made of pages, which are multiples of this; etcd knows by it that a file has a trailer (hasChecksum in
etcdutl/snapshot/v3_snapshot.go)."""
_TIME = "%Y%m%dT%H%M%SZ"
_BLOCK = 1024 * 1024
_ANOTHER = "it is cut off or damaged: take another one"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class KeptSnapshot:
    """A snapshot by its file's name."""

    path: Path
    time: datetime
    revision: int


@dataclass(frozen=True)
class SnapshotStatus:
    """What a snapshot's file is found to be.

    Attributes:
        bytes: size of the file.
        sha256: of the database, in hex; it stands in the file's last 32 bytes.
        checked_by: what has found it whole.
        told: what etcd's tool says of it; None where there is no tool.
    """

    bytes: int
    sha256: str
    checked_by: str
    told: FileStatus | None


@dataclass(frozen=True)
class SavedSnapshot:
    """A snapshot that was taken.

    Attributes:
        path: of the file.
        bytes: its size.
        sha256: of the database, in hex; it stands in the file's last 32 bytes.
        revision: the snapshot has every write up to it, and may have later ones.
        checked_by: what has found it whole.
        removed: older snapshots of the cluster that were removed for it.
    """

    path: Path
    bytes: int
    sha256: str
    revision: int
    checked_by: str
    removed: tuple[Path, ...]


class Checksum:
    """Tells whether a stream ends with the SHA-256 of what precedes it, as a snapshot of etcd 3.4 to 3.6 does.

    Snapshot in server/etcdserver/api/v3rpc/maintenance.go (3.4: etcdserver/api/v3rpc/maintenance.go).
    """

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._tail = b""

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        held = self._tail + data
        self._digest.update(held[:-_TRAILER])
        self._tail = held[-_TRAILER:]

    @property
    def hexdigest(self) -> str:
        """SHA-256 of what came before the last 32 bytes."""
        return self._digest.hexdigest()

    def check(self, path: Path) -> None:
        """Check that all has come.

        Args:
            path: the file, for the message.

        Raises:
            SnapshotError: it is empty, cut off or altered.
        """
        if self.size > _TRAILER and self.size % _UNIT == _TRAILER and self._digest.digest() == self._tail:
            return
        shape = self.size <= _TRAILER or self.size % _UNIT != _TRAILER
        raise SnapshotError(
            f"snapshot {path}",
            wanted="a database and its SHA-256 in the last 32 bytes",
            found=f"{self.size} bytes, which is no such file" if shape else f"another SHA-256 ({self.hexdigest})",
            remedy=_ANOTHER,
        )


def file_name(cluster: str, time: datetime, revision: int) -> str:
    """Return a snapshot's file name; those of one cluster sort by time.

    Args:
        cluster: its name.
        time: when it was asked for, aware.
        revision: that it has at least.
    """
    return f"etcd-{cluster}-{time.astimezone(timezone.utc).strftime(_TIME)}-rev{revision}.db"


def kept(folder: Path, cluster: str) -> tuple[KeptSnapshot, ...]:
    """Return the snapshots of a cluster, oldest first: this user's own files with such names, and nothing else.

    Raises:
        SnapshotError: the folder cannot be read.
    """
    pattern = re.compile(rf"etcd-{re.escape(cluster)}-([0-9]{{8}}T[0-9]{{6}}Z)-rev([0-9]{{1,19}})\.db")
    found = []
    with _told(folder), _entries(folder) as entries:
        for entry in entries:
            named = pattern.fullmatch(entry.name)
            time = _time(named[1]) if named else None
            if named is None or time is None or not entry.is_file(follow_symlinks=False):
                continue
            if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                found.append(KeptSnapshot(Path(entry.path), time, int(named[2])))
    return tuple(sorted(found, key=lambda one: (one.time, one.revision)))


def check_space(folder: Path, cluster: str, database: int) -> None:
    """Check that a snapshot can be kept: the folder is this user's and closed to others, and has room.

    Args:
        folder: where it goes; need not be there yet.
        cluster: name of the cluster.
        database: bytes of the member's database.

    Raises:
        SnapshotError: where it cannot be kept.
    """
    with _told(folder):
        files.check_folder(folder)
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        system = os.statvfs(there)
        free = system.f_bavail * system.f_frsize + _left_behind(folder, cluster)
    if free < database + RESERVE:
        raise SnapshotError(
            f"{folder}",
            wanted=f"{size(database + RESERVE)} free for a snapshot",
            found=size(free),
            remedy="free space there, or set etcd_snapshot_dir",
        )


def save(  # noqa: PLR0913 - keywords, each a fact that the caller has from elsewhere
    chunks: Iterable[bytes],
    folder: Path,
    cluster: str,
    *,
    database: int,
    revision: int,
    keep: int,
    now: datetime,
    timeout: float,
) -> SavedSnapshot:
    """Write a snapshot beside the others, check it, give it its name, and remove the oldest ones beyond `keep`.

    Nothing is asked of `chunks` before there is room. A snapshot that breaks off or is not whole leaves no file; what a
    killed run has left goes with the next one.

    Args:
        chunks: the stream as it comes.
        folder: where it goes, made 0700 where it is not there.
        cluster: name of the cluster.
        database: bytes of the member's database, as its status says.
        revision: that the member has applied before it was asked for the snapshot.
        keep: snapshots of the cluster that stay, this one included.
        now: when it was asked for, aware.
        timeout: seconds for the tool that checks it.

    Raises:
        SnapshotError: it cannot be kept, or is not whole.
        EtcdError: `chunks` broke off.
    """
    staged = _staged(folder, cluster)
    with _told(folder), files.writing(folder):
        check_space(folder, cluster, database)
        staged.unlink(missing_ok=True)  # of a killed run: the lock is ours
        try:
            found = _checked(staged, _stage(chunks, staged, folder), timeout)
            revision = max(revision, found.told.revision) if found.told else revision
            path = folder / file_name(cluster, now, revision)
            staged.replace(path)
            _sync(folder)
        finally:
            staged.unlink(missing_ok=True)
        removed = _retire(folder, cluster, keep, path)
    return SavedSnapshot(path, found.bytes, found.sha256, revision, found.checked_by, removed)


def status(path: Path, *, timeout: float) -> SnapshotStatus:
    """Read a snapshot's file and check it, with etcd's own tool as well where the controller has one.

    Args:
        path: the file, which is only read.
        timeout: seconds for the tool.

    Raises:
        SnapshotError: it cannot be read, or is damaged.
    """
    checksum = Checksum()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                checksum.update(block)
    except OSError as error:
        raise SnapshotError(f"snapshot {path} cannot be read", found=error.strerror or str(error)) from error
    return _checked(path, checksum, timeout)


def _checked(path: Path, checksum: Checksum, timeout: float) -> SnapshotStatus:
    checksum.check(path)
    told = snapshot_status(path, timeout=timeout)
    database = checksum.size - _TRAILER
    if told and told.size != database:  # a tool may read what it finds in half a file, and be content
        raise SnapshotError(
            f"snapshot {path}",
            wanted=f"the {told.size} bytes of database that it says it has",
            found=f"{database}",
            remedy=_ANOTHER,
        )
    by = f" and {told.tool} snapshot status" if told else f" alone: no {' or '.join(TOOLS)} for it in PATH"
    return SnapshotStatus(checksum.size, checksum.hexdigest, f"SHA-256 trailer{by}", told)


def _stage(chunks: Iterable[bytes], path: Path, folder: Path) -> Checksum:
    """Write the stream to the disk."""
    checksum = Checksum()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                checksum.update(chunk)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise SnapshotError(
            f"{folder}",
            wanted="room for a snapshot",
            found=f"{error.strerror or error}, after {size(checksum.size)}",
            remedy="free space there, or set etcd_snapshot_dir",
        ) from error
    return checksum


def _retire(folder: Path, cluster: str, keep: int, new: Path) -> tuple[Path, ...]:
    """Remove the oldest snapshots; never the new one, whatever the clock says."""
    others = [one.path for one in kept(folder, cluster) if one.path != new]
    surplus = others[: max(0, len(others) - (keep - 1))]
    for path in surplus:
        _remove(path, new)
    return tuple(surplus)


def _remove(path: Path, new: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise SnapshotError(
            f"{path} is beyond etcd_snapshot_keep and cannot be removed",
            found=error.strerror or str(error),
            remedy=f"remove it; the new snapshot is whole: {new}",
        ) from error


def _staged(folder: Path, cluster: str) -> Path:
    return files.staged(folder / f"etcd-{cluster}.db")


def _left_behind(folder: Path, cluster: str) -> int:
    """Return the bytes that a killed run has left, which go before a snapshot comes."""
    try:
        state = _staged(folder, cluster).lstat()
    except FileNotFoundError:
        return 0
    return state.st_blocks * 512 if stat.S_ISREG(state.st_mode) else 0  # st_blocks counts 512 bytes: stat(2)


@contextmanager
def _entries(folder: Path) -> Iterator[Iterable[os.DirEntry[str]]]:
    try:
        found = os.scandir(folder)
    except FileNotFoundError:
        yield ()
        return
    with found:
        yield found


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _sync(folder: Path) -> None:
    """Put the new name itself on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell what is wrong with the folder as a fault of the snapshot."""
    try:
        yield
    except PkiError as error:
        raise SnapshotError(error.thing, wanted=error.wanted, found=error.found, remedy=error.remedy) from error
    except OSError as error:
        raise SnapshotError(
            f"{error.filename or folder} cannot be used for snapshots", found=error.strerror or str(error)
        ) from error
