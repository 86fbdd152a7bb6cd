"""The plan of a change of version: order, margins, snapshot, what was begun before, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.layout import layout
from nornir_etcd.observation import NOT_READ, Unknown
from nornir_etcd.plan.step import Plan, Step
from nornir_etcd.plan.upgrade import FRESH, judge, tag_of
from nornir_etcd.plan.way_back import way_back
from nornir_etcd.signers.local import Pair
from nornir_etcd.versions import Version
from tests.unit.builders import NOW, UPGRADE, World, deployed, empty_store
from tests.unit.plan.rollout import End, planned, run

if TYPE_CHECKING:
    from collections.abc import Collection

OLD, NEW = "3.5.30-0", "3.5.33-0"
HOUR = timedelta(hours=1)


def upgrading(size: int = 3, old: str = OLD, new: str = NEW) -> World:
    """Return a healthy cluster, the image of the wanted version on its hosts, and a snapshot just taken."""
    world = deployed(size, etcd_version=old)
    world.want(etcd_version=new)
    world.snapshots = (NOW,)
    for node in world.nodes.values():
        assert not isinstance(node.images, Unknown)
        node.images |= {node.member.settings.etcd_image}
    return world


def done(*numbers: int, size: int = 3, old: str = OLD, new: str = NEW) -> World:
    """Return such a cluster with the change of some members behind it."""
    world = upgrading(size, old, new)
    for number in numbers:
        world.write(world[number])
        world.settle()
    return world


def ids(plan: Plan) -> list[str]:
    return [step.id.removeprefix("master-") for step in plan.steps]


def steps(world: World, *scope: str) -> list[str]:
    """Return the IDs of the plan's steps; it must not be refused."""
    found = planned(world, scope or None)
    assert not found.refusals
    return ids(found)


def refused(world: World, scope: Collection[str] | None = None, *, accept_downtime: bool = False) -> str:
    """Return the planner's own refusals, without those of preflight."""
    found = world.plan(scope, allowed=UPGRADE, accept_downtime=accept_downtime)
    assert found.refusals
    return "\n".join(found.refusals)


def step(plan: Plan, name: str) -> Step:
    return next(one for one in plan.steps if one.id == name)


@pytest.mark.parametrize(("size", "leader"), [(3, 1), (3, 2), (3, 3), (5, 1), (5, 4)])
def test_followers_first_and_the_leader_last_when_another_member_leads(size: int, leader: int) -> None:
    world = upgrading(size)
    world.leads = f"master-{leader}"
    followers = [number for number in range(1, size + 1) if number != leader]
    assert steps(world) == [
        *(f"{number}/upgrade-member" for number in followers),
        f"{leader}/move-leader",
        f"{leader}/upgrade-member",
    ]


def test_the_image_is_pulled_and_a_snapshot_of_the_leader_taken_before_any_member_is_stopped() -> None:
    world = deployed(3, etcd_version=OLD)
    world.want(etcd_version=NEW)
    found = planned(world)
    assert [sorted(one.id for one in wave) for wave in found.waves[:2]] == [
        [f"master-{number}/pull-image" for number in (1, 2, 3)],
        ["master-2/save-snapshot"],
    ]
    assert found.steps[4].action == "upgrade-member"
    assert found.notes[0] == "the way: 3.5.30 -> 3.5.33"


@pytest.mark.parametrize(("size", "margin"), [(3, "survives 0 more failures"), (5, "survives 1 more failure")])
def test_every_step_says_why_and_how_it_is_undone_and_those_that_stop_a_member_who_stays(
    size: int, margin: str
) -> None:
    world = upgrading(size, "3.6.14-0", "3.5.33-0")
    world.snapshots = ()
    world[1].images = frozenset({world[1].image})
    found = planned(world)
    assert {one.action for one in found.steps} == {
        *("pull-image", "save-snapshot", "enable-downgrade", "move-leader", "upgrade-member")
    }
    for one in found.steps:
        assert all((one.reason, one.precondition, one.proof, one.undo))
        assert (margin in one.margin) == one.disruptive == (one.action == "upgrade-member")
    world = done(1, size=size)
    world.write(world[2])
    mended = step(planned(world), "master-2/finish-upgrade")
    assert margin in mended.margin
    assert mended.undo


