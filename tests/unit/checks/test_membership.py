"""Client URLs, the margin of a cluster, and membership where endpoints alone are known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks.membership import KINDS
from nornir_etcd.observation import MemberInfo, Unknown
from tests.unit.builders import World, authority, deployed
from tests.unit.checks.seen import CRITICAL, OK, UNKNOWN, WARNING, endpoint, findings, status

if TYPE_CHECKING:
    from nornir_etcd.report.model import Finding, Severity

REFUSED = Unknown("the client certificate refused")
SILENT = Unknown("no answer within 3 s")


def undeclared(size: int = 3) -> World:
    """Return a healthy cluster of which endpoints alone are known."""
    world = deployed(size)
    members = tuple(replace(member, peer_port=None) for member in world.cluster.members)
    world.cluster = replace(world.cluster, members=members, declared=False, ca=authority().pem)
    for node in world.nodes.values():
        node.error = Unknown("not asked, as was wanted (--no-ssh)")
    return world


def blind(world: World, *names: str) -> None:
    """Leave members whose port is open and who cannot be asked."""
    for name in names:
        endpoint(world, name, status=REFUSED, read_seconds=REFUSED, members=REFUSED, alarms=REFUSED, blind=REFUSED)


def margin(world: World) -> Finding:
    return findings(world)["cluster.quorum", "example"]


@pytest.mark.parametrize(
    ("urls", "severity", "told"),
    [
        (("https://192.0.2.11:2379",), OK, "advertises its client URL"),
        (("https://192.0.2.11:2379/",), OK, "advertises its client URL"),
        (("HTTPS://192.0.2.11:2379",), OK, "advertises its client URL"),
        (("http://192.0.2.11:2379",), WARNING, "http://192.0.2.11:2379 is without TLS"),
        (("https://127.0.0.1:2379",), WARNING, "https://127.0.0.1:2379 is for the host itself alone"),
        (("https://localhost:2379",), WARNING, "is for the host itself alone"),
        (("https://192.0.2.11:2379", "https://[::1]:2379"), WARNING, "https://[::1]:2379 is for the host itself alone"),
        (("https://192.0.2.99:2379",), WARNING, "wanted https://192.0.2.11:2379, found https://192.0.2.99:2379"),
        (("https://192.0.2.11:12379",), WARNING, "wanted https://192.0.2.11:2379, found https://192.0.2.11:12379"),
        (("nonsense",), WARNING, "nonsense is without TLS"),
        ((), UNKNOWN, "it has never started"),
    ],
)
def test_what_a_member_tells_its_clients(urls: tuple[str, ...], severity: Severity, told: str) -> None:
    world = deployed()
    world.entries["master-1"] = replace(world.entry(world[1]), client_urls=urls)
    one = findings(world)["member.client_urls", "master-1"]
    assert (one.severity, told in one.message) == (severity, True)


def test_two_spellings_of_one_address_are_the_same_client_url() -> None:
    world = deployed(etcd_version="3.5.16-0")
    member = replace(world[1].member, address="2001:db8::1")
    world.cluster = replace(world.cluster, members=(member, *world.cluster.members[1:]))
    urls, peers = ("https://[2001:0db8:0::1]:2379",), (member.peer_url,)
    world.entries["master-1"] = replace(world.entry(world[1]), client_urls=urls, peer_urls=peers)
    assert findings(world)["member.client_urls", "master-1"].severity is OK


@pytest.mark.parametrize(("size", "message"), [(1, "survives 0 more"), (2, "survives 0"), (3, "1 more"), (5, "2 more")])
def test_a_healthy_cluster_bears_what_its_size_allows(size: int, message: str) -> None:
    one = margin(deployed(size))
    assert one.severity is OK
    assert message in one.message


@pytest.mark.parametrize(
    ("size", "down", "severity", "message"),
    [
        (3, 1, WARNING, "2 of 3 voters are healthy, quorum 2: survives 0 more failures"),
        (5, 1, OK, "4 of 5 voters are healthy, quorum 3: survives 1 more failure"),
        (5, 2, WARNING, "3 of 5 voters are healthy, quorum 3: survives 0 more failures"),
        (3, 2, CRITICAL, "no quorum: none of 3 members answers a read, 2 are needed"),
        (3, 3, CRITICAL, "no quorum"),
        (1, 1, CRITICAL, "no quorum: none of 1 members answers a read"),
    ],
)
def test_the_margin_of_a_cluster_with_members_down(size: int, down: int, severity: Severity, message: str) -> None:
    world = deployed(size)
    for number in range(1, down + 1):
        world[number].up = False
    one = margin(world)
    assert (one.severity, message in one.message) == (severity, True)


def test_a_learner_neither_votes_nor_counts() -> None:
    world = deployed(5)
    world.entries["master-5"] = replace(world.entry(world[5]), is_learner=True)
    assert margin(world).evidence["voters"] == "4"
    assert margin(world).message == "4 of 4 voters are healthy, quorum 3: survives 1 more failure"


def test_members_that_could_not_be_asked_leave_the_margin_unknown_unless_it_is_enough() -> None:
    world = deployed(3)
    blind(world, "master-3")
    assert margin(world).severity is UNKNOWN
    assert "and 1 if those are healthy that could not be asked" in margin(world).message


def test_a_member_that_could_not_be_asked_does_not_hide_a_margin_that_is_gone() -> None:
    world = deployed(3)
    world[3].up = False
    blind(world, "master-2")
    one = margin(world)
    assert (one.severity, one.message) == (
        WARNING,
        "1 of 3 voters are healthy, quorum 2: survives 0 more failures",
    ), "a quorum has answered, so the one that could not be asked is part of it"


def test_without_a_word_of_anybody_a_lost_quorum_is_not_known() -> None:
    world = deployed(3)
    blind(world, "master-1", "master-2", "master-3")
    assert margin(world).severity is UNKNOWN
    for name in world.names:
        endpoint(world, name, client_port=SILENT, blind=SILENT)
    assert margin(world).severity is UNKNOWN


def test_a_member_that_knows_no_leader_speaks_for_a_lost_quorum() -> None:
    world = deployed(3)
    for name in world.names:
        endpoint(world, name, read_seconds=SILENT, members=SILENT, alarms=SILENT)
        status(world, name, leader=0)
    for name in ("master-2", "master-3"):
        endpoint(world, name, client_port=SILENT, status=SILENT, blind=SILENT)
    assert margin(world).severity is CRITICAL


def test_endpoints_are_found_as_the_members_as_which_they_answer() -> None:
    world = undeclared()
    for number, node in enumerate(world.nodes.values()):
        # Behind an address of its own, such as a tunnel's, and under a name that no endpoint has.
        world.entries[node.name] = replace(
            world.entry(node), name=f"etcd-{number}", client_urls=(f"https://10.9.9.{number}:2379",), peer_urls=("x",)
        )
    found = findings(world)
    for name in world.names:
        for code in ("member.missing", "member.unstarted", "member.learner", "member.client_urls", "member.unhealthy"):
            assert found[code, name].severity is OK, code
    assert margin(world).severity is OK
    assert not {code for code, _ in found} & {"member.unexpected", "member.unlisted", "cert.placed", "ca.shared"}


def test_an_endpoint_that_does_not_answer_is_found_by_its_client_url() -> None:
    world = undeclared()
    endpoint(world, "master-3", client_port=False, status=SILENT, read_seconds=SILENT, members=SILENT)
    found = findings(world)
    assert found["member.missing", "master-3"].severity is OK
    assert ("member.unlisted", "example") not in found
    assert margin(world).severity is WARNING


def test_who_is_live_and_no_endpoint_is_unlisted_and_its_health_unknown() -> None:
    world = undeclared()
    extra = MemberInfo(0x77, "etcd-9", ("https://10.9.9.9:2380",), ("https://10.9.9.9:2379",), is_learner=False)
    world.more = (extra,)
    found = findings(world)
    one = found["member.unlisted", "example"]
    assert (one.severity, one.remedy) == (WARNING, "give its endpoint as well: https://10.9.9.9:2379")
    assert found["cluster.size", "example"].severity is WARNING, "the live list counts"
    assert margin(world).severity is UNKNOWN


def test_two_endpoints_of_one_member_count_once() -> None:
    world = undeclared()
    told = world.observe().endpoints["master-1"].status
    assert not isinstance(told, Unknown)
    endpoint(world, "master-2", status=told)
    assert margin(world).evidence["healthy"] == "2"
    assert ("member.unlisted", "example") in findings(world)


def test_an_endpoint_of_another_cluster_is_critical_and_named() -> None:
    world = undeclared()
    status(world, "master-3", cluster_id=0xBBB, member_id=0xAAA)
    one = findings(world)["member.missing", "master-3"]
    assert one.severity is CRITICAL
    assert one.message.startswith("answers as member aaa of cluster bbb, which the list of cluster ")


def test_the_same_member_id_in_another_cluster_is_another_member() -> None:
    world = undeclared()
    status(world, "master-3", cluster_id=0xBBB)
    assert findings(world)["member.missing", "master-3"].severity is CRITICAL


def test_loopback_is_no_fault_of_a_member_that_is_asked_there() -> None:
    world = undeclared(1)
    (member,) = world.cluster.members
    for address, severity in (("127.0.0.1", OK), ("192.0.2.11", WARNING)):
        world.cluster = replace(world.cluster, members=(replace(member, address=address),))
        world.entries["master-1"] = replace(world.entry(world[1]), client_urls=("https://127.0.0.1:2379",))
        assert findings(world)["member.client_urls", "master-1"].severity is severity


@pytest.mark.parametrize(
    ("served", "why", "severity"),
    [
        (Unknown("wanted a TLS server"), SILENT, CRITICAL),
        (b"a certificate", Unknown("found a TLS server without HTTP/2, so not etcd"), CRITICAL),
        (b"a certificate", REFUSED, UNKNOWN),
    ],
)
def test_what_is_no_etcd_is_told_from_an_etcd_that_cannot_be_asked(
    served: object, why: Unknown, severity: Severity
) -> None:
    world = undeclared()
    world.entries["master-3"] = replace(world.entry(world[3]), client_urls=("https://10.9.9.9:2379",))
    endpoint(world, "master-3", served_client=served, status=why, read_seconds=why, members=why, alarms=why, blind=why)
    one = findings(world)["member.missing", "master-3"]
    assert (one.severity, why.reason in one.message) == (severity, True)


def test_of_endpoints_of_which_none_answers_nothing_is_ok() -> None:
    world = undeclared()
    blind(world, *world.names)
    codes = {kind.code for kind in KINDS}
    assert {one.severity for (code, _), one in findings(world).items() if code in codes} == {UNKNOWN}


def test_a_learner_that_is_nobodys_is_not_left_to_the_runbook_that_leaves_it_alone() -> None:
    world = deployed()
    stranger = MemberInfo(99, "", ("https://192.0.2.99:2380",), (), is_learner=True)
    world.more = (stranger,)
    assert "the runbook members leaves it alone" in findings(world)["member.unexpected", "example"].remedy
    world.more = (replace(stranger, is_learner=False),)
    assert "brings the live list to the inventory" in findings(world)["member.unexpected", "example"].remedy
