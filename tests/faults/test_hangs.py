"""Hosts that answer SSH and then hang, and commands whose output never ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.boundaries import Watched
from tests.faults.faults import NODES, Faults, completes, nothing_is_half, reads, told

if TYPE_CHECKING:
    from tests.lab.workspace import Workspace

pytestmark = pytest.mark.lab

PATIENCE = 150
"""Seconds after which nobody waits for a report any more."""


def test_a_server_that_takes_connections_and_says_nothing_is_told(workspace: Workspace, faults: Faults) -> None:
    faults.stop_server("node-2")
    began = time.monotonic()
    run = workspace.deploy(code=3)
    assert time.monotonic() - began < PATIENCE
    assert told(run, "node-2", "no SSH session"), run.out
    faults.undo()
    completes(workspace)


def test_a_session_that_hangs_before_a_push_is_given_up(workspace: Workspace, faults: Faults) -> None:
    began = time.monotonic()
    with Watched(workspace, "deploy") as run:
        run.step("step-started", "prepare-member", "node-2")
        faults.signal_sessions("node-2", "STOP")
        done = run.finish()
    assert time.monotonic() - began < PATIENCE
    assert told(done, "node-2", "ran past its deadline", "the SSH session broke"), done.out
    for node in NODES:
        nothing_is_half(workspace.lab, node)
    faults.undo()
    completes(workspace)


def test_a_host_that_hangs_in_a_roll_costs_no_quorum(workspace: Workspace, faults: Faults) -> None:
    first = workspace.deploy()
    follower = next(member["name"] for member in first.cluster["members"] if member["role"] == "follower")
    change = ("--set", "etcd_snapshot_count=20000")
    with Watched(workspace, "deploy", *change) as run:
        run.step("step-started", "replace-manifest", follower)
        faults.signal_sessions(follower, "STOP")
        done = run.finish()
    assert told(done, follower, "ran past its deadline", "the SSH session broke"), done.out
    assert reads(workspace)
    faults.undo()
    completes(workspace, *change)


@pytest.mark.parametrize("script", ["exec sleep 599", "exec yes", "exec yes >&2"])
def test_a_runtime_that_hangs_or_never_stops_talking_is_told_and_left_running_nowhere(
    workspace: Workspace, faults: Faults, script: str
) -> None:
    faults.replace_tool("node-2", "crictl", script)
    began = time.monotonic()
    run = workspace.deploy(code=3)
    assert time.monotonic() - began < PATIENCE
    assert told(run, "node-2", "ran past its deadline", "too much output", "runtime"), run.out
    assert faults.running("node-2", script.split()[1]) == []
    faults.undo()
    completes(workspace)