def test_the_only_member_is_stopped_only_where_downtime_is_accepted() -> None:
    world = upgrading(1)
    assert refused(world) == "master-1: the only member, stopping it stops etcd; say --accept-downtime if that is meant"
    assert ids(planned(world, accept_downtime=True)) == ["1/upgrade-member"]


def test_a_cluster_of_two_is_refused_whatever_is_accepted() -> None:
    said = refused(upgrading(2), accept_downtime=True)
    assert said.count("not stopped, quorum would be lost (1 of 2 voters stay, quorum 2: below quorum)") == 2


def test_a_cluster_without_quorum_is_refused() -> None:
    world = upgrading()
    world[1].up = world[3].up = False
    assert refused(world) == "example: wanted a cluster that answers with a quorum, found none; mend it first"


def test_a_member_that_was_down_before_is_named() -> None:
    world = upgrading()
    world[3].up = False
    said = refused(world).splitlines()
    assert said[0] == (
        "master-3: version: wanted one that can be read, found none: the port refuses connections; "
        "make the member answer first"
    )
    assert [line.partition(":")[0] for line in said[1:]] == ["master-1", "master-2"], "nor could those be stopped"
    assert "master-3: does not answer a linearizable read" in "\n".join(planned(world).refusals)


def test_a_member_that_answers_no_read_is_no_voter_that_stays() -> None:
    """It tells its version, so the gate lets it through; preflight does not, and the margins do not count it."""
    world = upgrading()
    seen = world.observe()
    seen.endpoints["master-3"] = replace(seen.endpoints["master-3"], read_seconds=Unknown("deadline exceeded"))
    world.seen = seen
    assert refused(world).count("quorum would be lost (1 of 3 voters stay, quorum 2: below quorum)") == 2
    assert any("master-3: does not answer a linearizable read" in text for text in planned(world).refusals)


@pytest.mark.parametrize(
    ("members", "ages", "taken"),
    [
        ((), (), True),
        ((), (FRESH - timedelta(seconds=1),), False),
        ((), (FRESH,), True),
        ((), (25 * HOUR, FRESH / 2), False),
        ((1,), (23 * HOUR,), False),
        ((1,), (24 * HOUR,), True),
        ((), (-HOUR,), True),
    ],
    ids=["none", "young", "old", "the youngest counts", "of this upgrade", "of another one", "from the future"],
)
def test_a_snapshot_is_taken_unless_there_is_one_of_this_upgrade(
    members: tuple[int, ...], ages: tuple[timedelta, ...], *, taken: bool
) -> None:
    world = done(*members)
    world.snapshots = tuple(NOW - age for age in ages)
    assert ("2/save-snapshot" in steps(world)) == taken
    assert "2/save-snapshot" not in steps(done(1, 2, 3)), "nothing is to be done"


def test_a_snapshot_that_was_taken_before_the_last_change_is_of_another_upgrade() -> None:
    world = upgrading()
    world.snapshots = (NOW - FRESH / 2,)
    assert "2/save-snapshot" not in steps(world)
    world[3].manifest_age = world[3].late = FRESH.total_seconds() / 4
    assert "2/save-snapshot" in steps(world)


def test_a_snapshot_is_taken_of_a_healthy_member_where_no_leader_is_known() -> None:
    world = upgrading()
    world.snapshots = ()
    seen = world.observe()
    for name, one in seen.endpoints.items():
        assert not isinstance(one.status, Unknown)
        seen.endpoints[name] = replace(one, status=replace(one.status, leader=99))
    world.seen = seen
    assert world.plan(allowed=UPGRADE).steps[0].id == "master-1/save-snapshot"


def test_only_the_hosts_that_differ_are_changed() -> None:
    assert steps(done(1)) == ["3/upgrade-member", "2/move-leader", "2/upgrade-member"]
    assert steps(done(1, 2)) == ["3/upgrade-member"]


