"""What holds for the plan of any cluster, whatever of it is down, differs, or is selected."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.cluster import quorum
from tests.unit.builders import World, deployed, differ

MOVING = ("start-member", "replace-manifest")


@dataclass(frozen=True)
class Shape:
    """One member: whether it runs, whether its manifest differs, how old that is, and whether it is selected."""

    up: bool
    differs: bool
    age: float
    selected: bool


shapes = st.builds(
    Shape,
    up=st.sampled_from([True, True, True, False]),
    differs=st.booleans(),
    age=st.sampled_from([1.0, 86400.0]),
    selected=st.sampled_from([True, True, True, False]),
)
clusters = st.lists(shapes, min_size=1, max_size=7)


def built(members: list[Shape], leader: int) -> World:
    world = deployed(len(members))
    world.leads = f"master-{1 + leader % len(members)}"
    for number, shape in enumerate(members, start=1):
        node = world[number]
        node.up, node.manifest_age = shape.up, shape.age
        if shape.differs:
            differ(node)
    return world


def scope_of(members: list[Shape]) -> set[str]:
    return {f"master-{number}" for number, shape in enumerate(members, start=1) if shape.selected}


@settings(deadline=None, max_examples=150)
@given(clusters, st.integers(0, 6), st.booleans())
def test_no_plan_stops_so_many_that_a_quorum_is_lost(members: list[Shape], leader: int, downtime: bool) -> None:
    world = built(members, leader)
    planned = world.plan(scope_of(members), accept_downtime=downtime)
    for wave in planned.waves:
        had_quorum = world.has_quorum
        for step in wave:
            if step.disruptive:
                assert len(wave) == 1, "one at a time"
                assert had_quorum
                assert world.nodes[step.host].up
            if step.action in MOVING:
                world.nodes[step.host].up = False
        if had_quorum and not (downtime and len(members) == 1):
            assert len(world.running) >= quorum(len(members)), [step.id for step in wave]
        for step in wave:
            world.carry_out_step(step)
        if not world.has_quorum:  # a member that was selected cannot answer without one that was not: the run fails
            return
    again = world.plan(scope_of(members), accept_downtime=downtime)
    assert planned.refusals or not again.steps
    assert again.refusals == planned.refusals


@settings(deadline=None, max_examples=150)
@given(clusters, st.integers(0, 6))
def test_every_selected_host_that_differs_is_in_the_plan_exactly_once(members: list[Shape], leader: int) -> None:
    world = built(members, leader)
    scope = scope_of(members)
    planned = world.plan(scope, accept_downtime=True)
    moved = [step.host for step in planned.steps if step.action in MOVING]
    if planned.refusals:
        assert not planned.steps
        return
    assert len(set(moved)) == len(moved)
    assert set(moved) == scope & {f"master-{n}" for n, shape in enumerate(members, start=1) if shape.differs}
    assert {step.host for step in planned.steps} <= scope


@settings(deadline=None, max_examples=150)
@given(clusters, st.integers(0, 6))
def test_unhealthy_members_come_first_and_the_leader_last(members: list[Shape], leader: int) -> None:
    world = built(members, leader)
    steps = world.plan(scope_of(members), accept_downtime=True).steps
    actions = [step.action for step in steps if step.action != "move-leader"]
    assert actions == sorted(actions, key=lambda action: action == "replace-manifest")
    if world.leader in {step.host for step in steps}:
        assert steps[-1].host == world.leader


@settings(deadline=None, max_examples=100)
@given(clusters, st.integers(0, 6))
def test_a_healthy_majority_is_never_refused_for_quorum(members: list[Shape], leader: int) -> None:
    """Where at least one more than a quorum runs, every selected host that differs can be worked on."""
    world = built(members, leader)
    if len(world.running) > quorum(len(members)):
        assert not world.plan(scope_of(members)).refusals
