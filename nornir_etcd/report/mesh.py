"""Who reaches whose peer port: the controller and every member. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nornir_etcd.observation import NOT_READ, Unknown
from nornir_etcd.report.model import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, EndpointObservation

CONTROLLER = "controller"


def mesh(cluster: Cluster, observation: ClusterObservation) -> list[Link]:
    """Return the report's mesh: of members only where a host was to look, and nothing where no way is known."""
    looked = any(not isinstance(host.surroundings, Unknown) for host in observation.hosts.values())
    found = [link for link in links(cluster, observation) if looked or link.source == CONTROLLER]
    return found if any(link.state != "unknown" for link in found) else []


def links(cluster: Cluster, observation: ClusterObservation) -> list[Link]:
    """Return every way to a peer port: from the controller first, then from each member, in inventory order.

    Args:
        cluster: as the inventory wants it.
        observation: of its hosts, with their surroundings, and of its endpoints.
    """
    found = [_from_controller(member, observation.endpoints[member.name]) for member in cluster.members]
    for member in cluster.members:
        found += links_from(member, cluster, observation)
    return found


def links_from(member: Member, cluster: Cluster, observation: ClusterObservation) -> Iterator[Link]:
    """Yield the ways from one member to all others, as its host saw them."""
    host = observation.hosts[member.name]
    read = host.surroundings
    for other in cluster.members:
        if other != member:
            unread = host.error or read
            probe = unread if isinstance(unread, Unknown) else unread.peers.get(other.address, NOT_READ)
            if isinstance(probe, Unknown):
                yield Link(source=member.name, target=other.name, state="unknown", reason=probe.reason)
            else:
                yield Link(source=member.name, target=other.name, state=probe)


def _from_controller(member: Member, endpoint: EndpointObservation) -> Link:
    """Return what the controller's own look came to; where only the host looked, the controller's way is not known."""
    state: Literal["open", "refused", "silent", "unknown"]
    reason = ""
    if endpoint.via == "ssh":
        state, reason = "unknown", "looked at through the host's SSH session (etcd_via)"
    elif isinstance(endpoint.peer_port, Unknown):
        # After a client port without an answer the peer port is not looked at; then only the reason tells.
        alone = not isinstance(endpoint.client_port, Unknown)
        state, reason = ("silent" if alone else "unknown"), endpoint.peer_port.reason
    else:
        state = "open" if endpoint.peer_port else "refused"
    return Link(source=CONTROLLER, target=member.name, state=state, reason=reason)
