"""The program, watched from outside by what it announces."""

from __future__ import annotations

import json
import os
import select
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.lab.workspace import Run, Workspace


class Watched:
    """A run of the program whose boundaries are read from a pipe as they are announced.

    Used as a context manager; a run that is still there at its end is killed.
    """

    def __init__(self, workspace: Workspace, *words: str) -> None:
        self._workspace = workspace
        path = workspace.directory / "boundaries"
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        # Open for both, so that it does not end with each of the program's lines.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._text = b""
        self.seen: list[dict[str, Any]] = []
        output = workspace.directory / "report.json"
        output.unlink(missing_ok=True)
        self.process: subprocess.Popen[str] = workspace.start(*words, "--output", str(output), "--events", str(path))

    def __enter__(self) -> Watched:  # noqa: PYI034 - Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._pipe)

    def next(self, timeout: float = 90) -> dict[str, Any] | None:
        """Return the next boundary, or None where the run has ended."""
        ends = time.monotonic() + timeout
        while b"\n" not in self._text:
            ended = self.process.poll() is not None
            ready, _, _ = select.select([self._pipe], [], [], 0.05)
            if ready:
                self._text += os.read(self._pipe, 65536)
            elif ended:
                return None
            assert time.monotonic() < ends, f"nothing announced within {timeout} s after {self.seen[-1:]}"
        line, _, self._text = self._text.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        self.seen.append(event)
        return event

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first boundary that is wanted."""
        while (event := self.next()) is not None:
            if wanted(event):
                return event
        raise AssertionError(f"the run ended before it: {self.seen}\n{(self._workspace.directory / 'out').read_text()}")

    def planned(self) -> None:
        """Wait until what is about to be done is planned: under the locks, and from what was seen under them."""
        self.until(lambda event: event["event"] == "locked")
        self.until(lambda event: event["event"] == "planned")

    def step(self, name: str, action: str, host: str = "") -> dict[str, Any]:
        """Return the first boundary of that name of a step of that action, on that host where one is given."""
        return self.until(
            lambda event: (
                event["event"] == name
                and event["step"].endswith(f"/{action}")
                and event["host"] in ((host,) if host else (event["host"],))
            )
        )

    def kill(self) -> None:
        """End the run with SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=30)

    def finish(self, timeout: float = 240) -> Run:
        """Wait for the end of the run."""
        return self._workspace.finish(self.process, timeout=timeout)
