"""The streams of one command on a host: stdin, stdout and stderr of its channel."""

from __future__ import annotations

import re
import select
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import paramiko

MARK = re.compile(rb"=nornir-etcd:([0-9]+)=\n")
"""What a script prints first to stdout and stderr: what login shells print comes before it, the process ID is in it."""
CHUNK = 64 * 1024

_WINDOW_POLL = 0.005  # seconds between looks at a full send window, for which paramiko has no event

Ending = Literal["ended", "expired", "overflowed"]


@dataclass
class Output:
    """What a command has written so far."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.stdout) + len(self.stderr)

    @property
    def pid(self) -> int | None:
        """Process id of the remote shell, known once it has started."""
        mark = MARK.search(self.stderr) or MARK.search(self.stdout)
        return int(mark[1]) if mark else None


def exchange(channel: paramiko.Channel, stream: bytes, ends: float, limit: int, output: Output) -> Ending:
    """Feed stdin and drain stdout and stderr, side by side, until the other end has closed both.

    Args:
        channel: a command's.
        stream: its stdin; closed after it.
        ends: when to give up, by `time.monotonic`.
        limit: bytes of output that are taken.
        output: takes them.
    """
    unsent = memoryview(stream)
    poller = select.poll()
    poller.register(channel.fileno(), select.POLLIN)
    while True:
        closed = channel.closed or channel.eof_received
        if unsent:
            unsent = _feed(channel, unsent)
        if out := channel.recv_ready():
            output.stdout += channel.recv(CHUNK)
        if err := channel.recv_stderr_ready():
            output.stderr += channel.recv_stderr(CHUNK)
        if len(output) > limit:
            return "overflowed"
        if closed and not out and not err:
            return "ended"
        left = ends - time.monotonic()
        if left <= 0:
            return "expired"
        poller.poll(1000 * (min(left, _WINDOW_POLL) if unsent else left))


def first_line(channel: paramiko.Channel, stream: bytes, ends: float, output: Output) -> bytes | None:
    """Feed stdin, leave it open, and return the first line that the script itself prints; None where it ends before.

    Args:
        channel: a command's; no more than this line is expected from it yet.
        stream: the beginning of its stdin.
        ends: when to give up, by `time.monotonic`.
        output: takes what is written meanwhile.

    Raises:
        TimeoutError: there is no line by then.
    """
    channel.settimeout(max(0.001, ends - time.monotonic()))
    try:
        channel.sendall(stream)
    except TimeoutError:
        raise
    except OSError:  # it has ended already; why, is read below
        pass
    while True:
        channel.settimeout(max(0.001, ends - time.monotonic()))
        data = channel.recv(CHUNK)
        output.stdout += data
        while channel.recv_stderr_ready():
            output.stderr += channel.recv_stderr(CHUNK)
        _, *own = MARK.split(output.stdout, maxsplit=1)
        if own and b"\n" in own[-1]:
            return bytes(own[-1].partition(b"\n")[0])
        if not data or len(output) > CHUNK:
            return None


def _feed(channel: paramiko.Channel, unsent: memoryview) -> memoryview:
    """Send what the window takes; return the rest, nothing where the other end no longer reads."""
    try:
        while unsent and channel.send_ready():
            sent = channel.send(bytes(unsent[:CHUNK]))
            unsent = unsent[sent:] if sent else unsent[:0]
        if not unsent:
            channel.shutdown_write()
    except OSError:
        return unsent[:0]
    return unsent
