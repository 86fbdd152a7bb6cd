"""Progress while a run works: a Nornir processor that draws on a terminal, and nowhere else."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from nornir.core.inventory import Host
    from nornir.core.task import AggregatedResult, MultiResult, Task
    from rich.console import Console
    from rich.progress import TaskID

LABELS = {
    "observe_host": "reading the host",
    "observe_endpoint": "asking etcd",
    "issue_certificate": "issuing its certificate",
    "place_files": "placing its files",
    "pull_image": "pulling the image",
    "write_manifest": "writing the manifest",
    "await_member": "waiting until the member is healthy",
    "container_log": "reading the container's log",
}


class ProgressProcessor:
    """Draws a line for each host that something is done on.

    Use it as a context manager and hand it to `nr.with_processors([...])`. Nornir calls processors from worker
    threads, several clusters at once: what it keeps is behind a lock.

    Args:
        console: where to draw; nothing is drawn where that is no terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[doing]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._lock = threading.Lock()
        self._lines: dict[str, TaskID] = {}
        self._doing: defaultdict[str, list[str]] = defaultdict(list)

    def __enter__(self) -> ProgressProcessor:  # noqa: PYI034 - Self came with Python 3.11
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def task_started(self, task: Task) -> None:
        """Nornir's interface; the hosts' own calls tell all."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Nornir's interface; the hosts' own calls tell all."""

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Show what a host begins with."""
        self._begin(task, host)

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:  # noqa: ARG002 - Nornir's interface
        """Take away what a host has ended."""
        self._end(task, host)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Show what a host begins with inside of a task."""
        self._begin(task, host)

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:  # noqa: ARG002 - Nornir's interface
        """Take away what a host has ended inside of a task."""
        self._end(task, host)

    def _begin(self, task: Task, host: Host) -> None:
        if label := LABELS.get(task.name):
            with self._lock:
                self._doing[host.name].append(label)
                self._draw(host.name)

    def _end(self, task: Task, host: Host) -> None:
        if label := LABELS.get(task.name):
            with self._lock:
                self._doing[host.name].remove(label)
                self._draw(host.name)

    def _draw(self, name: str) -> None:
        doing = self._doing[name]
        if name not in self._lines:
            self._lines[name] = self._progress.add_task(name, total=None, doing="")
        elif len(doing) == 1:
            self._progress.reset(self._lines[name])
        self._progress.update(self._lines[name], doing=", ".join(dict.fromkeys(doing)), visible=bool(doing))
