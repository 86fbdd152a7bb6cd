"""The live cluster and the inventory's members: what differs, in which order it is changed, with what margin. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.membership import never_started
from nornir_etcd.plan.quorum import Margin
from nornir_etcd.plan.reconfiguration import Place, Seat, differences
from nornir_etcd.plan.sequence import ordered, stages
from nornir_etcd.plan.state import cluster_state, is_blind, is_healthy, known_status
from nornir_etcd.plan.step import Plan, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation, MemberInfo, MemberList
    from nornir_etcd.plan.reconfiguration import Change
    from nornir_etcd.plan.sequence import Stage
    from nornir_etcd.plan.state import ClusterState

NO_LIST = "wanted a quorum that tells the member list, found none; bring members up first (see verify)"

PURPOSES = {
    "add": "the inventory has it, the live list does not",
    "remove": "the live list has it, the inventory does not",
    "repair": "its data directory is lost: it must not start again under its old ID",
    "re-address": "the inventory has it at another address",
}
PRECONDITIONS = {
    "remove-member": "the members that stay are a quorum; leadership is elsewhere",
    "add-learner": "the live list has no learner, and the host's data directory is absent or empty",
    "promote-member": "the learner has started and has caught up with the leader",
    "update-peer-url": "the other members are a quorum; leadership is elsewhere",
}
PROOFS = {
    "remove-member": "its ID is not in the live list",
    "add-learner": "the live list has it as a learner, and it has published itself",
    "promote-member": "the live list has it as a voter, and it answers a linearizable read",
    "update-peer-url": "the live list has the new peer URL, and the member answers a linearizable read",
}
UNDOS = {
    "remove-member": "add a member on an empty data directory; the removed ID never comes back",
    "add-learner": "remove the learner; it has no vote",
    "promote-member": "remove the member",
    "update-peer-url": "update it to the former peer URL",
}


def plan_members(cluster: Cluster, observation: ClusterObservation) -> Plan:
    """Plan the whole way from the live members to the inventory's, simulated before its first step.

    Args:
        cluster: as the inventory wants it.
        observation: one that has asked strangers too.
    """
    state = cluster_state(cluster, observation)
    if state.live is None:
        return Plan(refusals=(f"{cluster.name}: {NO_LIST}",))
    seats = _seats(state.live, state, observation)
    found = differences(_places(cluster, observation), seats, state.live.cluster_id)
    order, stuck = ordered(found.changes)
    steps = stages(order, _margin(seats))
    refusals = [*found.refusals, *(stage.refusal for stage in steps if stage.refusal)]
    if stuck:
        names = ", ".join(change.name for change in stuck)
        refusals.append(f"{names}: each takes the peer URL of another; give one of them an address of its own first")
    changed = {change.name for change in found.changes if change.kind != "remove"}
    refusals += [
        f"{name}: wanted root on the host, found uid {host.uid}; log in as root"
        for name, host in observation.hosts.items()
        if name in changed and host.error is None and host.uid != 0
    ]
    notes = [f"{cluster.name}: {note}" for note in (*found.notes, *_unasked(seats, observation))]
    if refusals:
        return Plan(refusals=tuple(dict.fromkeys(refusals)), notes=tuple(notes))
    if narrow := [f"{stage.change.name}: {stage.action}" for stage in steps if stage.needs_acknowledgement]:
        notes.append(f"{cluster.name}: to be acknowledged: one more failure would stop it at {', '.join(narrow)}")
    leader = _leader(observation)
    return Plan(waves=tuple((step,) for stage in steps for step in _steps(stage, leader)), notes=tuple(notes))


def member_lines(cluster: Cluster, observation: ClusterObservation) -> Iterator[str]:
    """Yield who is live, who is wanted, the margin, and what differs.

    Args:
        cluster: as the inventory wants it.
        observation: one that has asked strangers too.
    """
    state = cluster_state(cluster, observation)
    if state.live is None:
        yield f"{cluster.name}: {NO_LIST}"
        return
    seats = _seats(state.live, state, observation)
    hosts = {entry.id: name for name, entry in state.entries.items()}
    for seat in seats:
        role = "learner" if seat.learner else "voter"
        health = {True: "healthy", False: "not healthy", None: "health not known"}[seat.healthy]
        where = f"host {hosts[seat.id]}" if seat.id in hosts else "no host of the inventory"
        yield f"live: {seat.label} ({hexadecimal(seat.id)}), {role}, {health}, {', '.join(seat.peer_urls)}: {where}"
    for member in cluster.members:
        if member.name not in state.entries:
            yield f"wanted: {member.name}, {member.peer_url}: not in the live list"
    yield f"margin: {_margin(seats)}"
    found = differences(_places(cluster, observation), seats, state.live.cluster_id)
    yield from (f"{cluster.name}: {line}" for line in (*found.refusals, *found.notes, *_unasked(seats, observation)))
    order, stuck = ordered(found.changes)
    told = dict.fromkeys(f"{change.purpose} {_subject(change)}" for change in (*order, *stuck))
    yield f"differs: {', '.join(told) or 'nothing'}"


def _places(cluster: Cluster, observation: ClusterObservation) -> list[Place]:
    hosts = observation.hosts
    return [
        Place(member.name, member.peer_url, hosts[member.name].error or hosts[member.name].data)
        for member in cluster.members
    ]


def _seats(live: MemberList, state: ClusterState, observation: ClusterObservation) -> list[Seat]:
    hosts = {entry.id: name for name, entry in state.entries.items()}
    return [
        Seat(
            id=info.id,
            name=info.name,
            peer_urls=info.peer_urls,
            learner=info.is_learner,
            healthy=_health(info, hosts.get(info.id), live, observation),
            published=not never_started(info),
        )
        for info in live.members
    ]


def _health(info: MemberInfo, host: str | None, live: MemberList, observation: ClusterObservation) -> bool | None:
    """Return whether a live member is healthy, wherever it answers; None where the controller cannot tell."""
    for endpoint in (*observation.endpoints.values(), *observation.strangers.values()):
        status = known_status(endpoint)
        if status and (status.cluster_id, status.member_id) == (live.cluster_id, info.id) and is_healthy(endpoint):
            return True
    if never_started(info):
        return False
    asked = observation.strangers.get(info.id) if host is None else observation.endpoints[host]
    if asked is None or is_blind(asked):
        return None
    return None if isinstance(asked.client_port, Unknown) and not _reaches_directly(observation) else False


def _reaches_directly(observation: ClusterObservation) -> bool:
    """Whether the controller reaches members without SSH: then silence says that nobody is there."""
    return any(one.client_port is True and one.via == "direct" for one in observation.endpoints.values())


def _margin(seats: Sequence[Seat]) -> Margin:
    voters = [seat for seat in seats if not seat.learner]
    return Margin(staying=sum(seat.healthy is True for seat in voters), voters=len(voters))


def _unasked(seats: Sequence[Seat], observation: ClusterObservation) -> Iterator[str]:
    """Yield who counts as lost in every margin only since nobody could tell."""
    for seat in seats:
        if seat.healthy is None and not seat.learner:
            asked = observation.strangers.get(seat.id)
            why = f": {asked.blind.reason}" if asked is not None and asked.blind is not None else ""
            yield (
                f"member {seat.label} ({hexadecimal(seat.id)}): whether it is healthy is not known{why}; it counts as "
                "lost in every margin, and is removed late"
            )


def _leader(observation: ClusterObservation) -> int:
    """Return the member ID of the leader, as the newest term names it; 0 where it is not known."""
    asked = (*observation.endpoints.values(), *observation.strangers.values())
    told = [status for one in asked if (status := known_status(one))]
    newest = max(told, key=lambda status: status.raft_term, default=None)
    return newest.leader if newest else 0


def _steps(stage: Stage, leader: int) -> Iterator[Step]:
    change = stage.change
    stops = stage.action in {"remove-member", "update-peer-url"} and change.votes and change.healthy is not False
    if stops and change.id == leader:
        yield Step(
            host=change.name,
            action="move-leader",
            reason="the leader is stopped next: another member shall lead, so that it costs no election",
            precondition="another voter has caught up",
            proof="another member leads",
            undo="none needed: any member may lead",
        )
    yield Step(
        host=change.name,
        action=stage.action,
        reason=f"{change.purpose}{_about(stage)}",
        precondition=PRECONDITIONS[stage.action] + (_ACKNOWLEDGED if stage.needs_acknowledgement else ""),
        proof=PROOFS[stage.action],
        undo=UNDOS[stage.action],
        disruptive=stops,
        margin=str(stage.least),
    )


_ACKNOWLEDGED = "; the operator has acknowledged that one more failure would stop the cluster"


def _about(stage: Stage) -> str:
    """Return whom a step is about, and why."""
    change = stage.change
    who = f"member {hexadecimal(change.id)}, " if change.id else ""
    if change.kind == "resume":
        return f" ({who}{change.peer_url}): a learner of ours, left by a run that was ended"
    if change.purpose == "replace":
        return f" {_subject(change)} ({who}{change.peer_url})"
    return f" ({who}{change.peer_url}): {PURPOSES[change.purpose]}"


def _subject(change: Change) -> str:
    """Return whom a change is about; both where one replaces the other."""
    if change.purpose != "replace":
        return change.name
    gone, new = (change.name, change.other) if change.kind == "remove" else (change.other, change.name)
    return f"{gone} by {new}"
