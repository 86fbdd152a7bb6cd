"""A learner that did not come up is removed again, where that is known to take nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.observation import Unknown
from nornir_etcd.plan.step import Step
from nornir_etcd.plan.withdrawal import withdrawal
from tests.unit.builders import World, deployed

FAILED = Step("master-3", "start-learner", "a reason", "before", "after", "back")


def learning() -> World:
    """Return two voters, and a learner on the third host that does not run."""
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), name="", client_urls=(), is_learner=True)
    world[3].up = False
    return world


def withdrawn(world: World) -> list[tuple[str, str, int]]:
    steps = withdrawal(world.cluster, world.observe(), FAILED)
    assert not isinstance(steps, str)
    assert not any(step.disruptive for step in steps), "it has no vote"
    return [(step.host, step.action, step.member_id) for step in steps]


def test_its_data_go_first_and_then_its_entry() -> None:
    world = learning()
    number = world.entry(world[3]).id
    assert withdrawn(world) == [("master-3", "set-data-aside", 0), ("master-3", "remove-member", number)]


def test_where_its_host_cannot_be_read_the_entry_goes_alone() -> None:
    world = learning()
    world[3].error = Unknown("no route to host")
    assert withdrawn(world) == [("master-3", "remove-member", world.entry(world[3]).id)]


def test_where_the_list_does_not_have_it_its_host_is_as_before() -> None:
    world = learning()
    world.unlisted = frozenset({"master-3"})
    assert withdrawn(world) == [("master-3", "set-data-aside", 0)]


@pytest.mark.parametrize("action", ["start-learner", "promote-member"])
def test_a_member_that_was_promoted_all_the_same_stays(action: str) -> None:
    world = learning()
    del world.entries["master-3"]
    said = withdrawal(world.cluster, world.observe(), replace(FAILED, action=action))  # type: ignore[arg-type]  # of two
    assert said == "it was promoted all the same; the same command goes on with it"


def test_without_a_quorum_it_stays() -> None:
    world = learning()
    world[1].up = world[2].up = False
    said = withdrawal(world.cluster, world.observe(), FAILED)
    assert said == "the learner was not removed again: no quorum answers; the same command goes on with it"


def test_another_learner_is_not_taken_for_it() -> None:
    world = learning()
    world.unlisted = frozenset({"master-3"})
    world.more = (replace(world.entry(world[3]), id=7, peer_urls=("https://192.0.2.99:2380",)),)
    assert withdrawn(world) == [("master-3", "set-data-aside", 0)]
