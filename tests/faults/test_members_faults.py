"""What goes wrong in a change of membership: a killed controller, a host that cannot start, a learner that lags.

A writer through the members shows that the quorum was kept: no acknowledged write is lost, and none waits for long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.manifest import image_of
from tests.faults.boundaries import Watched
from tests.faults.faults import Faults, nothing_is_half, told, wait_for
from tests.faults.images import without_image
from tests.lab.conftest import wide_lab, wiped_wide_lab
from tests.lab.membership import (
    DATA,
    NARROW,
    apply,
    cleared,
    entries,
    joined,
    lossless,
    members,
    state,
    steps,
    urls,
    voters,
    want,
    writer,
)
from tests.lab.upgrades import paused
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nornir_etcd.lab import Lab
    from tests.lab.workspace import Run

__all__ = ["wide_lab", "wiped_wide_lab"]

pytestmark = pytest.mark.lab

MAX_RUNS = 40
"""More than there are kinds of boundaries."""
LISTEN = 'import socket, time; s = socket.create_server(("", 2380), backlog=1); time.sleep(600)'
QUICK = {"etcd_timeout": 2, "etcd_health_timeout": 8, "etcd_start_timeout": 12}
"""Seconds for what is to fail; a member that is in order takes two or three."""
AHEAD = '#!/bin/sh\\nexec /usr/bin/date -d "+1 hour" "$@"'
"""The hosts of a lab share the machine's clock: what a host's `date` says is all that can be off."""
REFUSED = "etcd_server_learner_promote_failures"
"""etcd counts promotions that it refused, by their reason (server/etcdserver/metrics.go)."""


@pytest.fixture
def workspace(wiped_wide_lab: Lab, tmp_path: Path) -> Workspace:
    """Five empty hosts."""
    return Workspace(wiped_wide_lab, tmp_path)


@pytest.fixture
def faults(workspace: Workspace) -> Iterator[Faults]:
    """Make faults; those that a test leaves are gone after it."""
    made = Faults(workspace.lab)
    try:
        yield made
    finally:
        made.undo()


def kind(event: dict[str, Any]) -> tuple[str, str]:
    """Return what makes a boundary another one: its own name, and the action of its step."""
    return event["event"], event["step"].rpartition("/")[2]


def boundaries(*actions: str) -> set[tuple[str, str]]:
    """The two boundaries of the steps of each action."""
    return {(name, action) for action in actions for name in ("step-started", "step-finished")}


def kill_at_every_kind(workspace: Workspace, struck: set[tuple[str, str]], stay: dict[str, bool]) -> None:
    """Run, and kill the run at the first boundary of a kind at which none was killed yet, until one gets through.

    Args:
        workspace: the workspace.
        struck: at which kinds one was killed; those of this time are added.
        stay: members that must vote all the time.
    """
    for _ in range(MAX_RUNS):
        with Watched(workspace, "members", "apply", NARROW) as run:
            event = run.next()
            while event is not None and kind(event) in struck:
                event = run.next()
            run.kill()
            if event is None:
                assert run.process.returncode == 0, (workspace.directory / "out").read_text()
                return
            struck.add(kind(event))
            assert run.process.returncode in (-9, 0), f"{event}: {run.process.returncode}"
        for node in workspace.lab.nodes:
            if workspace.lab.is_running(node.name):
                nothing_is_half(workspace.lab, node.name)
        found = members(workspace)
        assert found.items() >= stay.items(), event
        assert len([name for name, votes in found.items() if not votes]) <= 1, event
    raise AssertionError(f"no run got through: {struck}")


def test_a_grow_and_a_replacement_that_are_killed_at_every_kind_of_boundary_are_completed(workspace: Workspace) -> None:
    want(workspace, 1, 2)
    workspace.deploy()
    struck: set[tuple[str, str]] = set()
    with writer(workspace, 1, 2) as writing:
        want(workspace, 1, 2, 3)
        kill_at_every_kind(workspace, struck, voters(1, 2))
        assert boundaries("issue-certificate", "add-learner", "start-learner", "promote-member") <= struck
        assert {(name, "") for name in ("run-started", "observed", "planned", "locked", "verified")} <= struck
        assert members(workspace) == voters(1, 2, 3)
        assert apply(workspace).cluster["outcome"] == "unchanged"

        # Who has other hosts waits for the lease of a run that was killed, 60 s, unless its operator frees the lock.
        workspace.lab.run("node-1", f"{ETCDCTL} del nornir-etcd/lock")
        workspace.lab.kill("node-3")
        want(workspace, 1, 2, 4)
        # A member is waited for by the run that promoted it: this time that one is not killed before.
        struck -= boundaries("add-learner", "start-learner")
        kill_at_every_kind(workspace, struck, voters(1, 2))
        assert (
            boundaries("remove-member", "add-learner", "start-learner") | {("step-started", "await-member")} <= struck
        )
        writing.change(endpoints=urls(workspace, 1, 2, 4))
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert members(workspace) == voters(1, 2, 4)
    assert apply(workspace).cluster["outcome"] == "unchanged"
    assert workspace.deploy().cluster["outcome"] == "unchanged"


def spoil(workspace: Workspace, faults: Faults) -> int:
    """Take the peer port of the fourth host, fill its disk and put its clock forward; return who has the port."""
    faults.disk("node-4", DATA, "600m")
    faults.fill("node-4", DATA, leave=8192)
    workspace.lab.run("node-4", f"printf '{AHEAD}\\n' >/usr/local/bin/date; chmod 755 /usr/local/bin/date")
    return faults.background("node-4", f"python3 -c '{LISTEN}'")


def port_taken_at(workspace: Workspace, faults: Faults, boundary: str, action: str) -> Run:
    """Run members apply, with the peer port of the fourth host taken from that boundary on."""
    with Watched(workspace, "members", "apply") as run:
        run.step(boundary, action)
        with paused(run):
            taker = faults.background("node-4", f"python3 -c '{LISTEN}'")
            wait_for(lambda: taken(workspace, "node-4"), "the port is taken")
        done = run.finish()
    workspace.lab.run("node-4", f"kill {taker}")
    assert done.code == 3, done.out
    assert done.cluster["outcome"] == "failed"
    return done


def test_a_host_that_cannot_start_joins_no_cluster_and_the_cluster_is_as_before(
    workspace: Workspace, faults: Faults
) -> None:
    lab = workspace.lab
    want(workspace, 1, 2, 3, settings=QUICK)
    workspace.deploy()
    before, listed = state(workspace, 1, 2, 3), entries(workspace)
    with writer(workspace, 1, 2, 3) as writing:
        want(workspace, 1, 2, 3, 4, settings=QUICK)
        taker = spoil(workspace, faults)
        refused = apply(workspace, code=3)
        assert not refused.cluster["plan"]
        for code in ("preflight.port", "preflight.space", "preflight.clock"):
            assert [one["subject"] for one in refused.findings(code, "critical")] == ["node-4"], refused.out
        lab.run("node-4", f"kill {taker}; rm /usr/local/bin/date")
        faults.undo()
        assert (state(workspace, 1, 2, 3), entries(workspace)) == (before, listed)

        with without_image(lab, tag(workspace, "node-1"), "node-4"):
            missing = apply(workspace, code=3)
        assert told(missing, "node-4", "pull of registry.ikubeops.local/ikubeops/etcd"), missing.out
        assert steps(missing, "pull-image") == [("node-4", "pull-image", "failed")]
        assert {status for _, _, status in steps(missing)} == {"skipped"}
        assert (state(workspace, 1, 2, 3), entries(workspace)) == (before, listed)

        late = port_taken_at(workspace, faults, "step-finished", "add-learner")
        assert [one["subject"] for one in late.findings("preflight.port", "critical")] == ["node-4"], late.out
        assert [one[1:] for one in steps(late)] == [
            ("add-learner", "done"),
            ("set-data-aside", "done"),
            ("remove-member", "done"),
        ]
        assert (state(workspace, 1, 2, 3), entries(workspace)) == (before, listed)

        failed = port_taken_at(workspace, faults, "step-started", "start-learner")
        assert [one[1:] for one in steps(failed)] == [
            ("add-learner", "done"),
            ("start-learner", "failed"),
            ("set-data-aside", "done"),
            ("remove-member", "done"),
            ("promote-member", "skipped"),
            ("await-member", "skipped"),
        ], failed.out
        (step,) = failed.steps("start-learner")
        assert step["error"].startswith("node-4: ")
        assert "\n" not in step["error"]
        assert any("address already in use" in line for line in step["log"]), step["log"]
        assert (state(workspace, 1, 2, 3), entries(workspace)) == (before, listed)
        assert cleared(workspace, "node-4")

        assert steps(apply(workspace)) == joined("node-4")
        writing.change(endpoints=urls(workspace, 1, 2, 3, 4))
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert members(workspace) == voters(1, 2, 3, 4)
    assert workspace.deploy().cluster["outcome"] == "unchanged"


def taken(workspace: Workspace, node: str) -> bool:
    """Whether somebody listens on the peer port of a host."""
    return bool(workspace.lab.run(node, "ss -Hltn sport = :2380").stdout)


def tag(workspace: Workspace, node: str) -> str:
    """The tag of a member's image."""
    return image_of(workspace.lab.run(node, f"cat {MANIFEST}").stdout).rpartition(":")[2]


