"""Where a secret must not be: whatever else than its own file tells of it is a leak."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.lab.workspace import Run, Workspace

MAX_SECONDS = 120
PAUSE = 0.02


def keys(directory: Path) -> list[str]:
    """The base64 lines of every private key in a folder: any of them elsewhere is a leak."""
    lines: list[str] = []
    for path in directory.rglob("*-key.pem"):
        lines += [line for line in path.read_text().splitlines() if line and not line.startswith("-----")]
    assert lines
    return lines


def arguments_of_all_processes() -> str:
    """The arguments of every process of this machine, lab hosts included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


def watched(workspace: Workspace, *words: str) -> tuple[Run, str]:
    """Run the program to its end with -v and a report; return also what arguments processes had meanwhile."""
    report = workspace.directory / "report.json"
    report.unlink(missing_ok=True)
    process = workspace.start(*words, "-v", "--output", str(report))
    seen = ""
    ends = time.monotonic() + MAX_SECONDS
    while process.poll() is None and time.monotonic() < ends:
        seen += arguments_of_all_processes()
        time.sleep(PAUSE)
    return workspace.finish(process), seen


def hold_nothing(workspace: Workspace, run: Run, arguments: str, secrets: Iterable[str]) -> None:
    """Hold a run's log, report, output and arguments to be free of secrets.

    Args:
        workspace: where it ran; its log is at DEBUG.
        run: what it left behind.
        arguments: of all processes meanwhile.
        secrets: what must not be told.
    """
    texts = {
        "arguments": arguments,
        "log": (workspace.directory / "nornir.log").read_text(),
        "report": (workspace.directory / "report.json").read_text(),
        "output": run.out + run.err,
        "arguments on hosts": workspace.lab.run("node-1", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout,
    }
    for where, text in texts.items():
        assert not [secret for secret in secrets if secret in text], f"a secret in the {where}"
    assert "paramiko" in texts["log"]  # the log is at DEBUG, so it could have told
