"""Each finding about what is stored: the same everywhere, with room left, and nothing wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nornir_etcd.observation import NOT_READ, Alarm, HashKv, Unknown
from tests.unit.builders import deployed
from tests.unit.checks.seen import CRITICAL, OK, UNKNOWN, WARNING, bad, endpoint, findings, found, metrics, status

if TYPE_CHECKING:
    from nornir_etcd.observation import Maybe
    from nornir_etcd.report.model import Severity
    from tests.unit.builders import World

CLUSTER = "example"
GB = 10**9


def hashed(*hashes: Maybe[HashKv]) -> World:
    """Return a cluster whose members tell these hashes."""
    world = deployed(len(hashes))
    for node, one in zip(world.nodes.values(), hashes, strict=True):
        node.hash = one
    return world


A, B = HashKv(0xA, 7, 3), HashKv(0xB, 7, 3)


@pytest.mark.parametrize(
    ("hashes", "severity", "message"),
    [
        ((A, A, A), OK, "all members have the same hash"),
        ((A,), OK, "all members have the same hash"),
        ((A, B, A), CRITICAL, "master-2 has other data than the majority"),
        ((B, A, A), CRITICAL, "master-1 has other data than the majority"),
        ((A, B, HashKv(0xC, 7, 3)), CRITICAL, "master-1, master-2, master-3 have different data, and no majority"),
        ((A, B, NOT_READ), CRITICAL, "master-1, master-2 have different data, and no majority tells which is right"),
        ((A, B, A, B), CRITICAL, "master-1, master-2, master-3, master-4 have different data, and no majority"),
        ((A, A, B, B, A), CRITICAL, "master-3, master-4 has other data than the majority"),
        # Two of three that were compared are none of five.
        ((A, A, B, NOT_READ, NOT_READ), CRITICAL, "master-1, master-2, master-3 have different data, and no majority"),
        ((A, A, NOT_READ), UNKNOWN, "no hash of master-3: not read"),
        ((Unknown("compacted"), NOT_READ, A), UNKNOWN, "no hash of master-1, master-2: compacted"),
        ((NOT_READ, NOT_READ, NOT_READ), UNKNOWN, "no hash of master-1, master-2, master-3: not read"),
        # What was hashed is not the same.
        ((A, A, HashKv(0xB, 8, 3)), UNKNOWN, "the hashes are of different revisions or compact revisions"),
        ((A, A, HashKv(0xB, 7, 4)), UNKNOWN, "the hashes are of different revisions or compact revisions"),
        ((A, A, HashKv(0xA, 7, 4)), UNKNOWN, "the hashes are of different revisions or compact revisions"),
        ((A, B, HashKv(0xB, 7, 4)), CRITICAL, "master-1, master-2 have different data"),
    ],
)
def test_hashes_are_compared_where_they_can_be(
    hashes: tuple[Maybe[HashKv], ...], severity: Severity, message: str
) -> None:
    one = found(hashed(*hashes), "cluster.hash", CLUSTER)
    assert (one.severity, one.message[: len(message)]) == (severity, message)
    read = {f"master-{number}" for number, each in enumerate(hashes, start=1) if isinstance(each, HashKv)}
    assert set(one.evidence) == read


def test_the_evidence_tells_hash_and_both_revisions() -> None:
    assert found(hashed(A), "cluster.hash", CLUSTER).evidence == {
        "master-1": "0000000a at revision 7, compacted at 3",
    }


@pytest.mark.parametrize(
    ("versions", "severity"),
    [
        (("3.5.15", "3.5.15", "3.5.16"), UNKNOWN),  # which may hash otherwise: etcd#18474
        (("3.5.16", "3.5.15", "3.5.16"), CRITICAL),  # two of one release differ
        (("3.5.16", "3.5.16", "3.5.16"), CRITICAL),
    ],
)
def test_between_releases_a_difference_is_not_known_to_be_one(versions: tuple[str, ...], severity: Severity) -> None:
    world = hashed(A, A, B)
    for node, version in zip(world.nodes.values(), versions, strict=True):
        node.version = version
    assert found(world, "cluster.hash", CLUSTER).severity is severity


@pytest.mark.parametrize(
    ("size", "severity", "percent"),
    [
        (0.5, OK, 50),
        (0.8, OK, 80),
        (0.801, WARNING, 80),
        (0.949, WARNING, 95),
        (0.95, CRITICAL, 95),
        (1.2, CRITICAL, 120),
    ],
)
@pytest.mark.parametrize("source", ["status", "metrics", "inventory"])
def test_a_database_near_its_quota_is_told(size: float, severity: Severity, percent: int, source: str) -> None:
    world = deployed(etcd_quota_backend_bytes=GB if source == "inventory" else 8 * GB)
    told = GB if source == "metrics" else Unknown("x") if source == "inventory" else 8 * GB
    metrics(world, "master-1", quota=told)
    used = round(size * GB)
    status(world, "master-1", db_size=used, db_size_in_use=used, db_size_quota=GB if source == "status" else 0)
    one = found(world, "member.db.size")
    assert (one.severity, f"{percent} % of its quota" in one.message) == (severity, True), one.message
    assert one.evidence["quota"] == str(GB)


def test_a_member_without_a_quota_is_not_held_against_one() -> None:
    world = deployed()
    metrics(world, "master-1", quota=-1)
    status(world, "master-1", db_size=2**50, db_size_in_use=2**50)
    one = found(world, "member.db.size")
    assert (one.severity, one.message.endswith("and no quota")) == (OK, True)


@pytest.mark.parametrize(("free", "severity"), [(0, OK), (200 * 2**20, OK), (200 * 2**20 + 1, WARNING)])
def test_free_space_inside_the_file_is_told(free: int, severity: Severity) -> None:
    world = deployed(etcd_quota_backend_bytes=8 * GB)
    status(world, "master-1", db_size=2**20 + free, db_size_in_use=2**20)
    one = found(world, "member.db.fragmentation")
    assert one.severity is severity
    assert bad(world).keys() <= {("member.db.fragmentation", "master-1")}


def test_errors_of_a_status_are_critical_and_named_in_one_line() -> None:
    world = deployed()
    status(world, "master-1", errors=("etcdserver: no leader", "memberID:7 alarm:NOSPACE\n"))
    one = found(world, "member.errors")
    assert one.severity is CRITICAL
    assert one.message == "its status names errors: etcdserver: no leader; memberID:7 alarm:NOSPACE"


@pytest.mark.parametrize(
    ("versions", "storage", "severity", "message"),
    [
        (("3.5.16",) * 3, ("", "", ""), OK, "releases before 3.6"),
        (("3.6.4",) * 3, ("3.6.0", "3.6.0", "3.6.0"), OK, "the storage is of version 3.6"),
        (
            ("3.6.4",) * 3,
            ("3.6.0", "3.5.0", "3.6.0"),
            WARNING,
            "the storage of master-2 is of another version than 3.6",
        ),
        (("3.6.4",) * 3, ("3.6.0", "", "3.6.0"), UNKNOWN, "master-2 does not tell"),
        (("3.6.4", "3.5.26", "3.6.4"), ("3.5.0", "", "3.5.0"), OK, "releases before 3.6"),  # an upgrade goes on
        (("3.6.4", "3.7.1", "3.6.4"), ("3.6.0", "3.6.0", "3.6.0"), OK, "the storage is of version 3.6"),
        (("3.6.4", "?", "3.6.4"), ("3.6.0", "3.6.0", "3.6.0"), UNKNOWN, "the version of master-2 is not known"),
    ],
)
def test_the_storage_has_the_version_of_the_cluster(
    versions: tuple[str, ...], storage: tuple[str, ...], severity: Severity, message: str
) -> None:
    world = deployed()
    for name, version, stored in zip(sorted(world.names), versions, storage, strict=True):
        status(world, name, version=version, storage_version=stored)
    one = found(world, "cluster.storage_version", CLUSTER)
    assert (one.severity, one.message.startswith(message)) == (severity, True), one.message


@pytest.mark.parametrize(
    "code", ["member.db.size", "member.db.fragmentation", "member.errors", "member.lag", "member.slow"]
)
def test_of_a_member_that_does_not_answer_nothing_is_known(code: str) -> None:
    world = deployed()
    endpoint(world, "master-1", status=Unknown("shut"), read_seconds=Unknown("shut"))
    assert found(world, code).severity is UNKNOWN
    assert found(world, "cluster.storage_version", CLUSTER).severity is UNKNOWN


def test_an_alarm_names_its_member_also_where_the_list_is_not_known() -> None:
    world = deployed()
    for name in world.names:
        endpoint(world, name, members=Unknown("shut"), alarms=(Alarm(world.entry(world[2]).id, "NOSPACE"),))
    assert findings(world)["cluster.alarm", CLUSTER].message == "master-2 has raised NOSPACE"
