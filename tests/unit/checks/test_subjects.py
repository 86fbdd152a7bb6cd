"""Each finding about hosts, members and etcd, in each of its severities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks import check
from nornir_etcd.checks.evidence import evidence
from nornir_etcd.observation import Alarm, Container, DataDirectory, MemberInfo, Unknown
from tests.unit.builders import ABSENT, EMPTY, GUARD, NOW, deployed
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, WARNING, endpoint, findings, host, status

if TYPE_CHECKING:
    from nornir_etcd.report.model import Severity


def test_a_port_that_refuses_is_critical_and_names_address_and_port() -> None:
    world = deployed()
    endpoint(world, "master-1", client_port=False, peer_port=False)
    found = findings(world)
    for name, port in (("client", 2379), ("peer", 2380)):
        one = found[f"{name}.unreachable", "master-1"]
        assert one.severity is CRITICAL
        assert one.message == f"192.0.2.11 port {port} refuses connections: nothing listens there"


def test_a_port_that_does_not_answer_is_critical_with_the_reason() -> None:
    world = deployed()
    endpoint(world, "master-1", client_port=Unknown("timed out after 3 s"))
    assert "timed out after 3 s" in findings(world)["client.unreachable", "master-1"].message


@pytest.mark.parametrize(
    ("containers", "severity", "message"),
    [
        ((), CRITICAL, "there is no etcd container"),
        ((Container("c" * 64, "CONTAINER_EXITED", "p", 7, "", 1),), CRITICAL, "CONTAINER_EXITED, 7 restarts"),
        (Unknown("crictl: not found"), UNKNOWN, "crictl: not found"),
    ],
)
def test_a_container_that_does_not_run(containers: object, severity: Severity, message: str) -> None:
    world = deployed()
    host(world, "master-2", containers=containers)
    one = findings(world)["container.down", "master-2"]
    assert (one.severity, message in one.message) == (severity, True)


def test_the_remedy_of_a_crashed_container_is_a_command_that_works() -> None:
    world = deployed()
    host(world, "master-2", containers=(Container("c" * 64, "CONTAINER_EXITED", "p", 7, "", 1),))
    assert findings(world)["container.down", "master-2"].remedy == "read its log: crictl logs ccccccccccccc"


def test_a_container_of_another_image_is_a_warning_that_names_both() -> None:
    world = deployed()
    host(world, "master-2", images={"etcd:old": f"sha256:{world[2].member.settings.etcd_image}"})
    one = findings(world)["container.image", "master-2"]
    assert one.severity is WARNING
    assert one.evidence == {"wanted": world[2].member.settings.etcd_image, "found": "etcd:old"}


@pytest.mark.parametrize(
    "changes", [{"images": Unknown("crictl: not found")}, {"containers": ()}, {"containers": Unknown("x")}]
)
def test_an_image_that_cannot_be_told_is_unknown(changes: dict[str, object]) -> None:
    world = deployed()
    host(world, "master-2", **changes)
    assert findings(world)["container.image", "master-2"].severity is UNKNOWN


@pytest.mark.parametrize("lost", [ABSENT, EMPTY])
@pytest.mark.parametrize("whose", ["one of three", "the only one", "all of three"])
def test_verify_says_why_a_member_without_its_data_does_not_come_back(lost: DataDirectory, whose: str) -> None:
    world = deployed(1 if whose == "the only one" else 3)
    affected = list(world.nodes.values()) if whose == "all of three" else [world[1]]
    for node in affected:
        node.data, node.up = lost, False
    for node in affected:
        one = findings(world)["member.data", node.name]
        assert one.severity is CRITICAL
        assert "lost its data" in one.message
        assert one.remedy
        assert one.evidence["directory"] == "/var/lib/etcd"


def test_foreign_data_are_critical_and_named() -> None:
    world = deployed()
    world[2].data = DataDirectory("member", 0xAAA, 0xBBB, ("member",))
    one = findings(world)["member.data", "master-2"]
    assert one.severity is CRITICAL
    assert "found member aaa of cluster bbb" in one.message
    assert one.remedy.startswith("it is left untouched")


def test_data_of_a_grown_cluster_are_not_called_foreign_because_a_host_is_dead() -> None:
    world = deployed()
    for number in (1, 2):
        world[number].data = DataDirectory("member", number, 0xC, ("member",))
    for node in world.nodes.values():
        node.up = False
    world[3].error = DEAD
    one = findings(world)["member.data", "master-1"]
    assert one.severity is UNKNOWN, "nor are they called its own: no quorum tells"
    assert (one.evidence["member"], one.evidence["cluster"]) == ("1", "c")


@pytest.mark.parametrize("data", [Unknown("could not be listed"), DataDirectory("other", content=("x",))])
def test_data_that_cannot_be_told_are_unknown_and_others_critical(data: object) -> None:
    world = deployed()
    host(world, "master-2", data=data)
    severity = findings(world)["member.data", "master-2"].severity
    assert severity is (UNKNOWN if isinstance(data, Unknown) else CRITICAL)


def test_a_member_that_is_prepared_and_has_not_started_is_critical() -> None:
    world = deployed()
    world[2].data, world[2].up, world[2].published = GUARD, False, False
    found = findings(world)
    assert found["member.data", "master-2"].message == "there is no data: prepared for the first start"
    assert found["member.data", "master-2"].severity is CRITICAL
    assert found["member.unstarted", "master-2"].message == "has never started"
    assert found["member.unstarted", "master-2"].severity is CRITICAL


def test_a_member_that_is_not_in_the_list_is_missing() -> None:
    world = deployed()
    world.unlisted = frozenset({"master-3"})
    world[3].up = False
    found = findings(world)
    assert found["member.missing", "master-3"].severity is CRITICAL
    assert found["member.unstarted", "master-3"].severity is UNKNOWN
    assert found["member.learner", "master-3"].severity is UNKNOWN
    assert found["member.data", "master-3"].severity is CRITICAL, "its data are no member's"


def test_without_a_quorum_the_member_list_is_unknown() -> None:
    world = deployed()
    world[1].up = world[2].up = False
    found = findings(world)
    for code in ("member.missing", "member.unstarted", "member.learner"):
        assert {found[code, name].severity for name in world.names} == {UNKNOWN}
    assert found["cluster.leader", "example"].severity is CRITICAL
    assert found["cluster.leader", "example"].message == "master-3 knows no leader"
    assert found["cluster.alarm", "example"].severity is UNKNOWN
    assert found["member.unhealthy", "master-3"].severity is CRITICAL


def test_a_member_beyond_the_inventory_is_unexpected() -> None:
    world = deployed()
    url = "https://192.0.2.99:2380"
    world.more = (MemberInfo(0x77, "", (url,), (), is_learner=True),)
    one = findings(world)["member.unexpected", "example"]
    assert (one.severity, one.evidence) == (CRITICAL, {"id": "77", "peer_urls": url})


def test_two_members_beyond_the_inventory_are_both_told() -> None:
    world = deployed()
    more = [MemberInfo(n, f"x{n}", (f"https://192.0.2.{n}:2380",), (), is_learner=False) for n in (98, 99)]
    world.more = tuple(more)
    issued = {name: leaf.certificate or b"" for name, leaf in world.store.leaves.items()}
    found = check(evidence(world.cluster, world.observe(), issued, NOW))
    assert sum(one.code == "member.unexpected" for one in found) == 2


def test_a_learner_is_critical() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), is_learner=True)
    assert findings(world)["member.learner", "master-3"].severity is CRITICAL


def test_a_member_of_another_name_is_a_warning() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), name="formerly")
    one = findings(world)["member.unstarted", "master-3"]
    assert (one.severity, "wanted master-3, found formerly" in one.message) == (WARNING, True)


@pytest.mark.parametrize(("size", "severity"), [(1, OK), (2, WARNING), (3, OK), (4, WARNING), (7, OK)])
def test_an_even_number_of_members_is_a_warning(size: int, severity: Severity) -> None:
    assert findings(deployed(size))["cluster.size", "example"].severity is severity


def test_a_member_that_does_not_answer_a_read_is_critical_with_the_reason() -> None:
    world = deployed()
    endpoint(world, "master-1", read_seconds=Unknown("deadline of 3 s"))
    one = findings(world)["member.unhealthy", "master-1"]
    assert (one.severity, "deadline of 3 s" in one.message) == (CRITICAL, True)


def test_members_that_name_different_leaders_are_critical() -> None:
    world = deployed()
    status(world, "master-1", leader=0x1)
    one = findings(world)["cluster.leader", "example"]
    assert (one.severity, one.evidence["master-1"], len(one.evidence)) == (CRITICAL, "1", 3)


def test_no_answer_names_no_leader_and_no_term() -> None:
    world = deployed()
    for node in world.nodes.values():
        node.up = False
    found = findings(world)
    assert found["cluster.leader", "example"].severity is UNKNOWN
    assert found["cluster.term", "example"].severity is UNKNOWN


def test_the_evidence_of_a_leader_that_is_not_seen_names_everybody_who_answered() -> None:
    world = deployed()
    endpoint(world, "master-2", status=Unknown("timed out"), read_seconds=Unknown("timed out"))
    one = findings(world)["cluster.leader", "example"]
    assert one.severity is OK
    assert set(one.evidence) == {"master-1", "master-3"}


def test_different_terms_are_a_warning() -> None:
    world = deployed()
    status(world, "master-1", raft_term=3)
    one = findings(world)["cluster.term", "example"]
    assert (one.severity, one.evidence) == (WARNING, {"master-1": "3", "master-2": "2", "master-3": "2"})


@pytest.mark.parametrize(("version", "severity"), [("3.5.16", OK), ("3.5.15", WARNING), ("not a version", WARNING)])
def test_another_version_is_a_warning(version: str, severity: Severity) -> None:
    world = deployed()
    status(world, "master-1", version=version)
    one = findings(world)["member.version", "master-1"]
    assert (one.severity, one.evidence) == (severity, {"wanted": "3.5.16-0", "found": version})


@pytest.mark.parametrize("kind", ["NOSPACE", "CORRUPT", "9"])
def test_an_alarm_is_critical_and_names_its_member(kind: str) -> None:
    world = deployed()
    world.alarms = (Alarm(world.entry(world[2]).id, kind),)
    one = findings(world)["cluster.alarm", "example"]
    assert (one.severity, one.message) == (CRITICAL, f"master-2 has raised {kind}")
    assert one.remedy


def test_an_alarm_of_a_member_that_is_not_listed_is_told_by_its_id() -> None:
    world = deployed()
    world.alarms = (Alarm(0xABC, "NOSPACE"),)
    assert findings(world)["cluster.alarm", "example"].message == "abc has raised NOSPACE"


def test_an_alarm_that_one_member_alone_tells_is_told() -> None:
    world = deployed()
    endpoint(world, "master-3", alarms=(Alarm(0xABC, "CORRUPT"),))
    assert findings(world)["cluster.alarm", "example"].severity is CRITICAL
