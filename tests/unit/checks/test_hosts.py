"""What verify finds of hosts and of the ways between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks import mesh as peers
from nornir_etcd.checks.evidence import evidence
from nornir_etcd.observation import ClockOffset, Kubelet, Listener, Surroundings, Unknown
from nornir_etcd.report.mesh import links, mesh
from tests.unit.builders import NOW, World, deployed
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, WARNING, bad, endpoint, findings, host, status

if TYPE_CHECKING:
    from nornir_etcd.report.model import Severity

GIB = 1024**3
MIB = 1024**2
NOTHING = Unknown("no /proc")


def around(world: World, name: str, **values: object) -> None:
    """Change what was read of a host's surroundings."""
    found = (world.seen or world.observe()).hosts[name].surroundings
    assert isinstance(found, Surroundings)
    host(world, name, surroundings=replace(found, **values))  # type: ignore[arg-type]  # by name


def free(world: World, name: str, path: str, left: int) -> None:
    """Leave so many bytes free at a path."""
    found = world.observe().hosts[name].surroundings
    assert isinstance(found, Surroundings)
    assert not isinstance(found.volumes, Unknown)
    around(world, name, volumes=found.volumes | {path: replace(found.volumes[path], free=left)})


@pytest.mark.parametrize(
    ("low", "high", "severity"),
    [(-0.2, 0.3, OK), (-1.2, 0.1, UNKNOWN), (0.4, 1.4, UNKNOWN), (1.01, 1.2, WARNING), (-7.0, -1.01, WARNING)],
)
def test_a_clock_is_called_off_only_where_it_surely_is(low: float, high: float, severity: Severity) -> None:
    world = deployed()
    around(world, "master-1", offset=ClockOffset(low, high))
    assert findings(world)["host.clock", "master-1"].severity is severity


def test_clocks_are_compared_with_each_other_besides() -> None:
    world = deployed()
    around(world, "master-1", offset=ClockOffset(0.8, 0.9))
    around(world, "master-3", offset=ClockOffset(-0.9, -0.8))
    assert bad(world) == {("host.clock", "master-1"): WARNING, ("host.clock", "master-3"): WARNING}
    assert "1.6 s ahead of master-3's" in findings(world)["host.clock", "master-1"].message


@pytest.mark.parametrize(
    ("path", "left", "severity", "told"),
    [
        ("/var/lib/etcd", 63 * MIB, CRITICAL, "wanted 64 MiB free, found 63"),
        ("/var/lib/etcd", 64 * MIB, WARNING, "may grow by 2047 MiB"),
        ("/var/lib/etcd", 2 * GIB, WARNING, "2048 MiB free"),
        ("/var/lib/etcd", 3 * GIB, OK, "enough"),
        ("/etc/kubernetes", 15 * MIB, WARNING, "/etc/kubernetes (wanted 16 MiB free)"),
        ("/etc/kubernetes/pki", 0, WARNING, "/etc/kubernetes/pki (wanted 16 MiB free)"),
        ("/etc/kubernetes/manifests", 0, WARNING, "/etc/kubernetes/manifests"),
    ],
)
def test_space_is_held_to_what_is_written_there(path: str, left: int, severity: Severity, told: str) -> None:
    world = deployed()
    free(world, "master-1", path, left)
    one = findings(world)["host.space", "master-1"]
    assert (one.severity, told in one.message) == (severity, True)


def test_the_quota_that_the_member_tells_is_the_one_that_counts() -> None:
    world = deployed()
    free(world, "master-1", "/var/lib/etcd", 3 * GIB)
    status(world, "master-1", db_size_quota=8 * GIB)
    assert findings(world)["host.space", "master-1"].severity is WARNING
    status(world, "master-1", db_size=8 * GIB)
    assert findings(world)["host.space", "master-1"].severity is OK


@pytest.mark.parametrize(
    ("kubelets", "severity"),
    [
        ((), CRITICAL),
        ((Kubelet(1, "other", "/c", "/opt/kube/manifests"),), CRITICAL),
        ((Kubelet(1, "unset", "/c", ""),), CRITICAL),
        ((Kubelet(1, "unreadable", "/c", ""),), UNKNOWN),
        (NOTHING, UNKNOWN),
        ((Kubelet(1, "other", "/c", "/x"), Kubelet(2, "same", "/d", "/y")), OK),
    ],
)
def test_a_kubelet_must_run_and_watch_the_folder(kubelets: object, severity: Severity) -> None:
    world = deployed()
    around(world, "master-1", kubelets=kubelets)
    assert findings(world)["host.kubelet", "master-1"].severity is severity


def listens(world: World, number: int) -> Listener:
    """Return the member's own listener on the peer port."""
    (found,) = (one for one in world[number].surroundings({}).listeners if one.port == 2380)  # type: ignore[union-attr]  # known
    return found


