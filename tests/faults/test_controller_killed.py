"""The controller is killed at every boundary of a deploy; the same command goes on from what the hosts show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.boundaries import Watched
from tests.faults.faults import NODES, completes, left_behind, nothing_is_half, reads

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.workspace import Workspace

pytestmark = pytest.mark.lab

MAX_RUNS = 80
"""More than there are boundaries: every run but the last is killed at one that no run before it was killed at."""


def kind(event: dict[str, Any]) -> tuple[str, str]:
    """Return what makes a boundary another one. The steps of a wave run side by side, so their host does not."""
    return event["event"], event["step"].rpartition("/")[2]


def place(event: dict[str, Any]) -> tuple[str, str]:
    """Return what makes a boundary another one where the hosts follow one another."""
    return event["event"], event["step"]


def kill_at_every_boundary(
    workspace: Workspace, key: Callable[[dict[str, Any]], tuple[str, str]], *words: str, lives: bool
) -> set[tuple[str, str]]:
    """Run, and kill the run at the first boundary at which none was killed yet, until one gets through."""
    struck: set[tuple[str, str]] = set()
    for _ in range(MAX_RUNS):
        with Watched(workspace, "deploy", *words) as run:
            event = run.next()
            while event is not None and key(event) in struck:
                event = run.next()
            run.kill()
            if event is None:
                assert run.process.returncode == 0, (workspace.directory / "out").read_text()
                return struck
            struck.add(key(event))
            assert run.process.returncode in (-9, 0), f"{event}: {run.process.returncode}"
        for node in NODES:
            nothing_is_half(workspace.lab, node)
        assert not lives or reads(workspace), event
    raise AssertionError(f"no run got through: {struck}")


def test_a_bootstrap_that_is_killed_at_every_boundary_in_turn_is_completed(workspace: Workspace) -> None:
    struck = kill_at_every_boundary(workspace, kind, lives=False)
    steps = {"make-ca", "issue-client", "issue-certificate", "prepare-member", "start-member"}
    assert {("step-started", step) for step in steps} <= struck
    assert {("step-finished", step) for step in steps} <= struck
    assert {(name, "") for name in ("run-started", "observed", "planned", "wave-started", "verified")} <= struck
    assert workspace.deploy().cluster["outcome"] == "unchanged"
    assert [left_behind(workspace.lab, node) for node in NODES] == [[], [], []]


def test_a_roll_that_is_killed_at_every_boundary_in_turn_is_completed_and_keeps_the_quorum(
    workspace: Workspace,
) -> None:
    workspace.deploy()
    before = workspace.containers()
    change = ("--set", "etcd_snapshot_count=20000")
    struck = kill_at_every_boundary(workspace, place, *change, lives=True)
    assert {("step-started", f"{node}/replace-manifest") for node in NODES} <= struck
    after = workspace.containers()
    assert all(after.values())
    assert not set(after.values()) & set(before.values())
    completes(workspace, *change)
