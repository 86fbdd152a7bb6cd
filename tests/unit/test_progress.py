"""What is shown while a run works."""

from __future__ import annotations

import inspect
import sys
import threading
from typing import TYPE_CHECKING, Any

import nbclient
import nbformat
import pytest
from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import Defaults, Groups, Host, Hosts, Inventory
from nornir.core.state import GlobalState
from nornir.core.task import Result, Task
from nornir.plugins.runners import ThreadedRunner

from nornir_etcd import last_words, observe, tasks
from nornir_etcd.progress import LABELS, ProgressProcessor, ResultProcessor
from tests.unit.program import run, run_on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from nornir.core.processor import Processor

RUN = """
import sys, time
from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import Defaults, Groups, Host, Hosts, Inventory
from nornir.core.state import GlobalState
from nornir.core.task import Result
from nornir.plugins.runners import ThreadedRunner
from nornir_etcd.progress import ProgressProcessor, ResultProcessor

def observe_host(task):
    time.sleep(0.3)
    return Result(task.host, result="seen \\x1b[2J\\x1b]0;owned\\x07", diff="+ a line\\n", changed=True)

def observe_endpoint(task):
    task.run(task=observe_host)

def something_else(task):
    time.sleep(0.3)

hosts = {name: Host(name, defaults=Defaults()) for name in ("node-1", "[red]node-2", "node-3")}
inventory = Inventory(Hosts(hosts), Groups(), Defaults())
nr = Nornir(inventory, Config(), GlobalState(), runner=ThreadedRunner())
stdout = sys.stdout
if "-v" in sys.argv:
    nr.with_processors([ResultProcessor()]).run(task=observe_endpoint)
else:
    with ProgressProcessor() as progress:
        nr.with_processors([progress]).run(task=observe_endpoint)
        nr.with_processors([progress]).run(task=something_else)
assert sys.stdout is stdout
print("nornir_utils" in sys.modules)
"""


@pytest.fixture
def program(tmp_path: Path) -> tuple[str, str]:
    """A program that runs Nornir tasks on three hosts."""
    path = tmp_path / "program.py"
    path.write_text(RUN, encoding="utf-8")
    return sys.executable, str(path)


def test_a_terminal_sees_what_is_done_on_each_host(program: tuple[str, str], tmp_path: Path) -> None:
    code, text = run_on_terminal(*program, cwd=tmp_path, stream="stderr")
    assert code == 0
    assert "asking etcd, reading the host" in text
    assert all(name in text for name in ("node-1", "[red]node-2", "node-3"))
    assert "something_else" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_a_pipe_gets_nothing(program: tuple[str, str], tmp_path: Path, environment: dict[str, str]) -> None:
    done = run(*program, cwd=tmp_path, env=environment)
    assert (done.code, done.out, done.err) == (0, "False\n", "")


def test_a_dumb_terminal_gets_nothing(program: tuple[str, str], tmp_path: Path) -> None:
    assert run_on_terminal(*program, cwd=tmp_path, stream="stderr", env={"TERM": "dumb"}) == (0, "")


NOTEBOOK = """
from nornir_etcd.progress import ProgressProcessor
exec({setup!r})
with ProgressProcessor() as progress:
    nr.with_processors([progress]).run(task=slow)
1
"""
SLOW = """
import time
from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import Defaults, Groups, Host, Hosts, Inventory
from nornir.core.state import GlobalState
from nornir.plugins.runners import ThreadedRunner

def slow(task):
    time.sleep(1.5)

slow.__name__ = "observe_host"
hosts = {name: Host(name, defaults=Defaults()) for name in ("node-1", "<i>node-2")}
nr = Nornir(Inventory(Hosts(hosts), Groups(), Defaults()), Config(), GlobalState(), runner=ThreadedRunner())
"""


def test_a_notebook_sees_what_is_done_on_each_host_and_nothing_is_left_of_it() -> None:
    pictures: list[str] = []

    class Client(nbclient.NotebookClient):
        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] in ("display_data", "update_display_data"):
                pictures.append(msg["content"]["data"]["text/html"])
            return super().process_message(msg, cell, cell_index)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK.format(setup=SLOW))])
    Client(notebook, timeout=120, kernel_name="python3").execute()
    assert any("<b>node-1</b> 1 s reading the host" in one for one in pictures)
    assert any("<b>&lt;i&gt;node-2</b>" in one for one in pictures)
    (drawn, result) = notebook.cells[0].outputs
    assert drawn["data"]["text/html"] == pictures[-1] == ""
    assert result["data"]["text/plain"] == "1"


