"""What a run costs: wall time, CPU of this machine's side of it, and what the hosts' sshd saw."""

from __future__ import annotations

import resource
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.lab import Lab

# sshd's own words at LogLevel VERBOSE: one line a login, one line a command.
LOGIN, COMMAND = "Accepted publickey for ", "Starting session: command for "


@dataclass
class Cost:
    """Seconds, and counts for the host that has most of them."""

    wall: float = 0.0
    cpu: float = 0.0
    handshakes: int = 0
    commands: int = 0


@contextmanager
def measured(lab: Lab) -> Iterator[Cost]:
    """Measure what is run meanwhile. CPU is that of child processes, all of which have to be waited for.

    Args:
        lab: the hosts that are worked on.
    """
    logs = [lab.root(node.name) / "var/log/sshd.log" for node in lab.nodes]
    sizes = [log.stat().st_size for log in logs]
    cost, cpu, started = Cost(), _children(), time.monotonic()
    yield cost
    cost.wall = cost.wall or time.monotonic() - started
    cost.cpu = _children() - cpu
    written = [log.read_bytes()[size:].decode() for log, size in zip(logs, sizes, strict=True)]
    cost.handshakes = max(text.count(LOGIN) for text in written)
    cost.commands = max(text.count(COMMAND) for text in written)


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
