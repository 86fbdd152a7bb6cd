"""What verify finds as a whole, and that nothing is ok where nothing could be read."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.observation import Alarm, ClusterObservation, DataDirectory, EndpointObservation, HostObservation
from nornir_etcd.pki.authority import make_authority
from nornir_etcd.plan.certs import leaf_request
from tests.unit.builders import NOW, World, authority, deployed, pair
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, bad, endpoint, findings, host

CLUSTER_CODES = {"cluster.size", "cluster.leader", "cluster.term", "cluster.alarm"}
MEMBER_CODES = {
    "host.unreachable",
    "client.unreachable",
    "peer.unreachable",
    "container.down",
    "container.image",
    "member.data",
    "member.missing",
    "member.unstarted",
    "member.learner",
    "member.unhealthy",
    "member.version",
    "cert.placed",
    "cert.served.client",
    "cert.served.peer",
    "cert.expiring",
}


def test_a_healthy_cluster_has_every_finding_and_all_are_ok() -> None:
    found = findings(deployed())
    assert bad(deployed()) == {}
    assert {code for code, subject in found if subject == "example"} == CLUSTER_CODES
    for name in deployed().names:
        assert {code for code, subject in found if subject == name} == MEMBER_CODES


def test_findings_come_in_a_fixed_order() -> None:
    assert list(findings(deployed())) == list(findings(deployed()))
    hosts = [subject for code, subject in findings(deployed()) if code == "member.data"]
    assert hosts == ["master-1", "master-2", "master-3"]


def test_a_dead_host_is_found_in_all_that_hangs_on_it() -> None:
    world = deployed()
    world[3].error, world[3].up = DEAD, False
    assert bad(world) == {
        ("host.unreachable", "master-3"): UNKNOWN,
        ("client.unreachable", "master-3"): CRITICAL,
        ("peer.unreachable", "master-3"): CRITICAL,
        ("container.down", "master-3"): UNKNOWN,
        ("container.image", "master-3"): UNKNOWN,
        ("member.data", "master-3"): UNKNOWN,
        ("member.unhealthy", "master-3"): CRITICAL,
        ("member.version", "master-3"): UNKNOWN,
        ("cert.placed", "master-3"): UNKNOWN,
        ("cert.served.client", "master-3"): UNKNOWN,
        ("cert.served.peer", "master-3"): UNKNOWN,
        ("cert.expiring", "master-3"): UNKNOWN,
    }
    assert findings(world)["member.data", "master-3"].message == DEAD.reason


def test_a_host_without_ssh_whose_member_serves_leaves_only_the_host_unknown() -> None:
    world = deployed()
    world[3].error = DEAD
    assert set(bad(world).values()) == {UNKNOWN}
    found = findings(world)
    assert found["member.unhealthy", "master-3"].severity is OK
    assert found["cert.expiring", "master-3"].severity is OK, "what is served tells it too"


def test_of_hosts_on_which_nothing_is_deployed_nothing_is_ok_but_the_hosts() -> None:
    world = World()
    ok = {code for (code, _), one in findings(world).items() if one.severity is OK}
    assert ok == {"host.unreachable", "cluster.size"}
    assert findings(world)["member.data", "master-1"].message == "there is no data: nothing is deployed"
    assert ("cert.served.client", "master-1") not in findings(world)


def test_where_nothing_could_be_read_nothing_is_ok() -> None:
    world = deployed()
    seen = ClusterObservation(
        taken_at=0,
        hosts={name: HostObservation(name, error=DEAD) for name in world.names},
        endpoints={name: EndpointObservation() for name in world.names},
    )
    assert {code for (code, _), one in findings(world, seen).items() if one.severity is OK} == {"cluster.size"}


def broken() -> World:
    """Return a cluster in which as much is wrong as can be at once."""
    world = deployed()
    then = NOW - timedelta(days=400)
    stranger = make_authority("another CA", now=then)
    for node in world.nodes.values():
        node.version = "3.5.1"
        node.data = DataDirectory("member", 1, 2, ("member",))
        node.placed = (pair(stranger, leaf_request(node.member), now=then), authority().pem)
    world.alarms = (Alarm(1, "CORRUPT"),)
    world.seen = world.observe()
    for name in world.names:
        other = pair(stranger, leaf_request(world.cluster.members[0]), now=then).certificate
        endpoint(world, name, client_port=False, peer_port=False, served_client=other, served_peer=other)
        host(world, name, containers=())
    return world


HOST_FIELDS = ("containers", "images", "data")
ENDPOINT_FIELDS = tuple(one.name for one in fields(EndpointObservation))


@given(
    st.sets(st.tuples(st.sampled_from((1, 2, 3)), st.sampled_from(HOST_FIELDS + ENDPOINT_FIELDS))),
    st.sets(st.sampled_from((1, 2, 3))),
)
def test_what_was_wrong_is_never_ok_for_want_of_an_answer(blank: set[tuple[int, str]], dead: set[int]) -> None:
    world = BROKEN
    assert world.seen is not None
    before = findings(world)
    seen = ClusterObservation(0, dict(world.seen.hosts), dict(world.seen.endpoints))
    for number, name in blank:
        key, unread = f"master-{number}", {name: DEAD}
        if name in HOST_FIELDS:
            seen.hosts[key] = replace(seen.hosts[key], **unread)  # type: ignore[arg-type]  # by name
        else:
            seen.endpoints[key] = replace(seen.endpoints[key], **unread)
    for number in dead:
        seen.hosts[f"master-{number}"] = HostObservation(f"master-{number}", error=DEAD)
    after = findings(world, seen)
    better = {
        key for key, one in after.items() if one.severity is OK and key in before and before[key].severity is not OK
    }
    assert better == set()


BROKEN = broken()
