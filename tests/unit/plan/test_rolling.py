"""A manifest that differs on members that serve: one at a time, the leader last, never below quorum."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.observation import Alarm, EndpointObservation, Unknown
from nornir_etcd.plan.quorum import Margin
from tests.unit.builders import GUARD, SILENT, World, deployed, differ


def differing(size: int = 3, *numbers: int) -> World:
    """Return a healthy cluster with another manifest on some hosts; on all, where none is named."""
    world = deployed(size)
    for number in numbers or range(1, size + 1):
        differ(world[number])
    return world


def waves(world: World, *scope: str) -> list[list[str]]:
    """Return the plan's waves, but for the change of the leader, which has tests of its own."""
    planned = world.plan(scope or None).waves
    return [[step.id for step in wave] for wave in planned if wave[0].action != "move-leader"]


def test_another_member_leads_before_the_leader_is_restarted() -> None:
    steps = [step.id for step in differing().plan().steps]
    assert steps[-2:] == ["master-2/move-leader", "master-2/replace-manifest"]
    assert sum(step.endswith("move-leader") for step in steps) == 1
    assert not any("move-leader" in step.id for step in differing(3, 1, 3).plan().steps), "the leader goes on"
    assert not any("move-leader" in step.id for step in differing(1).plan(accept_downtime=True).steps), "no other one"


@pytest.mark.parametrize("leader", [1, 2, 3])
def test_a_cluster_of_three_is_rolled_one_by_one_with_the_leader_last(leader: int) -> None:
    world = differing()
    world.leads = f"master-{leader}"
    order = [number for number in (1, 2, 3) if number != leader] + [leader]
    assert waves(world) == [[f"master-{number}/replace-manifest"] for number in order]
    world.carry_out(world.plan())
    assert not world.plan().steps


def test_a_cluster_of_five_is_rolled_one_by_one_with_the_leader_last() -> None:
    world = differing(5)
    assert waves(world) == [[f"master-{number}/replace-manifest"] for number in (1, 3, 4, 5, 2)]


def test_a_roll_is_disruptive_and_says_how_many_stay() -> None:
    for size, margin in ((3, "2 of 3 voters stay, quorum 2: survives 0 more failures"), (5, "survives 1 more failure")):
        for step in differing(size).plan().steps:
            assert step.disruptive == (step.action == "replace-manifest")
            assert (margin in step.margin) == step.disruptive
    assert not any(step.disruptive for step in World().plan().steps)


@pytest.mark.parametrize(
    ("margin", "text"),
    [
        (Margin(4, 5), "4 of 5 voters stay, quorum 3: survives 1 more failure"),
        (Margin(6, 7), "6 of 7 voters stay, quorum 4: survives 2 more failures"),
        (Margin(2, 3), "2 of 3 voters stay, quorum 2: survives 0 more failures"),
        (Margin(1, 2), "1 of 2 voters stay, quorum 2: below quorum"),
    ],
)
def test_a_margin_tells_what_one_more_failure_would_do(margin: Margin, text: str) -> None:
    assert str(margin) == text


def test_only_the_hosts_that_differ_are_touched() -> None:
    world = differing(3, 3)
    assert waves(world) == [["master-3/replace-manifest"]]
    assert '-    - "--snapshot-count=5000"\n' in world.plan().steps[0].diff


def test_only_the_selected_hosts_are_touched_and_the_whole_cluster_counts() -> None:
    world = differing()
    assert waves(world, "master-3") == [["master-3/replace-manifest"]]
    world[1].up = False
    assert "quorum would be lost (1 of 3 voters stay" in world.refusals({"master-3"})


def test_an_unhealthy_member_is_mended_first() -> None:
    world = differing()
    world[3].up = False
    assert waves(world) == [["master-3/start-member"], ["master-1/replace-manifest"], ["master-2/replace-manifest"]]
    world.carry_out(world.plan())
    assert not world.plan().steps


def test_unhealthy_members_of_a_cluster_that_lives_are_restarted_one_by_one() -> None:
    """Unhealthy is how the controller sees them: a member behind a firewall may be one of the quorum."""
    world = differing(5)
    world[3].up = world[4].up = False
    assert waves(world)[:3] == [["master-3/start-member"], ["master-4/start-member"], ["master-1/replace-manifest"]]


def test_members_that_have_never_started_join_a_live_bootstrap_side_by_side() -> None:
    world = deployed(5)
    for number in (4, 5):
        world[number].data, world[number].manifest = GUARD, None
        world[number].up = world[number].published = False
    assert waves(world) == [["master-4/start-member", "master-5/start-member"]]


def test_a_roll_that_was_killed_goes_on_after_the_member_that_is_still_starting() -> None:
    world = differing(3, 2, 3)
    world[1].up, world[1].manifest_age = False, 5.0
    assert waves(world) == [["master-1/await-member"], ["master-3/replace-manifest"], ["master-2/replace-manifest"]]
    world.carry_out(world.plan())
    assert not world.plan().steps


def test_a_member_that_is_down_for_long_stops_the_roll() -> None:
    world = differing(3, 2, 3)
    world[1].up = False
    said = world.refusals()
    assert said.count("quorum would be lost (1 of 3 voters stay, quorum 2: below quorum)") == 2
    assert "make the other members healthy first" in said


def test_a_cluster_of_two_is_not_rolled() -> None:
    said = differing(2).refusals(accept_downtime=True)
    assert "master-1: not stopped, quorum would be lost (1 of 2 voters stay, quorum 2: below quorum)" in said


