"""What a run announces as it passes its boundaries, for programs that watch it: as JSON lines, or to any callable."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, Protocol

from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

Boundary = Literal[
    "run-started",
    "observed",
    "planned",  # status: refused, or empty
    "locked",  # nobody else changes the cluster; what follows is observed and planned anew
    "wave-started",
    "step-started",
    "step-finished",  # status: done, failed or skipped
    "wave-finished",
    "verified",
    "cluster-finished",  # status: the cluster's outcome in the report
    "run-finished",  # status: the exit code
]


def _now() -> str:
    return datetime.now(tz=timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Event:
    """One boundary of a run. What it does not concern is an empty string. Nothing in it is secret.

    Args:
        event: which boundary.
        runbook: the run's.
        cluster: its name; empty for the run as a whole.
        host: inventory name; empty for the controller.
        step: ID of the step, as in the report's plan.
        status: what became of it.
        time: of the controller, UTC, ISO 8601 with milliseconds.
    """

    event: Boundary
    runbook: str
    cluster: str = ""
    host: str = ""
    step: str = ""
    status: str = ""
    time: str = field(default_factory=_now)


class Events(Protocol):
    """What `events` of a runbook may be. It is called from several threads at once and must not raise."""

    def __call__(self, event: Event, /) -> None:
        """Take note of an event. The run goes on when this returns."""


@dataclass(frozen=True)
class Announcer:
    """Announces the boundaries of a run, or of one cluster's part of it, to whoever wants to know."""

    events: Events | None
    runbook: str
    cluster: str = ""

    def __call__(self, event: Boundary, *, host: str = "", step: str = "", status: str = "") -> None:
        """Announce a boundary; the arguments are those of `Event`."""
        if self.events is not None:
            self.events(Event(event, self.runbook, self.cluster, host, step, status))


class EventFile:
    """Appends each event to a file as one line of JSON, which is there before the run goes on.

    The file is opened for each line: nothing is left to flush or close when the run is killed, and a file that was
    moved aside is begun anew. A line is one write, so that runs may share a file.

    Args:
        path: made with mode 0644 where it is not there; a pipe must have its reader already.

    Raises:
        InventoryError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._append(b"")
        except OSError as error:
            raise InventoryError(
                f"--events: wanted a file that can be written, found {path}: {error.strerror}"
            ) from error

    def __call__(self, event: Event, /) -> None:
        """Append an event. Where that fails the log says so: a run is not ended half-way for want of a line."""
        line = json.dumps({"time": event.time, **asdict(event)}, ensure_ascii=False)
        try:
            self._append(f"{line}\n".encode())
        except OSError as error:
            logger.warning("--events: %s: %s; lost: %s", self._path, error.strerror, line)

    def _append(self, line: bytes) -> None:
        # Without O_NONBLOCK the opening of a pipe that nobody reads would never end.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o644)
        try:
            if line:
                os.write(descriptor, line)
        finally:
            os.close(descriptor)
