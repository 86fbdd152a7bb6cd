"""What etcd's own tools on the controller say of a snapshot's file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from nornir_etcd.exceptions import SnapshotError

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = ("etcdutl", "etcdctl")
"""Tools with `snapshot status`, the better first: 3.4 has no etcdutl, and etcdctl has lost the command with 3.6."""


class FileStatus(NamedTuple):
    """The answer of `snapshot status`."""

    tool: str
    hash: int
    """CRC-32C of names, keys and values; no other answer of etcd can be compared with it."""
    revision: int
    """Of the newest key that is kept. The state may be newer: a compaction takes the mark of a deletion away."""
    keys: int
    size: int
    """Bytes of the database."""


def snapshot_status(path: Path, *, timeout: float) -> FileStatus | None:
    """Have a snapshot read from end to end, and the structure of its database checked.

    Args:
        path: the file, which is only read.
        timeout: seconds for the tool.

    Returns:
        The tool's answer; None where PATH has no tool that knows the command.

    Raises:
        SnapshotError: the tool cannot read the file, or does not end.
    """
    for tool in TOOLS:
        program = shutil.which(tool)
        said = _run(program, path, timeout) if program else ""
        if status := _parsed(tool, said):
            return status
    return None


def _run(program: str, path: Path, timeout: float) -> str:
    """Return what a tool prints; nothing where this machine cannot run it."""
    argv = [program, "snapshot", "status", "--write-out=json", str(path.absolute())]
    # Of the operator's environment nothing is taken: etcdctl ends where one of its variables stands beside its flag,
    # and ETCDCTL_API=2 would make it another program.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "ETCDCTL_API": "3"}
    try:
        done = subprocess.run(  # noqa: S603 - etcd's tool, found in PATH, with a path of our own
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise SnapshotError(
            f"snapshot {path}",
            wanted=f"an answer of {program} within {timeout:g} s",
            found="none",
            remedy="raise etcd_snapshot_timeout, or see what holds this machine's disk up",
        ) from error
    except OSError:
        return ""
    if done.returncode:
        raise SnapshotError(
            f"snapshot {path}",
            wanted=f"a database that {program} can read",
            found=_reason(done.stderr.decode(errors="replace")) or f"exit code {done.returncode}",
            remedy="it is damaged: take another one",
        )
    return done.stdout.decode(errors="replace")


def _reason(stderr: str) -> str:
    """Return the line that tells: the first one, since a panic's stack comes after it."""
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith("Deprecated: ")]
    return lines[0].removeprefix("Error: ")[:200] if lines else ""


def _parsed(tool: str, said: str) -> FileStatus | None:
    """Read the answer; a tool that does not know the command prints its help, and ends well."""
    try:
        told = json.loads(said)
        return FileStatus(tool, int(told["hash"]), int(told["revision"]), int(told["totalKey"]), int(told["totalSize"]))
    except (ValueError, KeyError, TypeError):
        return None
