"""What a script on a host left behind, and the error that it amounts to. Pure: no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from nornir_etcd.exceptions import CommandFailed, CommandMissing

NOT_FOUND = 127
"""A shell's exit status for a command that it cannot find (POSIX, Shell Command Language 2.8.2)."""

_MISSING = re.compile(
    # dash: `sh: 2: eval: crictl: not found`; busybox: `sh: eval: line 1: crictl: not found`;
    # bash: `sh: line 2: crictl: command not found`, or `...: No such file or directory` for a path
    r"(?:^|[ :])(?P<command>[^\s:]+): (?:command )?(?:not found|No such file or directory)$"
)
_LAST_LINES = 5
_LINE_LENGTH = 300


@dataclass(frozen=True)
class Completed:
    """A script that ended.

    Args:
        exit_status: 0 to 255, or -1 where a signal ended it.
        stdout: what it wrote; not shown in the repr, as it may hold secrets.
        stderr: likewise.
        seconds: how long it took, its channel included.
    """

    exit_status: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    seconds: float


def last_lines(stderr: bytes) -> str:
    """Return the last five lines as one printable line.

    Args:
        stderr: what a command wrote.

    Returns:
        The lines joined by ` | `, without control characters, each cut at 300 characters.
    """
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in stderr.decode(errors="replace"))
    lines = [line.strip()[:_LINE_LENGTH] for line in text.split("\n") if line.strip()]
    return " | ".join(lines[-_LAST_LINES:])


def failure(completed: Completed, host: str, purpose: str) -> CommandFailed | CommandMissing | None:
    """Return the error that a completed script amounts to, or None where its exit status is 0.

    Args:
        completed: the script.
        host: inventory name of its host.
        purpose: what it was run for.

    Returns:
        CommandMissing where the shell could not find a command, else CommandFailed with the last lines of stderr.
    """
    if completed.exit_status == 0:
        return None
    lines = last_lines(completed.stderr)
    if completed.exit_status == NOT_FOUND and (missing := _MISSING.search(lines)):
        command = missing["command"]
        return CommandMissing(
            f"{purpose}: {command} is not on the host",
            host=host,
            wanted=f"{command} in the PATH of a non-interactive shell",
            found=lines,
            remedy=f"install {command}",
        )
    status = "killed by a signal" if completed.exit_status < 0 else f"exit status {completed.exit_status}"
    return CommandFailed(
        f"{purpose} failed",
        host=host,
        wanted="exit status 0",
        found=f"{status}: {lines or 'nothing on stderr'}",
    )
