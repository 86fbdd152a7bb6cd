"""What the walk makes of tasks that fail."""

from __future__ import annotations

import pytest
from nornir.core import Nornir
from nornir.core.inventory import Defaults, Groups, Host, Hosts, Inventory
from nornir.core.task import Result, Task
from nornir.plugins.runners import SerialRunner

from nornir_etcd.events import Announcer
from nornir_etcd.exceptions import CommandFailed
from nornir_etcd.plan.step import Step
from nornir_etcd.workflows.apply import _announced, _Times, failure


def nested(task: Task, depth: int, error: Exception) -> Result:
    """Fail below `depth` subtasks, each after one that went well."""
    if not depth:
        raise error
    task.run(task=fine)
    task.run(task=nested, depth=depth - 1, error=error)
    return Result(task.host)


def fine(task: Task) -> Result:
    return Result(task.host)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_the_error_of_the_innermost_subtask_is_told(depth: int) -> None:
    nr = Nornir(Inventory(Hosts({"node-1": Host("node-1")}), Groups(), Defaults()), runner=SerialRunner())
    error = CommandFailed("push failed", host="node-1", found="no space")
    results = nr.run(task=nested, depth=depth, error=error)
    assert failure("node-1", results["node-1"]) == "node-1: push failed: found no space"


def test_an_error_that_is_not_ours_is_one_line_with_its_host_and_kind() -> None:
    nr = Nornir(Inventory(Hosts({"node-1": Host("node-1")}), Groups(), Defaults()), runner=SerialRunner())
    results = nr.run(task=nested, depth=2, error=KeyError("a\nb"))
    assert failure("node-1", results["node-1"]) == "node-1: internal error: KeyError: 'a\\nb'; see the log"


def test_a_step_that_fails_tells_when_it_was_begun_and_how_long_it_took() -> None:
    nr = Nornir(Inventory(Hosts({"node-1": Host("node-1")}), Groups(), Defaults()), runner=SerialRunner())
    step = Step("node-1", "await-member", "a reason", "before", "after", "back")
    times = {"node-1": _Times()}
    results = nr.run(
        task=_announced,
        desired=None,  # whatever is done with it fails
        observation=None,
        steps={"node-1": step},
        announce=Announcer(None, "deploy"),
        times=times,
        purge=False,
    )
    assert results.failed
    assert times["node-1"].began is not None
    assert times["node-1"].seconds > 0
