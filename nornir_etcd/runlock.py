"""A lock for scheduled runs on one controller: a run that takes longer than its interval is not joined by the next."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import InventoryError, NornirEtcdError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class LockHeld(NornirEtcdError):
    """Another run holds the lock, so this one has looked at nothing."""


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Hold a lock while the block runs; it ends with the process, however that ends.

    Args:
        path: the file, made where it is not there and never removed: a run that waits to open it would get another one.
            None: no lock is wanted.

    Raises:
        InventoryError: the file cannot be opened.
        LockHeld: another process holds it.
    """
    if path is None:
        yield
        return
    try:
        # Without O_NONBLOCK the opening of a pipe that nobody reads would never end.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise InventoryError(f"--lock: wanted a file that can be written, found {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockHeld(f"another run holds {path}") from error
        yield
    finally:
        os.close(descriptor)
