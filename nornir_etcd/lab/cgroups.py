"""The cgroups of a lab's containers: one tree a lab, in each hierarchy of cgroup v1 or in the one of v2."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.lab.error import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNTS = Path("/sys/fs/cgroup")
TOP = "nornir-etcd-lab"


def parent(lab: str, node: str) -> str:
    """Give the parent cgroup of a host's Pods."""
    return f"/{TOP}/{lab}/{node}"


def trees(lab: str) -> Iterator[Path]:
    """Give the lab's tree in every hierarchy that has one."""
    for hierarchy in (MOUNTS, *(path for path in MOUNTS.iterdir() if path.is_dir() and not path.is_symlink())):
        tree = hierarchy / TOP / lab
        if tree.is_dir():
            yield tree


def remove(lab: str, node: str | None = None, timeout: float = 10) -> None:
    """Remove a lab's cgroups, or one host's; their processes have been killed.

    Raises:
        LabError: one is still in use after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    found = list(trees(lab))
    for tree in found:
        _thaw(tree / node if node else tree)
    for tree in found:
        target = tree / node if node else tree
        while target.is_dir():
            try:
                _remove_tree(target)
                if not node and not any(path.is_dir() for path in tree.parent.iterdir()):
                    tree.parent.rmdir()
            except OSError as error:  # noqa: PERF203 - a retry
                # A process that was just killed may be on its way out still.
                if time.monotonic() > deadline:
                    raise LabError(f"lab {lab}: cgroup {target}: not removed: {error.strerror}") from None
                time.sleep(0.02)


def _thaw(target: Path) -> None:
    """Let what was paused go on: a process that is frozen in cgroup v1 does not die of the signal that it has had."""
    for frozen in target.rglob("freezer.state"):
        with contextlib.suppress(OSError):  # its last process has gone, and the cgroup with it
            frozen.write_text("THAWED", encoding="ascii")


def _remove_tree(path: Path) -> None:
    for child in path.iterdir():
        if child.is_dir():
            _remove_tree(child)
    path.rmdir()