@pytest.mark.parametrize("name", ["master-1", "master-3"])
def test_a_selected_member_in_the_middle_is_the_only_one_that_changes(name: str) -> None:
    world = deployed(3, etcd_version=OLD)
    world.want(etcd_version=NEW)
    found = planned(world, {name})
    assert [one.id for one in found.steps] == [f"{name}/pull-image", "master-2/save-snapshot", f"{name}/upgrade-member"]
    assert "2 of 3 voters stay" in found.steps[-1].margin


def test_a_run_that_has_nothing_to_do_says_so() -> None:
    assert planned(done(1, 2, 3)) == Plan(notes=("every member runs 3.5.33-0 already",))
    assert planned(deployed(1)) == Plan(notes=("every member runs 3.5.16-0 already",))
    world = done(1)
    assert planned(world, {"master-1"}) == Plan(
        notes=("nothing to do for 3.5.33-0 on the selected hosts: master-2 runs 3.5.30, master-3 runs 3.5.30",)
    )
    world[3].up = False
    assert planned(world, {"master-1"}).notes == (
        "nothing to do for 3.5.33-0 on the selected hosts: master-2 runs 3.5.30, master-3 does not tell its version",
    )


def test_a_certificate_that_is_due_is_no_matter_where_nothing_is_to_be_done() -> None:
    world = done(1, 2, 3)
    world.store = replace(world.store, client=Pair())
    assert planned(world).notes == ("every member runs 3.5.33-0 already",)


# What a run that was ended has left


def test_a_manifest_that_was_written_is_seen_through_before_the_next_member_is_stopped() -> None:
    world = done(1)
    world.write(world[3])
    assert steps(world) == ["3/finish-upgrade", "2/move-leader", "2/upgrade-member"]


def test_the_margin_counts_a_member_that_its_kubelet_is_about_to_restart() -> None:
    world = upgrading()
    world.write(world[3])
    assert "survives 0 more failures" in step(planned(world), "master-3/finish-upgrade").margin
    said = refused(world, {"master-1"})
    assert "master-1: not stopped, quorum would be lost (1 of 3 voters stay" in said, "nobody waits for master-3"


@pytest.mark.parametrize("seconds", [0.0, 3 * 86400.0])
def test_a_member_that_crashes_with_the_wanted_manifest_is_seen_through_first(seconds: float) -> None:
    world = upgrading()
    world.write(world[1])
    world.crash(world[1])
    world.pass_by(world[1], seconds)
    assert steps(world) == ["1/finish-upgrade", "3/upgrade-member", "2/move-leader", "2/upgrade-member"]
    assert steps(world, "master-1") == ["1/finish-upgrade"]


def test_a_member_that_crashes_and_is_left_out_stops_the_others_from_being_changed() -> None:
    world = upgrading()
    world.write(world[1])
    world.crash(world[1])
    found = planned(world, {"master-3"})
    assert "master-1: version: wanted one that can be read" in "\n".join(found.refusals)
    assert "quorum would be lost (1 of 3 voters stay" in "\n".join(found.refusals)


def test_a_container_of_the_former_image_that_the_kubelet_leaves_is_seen_through() -> None:
    world = upgrading()
    world.write(world[1])
    world.pass_by(world[1], 600)
    assert steps(world)[0] == "1/finish-upgrade"


def test_a_member_that_is_up_and_fine_is_not_looked_at_again() -> None:
    world = upgrading()
    world.write(world[1])
    world.settle()
    assert steps(world)[0] == "3/upgrade-member"


def test_two_builds_of_one_release_are_told_apart() -> None:
    world = upgrading(3, "3.5.16-0", "3.5.16-1")
    found = planned(world)
    assert ids(found) == ["1/upgrade-member", "3/upgrade-member", "2/move-leader", "2/upgrade-member"]
    assert not any(note.startswith("the way") for note in found.notes)
    assert "to 3.5.16-1" in found.steps[0].reason
    world.write(world[1])
    world.pass_by(world[1], 600)
    assert steps(world)[0] == "1/finish-upgrade"
    world.settle()
    assert steps(world)[0] == "3/upgrade-member"


