"""What a controller sees of hosts and members, as a sequence of changes of membership."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.observation import (
    Alarm,
    ClusterObservation,
    EndpointObservation,
    HashKv,
    MemberInfo,
    MemberStatus,
    Unknown,
)
from nornir_etcd.plan.identity import bootstrap_ids
from nornir_etcd.plan.members import member_lines, plan_members
from tests.unit.builders import EMPTY, NOW, World, deployed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.plan.step import Plan

OLD = MemberInfo(0x77, "old", ("https://192.0.2.99:2380",), ("https://192.0.2.99:2379",), is_learner=False)
REFUSES = EndpointObservation(client_port=False)
SILENT = EndpointObservation(client_port=Unknown("timed out"), blind=Unknown("timed out"))


def answering(world: World, member_id: int, leader: int = 1) -> EndpointObservation:
    """Return what a stranger says that is healthy."""
    cluster_id, _ = bootstrap_ids(world.cluster)
    status = MemberStatus(cluster_id, member_id, "3.5.16", 1, 1, leader, 9, 9, 9, False, ())
    return EndpointObservation(client_port=True, status=status, read_seconds=0.01)


def grown(*new: int, size: int = 3) -> World:
    """Return a cluster whose inventory has these hosts besides, with nothing on them."""
    world = deployed(size)
    for number in new:
        node = world[number]
        node.data, node.manifest, node.up, node.published = EMPTY, None, False, False
    world.unlisted = frozenset(f"master-{number}" for number in new)
    return world


def plan(world: World, **strangers: EndpointObservation) -> Plan:
    planned = plan_members(world.cluster, seen(world, **strangers), world.store, scope=world.names, now=NOW)
    assert not (planned.refusals and planned.steps)
    assert len({step.id for step in planned.steps}) == len(planned.steps)
    assert all(len(wave) == 1 for wave in planned.waves)
    return planned


def seen(world: World, **strangers: EndpointObservation) -> ClusterObservation:
    asked = {info.id: strangers[info.name] for info in world.more if info.name in strangers}
    return replace(world.observe(), strangers=asked)


def told(planned: Plan) -> Sequence[tuple[str, str]]:
    assert not planned.refusals
    return [(step.host, step.action) for step in planned.steps]


def join(host: str) -> list[tuple[str, str]]:
    return [(host, action) for action in ("add-learner", "start-learner", "promote-member", "await-member")]


def test_a_cluster_as_the_inventory_wants_it_needs_nothing() -> None:
    planned = plan(deployed())
    assert not planned.steps
    assert not planned.notes


def test_hosts_that_are_new_join_one_after_the_other() -> None:
    planned = plan(grown(4, 5, size=5))
    assert told(planned) == [*join("master-4"), *join("master-5")]
    assert [step.margin for step in planned.steps if step.action == "promote-member"] == [
        "4 of 4 voters stay, quorum 3: survives 1 more failure",
        "5 of 5 voters stay, quorum 3: survives 2 more failures",
    ]
    assert not planned.notes
    assert not any(step.disruptive for step in planned.steps)


def test_a_state_without_margin_is_named() -> None:
    world = grown(2, 3)
    (note,) = plan(world).notes
    assert note == (
        "example: to be acknowledged: one more failure would stop it at master-2: add-learner, "
        "master-2: promote-member, master-3: add-learner"
    )
    assert "acknowledged" in plan(world).steps[0].precondition
    assert "acknowledged" not in plan(world).steps[-2].precondition
    (consent,) = plan(world).consents
    assert (consent.kind, consent.subject) == ("no-margin", "example")


@pytest.mark.parametrize("dead", [REFUSES, SILENT], ids=["refuses", "silent"])
def test_a_dead_stranger_is_removed_before_its_replacement_joins(dead: EndpointObservation) -> None:
    world = grown(3)
    world.more = (OLD,)
    planned = plan(world, old=dead)
    assert told(planned) == [("old", "remove-member"), *join("master-3")]
    reason = "replace old by master-3 (member 77, https://192.0.2.99:2380); its host is left as it is"
    assert planned.steps[0].reason == reason


def test_a_stranger_that_answers_is_removed_when_the_new_one_votes() -> None:
    world = grown(3)
    world.more = (OLD,)
    planned = plan(world, old=answering(world, 0x77))
    assert told(planned) == [*join("master-3"), ("old", "remove-member")]
    assert planned.steps[-1].disruptive


def test_leadership_is_moved_away_from_a_member_that_leaves() -> None:
    world = deployed()
    world.more = (OLD,)
    planned = plan(world, old=answering(world, 0x77, leader=0x77))
    assert told(planned) == [("old", "move-leader"), ("old", "remove-member")]


@pytest.mark.parametrize("answer", [None, EndpointObservation(client_port=True, blind=Unknown("bad certificate"))])
def test_a_stranger_that_could_not_be_asked_counts_as_lost_and_is_removed_late(
    answer: EndpointObservation | None,
) -> None:
    world = grown(3)
    world.more = (OLD,)
    planned = plan(world, **({"old": answer} if answer else {}))
    assert told(planned)[-1] == ("old", "remove-member")
    assert "member old (77): whether it is healthy is not known" in planned.notes[0]


def test_silence_says_nothing_where_every_member_is_asked_through_ssh() -> None:
    world = grown(3)
    world.more = (OLD,)
    observation = seen(world, old=SILENT)
    through = {name: replace(one, via="ssh") for name, one in observation.endpoints.items()}
    planned = plan_members(
        world.cluster, replace(observation, endpoints=through), world.store, scope=world.names, now=NOW
    )
    assert told(planned)[-1] == ("old", "remove-member")


def test_another_cluster_at_a_strangers_address_is_not_that_member() -> None:
    world = grown(3)
    world.more = (OLD,)
    assert told(plan(world, old=answering(world, 0x78)))[0] == ("old", "remove-member")


def test_a_member_that_lost_its_data_is_repaired() -> None:
    world = deployed()
    world[3].data, world[3].up = EMPTY, False
    planned = plan(world)
    assert told(planned) == [("master-3", "set-data-aside"), ("master-3", "remove-member"), *join("master-3")]
    assert planned.steps[0].reason.startswith("repair (member ")
    assert [consent.kind for consent in planned.consents] == ["no-margin", "repair"]


def test_a_host_of_the_inventory_that_cannot_be_read_is_in_nobodys_way() -> None:
    world = grown(5, size=5)
    world[4].error, world[4].up = Unknown("no route to host"), False
    planned = plan(world)
    assert told(planned) == join("master-5")
    assert "counts as lost" in planned.notes[0]


def test_a_new_host_that_cannot_be_read_is_refused() -> None:
    world = grown(4, 5, size=5)
    world[4].error = Unknown("no route to host")
    (said,) = plan(world).refusals
    assert said.startswith("master-4: wanted to know that its data directory is empty")


def test_a_member_that_has_moved_is_re_addressed_and_its_health_known_where_it_answers() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), peer_urls=("https://192.0.2.130:2380",))
    planned = plan(world)
    assert told(planned) == [("master-3", "update-peer-url"), ("master-3", "readdress-member")]
    assert planned.steps[0].margin == "2 of 3 voters stay, quorum 2: survives 0 more failures"


def test_members_that_exchange_addresses_are_refused() -> None:
    world = deployed()
    one, two = world.entry(world[1]), world.entry(world[2])
    world.entries |= {
        "master-1": replace(one, peer_urls=two.peer_urls),
        "master-2": replace(two, peer_urls=one.peer_urls),
    }
    assert "each takes the peer URL of another" in plan(world).refusals[0]


def test_a_removal_below_quorum_is_refused() -> None:
    world = deployed()
    world.more = (OLD,)
    world[3].up = False
    world[3].error = Unknown("no route to host")
    assert "below quorum (2 of 3" not in str(plan(world, old=answering(world, 0x77)).refusals)
    world.more = (OLD, replace(OLD, id=0x78, name="older", peer_urls=("https://192.0.2.98:2380",)))
    world[2].error, world[2].up = world[3].error, False
    planned = plan(world, old=answering(world, 0x77), older=answering(world, 0x78))
    assert any("quorum" in line for line in planned.refusals)


def test_the_alarm_of_a_corrupt_member_that_is_gone_is_disarmed_first() -> None:
    world = grown(4, size=4)
    world.alarms = (Alarm(0x78, "CORRUPT"), Alarm(0x77, "CORRUPT"), Alarm(world.entry(world[1]).id, "NOSPACE"))
    planned = plan(world)
    assert told(planned) == [("master-1", "disarm-alarm"), *join("master-4")]
    assert planned.steps[0].member_id == 0x77
    assert planned.horizon == 1
    assert planned.again, "the next one is disarmed when this one is"
    world.alarms = ()
    assert told(plan(world)) == join("master-4")


def test_the_alarm_of_a_member_that_is_there_is_left_to_it() -> None:
    world = deployed()
    world.alarms = (Alarm(world.entry(world[2]).id, "CORRUPT"),)
    assert told(plan(world)) == []


def test_a_plan_is_carried_out_up_to_the_next_change_of_membership() -> None:
    planned = plan(grown(4, 5, size=5))
    assert planned.horizon == 1
    assert planned.again
    world = deployed()
    world.more = (OLD,)
    planned = plan(world, old=answering(world, 0x77, leader=0x77))
    assert planned.horizon == 2, "leadership is moved by what was seen when the member is removed"
    assert plan(deployed()).horizon is None
    assert not plan(deployed()).again


def test_what_does_not_touch_membership_comes_first_for_all_hosts_that_join() -> None:
    world = grown(4, 5, size=5)
    for number in (4, 5):
        world[number].placed = None
        world[number].images = frozenset()
    planned = plan_members(world.cluster, seen(world), world.store, scope=world.names, now=NOW)
    assert [[step.id for step in wave] for wave in planned.waves][:2] == [
        ["master-4/pull-image", "master-5/pull-image"],
        ["master-4/place-files", "master-5/place-files"],
    ]
    assert planned.horizon == 2


def test_a_voter_whose_manifest_is_new_is_waited_for_and_counts_by_then() -> None:
    """Else a run that was ended when it had written that would be refused, or stop another one beside it."""
    world = deployed(4)
    world.more = (OLD,)
    world[3].up, world[3].manifest_age = False, 5.0
    planned = plan(world, old=answering(world, 0x77))
    assert told(planned) == [("master-3", "await-member"), ("old", "remove-member")]
    assert planned.horizon == 1
    assert planned.steps[-1].margin == "4 of 4 voters stay, quorum 3: survives 1 more failure"
    world[3].up, world[3].late = True, -1.0
    assert told(plan(world, old=answering(world, 0x77)))[0] == ("master-3", "await-restart")


def test_a_member_that_answers_without_a_manifest_is_not_known_to_be_healthy() -> None:
    world = deployed()
    world[3].manifest = None
    planned = plan(world)
    assert not planned.steps
    _, ids = bootstrap_ids(world.cluster)
    (note,) = planned.notes
    assert note.startswith(
        f"example: member master-3 ({ids['master-3']:x}): whether it is healthy is not known; it counts"
    )


def test_strangers_are_left_where_not_all_hosts_are_selected() -> None:
    world = grown(3)
    world.more = (OLD,)
    scoped = plan_members(world.cluster, seen(world, old=REFUSES), world.store, scope=frozenset({"master-3"}), now=NOW)
    assert told(scoped) == join("master-3")
    assert "left out by the selection: old" in scoped.notes[0]


def test_a_name_that_a_member_has_which_is_not_selected_is_not_taken() -> None:
    world = grown(3)
    world.more = (replace(OLD, name="master-3"),)
    planned = plan_members(world.cluster, seen(world), world.store, scope=frozenset({"master-2"}), now=NOW)
    assert not planned.steps
    world = grown(3)
    world.more = (replace(OLD, name="master-3"),)
    assert told(plan(world, **{"master-3": REFUSES}))[0] == ("master-3", "remove-member")


def test_a_host_of_another_user_is_refused_where_it_is_to_be_changed() -> None:
    world = grown(4, size=4)
    observation = seen(world)
    observation.hosts["master-4"] = replace(observation.hosts["master-4"], uid=1000)
    observation.hosts["master-1"] = replace(observation.hosts["master-1"], uid=1000)
    refused = plan_members(world.cluster, observation, world.store, scope=world.names, now=NOW).refusals
    assert refused == ("master-4: wanted root on the host, found uid 1000; log in as root",)


def test_without_a_quorum_nothing_is_planned() -> None:
    world = deployed()
    world[1].up = world[2].up = False
    assert plan(world).refusals[0].startswith("example: wanted a quorum that tells the member list")


def test_what_is_live_wanted_and_different_is_told() -> None:
    world = grown(3)
    world.more = (OLD,)
    lines = list(member_lines(world.cluster, seen(world, old=SILENT)))
    _, ids = bootstrap_ids(world.cluster)
    assert lines == [
        f"live: master-1 ({ids['master-1']:x}), voter, healthy, https://192.0.2.11:2380: host master-1",
        f"live: master-2 ({ids['master-2']:x}), voter, healthy, https://192.0.2.12:2380: host master-2",
        "live: old (77), voter, not healthy, https://192.0.2.99:2380: no host of the inventory",
        "wanted: master-3, https://192.0.2.13:2380: not in the live list",
        "margin: 2 of 3 voters stay, quorum 2: survives 0 more failures",
        "differs: replace old by master-3",
    ]
    assert list(member_lines(deployed().cluster, deployed().observe()))[-1] == "differs: nothing"


def test_a_member_with_other_data_than_a_majority_is_repaired_when_that_is_agreed_to() -> None:
    world = deployed()
    world[3].hash = HashKv(0xBAD, 7, 3)
    world.leads = "master-3"
    planned = plan(world)
    assert told(planned) == [
        ("master-3", "move-leader"),
        ("master-3", "set-data-aside"),
        ("master-3", "remove-member"),
        *join("master-3"),
    ]
    assert planned.steps[1].disruptive
    assert planned.steps[1].margin == "2 of 3 voters stay, quorum 2: survives 0 more failures"
    (narrow, repair) = planned.consents
    assert (narrow.kind, repair.kind, repair.subject) == ("no-margin", "repair", "master-3")
    assert "are corrupt (its hash is 00000bad" in repair.text
    assert "its data are corrupt (its hash is" in planned.steps[1].reason


def test_a_corrupt_alarm_alone_is_told_and_repairs_nobody() -> None:
    world = deployed()
    _, ids = bootstrap_ids(world.cluster)
    world.alarms = (Alarm(ids["master-3"], "CORRUPT"),)
    planned = plan(world)
    assert not planned.steps
    assert "a CORRUPT alarm names member" in planned.notes[0]


@pytest.mark.parametrize(("number", "whose"), [(0x77, "is of member 77, which was removed"), (0, "names no member")])
def test_an_alarm_of_nobody_in_the_list_is_disarmed(number: int, whose: str) -> None:
    world = deployed()
    world.alarms = (Alarm(number, "CORRUPT"),)
    planned = plan(world)
    assert told(planned) == [("master-1", "disarm-alarm")]
    assert planned.steps[0].member_id == number
    assert whose in planned.steps[0].reason
    assert planned.again


def test_an_alarm_that_names_nobody_stays_while_data_differ_or_are_not_known() -> None:
    for other in (HashKv(0xBAD, 7, 3), Unknown("not asked")):
        world = deployed()
        world.alarms = (Alarm(0, "CORRUPT"),)
        world[3].hash = other
        assert ("master-1", "disarm-alarm") not in told(plan(world))
