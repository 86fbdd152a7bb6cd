"""A new cluster, also where an earlier run was killed on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.manifest import command_flags
from nornir_etcd.observation import Unknown
from tests.unit.builders import EMPTY, GUARD, World, deployed


def actions(world: World) -> list[tuple[str, list[str]]]:
    """Return the waves of the plan: action and hosts (by number) of each."""
    found: list[tuple[str, list[str]]] = []
    for wave in world.plan().waves:
        (action,) = {step.action for step in wave}
        found.append((action, [step.host[-1:] for step in wave]))
    return found


def finish(world: World) -> None:
    """Carry the plan out; it must lead to a healthy cluster on which nothing differs."""
    world.carry_out(world.plan())
    assert world.running == world.names
    assert not world.plan().steps


def test_a_new_cluster_starts_with_all_members_in_one_wave() -> None:
    assert actions(World()) == [
        ("make-ca", [""]),
        ("issue-client", [""]),
        ("issue-certificate", ["1", "2", "3"]),
        ("pull-image", ["1", "2", "3"]),
        ("prepare-member", ["1", "2", "3"]),
        ("start-member", ["1", "2", "3"]),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_second_deploy_changes_nothing(size: int) -> None:
    finish(World(size))


def test_nothing_is_planned_where_nothing_differs() -> None:
    planned = deployed().plan()
    assert (planned.waves, planned.refusals, planned.notes) == ((), (), ())


def test_the_image_is_pulled_only_where_it_is_missing() -> None:
    world = World()
    world[2].images = frozenset({world[2].member.settings.etcd_image})
    assert ("pull-image", ["1", "3"]) in actions(world)


def test_an_empty_data_directory_is_as_good_as_none() -> None:
    world = World()
    world[1].data = EMPTY
    finish(world)


def test_a_start_shows_the_whole_manifest_as_its_diff() -> None:
    starts = [step for step in World().plan().steps if step.action == "start-member"]
    assert all(step.diff.startswith("--- /dev/null\n+++ /etc/kubernetes/manifests/etcd.yaml\n") for step in starts)


@pytest.mark.parametrize("waves", range(6))
def test_a_bootstrap_killed_after_any_wave_is_completed_by_the_same_plan(waves: int) -> None:
    world = World()
    whole = [wave[0].action for wave in world.plan().waves]
    world.carry_out(world.plan(), waves=waves)
    assert [wave[0].action for wave in world.plan().waves] == whole[waves:]
    finish(world)


@pytest.mark.parametrize("prepared", [1, 2])
def test_a_bootstrap_killed_while_it_prepared_is_completed(prepared: int) -> None:
    world = World()
    planned = world.plan()
    world.carry_out(planned, waves=4)
    for step in planned.waves[4][:prepared]:
        world.carry_out_step(step)
    assert actions(world)[0] == ("prepare-member", ["1", "2", "3"][prepared:])
    finish(world)


@pytest.mark.parametrize("written", [1, 2, 3])
@pytest.mark.parametrize("begun", [False, True])
def test_a_bootstrap_killed_while_it_started_is_completed_and_prepares_nothing_anew(
    written: int, *, begun: bool
) -> None:
    world = World()
    planned = world.plan()
    world.carry_out(planned, waves=5)
    for number in range(1, written + 1):
        node = world[number]
        node.manifest, node.manifest_age = world.wanted[node.name], 10.0
        if begun:  # its WAL is there, with those of as many others as were started
            world.start(node)
    again = world.plan()
    assert "prepare-member" not in {step.action for step in again.steps}
    starts = {step.host for step in again.steps if step.action == "start-member"}
    assert starts == {world[number].name for number in range(written + 1, 4)}
    awaited = {step.host for step in again.steps if step.action == "await-member"}
    assert awaited == (world.names - starts if not world.has_quorum else set())
    finish(world)


def test_a_member_of_a_live_bootstrap_that_never_started_is_started() -> None:
    world = World()
    world.carry_out(world.plan(), waves=5)
    for number in (1, 2):
        world[number].manifest = world.wanted[world[number].name]
        world.start(world[number])
        world[number].published = True
    assert actions(world) == [("start-member", ["3"])]
    finish(world)


@pytest.mark.parametrize("manifest", [False, True])
def test_no_guard_is_made_where_others_have_data_or_a_manifest(*, manifest: bool) -> None:
    world = World()
    world.carry_out(world.plan(), waves=5)
    world[1].manifest = world.wanted["master-1"]
    if not manifest:
        world.start(world[1])
        world[1].manifest = None
    world[3].data = EMPTY
    said = world.refusals()
    assert "master-3: /var/lib/etcd is absent or empty while other members" in said
    assert "master-1" not in said


def test_no_guard_is_made_beside_a_quorum_that_lives() -> None:
    """Its entry may lack client URLs and the member have voted all the same: only the guard shows that it has not."""
    world = deployed()
    world[3].up = world[3].published = False
    world[3].data, world[3].manifest = EMPTY, None
    assert "master-3: /var/lib/etcd is absent or empty while other members" in world.refusals()


@pytest.mark.parametrize("age", [0.0, 149.0, 151.0])
def test_a_member_that_has_written_data_is_awaited_while_its_manifest_is_new(age: float) -> None:
    world = deployed()
    world[1].up = False
    world[1].manifest_age = age
    assert actions(world) == ([("await-member", ["1"])] if age < 150 else [])


def test_a_member_without_data_is_awaited_however_old_its_manifest_is() -> None:
    world = deployed()
    world[1].up = world[1].published = False
    world[1].data = GUARD
    assert actions(world) == [("await-member", ["1"])]


def test_a_bootstrap_of_a_part_of_the_hosts_is_refused() -> None:
    said = World().refusals({"master-1"})
    assert said == "example: a cluster is bootstrapped whole, the selection leaves out master-2, master-3"


def test_the_initial_cluster_is_whole_whatever_is_selected() -> None:
    world = deployed()
    for node in world.nodes.values():
        node.manifest = None
        node.up = False
    steps = world.plan({"master-2"}).steps
    assert [step.id for step in steps] == ["master-2/start-member"]
    assert all(member.peer_url in steps[0].diff for member in world.cluster.members)
    flags = command_flags(world.wanted["master-2"])
    assert flags["initial-cluster"] == world.cluster.initial_cluster


@pytest.mark.parametrize("life", ["new", "starting", "down"])
def test_an_unreachable_host_stops_the_work_on_a_cluster_without_a_quorum(life: str) -> None:
    world = deployed() if life == "down" else World()
    for node in world.nodes.values():
        node.up = False
    if life == "starting":
        world.carry_out(world.plan(), waves=5)
        world[1].manifest = world.wanted["master-1"]
    world[3].error = Unknown("master-3: connection refused")
    assert world.refusals() == "master-3: connection refused"
    assert world.refusals({"master-1"}) == "master-3: connection refused"


def test_an_unreachable_host_of_a_live_cluster_counts_only_where_it_is_selected() -> None:
    world = deployed()
    world[3].error = Unknown("master-3: connection refused")
    world[3].up = False
    assert world.refusals() == "master-3: connection refused"
    assert not world.plan({"master-1", "master-2"}).refusals


def test_a_host_where_the_user_is_not_root_is_refused() -> None:
    world = World()
    observation = world.observe()
    observation.hosts["master-2"] = replace(observation.hosts["master-2"], uid=1000)
    world.seen = observation
    assert world.refusals() == "master-2: wanted root on the host, found uid 1000; log in as root"
