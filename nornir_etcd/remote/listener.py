"""The near end of a tunnel, for a program that dials a target: a Unix socket."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import EtcdUnreachable, NornirEtcdError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKLOG = 16
_CLOSE_SECONDS = 4.0
"""Seconds for an accepted socket that is on its way when the listener closes."""
_FOLDERS: set[str] = set()


class Listener:
    """A Unix socket in a folder that only this user can enter, and the thread that accepts there.

    Args:
        name: of the socket: address and port of what it leads to.
        join: takes an accepted socket there within some seconds; raises ConnectionRefusedError or RemoteError.

    Raises:
        RemoteError: the socket cannot be made.
    """

    trouble: NornirEtcdError | None = None
    """Why the last accepted socket led nowhere; None where it did not."""

    def __init__(self, name: str, join: Callable[[socket.socket], None]) -> None:
        self._name = name
        self._join = join
        try:
            self._folder = tempfile.mkdtemp(prefix="nornir-etcd-")  # 0700
        except OSError as cause:
            raise _no_socket(cause) from cause
        _FOLDERS.add(self._folder)
        self._path = str(Path(self._folder, name))
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.bind(self._path)
        except OSError as cause:
            self._remove()
            raise _no_socket(cause) from cause
        Path(self._path).chmod(0o600)
        self._socket.listen(_BACKLOG)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="tunnel")
        self._thread.start()

    @property
    def target(self) -> str:
        """The socket as gRPC names it."""
        return f"unix:{self._path}"

    def close(self) -> None:
        """Accept nothing more, and remove socket and folder."""
        self._closing.set()
        # A close does not wake a thread that waits in accept, a connection does.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as bell:
            bell.settimeout(_CLOSE_SECONDS)
            bell.connect(self._path)
        self._thread.join(_CLOSE_SECONDS)
        self._remove()

    def _remove(self) -> None:
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        _FOLDERS.discard(self._folder)

    def _serve(self) -> None:
        while not self._closing.is_set():
            own, _ = self._socket.accept()
            if self._closing.is_set() or _has_gone(own):
                own.close()
                continue
            try:
                self._join(own)
                self.trouble = None
            except ConnectionRefusedError:
                self.trouble = EtcdUnreachable(
                    f"etcd at {self._name}",
                    found="connection refused on the host",
                    remedy="check that etcd runs and listens there",
                )
                own.close()
            except NornirEtcdError as error:
                self.trouble = error
                own.close()


def remove_folders() -> None:
    """Remove the folders of all listeners, for a program that ends without closing them."""
    for folder in list(_FOLDERS):
        shutil.rmtree(folder, ignore_errors=True)


def _no_socket(cause: OSError) -> RemoteError:
    return RemoteError(
        "no socket for the tunnel",
        wanted="a folder for temporary files that can hold a Unix socket",
        found=cause.strerror or str(cause),
        remedy="set TMPDIR to another one, with a short path",
    )


def _has_gone(own: socket.socket) -> bool:
    """Whether the other end has closed: gRPC gives an attempt up after some seconds."""
    poller = select.poll()
    poller.register(own, 0)
    return bool(poller.poll(0))