def test_the_only_member_is_stopped_only_where_downtime_is_accepted() -> None:
    world = differing(1)
    said = world.refusals()
    assert said == "master-1: the only member, stopping it stops etcd; say --accept-downtime if that is meant"
    planned = world.plan(accept_downtime=True)
    assert [step.id for step in planned.steps] == ["master-1/replace-manifest"]
    world.carry_out(planned)
    assert not world.plan().steps


def test_downtime_that_is_accepted_does_not_allow_to_go_below_quorum() -> None:
    world = differing(3, 2)
    world[1].up = False
    assert "quorum would be lost" in world.refusals(accept_downtime=True)


def test_nothing_is_stopped_while_a_member_is_corrupt() -> None:
    world = differing()
    world.alarms = (Alarm(1, "CORRUPT"),)
    assert world.refusals().count("not stopped while etcd has raised a CORRUPT alarm") == 3


def test_a_full_member_does_not_stop_a_roll() -> None:
    world = differing()
    world.alarms = (Alarm(1, "NOSPACE"),)
    assert world.plan().steps


def test_nothing_is_stopped_where_no_member_tells_its_alarms() -> None:
    world = differing()
    world.alarms = Unknown("deadline exceeded")
    assert "alarms" in world.refusals()


def test_nothing_is_stopped_where_no_member_tells_the_member_list() -> None:
    world = differing()
    observation = world.observe()
    for name, endpoint in observation.endpoints.items():
        observation.endpoints[name] = replace(endpoint, members=Unknown("deadline exceeded"))
    world.seen = observation
    assert "member list" in world.refusals()


def test_nothing_is_stopped_where_the_runtime_does_not_answer() -> None:
    """Whether a new container runs could not be told from the one before."""
    world = differing(3, 1)
    world[1].images = Unknown("containers of the runtime could not be listed")
    assert "master-1: the runtime" in world.refusals()
    world = differing(3, 1)
    world[2].images = Unknown("containers of the runtime could not be listed")
    assert world.plan().steps


def test_nothing_is_started_where_the_runtime_does_not_answer() -> None:
    world = World()
    world[2].images = Unknown("images of the runtime could not be listed: crictl: not found")
    said = world.refusals()
    assert said == (
        "master-2: the runtime could not be asked: images of the runtime could not be listed: crictl: not found; "
        "see that crictl works on the host"
    )


@pytest.mark.parametrize("pending", ["learner", "unnamed", "unstarted"])
def test_nothing_is_stopped_while_another_member_has_not_joined(pending: str) -> None:
    world = differing(3, 1)
    world[3].up = False
    entry = world.entry(world[3])
    if pending == "learner":
        world.entries["master-3"] = replace(entry, is_learner=True)
    elif pending == "unnamed":
        world.entries["master-3"] = replace(entry, name="", client_urls=())
    else:
        world.entries["master-3"] = replace(entry, client_urls=())
    assert "master-1: not stopped while " in world.refusals({"master-1"})


def test_an_endpoint_of_another_cluster_is_no_healthy_voter() -> None:
    """What answers on the address of a host that cannot be read may be anybody's etcd."""
    world = differing(3, 1)
    world[3].error = Unknown("master-3: connection refused")
    observation = world.observe()
    endpoint = observation.endpoints["master-3"]
    assert not isinstance(endpoint.status, Unknown)
    foreign = replace(endpoint.status, cluster_id=7, member_id=8, leader=8)
    observation.endpoints["master-3"] = replace(endpoint, status=foreign)
    world.seen = observation
    assert "quorum would be lost (1 of 3 voters stay" in world.refusals({"master-1"})


def test_the_member_list_of_a_member_that_has_lost_its_quorum_is_not_believed() -> None:
    world = differing(3, 1)
    world[2].up = world[3].up = False
    observation = world.observe()
    stale = replace(observation.endpoints["master-1"], members=deployed().observe().endpoints["master-1"].members)
    assert stale.read_seconds == Unknown("context deadline exceeded")
    observation.endpoints["master-1"] = stale
    world.seen = observation
    assert [step.action for step in world.plan().steps] == ["start-member"]


def test_a_leader_that_nobody_names_leaves_the_order_of_the_inventory() -> None:
    world = differing()
    observation = world.observe()
    for name, endpoint in observation.endpoints.items():
        assert not isinstance(endpoint.status, Unknown)
        observation.endpoints[name] = replace(endpoint, status=replace(endpoint.status, leader=99))
    world.seen = observation
    assert waves(world) == [[f"master-{number}/replace-manifest"] for number in (1, 2, 3)]


def test_the_newest_term_names_the_leader() -> None:
    world = differing()
    observation = world.observe()
    endpoint = observation.endpoints["master-1"]
    assert not isinstance(endpoint.status, Unknown)
    newer = replace(endpoint.status, raft_term=3, leader=endpoint.status.member_id)
    observation.endpoints["master-1"] = replace(endpoint, status=newer)
    world.seen = observation
    assert waves(world)[-1] == ["master-1/replace-manifest"]


def test_a_member_that_knows_no_leader_is_not_healthy() -> None:
    world = differing(3, 1)
    observation = world.observe()
    endpoint = observation.endpoints["master-3"]
    assert not isinstance(endpoint.status, Unknown)
    observation.endpoints["master-3"] = replace(endpoint, status=replace(endpoint.status, leader=0))
    world.seen = observation
    assert "quorum would be lost" in world.refusals()


def test_a_host_whose_endpoint_was_not_asked_is_not_healthy() -> None:
    world = differing(3, 1)
    observation = world.observe()
    observation.endpoints["master-3"] = EndpointObservation(client_port=SILENT, peer_port=SILENT)
    world.seen = observation
    assert "quorum would be lost" in world.refusals()
