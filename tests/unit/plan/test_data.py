"""Data that are lost, foreign or doubtful: named and never started from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.observation import DataDirectory, Unknown
from nornir_etcd.plan.identity import hexadecimal
from tests.unit.builders import ABSENT, EMPTY, World, deployed, differ

FOREIGN = DataDirectory("member", 0xAAA, 0xBBB, ("member",))


def stopped(size: int = 3) -> World:
    """Return a deployed cluster of which no member runs."""
    world = deployed(size)
    for node in world.nodes.values():
        node.up = False
    return world


@pytest.mark.parametrize("lost", [ABSENT, EMPTY])
def test_the_only_member_that_lost_its_data_is_refused(lost: DataDirectory) -> None:
    world = stopped(1)
    world[1].data = lost
    said = world.refusals(accept_downtime=True)
    assert said.startswith("master-1: /var/lib/etcd is gone or empty, but the manifest is there: the member lost")


@pytest.mark.parametrize("lost", [ABSENT, EMPTY])
def test_members_that_have_all_lost_their_data_are_refused(lost: DataDirectory) -> None:
    world = stopped()
    for node in world.nodes.values():
        node.data = lost
    assert world.refusals().count("the member lost its data") == 3


@pytest.mark.parametrize("manifest", [False, True])
@pytest.mark.parametrize("lost", [ABSENT, EMPTY])
def test_a_member_that_a_live_cluster_knows_is_not_started_without_its_data(
    lost: DataDirectory, *, manifest: bool
) -> None:
    world = deployed()
    world[2].up = False
    world[2].data = lost
    if not manifest:
        world[2].manifest = None
    said = world.refusals()
    assert "master-2: /var/lib/etcd is empty, but master-2 (" in said
    assert "it lost its data and must not start again under its old ID; the runbook `members`" in said
    assert "master-1" not in said


def test_a_guard_made_by_hand_does_not_let_a_known_member_start_empty() -> None:
    world = deployed()
    world[2].up = False
    world[2].data = DataDirectory("guard", content=("member",))
    assert "it lost its data" in world.refusals()


def test_a_lost_member_is_refused_whatever_is_selected() -> None:
    world = deployed()
    world[2].up = False
    world[2].data = ABSENT
    assert "it lost its data" in world.refusals({"master-1"})


@pytest.mark.parametrize("others_lost_too", [False, True])
def test_a_lost_member_is_refused_where_no_quorum_answers(*, others_lost_too: bool) -> None:
    world = stopped()
    world[1].data = ABSENT
    if others_lost_too:
        world[2].data = ABSENT
    assert world.refusals().count("the member lost its data") == 1 + others_lost_too


@pytest.mark.parametrize("life", ["new", "live", "down"])
@pytest.mark.parametrize("wrong", ["cluster", "member", "both"])
def test_foreign_data_are_refused_and_named(life: str, wrong: str) -> None:
    world = {"new": World, "live": deployed, "down": stopped}[life]()
    own = world[2].bootstrapped(world.cluster)
    found = {
        "cluster": replace(own, cluster_id=FOREIGN.cluster_id),
        "member": replace(own, node_id=world[1].bootstrapped(world.cluster).node_id),
        "both": FOREIGN,
    }[wrong]
    world[2].data = found
    world[2].up = False
    said = world.refusals()
    assert "master-2: /var/lib/etcd holds foreign data: wanted member " in said
    assert f"found member {hexadecimal(found.node_id)} of cluster {hexadecimal(found.cluster_id)}" in said
    assert "it is left untouched" in said


@pytest.mark.parametrize("size", [1, 3])
def test_foreign_data_on_every_host_are_no_cluster_to_be_started(size: int) -> None:
    """Hosts that are used again, with the data of a former cluster on each."""
    world = World(size)
    for number in range(1, size + 1):
        world[number].data = replace(FOREIGN, node_id=number)
    assert world.refusals().count("holds foreign data") == size


def test_members_whose_data_were_swapped_are_refused() -> None:
    world = stopped()
    world[1].data, world[2].data = world[2].data, world[1].data
    said = world.refusals()
    assert "master-1: /var/lib/etcd holds foreign data" in said
    assert "master-2: /var/lib/etcd holds foreign data" in said


def test_a_cluster_that_has_grown_since_its_bootstrap_is_known_by_its_own_agreement() -> None:
    world = stopped()
    world[1].data = replace(world[1].bootstrapped(world.cluster), cluster_id=0xC)
    world[2].data = DataDirectory("member", 0x2, 0xC, ("member",))
    world[3].data = DataDirectory("member", 0x3, 0xC, ("member",))
    assert not world.plan().refusals
    world[3].data = DataDirectory("member", 0x2, 0xC, ("member",))
    assert "holds foreign data" in world.refusals()


def test_data_of_a_host_that_the_live_cluster_does_not_know_are_foreign() -> None:
    world = deployed()
    world.unlisted = frozenset({"master-3"})
    world[3].up = False
    world[3].data = FOREIGN
    said = world.refusals()
    assert "master-3: /var/lib/etcd holds foreign data: wanted none, since it is no member of cluster " in said
    assert "is not in the live member list" in said


@pytest.mark.parametrize("life", ["new", "live"])
def test_a_directory_with_something_else_in_it_is_refused(life: str) -> None:
    world = {"new": World, "live": deployed}[life]()
    world[2].up = False
    world[2].data = DataDirectory("other", content=("backup.tar", "notes"))
    said = world.refusals()
    assert "master-2: /var/lib/etcd holds something that is no etcd data: wanted absent or empty" in said
    assert "found backup.tar, notes" in said


@pytest.mark.parametrize("life", ["new", "live", "down"])
def test_a_directory_that_could_not_be_read_is_refused(life: str) -> None:
    world = {"new": World, "live": deployed, "down": stopped}[life]()
    world[2].data = Unknown("/var/lib/etcd could not be listed")
    said = world.refusals()
    assert "master-2: /var/lib/etcd could not be read: /var/lib/etcd could not be listed" in said


def test_own_data_are_started_from_without_being_prepared() -> None:
    world = stopped()
    for node in world.nodes.values():
        node.manifest = None
    assert {step.action for step in world.plan().steps} == {"start-member"}
    world.carry_out(world.plan())
    assert not world.plan().steps


def test_a_cluster_that_is_down_is_started_side_by_side() -> None:
    """None of its members could answer alone."""
    world = stopped()
    for node in world.nodes.values():
        differ(node)
    (wave,) = world.plan().waves
    assert [step.action for step in wave] == ["start-member"] * 3
    world.carry_out(world.plan())
    assert not world.plan().steps


def test_a_first_start_that_was_broken_off_is_left_to_the_kubelet_and_told() -> None:
    world = deployed()
    world[2].up = False
    world[2].data = DataDirectory("other", content=("member", "member/snap"))
    said = world.refusals()
    assert said.startswith("master-2: /var/lib/etcd holds a first start that was broken off, or has lost its log")
    assert "move it aside" not in said


def test_data_without_a_log_and_a_manifest_are_somebody_elses() -> None:
    world = deployed()
    world[2].up = False
    world[2].manifest = None
    world[2].data = DataDirectory("other", content=("member", "member/snap"))
    assert "move it aside" in world.refusals()