def test_every_result_is_printed_where_asked_for_and_steers_no_terminal(
    program: tuple[str, str], tmp_path: Path
) -> None:
    done = run(*program, "-v", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("+ a line") == 3
    assert done.out.count("seen \\x1b[2J\\x1b]0;owned\\x07") == 3
    assert "\x1b" not in done.out
    assert done.out.endswith("True\n"), "stdout is what it was"


def test_whatever_a_step_or_an_observation_runs_has_a_label() -> None:
    named = {
        *tasks.__all__,
        *(name for module in (observe, last_words) for name, _ in inspect.getmembers(module, _is_task)),
    }
    assert named == set(LABELS)


def _is_task(found: object) -> bool:
    return (
        inspect.isfunction(found)
        and found.__module__ in {observe.__name__, last_words.__name__}
        and not found.__name__.startswith("_")  # a part of a task
        and "task" in inspect.signature(found).parameters
    )


def nornir(*names: str) -> Nornir:
    """Return a Nornir with these hosts."""
    hosts = Hosts({name: Host(name, defaults=Defaults()) for name in names})
    inventory = Inventory(hosts, Groups(), Defaults())
    return Nornir(inventory, Config(), GlobalState(), runner=ThreadedRunner())


def observe_host(task: Task) -> Result:
    """Do nothing, under the name of a task that is drawn."""
    return Result(task.host, result=task.host.name)


class Terminal:
    """A terminal that has gone away."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """It was one."""
        return True

    def write(self, _: str) -> int:
        """Fail as Linux does."""
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        """Fail as Linux does."""
        raise OSError(5, "Input/output error")

    def fileno(self) -> int:
        """Fail as Linux does."""
        raise OSError(9, "Bad file descriptor")


def test_a_terminal_that_goes_away_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # rich's own thread, which only draws
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressProcessor() as progress:
        result = nornir("a", "b").with_processors([progress]).run(task=observe_host)
    assert sorted(result) == ["a", "b"]
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert not nornir("a").with_processors([ResultProcessor()]).run(task=observe_host).failed


@pytest.mark.parametrize("processor", [ProgressProcessor, ResultProcessor])
def test_a_processor_bears_a_failing_task_and_an_end_without_a_start(
    processor: type[ProgressProcessor | ResultProcessor],
) -> None:
    def fail(task: Task) -> Result:
        raise ValueError(task.host.name)

    def observe_endpoint(task: Task) -> Result:
        task.run(task=fail)
        return Result(task.host)

    made: Processor = processor()
    nr = nornir("a").with_processors([made])
    result = nr.run(task=observe_endpoint)
    assert isinstance(result["a"][1].exception, ValueError)
    made.task_instance_completed(
        Task(observe_host, nr, global_dry_run=False, processors=nr.processors), nr.inventory.hosts["a"], result["a"]
    )


SENT = """
import time
from nornir_etcd.progress import Transfers

with Transfers() as transfers:
    tell = transfers.begin("[red]node-1\\x1b[2J", 5_000_000)
    for done in (0, 2_500_000, 5_000_000):
        tell(done)
        time.sleep(0.3)
"""


def test_what_is_sent_is_drawn_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    code, drawn = run_on_terminal(sys.executable, "-c", SENT, cwd=tmp_path, stream="stderr")
    assert code == 0
    assert "[red]node-1" in drawn
    assert "2.5/5.0 MB" in drawn
    assert "\x1b[2J" not in drawn
    for env in ({}, {"FORCE_COLOR": "1"}):
        done = run(sys.executable, "-c", SENT, cwd=tmp_path, env=env)
        assert (done.code, done.out, done.err) == (0, "", "")
    code, drawn = run_on_terminal(sys.executable, "-c", SENT, cwd=tmp_path, stream="stdout")
    assert (code, drawn) == (0, "")
