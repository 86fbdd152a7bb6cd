"""Upgrades of a cluster that is in order: every stage of the lab's versions, under a steady load of all members."""

from __future__ import annotations

import os
import re
import shutil
import stat
from statistics import median
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab import Lab
from nornir_etcd.versions import parse
from tests.contract.releases import programs
from tests.contract.test_snapshots import client_of, restore
from tests.faults.boundaries import Watched
from tests.lab.conftest import PREFIX, need_root, remove_orphans
from tests.lab.upgrades import deploy, gaps, hand_leadership, leader, paused, upgrade, upgraded, versions, way, writer
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.lab.verdict import Verdict
    from tests.lab.workspace import Run

pytestmark = pytest.mark.lab

LONGEST = 2.0
"""Seconds that a step may keep writes waiting, in the median of all steps: an election and a pause of its clients."""
MIXED = ("version.skew", "member.version", "container.image", "manifest.drift", "flags.unequal")
"""What verify warns of where members run different versions."""
NODES = ("node-1", "node-2", "node-3")


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    return Workspace(fresh_lab, tmp_path)


@pytest.fixture
def five(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace on a lab of five hosts."""
    need_root()
    remove_orphans()
    made = Lab(f"{PREFIX}{os.getpid()}-five", hosts=5)
    made.up()
    try:
        yield Workspace(made, tmp_path)
    finally:
        made.down()


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Lines that are told when the test is over, though it has passed."""
    lines: list[str] = []
    yield lines
    with capsys.disabled():
        print("", *(f"  {request.node.name}: {line}" for line in lines), sep="\n")  # noqa: T201 - what was measured


def judge(verdict: Verdict, runs: list[Run], tell: list[str]) -> None:
    """Hold that no acknowledged write is lost, and that steps kept writes waiting for a short time only."""
    assert verdict.ok, verdict.judgement
    found = [gaps(run, verdict) for run in runs]
    for run, each in zip(runs, found, strict=True):
        times = ", ".join(f"{step} {seconds:.2f}" for step, seconds in each.items())
        tell.append(f"to {'/'.join(sorted(versions(run)))}: longest gap in s (0.20 at least): {times}")
    every = [seconds for each in found for seconds in each.values()]
    tell.append(f"median of {len(every)} steps {median(every):.2f} s, longest {max(every):.2f} s")
    assert median(every) < LONGEST, found


def goes_all_the_way(workspace: Workspace, interval: float, tell: list[str], stops: Sequence[str]) -> None:
    """Upgrade from stop to stop under a write every `interval` seconds, and hold each stage to its order."""
    first, *stages = stops
    deploy(workspace, first)
    runs = []
    with writer(workspace, interval=interval) as writing:
        for stage in stages:
            led = leader(workspace)
            run = upgrade(workspace, stage)
            assert versions(run) == {str(parse(stage))}
            assert len(upgraded(run)) == len(workspace.lab.nodes)
            assert upgraded(run)[-1] == led, "the leader comes last"
            assert [step["host"] for step in run.steps("move-leader")] == [led]
            runs.append(run)
        writing.wait(5)
        verdict = writing.stop()
    judge(verdict, runs, tell)
    actions = [step["action"] for step in runs[0].cluster["plan"]]
    assert actions.index("save-snapshot") < actions.index("upgrade-member")


def test_three_members_go_all_the_way_under_load_and_lose_no_acknowledged_write(
    workspace: Workspace, tell: list[str]
) -> None:
    goes_all_the_way(workspace, 0.01, tell, way(workspace.lab))
    last = way(workspace.lab)[-1]
    assert upgrade(workspace, last).cluster["outcome"] == "unchanged"
    assert workspace.verify("--set", f"etcd_version={last}").amiss == []


def test_five_members_change_their_release_under_load_and_lose_no_acknowledged_write(
    five: Workspace, tell: list[str]
) -> None:
    goes_all_the_way(five, 0.03, tell, way(five.lab)[-2:])


def test_a_kubelet_that_takes_its_time_makes_no_gap_longer(workspace: Workspace, tell: list[str]) -> None:
    former, later = way(workspace.lab)[-2:]
    deploy(workspace, former)
    workspace.lab.set_delay("7-17")
    with writer(workspace) as writing:
        run = upgrade(workspace, later)
        writing.wait(10)
        verdict = writing.stop()
    assert min(step["seconds"] for step in run.steps("upgrade-member")) > 7
    judge(verdict, [run], tell)


def test_in_mid_upgrade_a_second_operator_is_told_who_verify_warns_of_skew_and_leadership_may_move(
    workspace: Workspace, tmp_path: Path, tell: list[str]
) -> None:
    former, later = way(workspace.lab)[:2]
    deploy(workspace, former)
    led, second = leader(workspace), Workspace(workspace.lab, tmp_path / "second")
    second.inventory(data={"etcd_version": later})
    shutil.copytree(tmp_path / "certs", second.directory / "certs")
    with writer(workspace) as writing:
        with Watched(workspace, "upgrade", "--to", later) as run:
            first = run.step("step-finished", "upgrade-member")["host"]
            with paused(run):
                before = second.containers()
                told = second.run("upgrade")
                seen = second.verify()
                assert second.containers() == before
                (other,) = set(NODES) - {led, first}
                hand_leadership(workspace, other)
            done = run.finish()
        writing.wait(10)
        verdict = writing.stop()
    assert done.code == 0, done.out
    assert upgraded(done) == [first, other, led]
    judge(verdict, [done], tell)

    assert told.code == 3, told.out
    by = rf"held by \S+@\S+ \(pid {run.process.pid}, upgrade\) since \d\d:\d\d:\d\d UTC; wait until it has ended; "
    lines = [re.fullmatch(rf"(\S+): the host is locked: {by}.*", line) for line in told.cluster["refusals"]]
    assert [line and line[1] for line in lines] == list(NODES), told.out
    assert not any(step["status"] == "done" for step in told.cluster["plan"]), told.out
    assert second.run("upgrade").cluster["outcome"] == "unchanged"

    assert seen.findings("version.skew", "warning"), seen.out
    assert {(severity, code) for severity, code, _ in seen.amiss} <= {("warning", code) for code in MIXED}, seen.out
    assert not any("run deploy" in one["remedy"] for one in seen.findings("flags.unequal", "warning"))


def test_a_cluster_that_cannot_bear_it_is_refused_with_the_reason_and_mended_goes_on(workspace: Workspace) -> None:
    former, later = way(workspace.lab)[:2]
    deploy(workspace, former)
    before = workspace.containers()
    changed = workspace.deploy("--set", f"etcd_version={later}", code=3)
    for node, line in zip(NODES, changed.cluster["refusals"], strict=True):
        assert line.startswith(f"{node}: etcd_version: wanted {later}, found {parse(former)}; the runbook `upgrade`")

    stop(workspace, "node-1")
    one = upgrade(workspace, later, code=3)
    assert one.cluster["outcome"] == "refused"
    assert any(line.startswith("node-1: does not answer a linearizable read") for line in one.cluster["refusals"])
    assert any("(cluster.quorum)" in line and "2 of 3 voters" in line for line in one.cluster["refusals"]), one.out
    stop(workspace, "node-2")
    none = upgrade(workspace, later, code=3)
    wanted = "example: wanted a cluster that answers with a quorum, found none; mend it first"
    assert wanted in none.cluster["refusals"], none.out

    assert workspace.containers() == {"node-1": "", "node-2": "", "node-3": before["node-3"]}
    assert not (workspace.directory / "snapshots").exists()
    for node in ("node-1", "node-2"):
        workspace.lab.run(node, f"mv /root/etcd.yaml {MANIFEST}")
    for node in ("node-1", "node-2"):
        workspace.await_restart(node, before[node])
    mended = upgrade(workspace, later, "--dry-run")
    assert mended.cluster["outcome"] == "planned"
    assert {step["host"] for step in mended.steps("upgrade-member")} == set(NODES)


def stop(workspace: Workspace, node: str) -> None:
    """Stop a member as an operator does: its manifest is moved out of the kubelet's folder."""
    workspace.lab.run(node, f"mv {MANIFEST} /root/etcd.yaml")
    workspace.await_stop(node)


def test_two_members_are_refused_and_a_single_one_wants_a_word_and_leaves_a_snapshot_that_restores(
    workspace: Workspace, tmp_path: Path
) -> None:
    former, later = way(workspace.lab)[:2]
    workspace.inventory(data={"etcd_version": former}, hosts={"node-1": None})
    workspace.deploy()
    two = upgrade(workspace, later, code=3)
    for node in ("node-2", "node-3"):
        assert any(
            line.startswith(f"{node}: not stopped, quorum would be lost (1 of 2 voters stay, quorum 2")
            for line in two.cluster["refusals"]
        ), two.out

    workspace.inventory(data={"etcd_version": former, "deploy_name": "single"}, hosts={"node-2": None, "node-3": None})
    workspace.deploy()
    workspace.lab.run("node-1", f"{ETCDCTL} put kept 'by the snapshot'")
    single = upgrade(workspace, later, code=3)
    (line,) = single.cluster["refusals"]
    assert line == "node-1: the only member, stopping it stops etcd; say --accept-downtime if that is meant"
    assert not (tmp_path / "snapshots").exists()
    assert versions(upgrade(workspace, later, "--accept-downtime")) == {str(parse(later))}

    folder = tmp_path / "snapshots/single"
    (snapshot,) = folder.glob("*.db")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    with restore(snapshot, programs(later, tmp_path), tmp_path / "restored") as cluster:
        cluster.wait_healthy()
        with client_of(cluster) as client:
            assert client.get("kept")[0] == b"by the snapshot"