@pytest.mark.parametrize(
    ("values", "down", "healthy"),
    [
        ({}, OK, OK),
        ({"process": "nc", "cgroup": "0::/"}, CRITICAL, CRITICAL),
        ({"process": "haproxy", "cgroup": "0::/", "address": "::"}, CRITICAL, CRITICAL),
        ({"cgroup": "0::/system.slice/etcd.service"}, CRITICAL, OK),  # its cgroup may be hidden: the member answers
        ({"pid": 0, "process": "", "cgroup": ""}, CRITICAL, OK),
        ({"process": "nc", "cgroup": "0::/", "address": "192.0.2.99"}, OK, OK),  # another address of the host
    ],
)
def test_ports_are_the_members_own(values: dict[str, object], down: Severity, healthy: Severity) -> None:
    world = deployed()
    around(world, "master-1", listeners=(replace(listens(world, 1), **values),))  # type: ignore[arg-type]  # by name
    assert findings(world)["host.ports", "master-1"].severity is healthy
    endpoint(world, "master-1", read_seconds=DEAD)
    assert findings(world)["host.ports", "master-1"].severity is down


def test_an_etcd_that_cannot_be_told_from_the_members_own_is_unknown() -> None:
    world = deployed()
    host(world, "master-1", containers=Unknown("crictl: not found"))
    endpoint(world, "master-1", read_seconds=DEAD)
    assert findings(world)["host.ports", "master-1"].severity is UNKNOWN


@pytest.mark.parametrize(
    ("field", "code"),
    [("offset", "clock"), ("volumes", "space"), ("kubelets", "kubelet"), ("listeners", "ports")],
)
def test_what_was_not_read_is_unknown_with_its_reason(field: str, code: str) -> None:
    world = deployed()
    around(world, "master-1", **{field: NOTHING})
    assert bad(world) == {(f"host.{code}", "master-1"): UNKNOWN}
    assert "no /proc" in findings(world)[f"host.{code}", "master-1"].message


def test_a_dead_host_is_unknown_with_its_own_reason() -> None:
    world = deployed()
    world[3].error = DEAD
    for code in ("host.clock", "host.space", "host.kubelet", "host.ports", "peer.mesh"):
        assert DEAD.reason in findings(world)[code, "master-3"].message


@pytest.mark.parametrize("state", ["refused", "silent"])
def test_a_way_that_is_not_open_is_critical_for_who_looks_and_names_the_target(state: str) -> None:
    world = deployed()
    around(world, "master-1", peers={"192.0.2.12": "open", "192.0.2.13": state})
    assert bad(world) == {("peer.mesh", "master-1"): CRITICAL}
    one = findings(world)["peer.mesh", "master-1"]
    assert f"master-3 at https://192.0.2.13:2380 ({state})" in one.message
    assert one.evidence == {"master-2": "open", "master-3": state}


def test_a_probe_that_could_not_be_made_is_unknown_unless_another_way_is_closed() -> None:
    world = deployed()
    around(world, "master-1", peers={"192.0.2.12": "open", "192.0.2.13": Unknown("no timeout")})
    assert bad(world) == {("peer.mesh", "master-1"): UNKNOWN}
    assert findings(world)["peer.mesh", "master-1"].message.endswith("master-3 is not known: no timeout")
    around(world, "master-1", peers={"192.0.2.12": "silent", "192.0.2.13": Unknown("no timeout")})
    assert bad(world) == {("peer.mesh", "master-1"): CRITICAL}


def test_a_single_member_has_nobody_to_reach() -> None:
    world = deployed(1)
    assert not list(peers.check(evidence(world.cluster, world.observe(), {}, NOW)))


def test_the_mesh_is_every_way_of_the_controller_and_of_every_member() -> None:
    world = deployed()
    found = {(link.source, link.target): link.state for link in mesh(world.cluster, world.observe())}
    places = ["controller", *sorted(world.names)]
    assert list(found) == [(one, other) for one in places for other in sorted(world.names) if one != other]
    assert set(found.values()) == {"open"}


@pytest.mark.parametrize(
    ("values", "state", "reason"),
    [
        ({"peer_port": False}, "refused", ""),
        ({"peer_port": Unknown("no answer")}, "silent", "no answer"),
        ({"client_port": DEAD, "peer_port": Unknown("not looked at")}, "unknown", "not looked at"),
        ({"via": "ssh"}, "unknown", "looked at through the host's SSH session (etcd_via)"),
    ],
)
def test_what_the_controller_did_not_see_itself_is_not_its_way(
    values: dict[str, object], state: str, reason: str
) -> None:
    world = deployed()
    endpoint(world, "master-2", **values)
    assert world.seen is not None
    (link,) = (
        one for one in links(world.cluster, world.seen) if (one.source, one.target) == ("controller", "master-2")
    )
    assert (link.state, link.reason) == (state, reason)


def test_the_ways_of_a_dead_host_are_unknown_with_its_reason() -> None:
    world = deployed()
    world[3].error, world[3].up = DEAD, False
    found = {(link.source, link.target): link for link in mesh(world.cluster, world.observe())}
    assert (found["master-3", "master-1"].state, found["master-3", "master-1"].reason) == ("unknown", DEAD.reason)
    assert found["master-1", "master-3"].state == "silent"


def test_where_no_host_looked_the_mesh_is_what_the_controller_saw() -> None:
    world = deployed()
    for name in world.names:
        host(world, name, surroundings=Unknown("not read"))
    assert world.seen is not None
    assert [link.source for link in mesh(world.cluster, world.seen)] == ["controller"] * 3
    for name in world.names:
        endpoint(world, name, peer_port=Unknown("not read"), client_port=Unknown("not read"))
    assert mesh(world.cluster, world.seen) == []
