"""What an SSH session runs on: a TCP socket, or a ProxyCommand."""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    import paramiko


SILENCE = 20
"""Seconds after which a host that acknowledges nothing is given up: it lost its power or its network. One that is only
busy acknowledges all the same, since its kernel does."""
PROBE_AFTER, PROBE_EVERY = 5, 5  # seconds; asks a silent host for a sign of life


class PromptSocket(socket.socket):
    """A TCP socket that acknowledges at once what it receives.

    sshd sends some small packets after the login and then waits for their acknowledgement (Nagle's algorithm), which
    Linux delays by 40 ms; the first channel would open that much later. The option does not last, hence at each recv.
    """

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Return what has come, as any socket does."""
        data = super().recv(bufsize, flags)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


def open_socket(address: str, port: int, timeout: float) -> PromptSocket:
    """Connect over TCP.

    Args:
        address: IP address or name.
        port: TCP port.
        timeout: seconds for each address that the name has.

    Returns:
        A connected socket with TCP_NODELAY set, without which the handshake waits 40 ms for delayed acknowledgements.
        It breaks when the other end is silent for `SILENCE` seconds.

    Raises:
        OSError: as `socket.create_connection` raises it.
    """
    plain = socket.create_connection((address, port), timeout=timeout)
    prompt = PromptSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
    prompt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # tcp(7): the user time-out covers unacknowledged data, and with keep-alive on a connection that waits for the host.
    prompt.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    prompt.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER)
    prompt.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_EVERY)
    prompt.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE * 1000)
    return prompt


class Proxy:
    """A running ProxyCommand with the methods of a socket that paramiko's Transport calls.

    paramiko's own never reports the end of the command (it spins on an ended pipe) and is never waited for.

    Args:
        command: the command that netmiko started for `ProxyCommand` or `ProxyJump` of the ssh config.
    """

    def __init__(self, command: paramiko.ProxyCommand) -> None:
        self._process: subprocess.Popen[bytes] = command.process
        self._read, self._write, self._error = (
            stream.fileno()
            for stream in (self._process.stdout, self._process.stdin, self._process.stderr)
            if stream is not None
        )
        self._timeout: float | None = None

    def settimeout(self, timeout: float | None) -> None:
        """Limit `recv` to some seconds."""
        self._timeout = timeout

    def recv(self, size: int) -> bytes:
        """Return what has come, at most `size` bytes; nothing once the command has ended.

        Raises:
            TimeoutError: nothing came in time.
        """
        if not select.select([self._read], [], [], self._timeout)[0]:
            raise TimeoutError
        return os.read(self._read, size)

    def send(self, data: bytes) -> int:
        """Write to the command and return how many bytes it took."""
        return os.write(self._write, data)

    def close(self) -> None:
        """End the command. Its pipes stay open, since another thread may be reading: see `release`."""
        self._process.kill()

    @property
    def _closed(self) -> bool:  # asked for by Transport.stop_thread
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Return what the command wrote to stderr, if it did within half a second."""
        ready = select.select([self._error], [], [], 0.5)[0]
        return os.read(self._error, 4096).decode(errors="replace").strip() if ready else ""

    def release(self) -> None:
        """End the command, wait for it and close its pipes."""
        with self._process:
            self._process.kill()
