"""Where labs keep their state on this machine, and who may make or remove one now."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nornir_etcd.lab.error import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = Path("/run/nornir-etcd-lab")
# On a disk even where /run is in memory: images and etcd's data lie here.
DISKS = Path("/var/cache/nornir-etcd-lab")
LOCK_TIMEOUT = 120


def names() -> list[str]:
    """Give the names of the labs that are up, or were left."""
    return sorted({path.name for top in (STATE, DISKS) if top.is_dir() for path in top.iterdir()})


def read(name: str) -> dict[str, Any]:
    """Read a lab's record: index, hosts, docker (how many of them have it), versions.

    Raises:
        LabError: there is no such lab.
    """
    try:
        record: dict[str, Any] = json.loads((STATE / name / "lab.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(f"lab {name}: not up; nornir-etcd lab up --name {name}") from None
    return record


def write(name: str, record: dict[str, Any]) -> None:
    """Write a lab's record, whole or not at all, and make its directories, for root alone."""
    for directory in (STATE, DISKS, STATE / name, DISKS / name):
        directory.mkdir(mode=0o700, exist_ok=True)
    staged = STATE / name / "lab.json.new"
    staged.write_text(json.dumps(record), encoding="utf-8")
    staged.rename(STATE / name / "lab.json")


def taken() -> set[int]:
    """Give the network indices of all recorded labs."""
    return {read(name)["index"] for name in names() if (STATE / name / "lab.json").exists()}


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Let one process at a time make or remove labs. An abstract socket leaves no file and goes with its process.

    Raises:
        LabError: another holds it for too long.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
        while True:
            try:
                holder.bind("\0nornir-etcd-lab")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise LabError(f"lab: another is being made or removed since {LOCK_TIMEOUT} s; try again") from None
                time.sleep(0.05)
        yield
