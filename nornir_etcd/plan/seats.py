"""Who is live and what is on the hosts, as changes of membership are judged by. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.layout import layout
from nornir_etcd.manifest import command_flags
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.damage import damages, doubts
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.membership import never_started
from nornir_etcd.plan.quorum import Margin
from nornir_etcd.plan.reconfiguration import Place, Seat, differences
from nornir_etcd.plan.state import (
    has_manifest,
    is_blind,
    is_healthy,
    is_restarting,
    known_status,
    lacks_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, EndpointObservation, HostObservation, MemberInfo, MemberList
    from nornir_etcd.plan.reconfiguration import Differences


def differing(
    cluster: Cluster, observation: ClusterObservation, live: MemberList, seats: Sequence[Seat]
) -> Differences:
    """Return what differs between the inventory's members and the live ones.

    Args:
        cluster: as the inventory wants it.
        observation: of hosts and members.
        live: the live list.
        seats: its entries, as `seats_of` gives them.
    """
    corrupt = damages(cluster, observation)
    places = [
        _place(member, observation.hosts[member.name], corrupt.get(member.name, "")) for member in cluster.members
    ]
    asked = [host for host in cluster.leaving if host.name in observation.hosts]
    leaving = [_place(host, observation.hosts[host.name]) for host in asked]
    found = differences(places, seats, live.cluster_id, leaving)
    found.notes += doubts(cluster, observation)
    return found


def _place(member: Member, host: HostObservation, damage: str = "") -> Place:
    certificates = host.files.get(layout(member.settings).etcd)
    return Place(
        name=member.name,
        peer_url=member.peer_url,
        data=host.error or host.data,
        advertised=_advertised(host.texts.get(layout(member.settings).manifest, "")),
        stopped=lacks_manifest(member, host),
        damage=damage,
        idle=not isinstance(host.containers, Unknown) and not any(one.running for one in host.containers),
        holds=has_manifest(member, host)
        or (certificates is not None and certificates.kind != "absent")
        or (not isinstance(host.data, Unknown) and host.data.state not in {"absent", "empty"}),
    )


def _advertised(manifest: str) -> str:
    """Return the peer URL in a manifest; empty where it names none, or several."""
    try:
        return command_flags(manifest).get("initial-advertise-peer-urls", "")
    except ValueError:
        return ""


def hosts_of(cluster: Cluster, live: MemberList) -> dict[int, str]:
    """Return, by member ID, the host of each live member that is at the address that the inventory has.

    Args:
        cluster: as the inventory wants it.
        live: the live list.
    """
    by_url = {host.peer_url: host.name for host in cluster.hosts}
    return {info.id: by_url[url] for info in live.members for url in info.peer_urls if url in by_url}


def seats_of(cluster: Cluster, live: MemberList, observation: ClusterObservation) -> list[Seat]:
    """Return the entries of the live list, with what is known of each.

    Args:
        cluster: as the inventory wants it.
        live: the live list.
        observation: of hosts and members; one that has asked strangers too knows more.
    """
    hosts, stopping = hosts_of(cluster, live), _stopping(cluster, observation)
    return [
        Seat(
            id=info.id,
            name=info.name,
            peer_urls=info.peer_urls,
            learner=info.is_learner,
            healthy=_health(info, hosts.get(info.id), live, observation, stopping),
            published=not never_started(info),
            runs=any(
                (status := known_status(one)) is not None
                and (status.cluster_id, status.member_id) == (live.cluster_id, info.id)
                and status.leader != 0
                for one in endpoints_of(observation)
            ),
        )
        for info in live.members
    ]


def _stopping(cluster: Cluster, observation: ClusterObservation) -> frozenset[str]:
    """Return the hosts whose manifest was removed or changed, so that what runs there may be stopped at any moment."""
    known = [(host, observation.hosts[host.name]) for host in cluster.hosts if host.name in observation.hosts]
    return frozenset(one.name for one, host in known if lacks_manifest(one, host) or is_restarting(one, host))


def endpoints_of(observation: ClusterObservation) -> tuple[EndpointObservation, ...]:
    """Return what every member answered that was asked, strangers included.

    Args:
        observation: of hosts and members.
    """
    return (*observation.endpoints.values(), *observation.strangers.values())


def _health(
    info: MemberInfo,
    host: str | None,
    live: MemberList,
    observation: ClusterObservation,
    stopping: Collection[str],
) -> bool | None:
    """Return whether a live member is healthy, wherever it answers; None where the controller cannot tell.

    Nor can it where the member is among those that a kubelet may be about to stop.
    """
    for name, endpoint in (*observation.endpoints.items(), *observation.strangers.items()):
        status = known_status(endpoint)
        if status and (status.cluster_id, status.member_id) == (live.cluster_id, info.id) and is_healthy(endpoint):
            return None if name in stopping else True
    if never_started(info):
        return False
    asked = observation.strangers.get(info.id) if host is None else observation.endpoints.get(host)
    if asked is None or is_blind(asked):
        return None
    return None if isinstance(asked.client_port, Unknown) and not _reaches_directly(observation) else False


def _reaches_directly(observation: ClusterObservation) -> bool:
    """Whether the controller reaches members without SSH: then silence says that nobody is there."""
    return any(one.client_port is True and one.via == "direct" for one in observation.endpoints.values())


def margin(seats: Sequence[Seat], awaited: Collection[int] = ()) -> Margin:
    """Return the voters, and those of them that are healthy, or are by the time that they were waited for.

    Args:
        seats: all entries of the live list.
        awaited: IDs of those that are waited for first.
    """
    voters = [seat for seat in seats if not seat.learner]
    return Margin(staying=sum(seat.healthy is True or seat.id in awaited for seat in voters), voters=len(voters))


def unasked(seats: Sequence[Seat], observation: ClusterObservation) -> Iterator[str]:
    """Yield who counts as lost in every margin only since nobody could tell, a line each.

    Args:
        seats: all entries of the live list.
        observation: of hosts and members.
    """
    for seat in seats:
        if seat.healthy is None and not seat.learner:
            asked = observation.strangers.get(seat.id)
            why = f": {asked.blind.reason}" if asked is not None and asked.blind is not None else ""
            yield (
                f"member {seat.label} ({hexadecimal(seat.id)}): whether it is healthy is not known{why}; it counts as "
                "lost in every margin, and is removed late"
            )


def leader_of(observation: ClusterObservation) -> int:
    """Return the member ID of the leader, as the newest term names it; 0 where it is not known.

    Args:
        observation: of hosts and members.
    """
    told = [status for one in endpoints_of(observation) if (status := known_status(one))]
    newest = max(told, key=lambda status: status.raft_term, default=None)
    return newest.leader if newest else 0