def refusals(workspace: Workspace, node: str) -> list[str]:
    """Why a member has refused to promote a learner."""
    told = workspace.lab.run(node, "curl -s http://127.0.0.1:2381/metrics").stdout.splitlines()
    return [line for line in told if line.startswith(REFUSED)]


def test_a_promotion_that_is_refused_at_first_is_waited_for(workspace: Workspace) -> None:
    lab = workspace.lab
    want(workspace, 1)
    workspace.deploy()
    # The learner answers, knows the leader and takes connections, and hears no more of what is written.
    rule, drop = "nft add rule inet t in", "meta length 100-65535 drop"
    table = "nft add table inet t; nft add chain inet t in '{ type filter hook input priority 0; }'"
    with writer(workspace, 1) as writing:
        want(workspace, 1, 2)
        with Watched(workspace, "members", "apply", NARROW) as run:
            run.step("step-finished", "start-learner")
            with paused(run):
                lab.run("node-2", f"{table}; {rule} tcp sport 2380 {drop}; {rule} tcp dport 2380 {drop}")
                writing.wait(400)
            run.step("step-started", "promote-member")
            wait_for(lambda: refusals(workspace, "node-1"), "the promotion is refused")
            assert members(workspace) == {"node-1": True, "node-2": False}
            lab.run("node-2", "nft delete table inet t")
            done = run.finish()
        assert done.code == 0, done.out
        assert steps(done) == joined("node-2")
        (refused,) = refusals(workspace, "node-1")
        assert "in sync with leader" in refused
        writing.change(endpoints=urls(workspace, 1, 2))
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert members(workspace) == voters(1, 2)
    assert workspace.deploy().cluster["outcome"] == "unchanged"
