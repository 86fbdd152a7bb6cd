"""Whose data are called corrupt: only where nothing else can be meant."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.observation import NOT_READ, Alarm, HashKv, Unknown
from nornir_etcd.plan.damage import damages, doubts
from tests.unit.builders import deployed
from tests.unit.checks.seen import endpoint, host

if TYPE_CHECKING:
    from nornir_etcd.observation import ClusterObservation, Maybe
    from tests.unit.builders import World

A, B, C = HashKv(0xA, 7, 3), HashKv(0xB, 7, 3), HashKv(0xC, 7, 3)
CRC = '{"level":"fatal","msg":"discovery failed","error":"walpb: crc mismatch"}'
NO_SPACE = '{"level":"fatal","msg":"failed to create WAL","error":"no space left on device"}'


def at(version: str, size: int = 3) -> World:
    """Return a cluster whose members run a release."""
    world = deployed(size)
    for node in world.nodes.values():
        node.version = version
    world.speaks = world.least
    return world


def number(world: World, member: int) -> int:
    return world.entry(world[member]).id


def corrupt(world: World, *members: int) -> World:
    """Let the cluster have CORRUPT alarms that name members of it."""
    world.alarms = tuple(Alarm(number(world, member), "CORRUPT") for member in members)
    return world


def seen(world: World) -> ClusterObservation:
    return world.seen or world.observe()


def certain(world: World) -> dict[str, str]:
    return damages(world.cluster, seen(world))


def said(world: World) -> str:
    return "\n".join(doubts(world.cluster, seen(world)))


def test_nothing_is_said_of_a_healthy_cluster() -> None:
    assert (certain(deployed(3)), said(deployed(3))) == ({}, "")


def test_another_alarm_says_nothing_of_corrupt_data() -> None:
    world = at("3.6.12")
    world.alarms = (Alarm(number(world, 1), "NOSPACE"),)
    assert (certain(world), said(world)) == ({}, "")


def test_an_alarm_of_3_6_that_names_a_member_is_believed() -> None:
    world = corrupt(at("3.6.12"), 2)
    assert certain(world) == {
        "master-2": "etcd has raised a CORRUPT alarm for it: a majority of all members has other data"
    }
    assert said(world) == ""


def test_two_of_five_may_be_named() -> None:
    assert set(certain(corrupt(at("3.6.12", 5), 2, 4))) == {"master-2", "master-4"}


@pytest.mark.parametrize("version", ["3.4.23", "3.5.6", "3.5.30"])
def test_an_alarm_of_an_earlier_release_names_whom_the_leader_contradicts(version: str) -> None:
    world = corrupt(at(version), 2)
    assert certain(world) == {}
    assert "master-2: a CORRUPT alarm names member" in said(world)
    assert "releases before 3.6 compare with the leader alone" in said(world)


def test_an_alarm_is_not_believed_while_a_member_of_an_earlier_release_may_lead() -> None:
    world = corrupt(at("3.6.12"), 2)
    world[3].version = "3.5.32"
    world.speaks = (3, 5)
    assert certain(world) == {}
    assert "releases before 3.6" in said(world)


def test_an_alarm_that_names_nobody_is_told() -> None:
    world = at("3.5.30")
    world.alarms = (Alarm(0, "CORRUPT"),)
    assert certain(world) == {}
    assert said(world) == "example: a CORRUPT alarm names no member: etcd did not know whose data are corrupt"


def test_an_alarm_that_is_left_of_a_removed_member_is_told() -> None:
    world = at("3.6.12")
    world.alarms = (Alarm(0xABC, "CORRUPT"),)
    assert certain(world) == {}
    assert "names member abc, which is in the live list no more" in said(world)


def test_a_member_that_no_host_is_gets_no_verdict() -> None:
    world = at("3.6.12")
    world.more = (replace(world.entry(world[1]), id=0xABC, name="stranger", peer_urls=("https://192.0.2.99:2380",)),)
    world.alarms = (Alarm(0xABC, "CORRUPT"),)
    assert certain(world) == {}
    assert "which is on no host of the inventory" in said(world)
    # Its flags are not known either: it may check periodically.
    corrupt(world, 2)
    assert certain(world) == {}
    assert "the flags of member stranger are not known" in said(world)


def test_alarms_that_leave_no_majority_are_not_believed() -> None:
    world = corrupt(at("3.6.12"), 1, 2)
    assert certain(world) == {}
    assert said(world).count("alarms name so many that no majority is left") == 2


def with_flags(world: World, *flags: str) -> None:
    manifest = world[3].manifest
    assert manifest is not None
    more = "".join(f'    - "{flag}"\n' for flag in flags)
    world[3].manifest = manifest.replace('    - "--name=', f'{more}    - "--name=', 1)
    assert world[3].manifest != manifest


@pytest.mark.parametrize("name", ["corrupt-check-time", "experimental-corrupt-check-time"])
def test_an_alarm_may_be_that_of_a_periodic_check(name: str) -> None:
    world = corrupt(at("3.6.12"), 2)
    with_flags(world, f"--{name}=4h")
    assert certain(world) == {}
    assert f"and may be wrong: --{name} of master-3 compares with the leader alone" in said(world)


def test_a_periodic_check_that_is_off_names_nobody() -> None:
    world = corrupt(at("3.6.12"), 2)
    with_flags(world, "--corrupt-check-time=0s")
    assert set(certain(world)) == {"master-2"}


@pytest.mark.parametrize("texts", [{}, {"/etc/kubernetes/manifests/etcd.yaml": "no: Pod"}])
def test_an_alarm_is_not_believed_where_flags_are_not_known(texts: dict[str, str]) -> None:
    world = corrupt(at("3.6.12"), 2)
    host(world, "master-1", texts=texts)
    assert certain(world) == {}
    assert "the flags of master-1 are not known" in said(world)


def test_an_alarm_that_only_a_member_without_a_quorum_tells_is_not_believed() -> None:
    world = at("3.6.12")
    alarm = (Alarm(number(world, 2), "CORRUPT"),)
    for name in world.names:
        endpoint(world, name, alarms=alarm, read_seconds=Unknown("no quorum"))
    assert (certain(world), said(world)) == ({}, "")


def hashed(*hashes: Maybe[HashKv]) -> World:
    world = deployed(len(hashes))
    for node, one in zip(world.nodes.values(), hashes, strict=True):
        node.hash = one
    return world


def test_a_hash_that_a_majority_of_all_voters_contradicts_is_corrupt_data() -> None:
    assert certain(hashed(A, B, A)) == {
        "master-2": "its hash is 0000000b, and that of master-1, master-3 is another at the same revision: "
        "a majority of all voters"
    }
    assert set(certain(hashed(A, B, A, C, A))) == {"master-2", "master-4"}
    assert said(hashed(A, B, A)) == ""


@pytest.mark.parametrize(
    "hashes",
    [
        (A, B),
        (A, B, C),
        (A, B, NOT_READ),
        (A, A, B, B),
        (A, A, B, NOT_READ, NOT_READ),
    ],
)
def test_without_a_majority_nobody_is_called_corrupt(hashes: tuple[Maybe[HashKv], ...]) -> None:
    assert certain(hashed(*hashes)) == {}
    assert "have different hashes at one revision, and no majority tells which is right" in said(hashed(*hashes))


@pytest.mark.parametrize("other", [HashKv(0xB, 8, 3), HashKv(0xB, 7, 4), Unknown("compacted")])
def test_what_cannot_be_compared_says_nothing(other: Maybe[HashKv]) -> None:
    assert (certain(hashed(A, A, other)), said(hashed(A, A, other))) == ({}, "")


@pytest.mark.parametrize(
    ("versions", "sure"),
    [
        (("3.5.15", "3.5.15", "3.5.16"), False),
        (("3.5.15", "3.5.16", "3.5.16"), True),
        (("3.5.16", "3.5.16", "3.5.16"), True),
        (("3.5.16", "3.5.17", "3.5.15"), False),
    ],
)
def test_a_release_of_its_own_may_hash_otherwise(versions: tuple[str, ...], sure: bool) -> None:
    world = hashed(A, A, B)
    for node, version in zip(world.nodes.values(), versions, strict=True):
        node.version = version
    assert (set(certain(world)), bool(said(world))) == ({"master-3"} if sure else set(), not sure)


def test_a_voter_that_is_on_no_host_counts_among_all() -> None:
    world = hashed(A, A, B)
    world.more = (replace(world.entry(world[1]), id=0xABC, peer_urls=("https://192.0.2.99:2380",)),)
    assert certain(world) == {}  # two of four
    assert "no majority tells" in said(world)


def test_a_learner_makes_no_majority_and_may_be_found_corrupt() -> None:
    world = hashed(A, A, B, A)
    world.entries["master-2"] = replace(world.entry(world[2]), is_learner=True)
    assert set(certain(world)) == {"master-3"}  # two of three voters
    world = hashed(A, A, B, A)
    world.entries["master-3"] = replace(world.entry(world[3]), is_learner=True)
    assert set(certain(world)) == {"master-3"}
    world = hashed(A, A, B)
    world.entries["master-2"] = replace(world.entry(world[2]), is_learner=True)
    assert certain(world) == {}


def test_an_etcd_that_is_no_member_neither_counts_nor_is_judged() -> None:
    world = hashed(A, A, B)
    foreign = seen(world).endpoints["master-3"].status
    assert not isinstance(foreign, Unknown)
    endpoint(world, "master-3", status=replace(foreign, cluster_id=1))
    assert certain(world) == {}
    assert "an etcd that is no member, may hash otherwise" in said(world)
    endpoint(world, "master-1", status=replace(foreign, cluster_id=1))
    endpoint(world, "master-3", status=foreign)
    assert certain(world) == {}


def test_without_a_live_list_nobody_is_called_corrupt_by_hashes_or_alarms() -> None:
    world = corrupt(hashed(A, A, B), 3)
    for name in world.names:
        endpoint(world, name, read_seconds=Unknown("no quorum"))
    assert certain(world) == {}


def stopped(world: World, lines: Maybe[tuple[str, ...]], member: int = 3) -> World:
    """Let a member have ended with a log."""
    world[member].up = False
    world.seen = replace(world.observe(), last_words={f"master-{member}": lines})
    return world


def test_a_member_that_refuses_to_start_for_its_data_is_found() -> None:
    world = stopped(deployed(3), (CRC,))
    assert certain(world) == {
        "master-3": "it refuses to start: a record of its WAL does not have the checksum it was written with "
        "(discovery failed: walpb: crc mismatch)"
    }
    assert said(world) == ""


def test_a_log_that_says_something_else_is_told_and_no_evidence() -> None:
    world = stopped(deployed(3), (NO_SPACE,))
    assert certain(world) == {}
    assert said(world) == (
        'master-3: it does not run; its log ends with "failed to create WAL: no space left on device"'
    )


def test_a_log_that_could_not_be_read_is_told() -> None:
    world = stopped(deployed(3), Unknown("no such container"))
    assert (certain(world), said(world)) == (
        {},
        "master-3: it does not run, and its log is not known: no such container",
    )


@pytest.mark.parametrize("lines", [(), ("{}",)])
def test_a_log_without_last_words_is_no_evidence(lines: tuple[str, ...]) -> None:
    assert (certain(stopped(deployed(3), lines)), said(stopped(deployed(3), lines))) == ({}, "")


def test_a_log_is_no_evidence_where_something_runs_or_answers() -> None:
    world = stopped(deployed(3), (CRC,))
    for client_port in (True, Unknown("no answer")):
        endpoint(world, "master-3", client_port=client_port)
        assert (certain(world), said(world)) == ({}, "")
    endpoint(world, "master-3", client_port=False)
    (container,) = world[3].containers()
    host(world, "master-3", containers=(replace(container, state="CONTAINER_RUNNING"), container))
    assert (certain(world), said(world)) == ({}, "")
    host(world, "master-3", containers=Unknown("crictl does not answer"))
    assert (certain(world), said(world)) == ({}, "")


def initial_check(world: World, hashes: dict[int, int], version: str = "3.5.16") -> tuple[str, ...]:
    """Return the log of a member that refuses to start beside peers: their hashes by number of the member."""
    differs = (
        {
            "level": "warn",
            "msg": "found different hash values from remote peer",
            "remote-peer-hash": each,
            "remote-peer-endpoints": [world[member].member.peer_url],
        }
        for member, each in hashes.items()
    )
    end = {"level": "fatal", "msg": "discovery failed", "error": "abc found data inconsistency with peers"}
    return tuple(map(json.dumps, ({"level": "info", "msg": "x", "etcd-version": version}, *differs, end)))


def test_a_member_that_refuses_to_start_beside_a_majority_of_other_data_is_found() -> None:
    world = deployed(3)
    assert certain(stopped(world, initial_check(world, {1: 10, 2: 10}))) == {
        "master-3": "it refuses to start: it has other data than master-1, master-2, a majority of all voters, have"
    }
    assert said(world) == ""


@pytest.mark.parametrize(
    ("hashes", "version"),
    [
        ({1: 10}, "3.5.16"),  # the other one is as it is, or was not asked
        ({1: 10, 2: 11}, "3.5.16"),
        ({1: 10, 3: 10}, "3.5.16"),  # itself is no peer
        ({1: 10, 2: 10}, "3.5.15"),  # which may hash otherwise
        ({1: 10, 2: 10}, ""),
    ],
)
def test_a_member_that_refuses_to_start_beside_others_may_be_right(hashes: dict[int, int], version: str) -> None:
    world = deployed(3)
    stopped(world, initial_check(world, hashes, version))
    assert certain(world) == {}
    assert said(world) == (
        "master-3: it refuses to start beside members with other data, and no majority tells which is right"
    )


def test_what_tells_twice_is_told_together() -> None:
    world = corrupt(at("3.6.12"), 3)
    world[3].hash = HashKv(0xB, 7, 3)
    assert certain(world)["master-3"].count("; ") == 1
