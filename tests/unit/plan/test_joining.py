"""What holds for every change of membership, wherever the controller is killed and whatever does not come up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.observation import DataDirectory, MemberInfo
from tests.unit.builders import ABSENT, DEPLOY, EMPTY, differ
from tests.unit.plan.joining import MEMBERS, End, Kill, World, assert_there, run, through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir_etcd.plan.planner import Difference

FOREIGN = MemberInfo(0xF0, "backup", ("https://192.0.2.200:2380",), (), is_learner=True)


def grow(voters: int, to: int) -> World:
    return World(voters, tuple(range(1, to + 1)))


def shrink() -> World:
    return World(5, (1, 2, 3, 4, 5), absent=(4, 5))


def strangers() -> World:
    return World(5, (1, 2, 3))


def replace_host() -> World:
    world = World(3, (1, 2, 4))
    world[3].up = False
    return world


def replace_healthy() -> World:
    return World(3, (1, 2, 3, 4), absent=(3,))


def empty_disk() -> World:
    world = World(3, (1, 2, 3))
    node = world[3]
    node.up, node.data, node.manifest, node.placed, node.ca = False, ABSENT, None, None, None
    node.images = frozenset()
    world.idle.pop(node.name)
    return world


def lost_data() -> World:
    world = World(3, (1, 2, 3))
    world[3].up, world[3].data = False, EMPTY
    world.idle.pop("master-3")
    return world


def moved() -> World:
    return World(3, (1, 2, 3), moved=(3,))


def moved_and_down() -> World:
    world = moved()
    world[3].up = False
    return world


def beside_a_foreign_learner() -> World:
    return World(4, (1, 2, 3, 4), absent=(4,), foreign=(FOREIGN,))


def all_at_once() -> World:
    """Return five of which one has moved, one is dead and replaced, one leaves for a new one."""
    world = World(5, (1, 2, 3, 4, 6, 7), absent=(4,), moved=(3,))
    world[5].up = False
    return world


SCENARIOS: dict[str, tuple[Callable[[], World], frozenset[Difference]]] = {
    "1 to 3": (lambda: grow(1, 3), MEMBERS),
    "3 to 5": (lambda: grow(3, 5), MEMBERS),
    "1 to 3 by deploy": (lambda: grow(1, 3), DEPLOY),
    "3 to 5 by deploy": (lambda: grow(3, 5), DEPLOY),
    "5 to 3": (shrink, MEMBERS),
    "5 to 3, hosts gone from the inventory": (strangers, MEMBERS),
    "a dead host by another": (replace_host, MEMBERS),
    "a healthy host by another": (replace_healthy, MEMBERS),
    "the same host with an empty disk": (empty_disk, MEMBERS),
    "a member that lost its data": (lost_data, MEMBERS),
    "another address": (moved, MEMBERS),
    "another address, down": (moved_and_down, MEMBERS),
    "beside a foreign learner": (beside_a_foreign_learner, MEMBERS),
    "all at once": (all_at_once, MEMBERS),
}

kills = st.lists(
    st.builds(Kill, after=st.integers(0, 25), acts=st.booleans(), seconds=st.sampled_from([5.0, 30.0, 7200.0])),
    max_size=5,
)


@pytest.mark.parametrize("name", SCENARIOS)
def test_undisturbed_it_comes_to_the_inventory_and_a_second_run_does_nothing(name: str) -> None:
    make, allowed = SCENARIOS[name]
    world = make()
    assert run(world, None, allowed) == End("done")
    assert_there(world, allowed)
    done = len(world.done)
    assert run(world, None, allowed) == End("done")
    assert len(world.done) == done


def killed_everywhere(
    make: Callable[[], World], allowed: frozenset[Difference], *, acts: bool
) -> Iterator[tuple[World, int]]:
    """Yield worlds in which a run was ended, one for each part of each step before which it may be."""
    for after in range(1000):
        world = make()
        if run(world, Kill(after, acts=acts), allowed).how != "killed":
            assert after > 1
            return
        yield world, after
    raise AssertionError("it goes in circles")


@pytest.mark.parametrize("acts", [True, False], ids=["kubelets act", "kubelets sleep"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_controller_killed_once_at_every_boundary_and_within_every_step_goes_on(name: str, *, acts: bool) -> None:
    make, allowed = SCENARIOS[name]
    for world, after in killed_everywhere(make, allowed, acts=acts):
        assert run(world, None, allowed) == End("done"), after
        assert_there(world, allowed)


def test_a_host_that_is_not_cleared_yet_is_told_so() -> None:
    world = shrink()
    for after in range(20):
        world = shrink()
        assert run(world, Kill(after)) == End("killed")
        if len(world.live) == 4:
            break
    step = world.planned(MEMBERS).steps[0]
    assert step.id == "master-4/clear-member"
    assert step.reason.endswith("it is no member any more, and something of it is on its host")


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("leads", [3, 4])
def test_whoever_leads_is_stopped_or_removed_only_when_another_one_leads(name: str, leads: int) -> None:
    """The world asserts that, at each step."""
    make, allowed = SCENARIOS[name]
    world = make()
    world.leads = f"master-{leads}"
    led = world.leader == world.leads
    gone = {("remove-member", False), ("update-peer-url", False)}
    assert run(world, None, allowed) == End("done")
    assert_there(world, allowed)
    affected = {step.host for step in world.done if (step.action, step.peer_url == "") in gone}
    moved_away = [step.host for step in world.done if step.action == "move-leader"]
    assert moved_away == ([f"master-{leads}"] if led and f"master-{leads}" in affected else [])


@given(st.sampled_from(sorted(SCENARIOS)), kills, st.booleans(), st.integers(1, 5))
@settings(deadline=None, max_examples=80)
def test_however_often_it_is_killed_the_same_command_goes_on(
    name: str, killed: list[Kill], order: bool, leads: int
) -> None:
    make, allowed = SCENARIOS[name]
    world = make()
    world.certificates_first, world.leads = order, f"master-{leads}"
    assert through(world, tuple(killed), allowed) == End("done")
    assert_there(world, allowed)


# A host on which the member never comes up.

BROKEN: dict[str, tuple[Callable[[], World], frozenset[Difference], str]] = {
    "1 to 3": (lambda: grow(1, 3), MEMBERS, "master-2"),
    "3 to 5": (lambda: grow(3, 5), MEMBERS, "master-4"),
    "3 to 5 by deploy": (lambda: grow(3, 5), DEPLOY, "master-4"),
    "a healthy host by another": (replace_healthy, MEMBERS, "master-4"),
}
FAILS = ["without data", "with data", "before it has published", "when it has published"]


def broken(name: str, fails: str) -> tuple[World, frozenset[Difference], dict[int, MemberInfo]]:
    make, allowed, host = BROKEN[name]
    world = make()
    world.fails[host] = fails
    return world, allowed, dict(world.live)


def assert_as_before(world: World, live: dict[int, MemberInfo], host: str) -> None:
    assert world.live == live
    node = world.nodes[host]
    assert (node.manifest, node.up, node.data) == (None, False, ABSENT)


@pytest.mark.parametrize("fails", FAILS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_learner_that_does_not_come_up_is_removed_again_and_the_cluster_is_as_before(name: str, fails: str) -> None:
    world, allowed, live = broken(name, fails)
    host = BROKEN[name][2]
    end = run(world, None, allowed)
    assert end.how == "failed"
    assert host in end.why
    assert_as_before(world, live, host)
    assert [step.action for step in world.done if step.host == host][-2:] == ["set-data-aside", "remove-member"]
    assert run(world, None, allowed) == end, "the same command does the same"
    assert_as_before(world, live, host)
    world.fails.clear()
    assert run(world, None, allowed) == End("done"), "and when the host is mended, it joins"
    assert_there(world, allowed)


@pytest.mark.parametrize("acts", [True, False], ids=["kubelets act", "kubelets sleep"])
@pytest.mark.parametrize("fails", FAILS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_withdrawal_that_is_ended_anywhere_is_taken_up_by_the_same_command(
    name: str, fails: str, *, acts: bool
) -> None:
    _, allowed, live = broken(name, fails)
    for world, after in killed_everywhere(lambda: broken(name, fails)[0], allowed, acts=acts):
        assert run(world, None, allowed).how == "failed", after
        assert_as_before(world, live, BROKEN[name][2])
        world.fails.clear()
        assert run(world, None, allowed) == End("done"), after
        assert_there(world, allowed)


@pytest.mark.parametrize("fails", FAILS)
@pytest.mark.parametrize("name", ["1 to 3", "3 to 5 by deploy"])
@pytest.mark.parametrize("acts", [True, False], ids=["kubelets act", "kubelets sleep"])
def test_a_host_that_is_mended_while_its_learner_is_withdrawn_joins(name: str, fails: str, *, acts: bool) -> None:
    """What comes up late, and has no manifest any more, must not be made a voter."""
    for after in range(100):
        world, allowed, _ = broken(name, fails)
        end = run(world, Kill(after, acts=acts), allowed)
        world.fails.clear()
        world.come_up_late(BROKEN[name][2])
        assert run(world, None, allowed) == End("done"), after
        assert_there(world, allowed)
        if end.how != "killed":
            return


@given(st.sampled_from(sorted(BROKEN)), st.sampled_from(FAILS), kills, kills)
@settings(deadline=None, max_examples=80)
def test_however_often_a_join_that_fails_is_killed_it_is_withdrawn_or_goes_on(
    name: str, fails: str, first: list[Kill], later: list[Kill]
) -> None:
    world, allowed, live = broken(name, fails)
    assert through(world, tuple(first), allowed).how == "failed"
    assert_as_before(world, live, BROKEN[name][2])
    for kill in later:
        run(world, kill, allowed)
    world.fails.clear()
    assert through(world, (), allowed) == End("done")
    assert_there(world, allowed)


# What is nobody's business.


@pytest.mark.parametrize("allowed", [MEMBERS, DEPLOY], ids=["members", "deploy"])
@pytest.mark.parametrize(
    "data",
    [
        DataDirectory("other", content=("photos",)),
        DataDirectory("member", 0x77, 0xBAD, ("member",)),
        DataDirectory("member", 0x77, 0, ("member",)),
    ],
    ids=["no data of etcd's", "another cluster's", "a former member's"],
)
def test_a_host_with_other_data_is_refused_and_nothing_is_touched(
    data: DataDirectory, allowed: frozenset[Difference]
) -> None:
    world = grow(3, 5)
    data = replace(data, cluster_id=data.cluster_id or world.cluster_id)
    world[5].data = world.untouched["master-5"] = data
    live = dict(world.live)
    end = run(world, None, allowed)
    assert end.how == "refused"
    assert "master-5" in end.why
    assert world.live == live
    assert not world.done


@pytest.mark.parametrize("allowed", [MEMBERS, DEPLOY], ids=["members", "deploy"])
@pytest.mark.parametrize("numbers", [(1, 2, 3, 4), (1, 2, 4)], ids=["beside it", "in its place"])
def test_a_host_with_a_copy_of_a_members_data_is_refused_and_nothing_is_touched(
    numbers: tuple[int, ...], allowed: frozenset[Difference]
) -> None:
    world = World(3, numbers)
    data = world[3].data
    assert isinstance(data, DataDirectory)
    world[4].data = world.untouched["master-4"] = replace(data)
    live = dict(world.live)
    end = run(world, None, allowed)
    assert end.how == "refused"
    assert "master-4" in end.why
    assert world.live == live
    assert not world.done


@pytest.mark.parametrize("allowed", [MEMBERS, DEPLOY], ids=["members", "deploy"])
def test_nobody_is_added_beside_a_foreign_learner(allowed: frozenset[Difference]) -> None:
    world = World(3, (1, 2, 3, 4), foreign=(FOREIGN,))
    end = run(world, None, allowed)
    assert end.how == "refused"
    assert "is a learner" in end.why or "is live and not in the inventory" in end.why
    assert not world.done


def test_deploy_leaves_every_other_difference_of_membership_to_members() -> None:
    for name in (
        "a dead host by another",
        "a healthy host by another",
        "another address",
        "a member that lost its data",
    ):
        world = SCENARIOS[name][0]()
        end = run(world, None, DEPLOY)
        assert end.how == "refused"
        assert "the runbook `members`" in end.why
        assert not world.done


# Deploy, on members whose manifests differ besides.


def differing() -> World:
    world = grow(3, 5)
    for number in (1, 2, 3):
        differ(world[number])
    world.idle.clear()
    return world


def test_deploy_rolls_the_members_that_differ_before_hosts_join_them() -> None:
    world = differing()
    assert run(world, None, DEPLOY) == End("done")
    assert_there(world, DEPLOY)
    actions = [step.action for step in world.done]
    assert max(i for i, one in enumerate(actions) if one == "replace-manifest") < actions.index("add-learner")
    assert actions.count("replace-manifest") == 3


@pytest.mark.parametrize("acts", [True, False], ids=["kubelets act", "kubelets sleep"])
def test_deploy_that_rolls_and_joins_goes_on_wherever_it_is_killed(*, acts: bool) -> None:
    for world, after in killed_everywhere(differing, DEPLOY, acts=acts):
        assert through(world, (), DEPLOY) == End("done"), after
        assert_there(world, DEPLOY)


def test_no_member_is_stopped_while_there_is_a_learner() -> None:
    for after in range(30):
        world = grow(3, 5)
        assert run(world, Kill(after), DEPLOY) == End("killed")
        if any(info.is_learner for info in world.live_list()):
            break
    for number in (1, 2, 3):
        differ(world[number])
    world.idle.clear()
    done = len(world.done)
    assert run(world, None, DEPLOY) == End("done")
    actions = [step.action for step in world.done[done:]]
    assert actions.index("promote-member") < actions.index("replace-manifest") < actions.index("add-learner")
    assert_there(world, DEPLOY)
