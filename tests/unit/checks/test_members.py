"""Each finding about what members say of themselves: how fast, how far, how well agreed, and where its limits are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.observation import MemberInfo, Probes, Quantile, Unknown
from nornir_etcd.plan.identity import hexadecimal
from tests.unit.builders import NOW, deployed
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, WARNING, bad, endpoint, findings, found, metrics, status

if TYPE_CHECKING:
    from nornir_etcd.report.model import Severity
    from tests.unit.builders import World

DAY = 86400


def peer(world: World, number: int) -> str:
    """Return the ID by which /metrics calls a member."""
    return hexadecimal(world.entry(world[number]).id)


@pytest.mark.parametrize(
    ("code", "field"), [("member.disk.fsync", "wal_fsync"), ("member.disk.commit", "backend_commit")]
)
@pytest.mark.parametrize(
    ("milliseconds", "severity"), [(0.1, OK), (7.0, OK), (8.0, OK), (8.001, WARNING), (8000, WARNING)]
)
def test_a_disk_is_slow_above_its_limit(code: str, field: str, milliseconds: float, severity: Severity) -> None:
    world = deployed(etcd_wal_fsync_warning_ms=8, etcd_backend_commit_warning_ms=8)
    metrics(world, "master-1", **{field: Quantile(milliseconds / 1000, 5000, 0)})
    one = found(world, code)
    assert one.severity is severity
    assert f"up to {milliseconds:.1f} ms in 99 % of 5000 since start" in one.message
    assert one.evidence["samples"] == "5000"
    assert set(bad(world)) == ({(code, "master-1")} if severity is WARNING else set())


def test_the_limits_of_the_two_latencies_are_two_limits() -> None:
    world = deployed()
    both = Quantile(0.02, 5000, 0)
    metrics(world, "master-1", wal_fsync=both, backend_commit=both)
    assert bad(world) == {("member.disk.fsync", "master-1"): WARNING}


@pytest.mark.parametrize(("seconds", "severity"), [(0.001, OK), (0.3, WARNING)])
def test_few_samples_are_judged_and_said_to_be_few(seconds: float, severity: Severity) -> None:
    world = deployed()
    metrics(world, "master-1", wal_fsync=Quantile(seconds, 31, 0))
    one = found(world, "member.disk.fsync")
    assert (one.severity, "so few that the slowest decides (100 are wanted)" in one.message) == (severity, True)
    metrics(world, "master-1", wal_fsync=Quantile(seconds, 100, 0))
    assert "so few" not in found(world, "member.disk.fsync").message


def test_a_window_is_said() -> None:
    world = deployed()
    metrics(world, "master-1", backend_commit=Quantile(0.001, 500, 30))
    assert found(world, "member.disk.commit").message == "commit of the database: up to 1.0 ms in 99 % of 500 over 30 s"


@pytest.mark.parametrize(("seconds", "severity"), [(0.5, OK), (0.501, WARNING), (2.9, WARNING)])
def test_a_read_above_the_limit_is_slow(seconds: float, severity: Severity) -> None:
    world = deployed()
    endpoint(world, "master-1", read_seconds=seconds)
    one = found(world, "member.slow")
    assert (one.severity, f"took {seconds * 1000:.1f} ms" in one.message) == (severity, True)
    assert found(world, "member.unhealthy").severity is OK


@pytest.mark.parametrize(
    ("index", "applied", "severity", "message"),
    [
        (5000, 5000, OK, "keeps up with the log"),
        (4000, 4000, OK, "keeps up with the log"),
        (3999, 3999, WARNING, "is 1001 entries behind the others' log; wanted at most 1000"),
        (5000, 4000, OK, "keeps up with the log"),
        (5000, 3999, WARNING, "has 1001 entries yet to apply; wanted at most 1000"),
    ],
)
def test_a_member_that_is_behind_is_told(index: int, applied: int, severity: Severity, message: str) -> None:
    world = deployed()
    for name in ("master-2", "master-3"):
        status(world, name, raft_index=5000, raft_applied_index=5000)
    status(world, "master-1", raft_index=index, raft_applied_index=applied)
    one = found(world, "member.lag")
    assert (one.severity, one.message) == (severity, message)
    assert found(world, "member.lag", "master-2").severity is OK


def test_without_the_leader_nobody_is_known_to_keep_up() -> None:
    world = deployed()
    endpoint(world, "master-2", status=Unknown("timed out"))
    assert found(world, "member.lag").severity is UNKNOWN
    world = deployed()
    endpoint(world, "master-3", status=Unknown("timed out"))
    assert found(world, "member.lag").severity is OK, "a follower's log is never the longest"


@pytest.mark.parametrize(
    ("changes", "days", "severity"),
    [
        (3, 10, OK),
        (100, 10, OK),
        (101, 10, WARNING),
        (10, 0.01, OK),
        (11, 0.01, WARNING),
        (11, -1, WARNING),  # a clock that is off
    ],
)
def test_elections_are_counted_by_the_day(changes: int, days: float, severity: Severity) -> None:
    world = deployed()
    metrics(world, "master-1", leader_changes=changes, started_at=NOW.timestamp() - days * DAY)
    one = found(world, "member.elections")
    assert one.severity is severity
    span = f"{days:.1f} days since its start" if days > 1 else "its first day"
    assert one.message.startswith(f"{changes} leader changes in {span}")


@pytest.mark.parametrize("lost", ["leader_changes", "started_at"])
def test_elections_without_a_count_or_a_start_are_unknown(lost: str) -> None:
    world = deployed()
    metrics(world, "master-1", **{lost: Unknown("/metrics has none")})
    assert found(world, "member.elections").severity is UNKNOWN


@pytest.mark.parametrize(
    ("heartbeat", "election", "milliseconds", "severity"),
    [
        (100, 1000, 99, OK),
        (100, 1000, 101, WARNING),
        (100, 1000, 999, WARNING),
        (100, 1000, 1000, CRITICAL),
        (100, 5000, 1000, WARNING),
        (500, 5000, 499, OK),
        (300, 1500, 151, WARNING),  # within the heartbeat, and an election timeout of less than ten
        (300, 1500, 149, OK),
    ],
)
def test_a_round_trip_is_held_against_heartbeat_and_election_timeout(
    heartbeat: int, election: int, milliseconds: int, severity: Severity
) -> None:
    world = deployed(etcd_heartbeat_interval=heartbeat, etcd_election_timeout=election)
    short, long = Quantile(0.0001, 500, 0), Quantile(milliseconds / 1000, 500, 0)
    metrics(world, "master-1", peer_round_trip={peer(world, 2): short, peer(world, 3): long})
    one = found(world, "member.round_trip")
    assert one.severity is severity
    assert f"round trip to master-3: up to {milliseconds:.1f} ms" in one.message
    assert one.evidence == {"master-2": "0.1 ms", "master-3": f"{milliseconds:.1f} ms"}


def test_few_round_trips_are_said_to_be_few() -> None:
    world = deployed(2)
    metrics(world, "master-1", peer_round_trip={peer(world, 2): Quantile(0.001, 99, 0)})
    assert found(world, "member.round_trip").message.endswith("so few that the second slowest decides (100 are wanted)")


def test_a_peer_that_was_never_measured_is_unknown_once_it_should_have_been() -> None:
    world = deployed()
    trips = {peer(world, 2): Quantile(0.001, 500, 0)}
    metrics(world, "master-1", peer_round_trip=trips, started_at=NOW.timestamp() - 600)
    one = found(world, "member.round_trip")
    assert (one.severity, one.message) == (UNKNOWN, "has not measured the way to master-3")


def test_of_a_member_that_has_just_started_nothing_is_said_yet_but_what_is_known() -> None:
    world = deployed()
    metrics(world, "master-1", peer_round_trip={}, started_at=NOW.timestamp() - 20)
    assert ("member.round_trip", "master-1") not in findings(world)
    slow = {peer(world, 2): Quantile(0.2, 9, 0)}
    metrics(world, "master-1", peer_round_trip=slow, started_at=NOW.timestamp() - 20)
    assert found(world, "member.round_trip").severity is WARNING


def test_a_single_member_has_no_peers() -> None:
    assert found(deployed(1), "member.round_trip").message == "has no peers"


def test_peers_that_nobody_lists_are_unknown() -> None:
    world = deployed()
    for name in world.names:
        endpoint(world, name, members=DEAD)
    metrics(world, "master-1", peer_round_trip={})
    assert found(world, "member.round_trip").severity is UNKNOWN


@pytest.mark.parametrize(("name", "severity"), [("other", UNKNOWN), ("", OK)])
def test_a_member_beyond_the_inventory_is_a_peer_once_it_has_started(name: str, severity: Severity) -> None:
    world = deployed()
    world.more = (MemberInfo(0x77, name, ("https://192.0.2.99:2380",), (), is_learner=not name),)
    one = found(world, "member.round_trip")
    assert one.severity is severity
    assert one.message == "has not measured the way to other" or severity is OK


@pytest.mark.parametrize(
    ("version", "answers", "severity", "message"),
    [
        ("3.5.16", {"/livez": 200, "/readyz": 200, "/health": 200}, OK, "answers 200 to /livez, /readyz, /health"),
        (
            "3.5.16",
            {"/livez": 200, "/readyz": 503, "/health": 503},
            CRITICAL,
            "/readyz answers 503, /health answers 503",
        ),
        ("3.5.16", {"/livez": 503, "/readyz": 200, "/health": 200}, CRITICAL, "/livez answers 503"),
        ("3.5.16", {"/livez": 200, "/readyz": 200, "/health": 503}, WARNING, "/health answers 503"),
        ("3.5.16", {"/livez": 200, "/readyz": 0, "/health": 0}, CRITICAL, "/readyz does not answer within 3 s, "),
        ("3.5.16", {"/livez": 200, "/readyz": 200, "/health": 404}, WARNING, "/health answers 404"),
        ("3.4.23", {"/health": 503}, CRITICAL, "/health answers 503"),
        ("what?", {"/health": 503}, CRITICAL, "/health answers 503"),
        ("3.5.16", {}, UNKNOWN, "no probe was sent"),
    ],
)
def test_a_probe_that_fails_is_told(version: str, answers: dict[str, int], severity: Severity, message: str) -> None:
    world = deployed()
    status(world, "master-1", version=version)
    endpoint(world, "master-1", probes=Probes(answers))
    one = found(world, "member.probes")
    assert (one.severity, one.message.startswith(message)) == (severity, True), one.message
    assert one.evidence == {path: str(number) for path, number in answers.items()}


DEEP = ("member.disk.fsync", "member.disk.commit", "member.elections", "member.round_trip", "member.probes")


@pytest.mark.parametrize("code", DEEP)
def test_what_was_not_read_is_unknown_with_its_reason(code: str) -> None:
    world = deployed()
    endpoint(world, "master-1", metrics=Unknown("the port is shut"), probes=Unknown("the port is shut"))
    one = found(world, code)
    assert (one.severity, one.message) == (UNKNOWN, "the port is shut")


def test_a_setting_of_one_member_counts_for_it_alone() -> None:
    world = deployed()
    members = tuple(
        replace(one, settings=one.settings.model_copy(update={"etcd_read_warning_ms": 1}))
        if one.name == "master-2"
        else one
        for one in world.cluster.members
    )
    world.cluster = replace(world.cluster, members=members)
    assert bad(world) == {("member.slow", "master-2"): WARNING}
