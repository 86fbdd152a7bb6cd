"""What a run does while it does it: Nornir processors, one that draws on a terminal and one that tells every result."""

from __future__ import annotations

import io
import re
import sys
import threading
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout, suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from nornir_etcd.report.console import harmless

if TYPE_CHECKING:
    from types import TracebackType

    from nornir.core.inventory import Host
    from nornir.core.task import AggregatedResult, MultiResult, Task
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
"""What is drawn while a task of that name runs; other tasks are not drawn."""


class _Processor:
    """Nornir's interface; what a processor does not care for, it leaves as it is here."""

    def task_started(self, task: Task) -> None:
        """Do nothing."""

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Do nothing."""

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Do nothing."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Do nothing."""

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Do the same for a subtask."""
        self.task_instance_started(task, host)

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Do the same for a subtask."""
        self.task_instance_completed(task, host, result)


class ProgressProcessor(_Processor):
    """Draws a line on stderr for each host that something is done on; nothing where that is no terminal.

    Use it as a context manager and hand it to `nr.with_processors([...])`. Nornir calls processors from worker
    threads, of several clusters at once: what it keeps is behind a lock.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[doing]}", markup=False),
            console=console,
            transient=True,
            # rich takes a pipe for a terminal where FORCE_COLOR is set: colours are wanted there, animation is not.
            disable=not (console.is_interactive and sys.stderr.isatty()),
        )
        self._lock = threading.Lock()
        self._lines: dict[str, TaskID] = {}
        self._doing: defaultdict[str, list[str]] = defaultdict(list)

    def __enter__(self) -> ProgressProcessor:  # noqa: PYI034 - Self came with Python 3.11
        with suppress(OSError):  # see _draw
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._progress.stop()

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Show what a host begins with."""
        if label := LABELS.get(task.name):
            with self._lock:
                self._doing[host.name].append(label)
                self._draw(host.name)

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:  # noqa: ARG002 - Nornir's interface
        """Take away what a host has ended."""
        label = LABELS.get(task.name)
        with self._lock:
            if label in self._doing[host.name]:
                self._doing[host.name].remove(label)
                self._draw(host.name)

    def _draw(self, name: str) -> None:
        doing = self._doing[name]
        with suppress(OSError):  # Nornir ends a run whose processor raises: a terminal that is gone must not do that
            if name not in self._lines:
                self._lines[name] = self._progress.add_task(harmless(name), total=None, doing="")
            elif len(doing) == 1:
                self._progress.reset(self._lines[name])
            self._progress.update(self._lines[name], doing=", ".join(dict.fromkeys(doing)))


class ResultProcessor(_Processor):
    """Prints the result of every task, with its diff, as `nornir_utils.print_result` does."""

    def __init__(self) -> None:
        # Importing it wraps stdout and stderr for good (colorama): it gets others to wrap.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            from nornir_utils.plugins.functions import print_result  # noqa: PLC0415
        self._print_result = print_result
        self._lock = threading.Lock()

    def task_completed(self, task: Task, result: AggregatedResult) -> None:  # noqa: ARG002 - Nornir's interface
        """Print what came of a task on all its hosts."""
        with self._lock, redirect_stdout(io.StringIO()) as printed:
            self._print_result(result)
        text = re.sub(r"\x1b\[\d+m", "", printed.getvalue())  # print_result's own colours
        with self._lock, suppress(OSError):
            sys.stdout.write("".join(f"{harmless(line)}\n" for line in text.splitlines()))
            sys.stdout.flush()
