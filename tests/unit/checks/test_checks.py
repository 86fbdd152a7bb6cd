"""What verify finds as a whole, and that nothing is ok where nothing could be read."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.layout import layout
from nornir_etcd.observation import (
    Alarm,
    ClockOffset,
    ClusterObservation,
    Container,
    DataDirectory,
    EndpointObservation,
    HashKv,
    HostObservation,
    Listener,
    Manifests,
    Metrics,
    Probes,
    Quantile,
    Unknown,
)
from nornir_etcd.pki.authority import make_authority
from nornir_etcd.plan.certs import leaf_request
from nornir_etcd.plan.identity import hexadecimal
from tests.unit.builders import NOW, World, authority, deployed, pair
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, WARNING, bad, endpoint, findings, host, status

HOST_CODES = {
    "host.unreachable",
    "host.clock",
    "host.space",
    "host.kubelet",
    "host.ports",
    "peer.mesh",
    "container.down",
    "container.image",
    "container.restarts",
    "manifest.drift",
    "file.mode",
    "manifests.leftover",
}
"""What the host alone tells, by member."""
HOSTS_CODES = {"image.digest", "flags.unequal"}
"""What all hosts tell together."""
CA_CODES = {"cert.shared", "ca.expiring", "ca.shared", "ca.unequal", "ca.rotation"}
CLUSTER_CODES = {"cluster.size", "cluster.leader", "cluster.term", "cluster.alarm", "version.skew", *HOSTS_CODES}
CLUSTER_CODES |= {"cluster.quorum", *CA_CODES}
DEEP_CODES = {
    "member.db.size",
    "member.db.fragmentation",
    "member.errors",
    "member.disk.fsync",
    "member.disk.commit",
    "member.slow",
    "member.lag",
    "member.elections",
    "member.round_trip",
    "member.probes",
}
"""What a member that does not answer cannot tell, by member."""
TOGETHER_CODES = {"cluster.hash", "cluster.storage_version"}
"""What takes the answers of all members."""
CLUSTER_CODES |= TOGETHER_CODES
MEMBER_CODES = {
    *HOST_CODES,
    "client.unreachable",
    "peer.unreachable",
    "member.data",
    "member.missing",
    "member.unstarted",
    "member.learner",
    "member.unhealthy",
    "member.version",
    "version.floor",
    "version.bad",
    "cert.placed",
    "cert.served.client",
    "cert.served.peer",
    "cert.expiring",
    "cert.chain",
    "cert.usages",
    "cert.sans",
    "member.client_urls",
    *DEEP_CODES,
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
        **{(code, "master-3"): UNKNOWN for code in HOST_CODES},
        **{(code, "example"): UNKNOWN for code in (*HOSTS_CODES, *TOGETHER_CODES, "version.skew")},
        **{(code, "master-3"): UNKNOWN for code in DEEP_CODES},
        **{("peer.mesh", name): CRITICAL for name in ("master-1", "master-2")},
        ("client.unreachable", "master-3"): CRITICAL,
        ("peer.unreachable", "master-3"): CRITICAL,
        ("member.data", "master-3"): UNKNOWN,
        ("member.unhealthy", "master-3"): CRITICAL,
        ("member.version", "master-3"): UNKNOWN,
        ("version.floor", "master-3"): UNKNOWN,
        ("version.bad", "master-3"): UNKNOWN,
        ("cert.placed", "master-3"): UNKNOWN,
        ("cert.served.client", "master-3"): UNKNOWN,
        ("cert.served.peer", "master-3"): UNKNOWN,
        **{(f"cert.{what}", "master-3"): UNKNOWN for what in ("expiring", "chain", "usages", "sans")},
        ("cert.shared", "example"): UNKNOWN,
        ("ca.expiring", "example"): UNKNOWN,
        ("ca.unequal", "example"): UNKNOWN,
        ("ca.rotation", "example"): UNKNOWN,
        ("cluster.quorum", "example"): WARNING,
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
    fit = {"host.clock", "host.space", "host.kubelet", "host.ports", "manifests.leftover"}
    assert ok == {"host.unreachable", "cluster.size", *fit}
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
    request = replace(leaf_request(world.cluster.members[0]), dns_names=("x",), ip_addresses=(), usage="client")
    for node in world.nodes.values():
        node.version = f"3.{2 * int(node.name[-1])}.1"
        node.data = DataDirectory("member", 1, 2, ("member",))
        node.placed = (pair(stranger, request, now=then), authority().pem)
    world.alarms = (Alarm(1, "CORRUPT"),)
    world.seen = world.observe()
    for number, name in enumerate(sorted(world.names)):
        _spoil_member(world, name, number)
        other = pair(stranger, request, now=then).certificate
        endpoint(world, name, client_port=False, peer_port=False, served_client=other, served_peer=other)
        _spoil(world, name)
    return world


def _spoil_member(world: World, name: str, number: int) -> None:
    """Leave a member slow, full, behind, in doubt about its leader, and with data of its own."""
    slow = Quantile(5.0, 1000, 0)
    peers = {hexadecimal(info.id): slow for info in world.live_list()}
    endpoint(
        world,
        name,
        hash=HashKv(number, 7, 3),
        metrics=Metrics(slow, slow, 10_000, peers, NOW.timestamp() - 86400, 30_000_000),
        probes=Probes(dict.fromkeys(("/livez", "/readyz", "/health"), 503)),
        read_seconds=9.0,
    )
    sizes = {"db_size": 2**40, "db_size_in_use": 1, "db_size_quota": 1, "storage_version": "3.5.0"}
    status(world, name, raft_index=10_000 * number, raft_applied_index=0, errors=("etcdserver: no leader",), **sizes)


def _spoil(world: World, name: str) -> None:
    """Leave nothing right on a host; its container has restarted too often, from an image of its own."""
    assert world.seen is not None
    seen, paths = world.seen.hosts[name], layout(world.nodes[name].member.settings)
    assert not isinstance(seen.surroundings, Unknown)
    assert not isinstance(seen.surroundings.volumes, Unknown)
    image = world.nodes[name].member.settings.etcd_image
    around = replace(
        seen.surroundings,
        offset=ClockOffset(8, 9),
        digests={image: frozenset({f"sha256:{name}"})},
        kubelets=(),
        manifests=Manifests(("etcd.yaml.bak",), ("etcd.yaml.bak",)),
        listeners=(Listener(2379, "::", 9, "nc"),),
        volumes={path: replace(one, free=0) for path, one in seen.surroundings.volumes.items()},
        peers=dict.fromkeys(seen.surroundings.peers, "silent"),
    )
    host(
        world,
        name,
        containers=(Container("c" * 64, "CONTAINER_EXITED", "p", 70, f"sha256:{name}", 1),),
        files={path: replace(state, mode=0o777) for path, state in seen.files.items()},
        texts=seen.texts | {paths.manifest: seen.texts[paths.manifest].replace("interval=100", f"interval={name[-1]}")},
        surroundings=around,
    )


HOST_FIELDS = ("containers", "images", "data", "surroundings")
HOST_MAPS = ("files", "texts")
AROUND_FIELDS = ("offset", "digests", "kubelets", "manifests", "listeners", "volumes")
ENDPOINT_FIELDS = tuple(one.name for one in fields(EndpointObservation))


@settings(deadline=None)
@given(
    st.sets(
        st.tuples(
            st.sampled_from((1, 2, 3)), st.sampled_from(HOST_FIELDS + HOST_MAPS + AROUND_FIELDS + ENDPOINT_FIELDS)
        )
    ),
    st.sets(st.sampled_from((1, 2, 3))),
)
def test_what_was_wrong_is_never_ok_for_want_of_an_answer(blank: set[tuple[int, str]], dead: set[int]) -> None:
    world = BROKEN
    assert world.seen is not None
    before = findings(world)
    seen = ClusterObservation(0, dict(world.seen.hosts), dict(world.seen.endpoints))
    for number, name in blank:
        key, unread = f"master-{number}", {name: DEAD}
        around = seen.hosts[key].surroundings
        if name in HOST_MAPS:
            seen.hosts[key] = replace(seen.hosts[key], **{name: {}})  # type: ignore[arg-type]  # by name
        elif name in AROUND_FIELDS and not isinstance(around, Unknown):
            spoilt = replace(around, **unread)  # type: ignore[arg-type]  # by name
            seen.hosts[key] = replace(seen.hosts[key], surroundings=spoilt)
        elif name in HOST_FIELDS:
            seen.hosts[key] = replace(seen.hosts[key], **unread)  # type: ignore[arg-type]  # by name
        elif name in ENDPOINT_FIELDS:
            seen.endpoints[key] = replace(seen.endpoints[key], **unread)
    for number in dead:
        seen.hosts[f"master-{number}"] = HostObservation(f"master-{number}", error=DEAD)
    after = findings(world, seen)
    better = {
        key for key, one in after.items() if one.severity is OK and key in before and before[key].severity is not OK
    }
    assert better == set()


BROKEN = broken()
