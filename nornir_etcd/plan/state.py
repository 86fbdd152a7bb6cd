"""Where a cluster stands, read out of one observation. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nornir_etcd.layout import layout
from nornir_etcd.manifest import FirstStart, first_start_of
from nornir_etcd.observation import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import (
        ClusterObservation,
        EndpointObservation,
        HostObservation,
        MemberInfo,
        MemberList,
        MemberStatus,
    )

KUBELET_DELAY = 60.0
"""Seconds after a change of its manifest in which a member may still be stopped for it: over three times the 7 to 17 s
that a kubelet was seen to take (1.36). A manifest that was only touched makes no new Pod: nobody waits for ever."""

Life = Literal["new", "starting", "live", "down"]
"""new: no member has data or a manifest. starting: a bootstrap was begun and not every member has written data.
live: etcd answers with a quorum. down: every member has data and no quorum answers."""


@dataclass(frozen=True)
class ClusterState:
    """One cluster as an observation shows it."""

    life: Life
    live: MemberList | None  # the member list, where a quorum answers
    healthy: frozenset[str]  # hosts whose endpoint answered a linearizable read, as the member of the live list
    leader: str  # host name; empty where unknown
    entries: Mapping[str, MemberInfo] = field(default_factory=dict)  # of the live list, by host name
    restarting: frozenset[str] = frozenset()  # hosts whose kubelet may be about to replace a container that serves

    def entry(self, member: Member) -> MemberInfo | None:
        """Return the member's entry in the live list, found by exact peer URL.

        Of an endpoint no peer URL is known: its entry is that of the member as which it answers, or whose client URL
        it is.
        """
        return self.entries.get(member.name)


def known_status(endpoint: EndpointObservation) -> MemberStatus | None:
    """Return the endpoint's status, or None where it is unknown."""
    return None if isinstance(endpoint.status, Unknown) else endpoint.status


def is_healthy(endpoint: EndpointObservation) -> bool:
    """Whether the endpoint answered a linearizable read and knows a leader: etcdctl's own notion of health.

    An alarm takes nothing from it: neither NOSPACE nor CORRUPT refuses a read. A member asks the quorum (ReadIndex) and
    reads its own store, past the applier that refuses with "etcdserver: corrupt cluster" (Range in
    server/etcdserver/v3_server.go, 3.4 to 3.6, and applierV3Corrupt in corrupt.go beside it).
    """
    status = known_status(endpoint)
    return not isinstance(endpoint.read_seconds, Unknown) and status is not None and status.leader != 0


def is_itself(endpoint: EndpointObservation, live: MemberList, entry: MemberInfo | None) -> bool:
    """Whether an endpoint is the member that the live list has: another's etcd may answer on its address."""
    status = known_status(endpoint)
    if status is None or entry is None:
        return False
    return (status.cluster_id, status.member_id) == (live.cluster_id, entry.id)


def _is_healthy_member(endpoint: EndpointObservation, live: MemberList | None, entry: MemberInfo | None) -> bool:
    return is_healthy(endpoint) and (live is None or is_itself(endpoint, live, entry))


def _entry(cluster: Cluster, member: Member, endpoint: EndpointObservation, live: MemberList) -> MemberInfo | None:
    if cluster.declared:
        return next((info for info in live.members if member.peer_url in info.peer_urls), None)
    status = known_status(endpoint)
    if status is not None:
        told = (info for info in live.members if (live.cluster_id, info.id) == (status.cluster_id, status.member_id))
        return next(told, None)
    return next((info for info in live.members if member.client_url in info.client_urls), None)


def is_blind(endpoint: EndpointObservation) -> bool:
    """Whether it was the controller that could not ask: the member may be healthy all the same."""
    return endpoint.blind is not None and (endpoint.client_port is True or endpoint.via == "ssh")


def is_surely_down(name: str, observation: ClusterObservation) -> bool:
    """Whether a member is known to serve nobody: its client port refuses connections, or no container of it runs.

    A member that only fails to answer the controller may still be one of the quorum.
    """
    host = observation.hosts[name]
    if observation.endpoints[name].client_port is False:
        return True
    return not isinstance(host.containers, Unknown) and not any(one.running for one in host.containers)


def live_list(observation: ClusterObservation) -> MemberList | None:
    """Return the member list of an endpoint that answers with a quorum, or None.

    Only an endpoint whose linearizable read succeeded is believed: another may tell of the past.
    """
    for endpoint in observation.endpoints.values():
        if is_healthy(endpoint) and not isinstance(endpoint.members, Unknown):
            return endpoint.members
    return None


