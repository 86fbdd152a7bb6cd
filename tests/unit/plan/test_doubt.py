"""A member that the controller cannot ask may serve everybody else: nothing is restarted on that."""

from __future__ import annotations

from dataclasses import replace

from nornir_etcd.observation import ClusterObservation, EndpointObservation, Unknown
from nornir_etcd.signers.local import Pair
from tests.unit.builders import World, deployed, differ

NO_CERTIFICATE = Unknown("certs/example: wanted a CA and a client certificate of the controller, found none")
FILTERED = Unknown("no answer to the TCP connection within 3 s")


def unasked(why: Unknown) -> EndpointObservation:
    return EndpointObservation(True, True, why, why, why, why, why, why, blind=why)


def unseen(world: World, *numbers: int, why: Unknown = NO_CERTIFICATE) -> ClusterObservation:
    """What the controller sees where it cannot ask some members."""
    observation = world.observe()
    return replace(observation, endpoints=observation.endpoints | {f"master-{n}": unasked(why) for n in numbers})


def all_differ(size: int) -> World:
    world = deployed(size)
    for node in world.nodes.values():
        differ(node)
    return world


def test_a_cluster_that_cannot_be_asked_for_want_of_a_client_certificate_gets_that_first_and_is_asked_again() -> None:
    world = all_differ(3)
    world.store = replace(world.store, client=Pair())
    world.seen = unseen(world, 1, 2, 3)
    planned = world.plan()
    assert [step.id for step in planned.steps] == ["controller/issue-client"]
    assert planned.again
    assert len(planned.notes) == 3
    world.carry_out(planned)
    world.seen = None
    assert [len(wave) for wave in world.plan().waves if wave[0].disruptive] == [1, 1, 1]


def test_a_cluster_behind_a_firewall_is_not_restarted() -> None:
    world = all_differ(3)
    world.seen = unseen(world, 1, 2, 3, why=FILTERED)
    said = world.refusals()
    assert said.count("the controller cannot tell whether it serves: no answer to the TCP connection") == 3


def test_a_cluster_that_is_known_to_be_down_is_started_all_the_same() -> None:
    world = all_differ(3)
    for node in world.nodes.values():
        node.up = False
    world.seen = unseen(world, 1, 2, 3, why=FILTERED)
    assert [len(wave) for wave in world.plan().waves] == [3]


def test_an_unseen_member_that_the_quorum_may_hang_on_is_not_restarted() -> None:
    world = deployed(3)
    world[3].up = False
    differ(world[2])
    world.seen = unseen(world, 2, why=FILTERED)
    assert "master-2: not stopped, quorum would be lost (1 of 3 voters stay" in world.refusals()


def test_an_unseen_member_beside_a_seen_quorum_is_restarted_after_a_fresh_look() -> None:
    world = deployed(3)
    differ(world[2])
    world.seen = unseen(world, 2, why=FILTERED)
    (step,) = world.plan().steps
    assert (step.id, step.disruptive) == ("master-2/start-member", True)
    assert step.margin.startswith("2 of 3 voters stay")


def test_nothing_is_doubted_where_nothing_is_to_be_restarted() -> None:
    world = deployed(3)
    world.seen = unseen(world, 1, 2, 3, why=FILTERED)
    planned = world.plan()
    assert not planned.refusals
    assert not planned.steps
