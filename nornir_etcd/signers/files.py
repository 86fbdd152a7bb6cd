"""Files that only their owner can read: checked when read, replaced whole when written."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import PkiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_folder(folder: Path) -> None:
    """Check that a folder, where it is there, is a real one of this user's and closed to others.

    Raises:
        PkiError: where it is not.
    """
    try:
        state = folder.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot("looked at", folder, error) from error
    if not stat.S_ISDIR(state.st_mode):
        raise PkiError(f"{folder}", wanted="a folder", found=_kind(state), remedy="name the folder itself")
    _check_private(folder, state, wanted_mode=0o700)


def read_certificate(path: Path) -> bytes | None:
    """Return the content of a file, or None where there is none.

    Raises:
        PkiError: where it cannot be read.
    """
    return _read(path, secret=False)


def read_key(path: Path) -> bytes | None:
    """Return the content of a private key's file, or None where there is none.

    Raises:
        PkiError: where it cannot be read, is a link, belongs to another user, or is open to others.
    """
    return _read(path, secret=True)


def write_pair(certificate: tuple[Path, bytes], key: tuple[Path, bytes]) -> None:
    """Replace a certificate and its key, each by one rename in its folder.

    Both are on the disk before the first rename. The key is renamed first: a kill between the two leaves a key that
    does not match its certificate, which is seen and mended, and never a certificate in use whose key is lost.

    Args:
        certificate: path and content.
        key: path and content.

    Raises:
        PkiError: where they cannot be written.
    """
    pair = (key, certificate)
    try:
        for path, content in reversed(pair):
            _stage(path, content)
    except OSError as error:
        for of_pair, _ in pair:
            staged(of_pair).unlink(missing_ok=True)
        raise _cannot("written", path, error) from error
    try:
        for path, _ in pair:
            staged(path).replace(path)
            _sync(path.parent)
    except OSError as error:
        raise _cannot("written", path, error) from error


def write_file(path: Path, content: bytes) -> None:
    """Replace a file by one rename.

    Raises:
        PkiError: where it cannot be written.
    """
    try:
        _stage(path, content)
        staged(path).replace(path)
        _sync(path.parent)
    except OSError as error:
        staged(path).unlink(missing_ok=True)
        raise _cannot("written", path, error) from error


def staged(path: Path) -> Path:
    """Return where the new content of a file lies until it takes the file's place."""
    return path.with_name(f".{path.name}.new")


@contextmanager
def writing(*folders: Path) -> Iterator[None]:
    """Make folders, 0700, and hold the first one's lock while files in them are written.

    The kernel frees the lock of a process that is killed.

    Raises:
        PkiError: where a folder cannot be made or used, or another run holds the lock.
    """
    try:
        for folder in folders:
            folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
            check_folder(folder)
        lock = os.open(folders[0] / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot("written", folders[0], error) from error
    try:
        _lock(lock, folders[0])
        yield
    finally:
        os.close(lock)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PkiError(
            f"{folder}", wanted="one run that writes", found="another one at it", remedy="let it end, then run again"
        ) from None
    except OSError as error:
        raise _cannot("locked", folder, error) from error


def _read(path: Path, *, secret: bool) -> bytes | None:
    # Without O_NONBLOCK a named pipe would be waited for.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if secret else 0)
    try:
        descriptor = os.open(path, flags)
        try:
            return _content(path, descriptor, secret=secret)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        if secret and path.is_symlink():
            raise PkiError(f"{path}", wanted="a file", found="a link", remedy="put the key itself there") from error
        raise _cannot("read", path, error) from error


def _content(path: Path, descriptor: int, *, secret: bool) -> bytes:
    state = os.fstat(descriptor)  # of the file that is read, whatever the path names by now
    if not stat.S_ISREG(state.st_mode):
        raise PkiError(f"{path}", wanted="a file", found=_kind(state))
    if secret:
        _check_private(path, state, wanted_mode=0o600)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read()


def _check_private(path: Path, state: os.stat_result, *, wanted_mode: int) -> None:
    mode = stat.S_IMODE(state.st_mode)
    if state.st_uid != os.geteuid():
        raise PkiError(
            f"{path}",
            wanted=f"owner {os.geteuid()}",
            found=f"owner {state.st_uid}",
            remedy=f"chown {os.geteuid()} {path}, or run as its owner",
        )
    if mode & _OTHERS:
        raise PkiError(
            f"{path} is open to other users",
            wanted=f"mode {wanted_mode:04o}",
            found=f"mode {mode:04o}",
            remedy=f"chmod {wanted_mode:o} {path}",
        )


def _stage(path: Path, content: bytes) -> None:
    new = staged(path)
    new.unlink(missing_ok=True)  # of a killed run: the lock is ours
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync(folder: Path) -> None:
    """Put a rename itself on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kind(state: os.stat_result) -> str:
    if stat.S_ISLNK(state.st_mode):
        return "a link"
    if stat.S_ISDIR(state.st_mode):
        return "a folder"
    return "a file" if stat.S_ISREG(state.st_mode) else "a device, pipe or socket"


def _cannot(done: str, path: Path, error: OSError) -> PkiError:
    return PkiError(f"{path} cannot be {done}", found=error.strerror or str(error))
