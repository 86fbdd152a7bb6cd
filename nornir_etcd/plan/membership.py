"""Whether the hosts, their data and the live member list belong together. Pure: no I/O.

Nothing here changes membership: what differs is refused, with the runbook that would do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import bootstrap_ids, hexadecimal
from nornir_etcd.plan.state import has_manifest, is_prepared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, DataDirectory, HostObservation, MemberInfo
    from nornir_etcd.plan.state import ClusterState

MEMBERS = "the runbook `members` changes membership; deploy only joins hosts that are new"


def refusals(
    cluster: Cluster, observation: ClusterObservation, state: ClusterState, new: frozenset[str] = frozenset()
) -> list[str]:
    """Return every reason why this cluster must not be worked on, each as one line.

    Args:
        cluster: as the inventory wants it.
        observation: of hosts and members.
        state: where the cluster stands by it.
        new: hosts that join it, which are no reason.
    """
    found = list(_list_refusals(cluster, state, new))
    for member in cluster.members:
        host = observation.hosts[member.name]
        if host.error is None and member.name not in new:
            found.extend(data_refusals(cluster, member, host, observation, state))
    return found


def never_started(info: MemberInfo) -> bool:
    """Whether a member of the live list has never published itself.

    A member of the bootstrap carries its name from the first, so the client URLs, which it publishes itself, tell.
    """
    return not info.client_urls


def _list_refusals(cluster: Cluster, state: ClusterState, new: frozenset[str]) -> Iterator[str]:
    if state.live is None:
        return
    wanted = {member.peer_url: member.name for member in cluster.members}
    found = {url: info.name for info in state.live.members for url in info.peer_urls}
    for url in sorted(url for url in set(wanted) - set(found) if wanted[url] not in new):
        yield f"{wanted[url]}: {url} is not in the live member list of {cluster.name}; {MEMBERS}"
    for info in state.live.members:
        if not set(info.peer_urls) & set(wanted):
            yield (
                f"{cluster.name}: member {info.name or hexadecimal(info.id)} ({', '.join(info.peer_urls)}) "
                f"is live and not in the inventory; {MEMBERS}"
            )
        elif info.is_learner and not new & {wanted.get(url, "") for url in info.peer_urls}:
            yield f"{info.name or hexadecimal(info.id)}: is a learner, wanted a voter; {MEMBERS}"


def data_refusals(
    cluster: Cluster, member: Member, host: HostObservation, observation: ClusterObservation, state: ClusterState
) -> Iterator[str]:
    """Yield why a host's data directory must not be started from: foreign, doubtful or lost data."""
    path = member.settings.etcd_data_dir
    data = host.data
    if isinstance(data, Unknown):
        yield f"{member.name}: {path} could not be read: {data.reason}; nothing is done on a doubtful observation"
    elif data.state == "other" and "member/snap" in data.content and has_manifest(member, host):
        # etcd makes its database before its log (bootstrap.go of 3.5); without a log it was never part of a quorum,
        # unless somebody removed the log. The kubelet goes on trying in either case.
        yield (
            f"{member.name}: {path} holds a first start that was broken off, or has lost its log: wanted member/wal, "
            "found member/snap alone; see the container's log, and run this again when the kubelet has started it"
        )
    elif data.state == "other":
        names = ", ".join(data.content[:5])
        yield (
            f"{member.name}: {path} holds something that is no etcd data: wanted absent or empty, found {names}; "
            "look at it and move it aside"
        )
    elif data.state == "member":
        yield from _foreign_data(cluster, member, data, observation, state)
    else:
        yield from _lost_data(member, host, state)


def _foreign_data(
    cluster: Cluster, member: Member, data: DataDirectory, observation: ClusterObservation, state: ClusterState
) -> Iterator[str]:
    found = f"found member {hexadecimal(data.node_id)} of cluster {hexadecimal(data.cluster_id)}"
    where = f"{member.name}: {member.settings.etcd_data_dir} holds foreign data"
    remedy = "it is left untouched; if it is not needed, move it aside"
    entry = state.entry(member)
    if state.live is not None:
        live = f"cluster {hexadecimal(state.live.cluster_id)}"
        if entry is None:
            yield f"{where}: wanted none, since it is no member of {live}, {found}; {remedy}"
        elif (data.cluster_id, data.node_id) != (state.live.cluster_id, entry.id):
            yield f"{where}: wanted member {hexadecimal(entry.id)} of {live}, {found}; {remedy}"
        return
    cluster_id, member_ids = bootstrap_ids(cluster)
    if (data.cluster_id, data.node_id) == (cluster_id, member_ids[member.name]):
        return
    swapped = data.node_id in {number for name, number in member_ids.items() if name != member.name}
    if swapped or not _may_have_grown(member, data, observation):
        wanted = f"member {hexadecimal(member_ids[member.name])} of cluster {hexadecimal(cluster_id)}, or an empty one"
        yield f"{where}: wanted {wanted}, {found}; {remedy}"


def _may_have_grown(member: Member, data: DataDirectory, observation: ClusterObservation) -> bool:
    """Whether data with other IDs than a bootstrap yields may be the member's all the same.

    A cluster that has grown since its bootstrap has other IDs, and so has a member that was replaced. Then the manifest
    is there, and all hosts that answer hold data, of one cluster and of different members.
    """
    known = [host.data for host in observation.hosts.values() if not isinstance(host.data, Unknown)]
    agree = {one.cluster_id for one in known} == {data.cluster_id}
    distinct = len({one.node_id for one in known}) == len(known)
    return agree and distinct and has_manifest(member, observation.hosts[member.name])


def _lost_data(member: Member, host: HostObservation, state: ClusterState) -> Iterator[str]:
    """Refuse a member without data that has had some. `guard` is what only a bootstrap leaves behind."""
    path = member.settings.etcd_data_dir
    entry = state.entry(member)
    guarded = is_prepared(host)
    if entry is not None and not never_started(entry):
        yield (
            f"{member.name}: {path} is empty, but {entry.name} ({hexadecimal(entry.id)}) has been a member: "
            f"it lost its data and must not start again under its old ID; {MEMBERS}"
        )
    elif has_manifest(member, host) and not guarded:
        yield (
            f"{member.name}: {path} is gone or empty, but the manifest is there: the member lost its data and must not "
            "start empty; restore its data, or remove the manifest of every member to begin a new cluster"
        )
    elif not guarded and (state.life == "starting" or entry is not None):
        # An entry without client URLs does not prove that the member has never voted; the guard does.
        remedy = "bring the other members up first" if entry is None else MEMBERS
        yield (
            f"{member.name}: {path} is absent or empty while other members of the cluster have data or a manifest, "
            f"and no bootstrap was begun here; {remedy}"
        )