def test_an_image_under_two_tags_is_one_image() -> None:
    world = upgrading(1, "3.5.16-0", "3.5.16-1")
    world.write(world[1])
    world.pass_by(world[1], 600)
    seen = world.observe()
    images = seen.hosts["master-1"].images
    assert not isinstance(images, Unknown)
    seen.hosts["master-1"] = replace(seen.hosts["master-1"], images=dict.fromkeys(images, f"sha256:{world[1].image}"))
    world.seen = seen
    assert planned(world).notes == ("every member runs 3.5.16-1 already",)


@pytest.mark.parametrize(("crashes", "disruptive"), [(True, False), (False, True)])
def test_another_manifest_for_a_member_that_was_begun_is_written_before_others_are_stopped(
    *, crashes: bool, disruptive: bool
) -> None:
    """As where a flag was wrong, and was corrected in the inventory after the controller was killed."""
    world = upgrading()
    world.write(world[1])
    assert world[1].manifest is not None
    world[1].manifest = world[1].manifest.replace("--snapshot-count=10000", "--snapshot-count=wrong")
    if crashes:
        world.crash(world[1])
    found = planned(world)
    assert ids(found)[:2] == ["1/upgrade-member", "3/upgrade-member"]
    first = found.steps[0]
    assert first.disruptive == disruptive
    assert "--snapshot-count=wrong" in first.diff
    assert "2 of 3 voters stay" in first.margin
    former = world[1].former
    assert run(world) == End("done")
    assert world[1].former == former, "what runs again is the way back, not what crashed"


def test_a_member_that_may_serve_is_not_stopped_for_another_manifest_below_quorum() -> None:
    world = upgrading()
    world.write(world[1])
    assert world[1].manifest is not None
    world[1].manifest += "# by hand\n"
    world[3].up = False
    assert "master-1: not stopped, quorum would be lost (1 of 3 voters stay" in refused(world, {"master-1"})


def test_a_hand_edited_manifest_with_the_former_image_is_replaced_and_shown() -> None:
    world = upgrading()
    assert world[1].manifest is not None
    world[1].manifest = world[1].manifest.replace("--snapshot-count=10000", "--snapshot-count=5000")
    assert "--snapshot-count=5000" in step(planned(world), "master-1/upgrade-member").diff


def test_a_hand_edited_manifest_of_a_member_that_runs_the_wanted_image_is_left_to_deploy() -> None:
    world = done(1, 2, 3)
    assert world[1].manifest is not None
    world[1].manifest = world[1].manifest.replace("--snapshot-count=10000", "--snapshot-count=5000")
    assert planned(world).notes == ("every member runs 3.5.33-0 already",)


def test_a_member_without_a_manifest_is_refused() -> None:
    world = upgrading()
    world[1].manifest = None
    path = layout(world[1].member.settings).manifest
    assert f"master-1: {path}: wanted the manifest of the member that runs, found none; run deploy first" in refused(
        world
    )


@pytest.mark.parametrize("torn", ["written", "replaced"])
def test_the_only_member_is_seen_through_although_nobody_answers(torn: str) -> None:
    world = upgrading(1)
    world.write(world[1])
    if torn == "replaced":
        world.crash(world[1])
    assert steps(world) == ["1/finish-upgrade"], "nothing is stopped that has not been"
    world.want(etcd_version="3.5.32-0")
    if torn == "replaced":
        assert "wanted a cluster that answers with a quorum" in refused(world)


def test_an_only_member_that_lost_its_data_is_not_waited_for() -> None:
    world = upgrading(1)
    world.write(world[1])
    world.crash(world[1])
    world[1].data = replace(deployed(1).nodes["master-1"].bootstrapped(world.cluster), state="empty")
    assert "the member lost its data" in refused(world)


# The gate, and what has to be in order besides


