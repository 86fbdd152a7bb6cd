"""The type checks of hostPath volumes: a Pod whose volume is not what it asks for does not start (pkg/volume)."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "FileOrCreate": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


def check(path: str, kind: str) -> str | None:
    """Check a hostPath volume, making what an ...OrCreate type asks for.

    Args:
        path: on the host.
        kind: the volume's type; empty checks nothing.

    Returns:
        Why the Pod must not start, in the kubelet's words, or None.
    """
    if not kind:
        return None
    if kind not in _CHECKS:
        return f"hostPath type check failed: {kind} is an invalid volume type"
    target = Path(path)
    if not target.exists() and kind == "DirectoryOrCreate":
        target.mkdir(mode=0o755, parents=True)
    if not target.exists() and kind == "FileOrCreate":
        if not target.parent.is_dir():
            return f"open {path}: no such file or directory"
        target.touch(mode=0o644)
    is_kind, complaint = _CHECKS[kind]
    if not target.exists() or not is_kind(target.stat().st_mode):
        return f"hostPath type check failed: {path} {complaint}"
    return None
