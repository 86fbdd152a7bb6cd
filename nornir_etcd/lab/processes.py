"""Find and end a lab's processes, by a mark in their environment.

Everything a host runs has inherited it from the host's init, or dies with that init (namespace of processes). The
mark needs no file, so nothing is stale after a kill and no process ID is ever mistaken for a reused one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.lab.error import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB_MARK = "NORNIR_ETCD_LAB"
NODE_MARK = "NORNIR_ETCD_LAB_NODE"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(lab: str, node: str) -> dict[str, str]:
    """Make the environment of a host's processes: fixed, marked, nothing of the caller's."""
    return {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", LAB_MARK: lab, NODE_MARK: node}


def marked(lab: str, node: str | None = None) -> Iterator[int]:
    """Give the process IDs, as the machine numbers them, of a lab or of one of its hosts; zombies are not counted."""
    wanted = {f"{LAB_MARK}={lab}".encode()} | ({f"{NODE_MARK}={node}".encode()} if node else set())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # A zombie's environment reads as empty.
            present = set((entry / "environ").read_bytes().split(b"\0"))
        except OSError:
            continue
        if wanted <= present:
            yield int(entry.name)


def init(lab: str, node: str) -> int | None:
    """Find a host's init: the marked process that is PID 1 in a namespace of its own."""
    for pid in marked(lab, node):
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(numbers) > 1 and numbers[-1] == "1":
            return pid
    return None


def kill(lab: str, node: str | None = None, timeout: float = 20) -> None:
    """Kill all processes of a lab or host, and wait until none is left but zombies, for the machine's init to reap.

    Raises:
        LabError: some are still there after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pids = [pid for pid in marked(lab, node) if pid != os.getpid()]
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    left = ", ".join(str(pid) for pid in marked(lab, node))
    raise LabError(f"lab {lab}: processes {left} survived SIGKILL for {timeout:.0f} s; look at them with ps")
