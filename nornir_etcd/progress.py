"""What a run does while it does it: Nornir processors, one that draws it and one that tells every result."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from html import escape
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from nornir_etcd.report.console import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from nornir.core.inventory import Host
    from nornir.core.task import AggregatedResult, MultiResult, Task
    from rich.progress import TaskID

LABELS = {
    "observe_host": "reading the host",
    "observe_endpoint": "asking etcd",
    "observe_deeper": "reading its figures",
    "read_last_words": "reading the container's log",
    "issue_certificate": "issuing its certificate",
    "issue_apiserver": "issuing the API server's certificate",
    "place_files": "placing its files",
    "pull_image": "pulling the image",
    "write_manifest": "writing the manifest",
    "place_apiserver_files": "placing the API server's files",
    "write_apiserver_manifest": "restarting the API server",
    "replace_etcd_servers": "pointing the API server at the members",
    "await_member": "waiting until the member is healthy",
    "await_version": "waiting until the member runs its release",
    "move_leader": "letting another member lead",
    "enable_downgrade": "preparing the way down",
    "upgrade_member": "changing its release",
    "roll_back_member": "putting its former manifest back",
    "save_snapshot": "saving a snapshot",
    "add_learner": "adding a learner",
    "await_learner": "waiting until the learner runs",
    "promote_member": "promoting a learner that catches up",
    "remove_member": "removing a member",
    "clear_member": "stopping etcd and moving its data aside",
    "update_peer_url": "changing a peer URL",
    "disarm_corrupt_alarm": "disarming an alarm",
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
    """Draws a line for each host that something is done on: on stderr where that is a terminal, or in a notebook.

    Elsewhere nothing is drawn. Use it as a context manager and hand it to `nr.with_processors([...])`. Nornir calls
    processors from worker threads, of several clusters at once: what it keeps is behind a lock.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._picture: _Terminal | _Notebook | None = None
        if console.is_jupyter:
            self._picture = _Notebook()
        # rich takes a pipe for a terminal where FORCE_COLOR is set: colours are wanted there, animation is not.
        elif console.is_interactive and sys.stderr.isatty():
            self._picture = _Terminal(console)
        self._lock = threading.Lock()
        self._doing: defaultdict[str, list[str]] = defaultdict(list)

    def __enter__(self) -> ProgressProcessor:  # noqa: PYI034 - Self came with Python 3.11
        if self._picture:
            with suppress(OSError):  # see _draw
                self._picture.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._picture:
            with suppress(OSError):
                self._picture.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Draw nothing on the terminal meanwhile: somebody is asked there."""
        terminal = self._picture if isinstance(self._picture, _Terminal) else None
        if terminal:
            with suppress(OSError):  # see _draw
                terminal.stop()
        try:
            yield
        finally:
            if terminal:
                with suppress(OSError):
                    terminal.start()

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
        if self._picture:
            with suppress(OSError):  # Nornir ends a run whose processor raises: a terminal that is gone must not
                self._picture.draw(name, self._doing[name])


class _Terminal:
    """Lines at the end of a terminal, which go when the run ends."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[doing]}", markup=False),
            console=console,
            transient=True,
        )
        self._lines: dict[str, TaskID] = {}

    def start(self) -> None:
        """Begin to draw."""
        self._progress.start()

    def stop(self) -> None:
        """Take the lines away."""
        self._progress.stop()

    def draw(self, name: str, doing: Sequence[str]) -> None:
        """Show what a host does."""
        if name not in self._lines:
            self._lines[name] = self._progress.add_task(harmless(name), total=None, doing="")
        elif len(doing) == 1:
            self._progress.reset(self._lines[name])
        self._progress.update(self._lines[name], doing=", ".join(dict.fromkeys(doing)))


class _Notebook:
    """Lines in the output of a notebook's cell, which go when the run ends.

    rich draws in a notebook with ipywidgets only, which neither Jupyter nor this package brings along. A display that
    is drawn anew under its own ID needs nothing but IPython, which is there where a notebook runs.
    """

    PAUSE = 0.5
    """Seconds between two pictures: what a person sees as live, and few messages to a browser far away."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[float, Sequence[str]]] = {}
        self._ended = threading.Event()
        self._display: Any = None
        self._html: Any = None
        self._thread = threading.Thread(target=self._draw_often, daemon=True)

    def start(self) -> None:
        """Begin to draw."""
        from IPython.display import HTML, display  # noqa: PLC0415 - it is there in a notebook alone

        self._html = HTML
        self._display = display(HTML(""), display_id=True)  # type: ignore[no-untyped-call] # IPython's own
        self._thread.start()

    def stop(self) -> None:
        """Take the lines away."""
        if self._display:
            self._ended.set()
            self._thread.join()
            self._display.update(self._html(""))

    def draw(self, name: str, doing: Sequence[str]) -> None:
        """Note what a host does; the next picture shows it."""
        began = self._lines[name][0] if name in self._lines and len(doing) != 1 else time.monotonic()
        self._lines[name] = (began, tuple(dict.fromkeys(doing)))

    def _draw_often(self) -> None:
        while not self._ended.wait(self.PAUSE):
            self._display.update(self._html(self._picture()))

    def _picture(self) -> str:
        now = time.monotonic()
        lines = [
            f"<b>{escape(harmless(name))}</b> {now - began:.0f} s {', '.join(doing)}"
            for name, (began, doing) in sorted(self._lines.copy().items())
            if doing
        ]
        return f"<pre>{chr(10).join(lines)}</pre>"


class Transfers:
    """Draws a bar for each file that is sent, on stderr where that is a terminal. A context manager."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
            disable=not (console.is_interactive and sys.stderr.isatty()),
        )

    def __enter__(self) -> Transfers:  # noqa: PYI034 - Self came with Python 3.11
        with suppress(OSError):  # a terminal that is gone ends no transfer
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._progress.stop()

    def begin(self, name: str, size: int) -> Callable[[int], None]:
        """Show a file that is about to be sent, and return what is told how many of its bytes have got there.

        Args:
            name: what it is called.
            size: its bytes.
        """
        line = self._progress.add_task(harmless(name), total=size)

        def tell(done: int) -> None:
            with suppress(OSError):
                self._progress.update(line, completed=done, visible=done < size)

        return tell


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