def test_every_refusal_and_every_warning_is_told_once() -> None:
    world = upgrading(3, "3.5.16-0", "3.6.11-0")
    world.auth = True
    found = world.plan(allowed=UPGRADE)
    assert len(found.refusals) == 1
    assert "3.5.32 or later beside 3.6" in found.refusals[0]
    assert "master-1, master-2, master-3" in found.refusals[0]
    assert sum("the newest patch" in note for note in found.notes) == 2
    assert found.notes[0] == "the way: 3.5.16 -> 3.5.33 -> 3.6.11"


def test_authentication_keeps_3_4_from_3_5() -> None:
    world = upgrading(3, "3.4.35-0", "3.5.33-0")
    assert not planned(world).refusals
    world.auth = True
    assert refused(world).startswith("authentication: wanted off")
    world.auth = NOT_READ
    assert "authentication: wanted off" in refused(world)


def test_a_minor_follows_when_the_one_before_has_settled() -> None:
    world = upgrading(3, "3.5.33-0", "3.6.14-0")
    world.speaks = (3, 4)
    assert refused(world).startswith("cluster version: wanted 3.5, which every member runs at least, found 3.4.0")


def test_certificates_that_are_due_are_refused_with_the_runbook() -> None:
    world = upgrading()
    world.store = replace(world.store, leaves={**world.store.leaves, "master-3": Pair()})
    assert refused(world) == (
        "example: certificates: wanted nothing to do, found master-3: its certificate: missing; run certs first"
    )
    world.store = replace(empty_store(), ca=world.store.ca, leaves=world.store.leaves)
    assert refused(world).startswith("example: certificates: wanted nothing to do, found the controller: ")


def test_files_that_differ_on_a_host_are_refused_with_the_runbook() -> None:
    world = upgrading()
    world[1].placed = None
    said = refused(world)
    assert said.startswith("example: certificates: wanted nothing to do, found master-1: ")
    assert said.endswith("; run certs first")
    assert world.plan({"master-3"}, allowed=UPGRADE).steps, "what is not selected is not looked at"


def test_a_host_that_cannot_be_asked_is_refused_only_where_it_is_selected() -> None:
    world = upgrading()
    world[3].error = Unknown("master-3: no SSH session")
    assert "master-3: no SSH session" in refused(world)
    assert ids(world.plan({"master-1"}, allowed=UPGRADE)) == ["1/upgrade-member"]


def test_each_stage_of_a_long_way_is_judged_as_an_upgrade_of_its_own() -> None:
    world = upgrading(3, "3.4.35-0", "3.6.14-0")
    seen = world.observe()
    way = judge(world.cluster, seen, world.wanted).stages
    assert way == (Version(3, 4, 35), Version(3, 5, 33), Version(3, 6, 14))
    assert "go in stages, each a change of its own: 3.4.35 -> 3.5.33 -> 3.6.14" in refused(world)
    assert tag_of(world.cluster, seen, way[1]) == "3.5.33-0"


def test_a_stage_is_the_image_that_hosts_have() -> None:
    world = upgrading(3, "3.4.35-0", "3.6.14-0")
    for node, tag in zip(world.nodes.values(), ("3.5.34-2", "3.5.34-3", "3.5.2-0"), strict=True):
        assert not isinstance(node.images, Unknown)
        node.images |= {node.member.settings.etcd_image.replace("3.6.14-0", tag)}
    seen = world.observe()
    stop = judge(world.cluster, seen, world.wanted).stages[1]
    assert stop == Version(3, 5, 34)
    assert tag_of(world.cluster, seen, stop) == "3.5.34-3"


def test_a_downgrade_within_a_minor_asks_etcd_for_nothing() -> None:
    world = upgrading(3, "3.6.14-0", "3.6.11-0")
    assert steps(world) == ["1/upgrade-member", "3/upgrade-member", "2/move-leader", "2/upgrade-member"]


