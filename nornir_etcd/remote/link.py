"""Carries bytes between a socket and a channel of an SSH session."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import paramiko

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 32 * 1024
_GONE = (OSError, EOFError, paramiko.SSHException)
"""One end has gone; paramiko raises any of them, also from a channel's close."""


class Link:
    """One connection: a socket here, a channel there, and a thread for each direction. It ends when either end does.

    Nothing is collected on the way: a reader that stops holds the sender back.

    Args:
        near: the socket; closed with the link.
        far: the channel; closed with the link.
        forget: called with the link once it has ended.
    """

    def __init__(self, near: socket.socket, far: paramiko.Channel, forget: Callable[[Link], None]) -> None:
        self._near = near
        self._far = far
        self._forget = forget
        self._up = threading.Thread(target=self._carry, args=(near.recv, far.sendall), daemon=True, name="tunnel-up")
        self._down = threading.Thread(target=self._come_down, daemon=True, name="tunnel-down")

    def start(self) -> None:
        """Begin to carry."""
        self._up.start()
        self._down.start()

    def join(self, timeout: float) -> None:
        """Wait some seconds for both directions to have ended."""
        self._down.join(timeout)

    def close(self) -> None:
        """End both directions. A thread that waits for either end wakes up."""
        with contextlib.suppress(*_GONE):  # the session has died, and cannot be told
            self._far.close()
        with contextlib.suppress(OSError):  # the other end has gone before
            self._near.shutdown(socket.SHUT_RDWR)

    def _carry(self, receive: Callable[[int], bytes], send: Callable[[bytes], object]) -> None:
        with contextlib.suppress(*_GONE):
            while data := receive(_CHUNK):
                send(data)
        self.close()

    def _come_down(self) -> None:
        self._carry(self._far.recv, self._near.sendall)
        self._up.join()
        self._near.close()
        self._forget(self)
