"""What holds for every change of version, wherever the controller is killed and whatever does not come up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.manifest import image_of
from nornir_etcd.plan.step import Plan
from tests.unit.builders import UPGRADE, World, deployed
from tests.unit.plan.rollout import End, Kill, lines, planned, run

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = {
    "patch": ("3.5.30-0", "3.5.33-0"),
    "back a patch": ("3.5.33-0", "3.5.30-0"),
    "another build": ("3.5.33-0", "3.5.33-1"),
    "3.4 to 3.5": ("3.4.35-0", "3.5.33-0"),
    "3.5 to 3.6": ("3.5.33-0", "3.6.14-0"),
    "3.6 to 3.7": ("3.6.14-0", "3.7.1-0"),
    "3.7 to 3.6": ("3.7.1-0", "3.6.14-0"),
    "3.6 to 3.5": ("3.6.14-0", "3.5.33-0"),
}
MANY = 30
"""More runs than any change takes: one that is not over by then goes in circles."""

kills = st.lists(
    st.builds(
        Kill,
        after=st.integers(0, 12),
        torn=st.sampled_from(["", "written", "replaced"]),
        seconds=st.sampled_from([5.0, 120.0, 7200.0]),
        acts=st.booleans(),
    ),
    max_size=6,
)
sizes = st.sampled_from([3, 5])
ways = st.sampled_from(list(WAYS.values()))


def on_the_way(size: int, leader: int, way: tuple[str, str]) -> World:
    """Return a healthy cluster of the former version, whose inventory wants the next one."""
    world = deployed(size, etcd_version=way[0])
    world.leads = f"master-{1 + leader % size}"
    world.want(etcd_version=way[1])
    return world


def through(world: World, killed: Sequence[Kill], **keywords: bool) -> End:
    """Run the same command again and again: killed so often, then to its end."""
    for kill in [*killed, *[None] * MANY]:
        end = run(world, kill, **keywords)
        if end.how == "refused":
            assert end.why
            world.settle()  # what was refused is a member that does not answer yet
        elif end.how != "killed":
            return end
    raise AssertionError("the same command goes in circles")


def assert_there(world: World, tag: str) -> None:
    assert {node.version for node in world.nodes.values()} == {tag.partition("-")[0]}
    assert {image_of(node.manifest or "").rpartition(":")[2] for node in world.nodes.values()} == {tag}
    assert world.running == world.names
    assert world.downgrade is None
    assert planned(world) == Plan(notes=(f"every member runs {tag} already",))


@settings(deadline=None, max_examples=40)
@given(sizes, st.integers(0, 4), ways, kills)
def test_wherever_the_controller_is_killed_the_same_command_reaches_the_release(
    size: int, leader: int, way: tuple[str, str], killed: list[Kill]
) -> None:
    world = on_the_way(size, leader, way)
    assert through(world, killed) == End("done")
    assert_there(world, way[1])


@pytest.mark.parametrize("name", ["patch", "another build", "3.5 to 3.6", "3.6 to 3.5"])
def test_a_controller_killed_once_at_every_boundary_goes_on(name: str) -> None:
    way = WAYS[name]
    steps = planned(on_the_way(3, 1, way)).steps
    boundaries = [Kill(after) for after in range(len(steps))]
    within = [number for number, step in enumerate(steps) if step.action == "upgrade-member"]
    moments = [("written", 5.0, False), ("written", 120.0, False), ("replaced", 5.0, False), ("replaced", 5.0, True)]
    for kill in [*boundaries, *(Kill(after, *moment) for after in within for moment in moments)]:
        world = on_the_way(3, 1, way)
        assert run(world, kill) == End("killed")
        assert through(world, []) == End("done"), kill
        assert_there(world, way[1])


@settings(deadline=None, max_examples=20)
@given(sizes, ways, st.lists(st.integers(1, 5), min_size=1, max_size=20))
def test_leadership_that_wanders_meanwhile_does_not_matter(size: int, way: tuple[str, str], leaders: list[int]) -> None:
    world = on_the_way(size, 0, way)
    ahead = iter(leaders)

    def elect() -> None:
        world.leads = f"master-{1 + next(ahead, 1) % size}"

    assert run(world, meanwhile=elect) == End("done")
    assert_there(world, way[1])


@settings(deadline=None, max_examples=25)
@given(sizes, st.integers(0, 4), ways)
def test_undisturbed_every_member_is_stopped_once_and_the_leader_last(
    size: int, leader: int, way: tuple[str, str]
) -> None:
    world = on_the_way(size, leader, way)
    led = world.leader
    assert run(world) == End("done")
    stopped = [step.host for step in world.done if step.action == "upgrade-member"]
    assert sorted(stopped) == sorted(world.names)
    assert stopped[-1] == led
    assert [step.action for step in world.done][-2:] == ["move-leader", "upgrade-member"]
    assert sum(step.action == "save-snapshot" for step in world.done) == 1
    assert sum(step.action == "enable-downgrade" for step in world.done) == (way[0] > way[1] and way[0][2] != way[1][2])


@settings(deadline=None, max_examples=30)
@given(sizes, st.integers(0, 4), ways, st.integers(1, 5), kills)
def test_a_member_on_which_the_target_never_comes_up_is_put_back_and_the_others_are_left(
    size: int, leader: int, way: tuple[str, str], chosen: int, killed: list[Kill]
) -> None:
    world = on_the_way(size, leader, way)
    node = world[1 + chosen % size]
    world.broken = {(node.name, node.member.settings.etcd_image)}
    old = node.manifest
    end = through(world, killed)
    assert end == End("rolled back")
    assert (node.manifest, node.up) == (old, True)
    assert world.running == world.names
    before = {name: one.manifest for name, one in world.nodes.items()}
    assert run(world) == End("rolled back"), "the same command does the same"
    assert {name: one.manifest for name, one in world.nodes.items()} == before
    world.want(etcd_version=way[0])
    if world.downgrade:
        told = planned(world)
        assert "cancel it: etcdctl downgrade cancel" in " ".join([*told.refusals, *told.notes])
        assert told.refusals or not told.steps
        world.downgrade = None
    assert through(world, []) == End("done"), "and so does the way back for all"
    assert_there(world, way[0])


@pytest.mark.parametrize("name", ["patch", "another build", "3.5 to 3.6", "3.6 to 3.5"])
@pytest.mark.parametrize("chosen", [1, 2, 3])
@pytest.mark.parametrize(("torn", "seconds"), [("written", 5.0), ("written", 120.0), ("replaced", 5.0)])
def test_a_target_that_does_not_come_up_is_gone_back_from_also_after_a_kill(
    name: str, chosen: int, torn: str, seconds: float
) -> None:
    world = on_the_way(3, 1, WAYS[name])
    world.broken = {(f"master-{chosen}", world[chosen].member.settings.etcd_image)}
    after = [step.id for step in planned(world).steps].index(f"master-{chosen}/upgrade-member")
    assert run(world, Kill(after, torn, seconds, acts=False)) == End("killed")
    assert run(world) == End("rolled back"), "at once: it is not refused for the member that was begun"
    assert world.running == world.names


@pytest.mark.parametrize(
    ("way", "other"),
    [(WAYS["patch"], "3.5.32-0"), (WAYS["another build"], "3.5.33-2"), (WAYS["3.5 to 3.6"], "3.6.13-0")],
)
@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_another_target_then_succeeds(way: tuple[str, str], other: str, chosen: int) -> None:
    world = on_the_way(3, 1, way)
    world.broken = {(f"master-{chosen}", world[chosen].member.settings.etcd_image)}
    assert run(world) == End("rolled back")
    world.want(etcd_version=other)
    assert run(world) == End("done")
    assert_there(world, other)


@settings(deadline=None, max_examples=20)
@given(ways, kills)
def test_the_only_member_is_changed_where_downtime_is_accepted_wherever_the_controller_is_killed(
    way: tuple[str, str], killed: list[Kill]
) -> None:
    world = on_the_way(1, 0, way)
    assert "say --accept-downtime" in run(world).why
    assert through(world, killed, accept_downtime=True) == End("done")
    assert_there(world, way[1])


@pytest.mark.parametrize("killed", [(), (Kill(2, "replaced"),), (Kill(2, "written"),)])
def test_the_only_member_is_put_back_within_its_minor_alone(killed: tuple[Kill, ...]) -> None:
    world = on_the_way(1, 0, WAYS["patch"])
    world.broken = {("master-1", world[1].member.settings.etcd_image)}
    assert through(world, killed, accept_downtime=True) == End("rolled back")
    assert world.running == world.names
    world = on_the_way(1, 0, WAYS["3.5 to 3.6"])
    world.broken = {("master-1", world[1].member.settings.etcd_image)}
    end = through(world, killed, accept_downtime=True)
    assert end.how == "failed"
    assert "wanted a member that still runs 3.5" in end.why


@settings(deadline=None, max_examples=8)
@given(sizes, st.integers(0, 4), kills)
def test_never_more_than_two_minors_run_side_by_side(size: int, leader: int, killed: list[Kill]) -> None:
    """The builder refuses a third one; here each stage of a long way is gone with the members of the one before."""
    world = deployed(size, etcd_version="3.4.35-0")
    world.leads = f"master-{1 + leader % size}"
    for stage in ("3.5.33-0", "3.6.14-0", "3.7.1-0"):
        world.want(etcd_version=stage)
        assert through(world, killed) == End("done")
        assert lines(world) == {stage.partition("-")[0].rpartition(".")[0]}


@settings(deadline=None, max_examples=20)
@given(sizes, ways, st.sets(st.integers(1, 5)), st.booleans())
def test_a_plan_has_every_selected_member_once_or_a_reason(
    size: int, way: tuple[str, str], down: set[int], downtime: bool
) -> None:
    world = on_the_way(size, 1, way)
    for number in down:
        if number <= size:
            world[number].up = False
    found = world.plan(allowed=UPGRADE, accept_downtime=downtime)
    if world.running == world.names:
        assert {step.host for step in found.steps if step.action == "upgrade-member"} == world.names
    else:
        assert found.refusals
