"""Nothing is started where its health could not be seen afterwards."""

from __future__ import annotations

from dataclasses import replace

from nornir_etcd.observation import EndpointObservation, Unknown
from tests.unit.builders import World, deployed, differ

FORBIDDEN = Unknown("sshd lets nobody through")


def hide(world: World, *numbers: int) -> None:
    """Let the controller not look at some members' ports."""
    observation = world.observe()
    hidden = EndpointObservation(*(8 * [FORBIDDEN]), blind=FORBIDDEN, via="ssh")
    world.seen = replace(observation, endpoints=observation.endpoints | {f"master-{n}": hidden for n in numbers})


def test_a_bootstrap_is_refused_before_anything_is_made() -> None:
    world = World(3)
    hide(world, 1, 3)
    assert world.refusals().splitlines() == [
        f"master-{n}: not started, since its health could not be seen afterwards: sshd lets nobody through"
        for n in (1, 3)
    ]


def test_a_member_is_not_restarted_unseen_beside_a_seen_quorum() -> None:
    world = deployed(3)
    differ(world[2])
    hide(world, 2)
    assert "master-2: not started, since its health could not be seen" in world.refusals()


def test_a_member_that_is_left_alone_may_be_unseen() -> None:
    world = deployed(5)
    differ(world[1])
    hide(world, 2)
    assert [step.id for step in world.plan().steps] == ["master-1/replace-manifest"]


def test_a_member_that_would_be_waited_for_in_vain_is_not() -> None:
    world = deployed(3)
    world[3].manifest_age = 5.0
    hide(world, 3)
    assert "master-3: not started, since its health could not be seen" in world.refusals()


def test_a_host_that_could_not_be_read_is_named_for_that() -> None:
    world = World(3)
    world[2].error = Unknown("master-2: no SSH session")
    hide(world, 2)
    assert world.refusals() == "master-2: no SSH session"