def leader_host(cluster: Cluster, observation: ClusterObservation) -> str:
    """Return the host of the leader, as the newest term among the endpoints names it; empty where unknown."""
    statuses = {name: status for name, one in observation.endpoints.items() if (status := known_status(one))}
    newest = max((status.raft_term for status in statuses.values()), default=0)
    leaders = {status.leader for status in statuses.values() if status.raft_term == newest}
    names = [m.name for m in cluster.members if (status := statuses.get(m.name)) and status.member_id in leaders]
    return names[0] if len(names) == 1 else ""


def has_manifest(member: Member, host: HostObservation) -> bool:
    """Whether the host holds a manifest of etcd."""
    state = host.files.get(layout(member.settings).manifest)
    return state is not None and state.kind != "absent"


def lacks_manifest(member: Member, host: HostObservation) -> bool:
    """Whether the host is known to hold no manifest of etcd: it was read, and there is none."""
    state = host.files.get(layout(member.settings).manifest)
    return state is not None and state.kind == "absent"


def has_data(host: HostObservation) -> bool:
    """Whether the data directory holds the data of a member (of whichever cluster)."""
    return not isinstance(host.data, Unknown) and host.data.state == "member"


def kept_first_start(member: Member, host: HostObservation) -> FirstStart | None:
    """Return what the host's manifest says of a first start that lies behind its member: it is kept as it is.

    None where there is no data, so that the first start is still to come, or where the manifest is not about this
    member.
    """
    text = host.texts.get(layout(member.settings).manifest)
    return first_start_of(text, member) if text is not None and has_data(host) else None


def joining_start(member: Member, live: MemberList) -> FirstStart | None:
    """Return what a learner is told for its first start: the live list, in which it is. None where it is not.

    etcd compares the peer URLs with those of the cluster that it joins, and wants all of them
    (ValidateClusterAndAssignIDs in server/etcdserver/api/membership/cluster.go). Its own entry has no name yet.
    """
    found = [(info.name, url) for info in live.members for url in info.peer_urls]
    if member.peer_url not in {url for _, url in found}:
        return None
    entries = (f"{member.name if url == member.peer_url else name}={url}" for name, url in found)
    return FirstStart(",".join(entries), joining=True)


def is_prepared(host: HostObservation) -> bool:
    """Whether the data directory stands ready for a first start, as only a bootstrap leaves it."""
    return not isinstance(host.data, Unknown) and host.data.state == "guard"


def is_older_than_manifest(member: Member, host: HostObservation) -> bool:
    """Whether the container that runs was made before the manifest was written: it does not run what that says.

    Both times are the host's own.
    """
    manifest, container = host.files.get(layout(member.settings).manifest), host.container
    if manifest is None or manifest.kind == "absent" or container is None or not container.running:
        return False
    return container.created_ns / 1e9 < manifest.mtime


def is_restarting(member: Member, host: HostObservation) -> bool:
    """Whether the kubelet has had no fair chance yet to act on a manifest that was changed.

    A run that was ended right after it wrote the manifest leaves nothing else behind by which that could be recognised.
    """
    manifest = host.files.get(layout(member.settings).manifest)
    return is_older_than_manifest(member, host) and manifest is not None and host.clock - manifest.mtime < KUBELET_DELAY


def cluster_state(cluster: Cluster, observation: ClusterObservation) -> ClusterState:
    """Return where the cluster stands."""
    live = live_list(observation)
    hosts = [(member, observation.hosts[member.name]) for member in cluster.members]
    endpoints = observation.endpoints
    life: Life
    if live is not None:
        life = "live"
    elif all(has_data(host) for _, host in hosts):
        life = "down"
    elif any(has_data(host) or has_manifest(member, host) for member, host in hosts):
        life = "starting"
    else:
        life = "new"
    found = {m.name: _entry(cluster, m, endpoints[m.name], live) for m in cluster.members} if live else {}
    return ClusterState(
        life=life,
        live=live,
        healthy=frozenset(
            m.name for m in cluster.members if _is_healthy_member(endpoints[m.name], live, found.get(m.name))
        ),
        leader=leader_host(cluster, observation),
        entries={name: entry for name, entry in found.items() if entry is not None},
        restarting=frozenset(member.name for member, host in hosts if is_restarting(member, host)),
    )