def test_etcd_is_asked_once_before_members_go_down_to_another_minor() -> None:
    world = upgrading(3, "3.6.14-0", "3.5.33-0")
    first, *rest = steps(world)
    assert first == "2/enable-downgrade"
    world.carry_out(planned(world), waves=1)
    assert steps(world) == rest, "it is enabled"
    world.carry_out(planned(world), waves=1)
    assert steps(world) == rest[1:], "members have gone down"
    world.write(world[3])
    world.crash(world[3])
    assert steps(world) == ["3/finish-upgrade", *rest[2:]]


def test_a_downgrade_of_a_selected_member_is_asked_of_the_leader() -> None:
    world = upgrading(3, "3.6.14-0", "3.5.33-0")
    assert steps(world, "master-1") == ["2/enable-downgrade", "1/upgrade-member"]


def test_a_downgrade_that_was_given_up_is_told() -> None:
    world = upgrading(3, "3.6.14-0", "3.5.33-0")
    world.carry_out(planned(world), waves=1)
    world.want(etcd_version="3.6.14-0")
    assert planned(world).notes == (
        "every member runs 3.6.14-0 already",
        "etcd is told to go down to 3.5.0; if that is given up, cancel it: etcdctl downgrade cancel",
    )


def test_a_minor_that_was_begun_is_taken_back_without_asking_etcd() -> None:
    world = done(1, old="3.5.33-0", new="3.6.14-0")
    world.want(etcd_version="3.5.33-0")
    assert steps(world) == ["1/upgrade-member"]


# The way back


def failed(size: int = 3, number: int = 1, old: str = OLD, new: str = NEW, done_before: tuple[int, ...] = ()) -> World:
    """Return a cluster of which one member does not come up with the wanted version."""
    world = done(*done_before, size=size, old=old, new=new)
    world.write(world[number])
    world.crash(world[number])
    return world


def back(world: World, number: int = 1) -> Step | str:
    return way_back(world.cluster, world.seen or world.observe(), world.wanted, f"master-{number}")


def test_a_member_that_does_not_come_up_gets_its_former_manifest_again() -> None:
    world = failed()
    found = back(world)
    assert isinstance(found, Step)
    assert (found.id, found.reason) == (
        "master-1/roll-back-member",
        "3.5.33 did not come up: back to 3.5.30, whose manifest lies at /etc/kubernetes/etcd.yaml.former",
    )
    assert "2 of 3 voters stay" in found.margin
    assert "+    image: " in found.diff
    assert "3.5.30-0" in found.diff
    assert found.undo == "run the upgrade again"


def test_within_a_minor_the_last_member_may_always_go_back() -> None:
    assert isinstance(back(failed(number=2, done_before=(1, 3)), 2), Step)
    assert isinstance(back(failed(1)), Step)


@pytest.mark.parametrize("done_before", [(), (3,), (2, 3)])
def test_over_a_minor_a_member_goes_back_while_the_cluster_speaks_the_former_one(done_before: tuple[int, ...]) -> None:
    world = failed(old="3.5.33-0", new="3.6.14-0", done_before=done_before)
    assert world.speaks == (3, 5)
    assert isinstance(back(world), Step)
    world.speaks = (3, 6)
    said = back(world)
    assert said == (
        "not rolled back: going back to 3.5.33: wanted a member that still runs 3.5, found a cluster that runs 3.6.14; "
        "use etcd's own downgrade (validate, then enable), one minor at a time, or restore a snapshot"
    )


def test_one_member_that_speaks_the_next_minor_already_is_believed() -> None:
    world = failed(old="3.5.33-0", new="3.6.14-0", done_before=(2, 3))
    world.seen = world.observe()
    world.seen.endpoints["master-3"] = replace(world.seen.endpoints["master-3"], cluster_version="3.6.0")
    assert "not rolled back: going back to 3.5.33" in str(back(world))


@pytest.mark.parametrize(("done_before", "allowed"), [((), True), ((3,), True), ((2, 3), False)])
def test_where_the_clusters_version_is_unknown_a_member_of_the_former_minor_shows_it(
    done_before: tuple[int, ...], *, allowed: bool
) -> None:
    world = failed(old="3.5.33-0", new="3.6.14-0", done_before=done_before)
    world.seen = world.observe()
    for name, one in world.seen.endpoints.items():
        world.seen.endpoints[name] = replace(one, cluster_version=NOT_READ)
    assert isinstance(back(world), Step) == allowed


