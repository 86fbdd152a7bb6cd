"""What of a cluster stands in the way of an upgrade, and what is left to the upgrade itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks.evidence import evidence
from nornir_etcd.checks.preflight import concern, preflight, upgrade
from nornir_etcd.observation import Alarm, HashKv, Unknown
from nornir_etcd.plan.planner import Desired
from tests.unit.builders import NOW, UPGRADE, World, deployed
from tests.unit.checks.seen import endpoint, status

if TYPE_CHECKING:
    from collections.abc import Collection

    from nornir_etcd.report.model import Finding


def found(world: World, unfinished: Collection[str] = (), *, started: bool = False) -> list[Finding]:
    seen = evidence(world.cluster, world.seen or world.observe(), {}, NOW)
    return list(upgrade.check(seen, unfinished, started=started))


def codes(world: World, unfinished: Collection[str] = (), *, started: bool = False) -> set[tuple[str, str]]:
    return {(one.code, one.subject) for one in found(world, unfinished, started=started)}


@pytest.mark.parametrize("size", [1, 3, 5])
def test_nothing_stands_in_the_way_of_a_healthy_cluster(size: int) -> None:
    assert found(deployed(size)) == []


def test_what_matters_for_no_upgrade_is_not_told() -> None:
    world = deployed()
    endpoint(world, "master-1", read_seconds=2.0)
    status(world, "master-2", raft_term=1, leader=world.entry(world[2]).id)
    assert codes(world) == set()


def test_a_member_that_is_down_is_named_with_a_remedy() -> None:
    world = deployed(5)
    world[3].up = False
    assert codes(world) == {("member.unhealthy", "master-3"), ("cluster.hash", "example")}
    (line, _) = upgrade.refusals(found(world))
    assert line == (
        "master-3: does not answer a linearizable read: the port refuses connections (member.unhealthy); "
        "look at its container and at the quorum of the cluster"
    )


def test_a_finding_without_a_remedy_gets_one() -> None:
    world = deployed()
    endpoint(world, "master-3", hash=Unknown("deadline exceeded"))
    assert upgrade.refusals(found(world)) == (
        "example: no hash of master-3: deadline exceeded (cluster.hash); make the cluster healthy first",
    )


@pytest.mark.parametrize("kind", ["NOSPACE", "CORRUPT"])
def test_an_alarm_stands_in_the_way_in_any_case(kind: str) -> None:
    world = deployed()
    world.alarms = (Alarm(1, kind),)
    assert ("cluster.alarm", "example") in codes(world)
    assert ("cluster.alarm", "example") in codes(world, {"master-1"}, started=True)


def test_a_learner_stands_in_the_way() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), is_learner=True)
    assert ("member.learner", "master-3") in codes(world)


@pytest.mark.parametrize("begun", [(), ("master-3",)])
def test_data_that_differ_stand_in_the_way_in_any_case(begun: tuple[str, ...]) -> None:
    world = deployed()
    world[3].hash = HashKv(1, 7, 3)
    assert ("cluster.hash", "example") in codes(world, begun, started=bool(begun))


def test_hashes_that_releases_make_differently_stand_in_the_way_of_none_that_was_begun() -> None:
    world = deployed()
    world[3].hash, world[3].version = HashKv(1, 7, 3), "3.5.30"
    assert codes(world) == {("cluster.hash", "example")}
    assert codes(world, started=True) == set()


@pytest.mark.parametrize("size", [3, 5])
def test_a_member_whose_upgrade_was_begun_is_left_to_the_upgrade(size: int) -> None:
    world = deployed(size)
    world[3].up = False
    assert codes(world, {"master-3"}) == set()
    world[2].up = False
    assert ("member.unhealthy", "master-2") in codes(world, {"master-3"}, started=True)


def test_a_member_that_was_begun_and_knows_no_leader_yet_does_not_doubt_the_leader() -> None:
    world = deployed()
    endpoint(world, "master-3", read_seconds=Unknown("no leader"))
    status(world, "master-3", leader=0)
    assert ("cluster.leader", "example") in codes(world)
    assert codes(world, {"master-3"}) == set()
    status(world, "master-1", leader=0)
    assert ("cluster.leader", "example") in codes(world, {"master-3"})


def test_of_the_only_member_nobody_else_tells() -> None:
    world = deployed(1)
    world[1].up = False
    assert ("cluster.quorum", "example") in codes(world)
    assert codes(world, {"master-1"}) == set()


def test_a_member_that_lost_its_data_stands_in_the_way_also_of_one_that_has_begun() -> None:
    world = deployed()
    world[1].data = replace(world[1].bootstrapped(world.cluster), state="empty")
    assert ("member.data", "master-1") in codes(world, {"master-3"}, started=True)


def test_hosts_of_which_only_etcd_is_asked_are_held_to_nothing() -> None:
    """A snapshot and a downgrade are asked of the leader, which a selection may have left out."""
    world = deployed(3, etcd_version="3.6.14-0")
    world.want(etcd_version="3.5.33-0")
    planned = world.plan({"master-1"}, allowed=UPGRADE)
    assert {step.host for step in planned.steps} == {"master-1", "master-2"}
    desired = Desired(world.cluster, world.wanted, frozenset({"master-1"}), UPGRADE, NOW)
    concerned = concern(desired, planned)
    assert (concerned.written, concerned.started) == ({"master-1"}, {"master-1"})
    told = preflight(evidence(world.cluster, world.observe(), {}, NOW), concerned)
    assert {one.subject for one in told if one.code == "preflight.kubelet"} == {"master-1"}
