"""Are etcd's ports free or the member's own, and do the members reach each other?"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.cluster import CLIENT_PORT, METRICS_PORT, PEER_PORT
from nornir_etcd.observation import NOT_READ, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import Container, Listener, Maybe
    from nornir_etcd.report.model import Finding

PORTS = (CLIENT_PORT, PEER_PORT, METRICS_PORT)


def ports(seen: Evidence, member: Member) -> Finding:
    """Check that nobody but the member's own container listens on etcd's ports."""
    asked = Check("preflight.port", member.name)
    listeners = surroundings(seen.observation, member).listeners
    if isinstance(listeners, Unknown):
        return asked.unknown(f"the ports could not be read: {listeners.reason}", "see /proc/net/tcp on the host")
    taken = in_the_way(listeners, member)
    read = {f"{one.port} {one.address}": owner(one) for one in taken}
    if not taken:
        return asked.ok(f"ports {', '.join(map(str, PORTS))} are free", **read)
    containers = seen.host(member.name).containers
    others = of_others(taken, containers)
    if not others or member.name in seen.state.healthy:
        return asked.ok("the member itself has the ports", **read)
    if isinstance(containers, Unknown) and all(one.process == "etcd" for one in others):
        return asked.unknown(
            f"an etcd has the ports, and whether it is this member's is not known: {containers.reason}",
            "see that the runtime answers",
            **read,
        )
    names = ", ".join(dict.fromkeys(f"{one.port} by {owner(one)}" for one in others))
    return asked.critical(f"ports are taken: {names}", "stop what has them; etcd's ports are fixed", **read)


def in_the_way(listeners: Iterable[Listener], member: Member) -> list[Listener]:
    """Return those that listen where the member's etcd would."""
    return [one for one in listeners if _in_the_way(one, member)]


def of_others(listeners: Iterable[Listener], containers: Maybe[tuple[Container, ...]]) -> list[Listener]:
    """Return those that are not known to be of one of the member's own containers."""
    ids = [] if isinstance(containers, Unknown) else [container.id for container in containers]
    return [one for one in listeners if not any(identity in one.cgroup for identity in ids)]


def _in_the_way(listener: Listener, member: Member) -> bool:
    """Whether it listens where etcd would: on all addresses, on loopback or on the member's address."""
    found = ip_address(listener.address)
    mapped = getattr(found, "ipv4_mapped", None) or found
    if mapped.is_unspecified or mapped.is_loopback:
        return True
    try:
        return mapped == ip_address(member.address)
    except ValueError:  # a member known by a DNS name listens on all addresses
        return True


def owner(listener: Listener) -> str:
    """Return who listens, in a few words."""
    return f"{listener.process} (pid {listener.pid})" if listener.pid else "a process that could not be told"


def peers(seen: Evidence, member: Member, started: frozenset[str]) -> Finding:
    """Check, as the host itself saw it, that it reaches the peer port of every other member.

    A refused connection shows that the way is open and nobody listens yet; it is a fault where that member serves. A
    firewall that answers in place of the host with a reset looks the same before a bootstrap.
    """
    asked = Check("preflight.peer", member.name)
    probes = surroundings(seen.observation, member).peers
    found = [
        (other, probes.get(other.address, NOT_READ))
        for other in seen.cluster.members
        # A host that does not answer at all is told elsewhere, and the others may be worked on without it.
        if other != member and seen.host(other.name).error is None and not started.isdisjoint((member.name, other.name))
    ]
    read = {other.name: probe.reason if isinstance(probe, Unknown) else probe for other, probe in found}
    blocked = [
        f"{other.name} ({other.peer_url})"
        for other, probe in found
        if probe == "silent" or (probe == "refused" and other.name in seen.state.healthy)
    ]
    if blocked:
        return asked.critical(
            f"does not reach the peer port of {', '.join(blocked)}",
            f"let TCP port {PEER_PORT} through between all members, in both directions",
            **read,
        )
    doubtful = {other.name: probe.reason for other, probe in found if isinstance(probe, Unknown)}
    if doubtful:
        why = "; ".join(dict.fromkeys(doubtful.values()))
        return asked.unknown(
            f"whether it reaches the peer port of {', '.join(doubtful)} is not known: {why}",
            "install bash, or nc, and timeout on the host",
            **read,
        )
    return asked.ok("reaches the peer port of every other host that answers", **read)