def test_a_member_that_does_not_come_up_on_the_way_down_goes_up_again() -> None:
    world = upgrading(3, "3.6.14-0", "3.5.33-0")
    world.carry_out(planned(world), waves=1)
    world.write(world[1])
    world.crash(world[1])
    assert isinstance(back(world), Step)


def test_the_only_member_does_not_go_back_over_a_minor() -> None:
    assert "wanted a member that still runs 3.5" in str(back(failed(1, old="3.5.33-0", new="3.6.14-0")))
    assert "restore the snapshot that was taken before" in str(back(failed(1, old="3.4.35-0", new="3.5.33-0")))


def test_a_host_that_cannot_be_asked_is_left() -> None:
    world = failed()
    world[1].error = Unknown("master-1: no SSH session")
    assert back(world) == (
        "not rolled back, since the host could not be asked: master-1: no SSH session; run the same command again"
    )


def test_a_member_whose_manifest_was_not_written_is_left_as_it_is() -> None:
    """As where there was no space for it: what lies beside is of an earlier upgrade."""
    world = done(1, 2, 3)
    world.want(etcd_version="3.5.34-0")
    assert world[1].former is not None
    assert (
        back(world)
        == "nothing to roll back: /etc/kubernetes/manifests/etcd.yaml has not the image that was to be written there"
    )


def test_a_member_that_has_come_up_meanwhile_is_left() -> None:
    world = failed()
    world.settle()
    assert back(world) == "not rolled back, since it answers as wanted by now; run the same command again"


@pytest.mark.parametrize("former", ["none", "wanted", "nonsense", "latest", "of an earlier upgrade", "a day ago"])
def test_a_former_manifest_that_is_no_way_back_is_left(former: str) -> None:
    world = failed()
    node = world[1]
    assert node.manifest is not None
    if former == "none":
        node.former = None
    elif former == "wanted":
        node.former = node.manifest + "# by hand\n"
    elif former == "nonsense":
        node.former = "kind: [\n"
    elif former == "latest":
        node.former = node.manifest.replace("etcd:3.5.33-0", "etcd:latest")
    elif former == "of an earlier upgrade":
        node.former_age += 3600
    else:
        world.pass_by(node, 86401)
    assert back(world) == (
        "not rolled back, since no manifest lies at /etc/kubernetes/etcd.yaml.former that the present one has replaced "
        "within a day; look at the container and its log"
    )


def test_a_member_that_may_serve_the_others_is_not_stopped_below_quorum() -> None:
    """It answers its peers and not the controller, and another member has died meanwhile."""
    world = failed()
    world[1].up, world[1].version = True, "3.5.33"
    world[3].up = False
    world.seen = world.observe()
    world.seen.endpoints["master-1"] = replace(
        world.seen.endpoints["master-1"], read_seconds=Unknown("deadline exceeded")
    )
    assert "not rolled back: master-1: not stopped, quorum would be lost (1 of 3 voters stay" in str(back(world))
    world[3].up = True
    world.seen = replace(
        world.seen, endpoints=world.seen.endpoints | {"master-3": world.observe().endpoints["master-3"]}
    )
    assert isinstance(back(world), Step)


def test_a_member_that_is_put_back_is_changed_by_another_target() -> None:
    world = upgrading()
    world.leads = "master-1"
    world.broken = {("master-1", world[1].member.settings.etcd_image)}
    assert run(world) == End("rolled back"), "the leader was the last"
    assert (world[2].version, world[3].version, world[1].version) == ("3.5.33", "3.5.33", "3.5.30")
    assert steps(world)[-1] == "1/upgrade-member"
    world.want(etcd_version="3.5.34-0")
    assert run(world) == End("done")
    assert {node.version for node in world.nodes.values()} == {"3.5.34"}
