"""The live cluster and the inventory's members: what differs, in which order it is changed, with what margin. Pure.

A plan has the whole way, simulated, and is carried out up to the next change of membership alone: what follows is
planned again from what is seen then, so that quorum is counted anew before each step, and a run that was ended needs no
memory of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.layout import layout
from nornir_etcd.manifest import command_flags
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.certs import plan_certificates
from nornir_etcd.plan.damage import damages, doubts
from nornir_etcd.plan.hashes import agree
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.manifest import awaits, pulls, version_refusals
from nornir_etcd.plan.membership import never_started
from nornir_etcd.plan.quorum import Margin
from nornir_etcd.plan.reconfiguration import Place, Seat, differences
from nornir_etcd.plan.sequence import ordered, stages
from nornir_etcd.plan.state import (
    cluster_state,
    has_data,
    has_manifest,
    is_blind,
    is_healthy,
    is_restarting,
    known_status,
    lacks_manifest,
)
from nornir_etcd.plan.step import Consent, Plan, Step, waves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, EndpointObservation, HostObservation, MemberInfo, MemberList
    from nornir_etcd.plan.reconfiguration import Change, Differences
    from nornir_etcd.plan.sequence import MemberAction, Stage
    from nornir_etcd.signers.local import StoreContent

NO_LIST = "wanted a quorum that tells the member list, found none; bring members up first (see verify)"

PURPOSES = {
    "add": "the inventory has it, the live list does not",
    "remove": "the live list has it, the inventory does not",
    "repair": "its data are lost: it must not start again under its old ID",
    "re-address": "the inventory has it at another address",
    "start": "its data are on the host, and no manifest",
}
PRECONDITIONS: dict[MemberAction, str] = {
    "add-learner": "the live list has no learner, and the host's data directory is absent or empty",
    "start-learner": "the live list has it as a learner, and its data directory is its own or prepared for it",
    "promote-member": "the learner has started and has caught up with the leader",
    "remove-member": "the members that stay are a quorum; leadership is elsewhere",
    "clear-member": "the live list does not have it",
    "set-data-aside": "the other members are a quorum",
    "update-peer-url": "the other members are a quorum; leadership is elsewhere",
    "readdress-member": "the live list has the new peer URL",
}
PROOFS: dict[MemberAction, str] = {
    "add-learner": "the live list has it as a learner",
    "start-learner": "a container runs, and the learner answers and knows the leader",
    "promote-member": "the live list has it as a voter",
    "remove-member": "its ID is not in the live list",
    "clear-member": "no container of etcd runs; manifest, certificates and data directory are gone from their places",
    "set-data-aside": "no container of etcd runs, and the data directory is gone from its place",
    "update-peer-url": "the live list has the new peer URL",
    "readdress-member": "a new container runs, and the member answers a linearizable read",
}
UNDOS: dict[MemberAction, str] = {
    "add-learner": "remove the learner; it has no vote",
    "start-learner": "remove the learner; it has no vote",
    "promote-member": "remove the member",
    "remove-member": "add a member on an empty data directory; the removed ID never comes back",
    "clear-member": "the data directory lies beside under another name; the rest is made anew",
    "set-data-aside": "the data directory lies beside under another name",
    "update-peer-url": "update it to the former peer URL",
    "readdress-member": "write the former manifest again",
}


def plan_members(
    cluster: Cluster,
    observation: ClusterObservation,
    store: StoreContent,
    *,
    scope: frozenset[str],
    now: datetime,
) -> Plan:
    """Plan the whole way from the live members to the inventory's, simulated before its first step.

    What can fail without touching membership comes first, for all hosts that join: certificates, image, files.

    Args:
        cluster: as the inventory wants it.
        observation: one that has asked strangers too.
        store: what the controller's folder holds.
        scope: the hosts that may change. Members that no host is are removed where all hosts may.
        now: the controller's time.
    """
    state = cluster_state(cluster, observation)
    if state.live is None:
        return Plan(refusals=(f"{cluster.name}: {NO_LIST}",))
    seats = _seats(cluster, state.live, observation)
    found = _in_scope(cluster, _differences(cluster, observation, state.live, seats), scope)
    order, stuck = ordered(found.changes)
    awaiting = tuple(_awaiting(cluster, observation, order, scope, state.live))
    sequence = stages(order, _margin(seats, [state.entries[step.host].id for wave in awaiting for step in wave]))
    refusals = [*found.refusals, *(stage.refusal for stage in sequence if stage.refusal)]
    if stuck:
        names = ", ".join(change.name for change in stuck)
        refusals.append(f"{names}: each takes the peer URL of another; give one of them an address of its own first")
    first = (*_disarming(cluster, observation, state.live), *awaiting)
    readying, unready = _readying(cluster, observation, store, order, now)
    refusals += [*unready, *_not_root(observation, order)]
    notes = [f"{cluster.name}: {note}" for note in (*found.notes, *_unasked(seats, observation))]
    if refusals:
        return Plan(refusals=tuple(dict.fromkeys(refusals)), notes=tuple(notes))
    narrow = [f"{stage.change.name}: {stage.action}" for stage in sequence if stage.needs_acknowledgement]
    if narrow:
        notes.append(f"{cluster.name}: to be acknowledged: one more failure would stop it at {', '.join(narrow)}")
    leader = _leader(observation)
    steps = [tuple(_steps(stage, leader)) for stage in sequence]
    return Plan(
        waves=(*first, *readying, *((step,) for stage in steps for step in stage)),
        notes=tuple(notes),
        again=bool(first or steps),
        # A change of membership is the first thing that is done after a look.
        horizon=len(first) + len(readying) or (len(steps[0]) if steps else None),
        consents=tuple(_consents(cluster, order, narrow)),
    )


def joins(cluster: Cluster, observation: ClusterObservation) -> frozenset[str]:
    """Return the hosts that are new to a cluster that lives; none where anything else of its membership differs.

    Args:
        cluster: as the inventory wants it.
        observation: of its hosts and members.
    """
    state = cluster_state(cluster, observation)
    if state.live is None:
        return frozenset()
    found = _differences(cluster, observation, state.live, _seats(cluster, state.live, observation))
    # What is to be started is started as a member whose manifest differs.
    changes = [change for change in found.changes if change.purpose != "start"]
    # A learner that lost its data is one whose withdrawal was broken off.
    anew = {one.name for one in changes if (one.kind, one.purpose, one.votes) == ("remove", "repair", False)}
    if found.refusals or any(change.purpose != "add" and change.name not in anew for change in changes):
        return frozenset()
    return frozenset(change.name for change in changes)


def _differences(
    cluster: Cluster, observation: ClusterObservation, live: MemberList, seats: Sequence[Seat]
) -> Differences:
    corrupt = damages(cluster, observation)
    places = [
        _place(member, observation.hosts[member.name], corrupt.get(member.name, "")) for member in cluster.members
    ]
    asked = [host for host in cluster.leaving if host.name in observation.hosts]
    leaving = [_place(host, observation.hosts[host.name]) for host in asked]
    found = differences(places, seats, live.cluster_id, leaving)
    found.notes += doubts(cluster, observation)
    return found


def _in_scope(cluster: Cluster, found: Differences, scope: frozenset[str]) -> Differences:
    """Leave out the changes that are not selected."""
    hosts = {host.name for host in cluster.hosts}
    left_out = [one.name for one in found.changes if one.name not in scope and (one.name in hosts or hosts - scope)]
    if left_out:
        out = [change for change in found.changes if change.name in left_out]
        found.changes = [change for change in found.changes if change.name not in left_out]
        found.refusals += _parted(found.changes, out)
        found.notes.append(f"left out by the selection: {', '.join(dict.fromkeys(left_out))}")
    return found


def _parted(chosen: Sequence[Change], left_out: Sequence[Change]) -> Iterator[str]:
    """Yield changes that cannot be made without another one, which is not selected."""
    for change in chosen:
        frees = next((one for one in left_out if change.takes & one.frees), None)
        learner = next(
            (one for one in left_out if one.kind == "resume" or (one.kind == "remove" and not one.votes)), None
        )
        if frees is not None:
            yield f"{change.name}: takes the name or the peer URL of {frees.name}, which is not selected; select both"
        elif change.kind == "add" and learner is not None:
            yield (
                f"{change.name}: not added while {learner.name}, which is not selected, is a learner: etcd takes one "
                "at a time; select both"
            )


def _disarming(cluster: Cluster, observation: ClusterObservation, live: MemberList) -> Iterator[tuple[Step, ...]]:
    """Yield the step that ends what is left of a corrupt member: etcd keeps its alarm, and refuses writes by it.

    Where there are several, the next one is ended when this one is. One that names nobody (ID 0) is ended when all
    voters are known to have the same data.
    """
    told = [one.alarms for one in _endpoints(observation) if not isinstance(one.alarms, Unknown)]
    raised = {alarm.member_id for alarms in told for alarm in alarms if alarm.kind == "CORRUPT"}
    stray = raised - {info.id for info in live.members}
    if not agree(cluster, observation, live):
        stray -= {0}
    for number in sorted(stray)[:1]:
        whose = f"is of member {hexadecimal(number)}, which was removed" if number else "names no member, and all agree"
        yield (
            Step(
                host=cluster.members[0].name,
                action="disarm-alarm",
                reason=f"the alarm CORRUPT {whose}",
                precondition="no member of the live list is known to be corrupt",
                proof="etcd does not tell the alarm any more",
                undo="none needed: a member that is corrupt raises its own",
                member_id=number,
            ),
        )


def _awaiting(
    cluster: Cluster,
    observation: ClusterObservation,
    changes: Sequence[Change],
    scope: frozenset[str],
    live: MemberList,
) -> Iterator[tuple[Step, ...]]:
    """Yield the wave that waits for voters whose manifest is new: a run that was ended left them to their kubelet."""
    voters = {url for info in live.members if not info.is_learner for url in info.peer_urls}
    wanted = {one.name for one in cluster.members if one.peer_url in voters and has_data(observation.hosts[one.name])}
    steps = awaits(cluster, observation, scope & wanted, frozenset(change.name for change in changes))
    if steps:
        yield steps


def _readying(
    cluster: Cluster, observation: ClusterObservation, store: StoreContent, changes: Sequence[Change], now: datetime
) -> tuple[tuple[tuple[Step, ...], ...], list[str]]:
    """Return what is done before membership is touched, and why it cannot be done."""
    moves = frozenset(change.name for change in changes if change.kind in {"update", "settle"})
    comes = frozenset(change.name for change in changes if change.kind in {"add", "resume"} and not change.runs)
    if not comes | moves:
        return (), []
    planned = plan_certificates(cluster, store, observation, scope=comes | moves, now=now, moving=moves)
    # What moves gets its files when its peers look for it at its new address.
    placing = tuple(step for step in planned.place if step.host in comes)
    issuing = tuple(step for step in planned.issue if step.action != "issue-apiserver")
    refused = [*planned.refusals, *version_refusals(cluster, observation)]
    return waves(issuing, [pulls(cluster, observation, comes), placing]), refused


def _not_root(observation: ClusterObservation, changes: Sequence[Change]) -> Iterator[str]:
    """Yield hosts that are to be changed and cannot."""
    names = {change.name for change in changes if change.kind != "remove" or change.clears}
    for name, host in observation.hosts.items():
        if name in names and host.error is None and host.uid != 0:
            yield f"{name}: wanted root on the host, found uid {host.uid}; log in as root"


def _consents(cluster: Cluster, changes: Sequence[Change], narrow: Collection[str]) -> Iterator[Consent]:
    """Yield what the operator has to agree to."""
    if narrow:
        text = f"one more failure would stop the cluster at {', '.join(narrow)}"
        yield Consent("no-margin", cluster.name, text)
    for change in changes:
        if change.kind == "remove" and change.purpose == "repair" and change.votes:
            why = f"are corrupt ({change.damage})" if change.damage else "are lost"
            text = f"the data of member {hexadecimal(change.id)} {why}: it is removed and starts anew as a learner"
            yield Consent("repair", change.name, text)


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
    seats = _seats(cluster, state.live, observation)
    hosts = _hosts(cluster, state.live)
    for seat in seats:
        role = "learner" if seat.learner else "voter"
        health = {True: "healthy", False: "not healthy", None: "health not known"}[seat.healthy]
        where = f"host {hosts[seat.id]}" if seat.id in hosts else "no host of the inventory"
        yield f"live: {seat.label} ({hexadecimal(seat.id)}), {role}, {health}, {', '.join(seat.peer_urls)}: {where}"
    for member in cluster.members:
        if member.name not in state.entries:
            yield f"wanted: {member.name}, {member.peer_url}: not in the live list"
    yield f"margin: {_margin(seats)}"
    found = _differences(cluster, observation, state.live, seats)
    yield from (f"{cluster.name}: {line}" for line in (*found.refusals, *found.notes, *_unasked(seats, observation)))
    order, stuck = ordered(found.changes)
    told = dict.fromkeys(f"{change.purpose} {_subject(change)}" for change in (*order, *stuck))
    yield f"differs: {', '.join(told) or 'nothing'}"


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


def _hosts(cluster: Cluster, live: MemberList) -> dict[int, str]:
    """Return the host of each live member that is at the address that the inventory has."""
    by_url = {host.peer_url: host.name for host in cluster.hosts}
    return {info.id: by_url[url] for info in live.members for url in info.peer_urls if url in by_url}


def _seats(cluster: Cluster, live: MemberList, observation: ClusterObservation) -> list[Seat]:
    hosts, stopping = _hosts(cluster, live), _stopping(cluster, observation)
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
                for one in _endpoints(observation)
            ),
        )
        for info in live.members
    ]


def _stopping(cluster: Cluster, observation: ClusterObservation) -> frozenset[str]:
    """Return the hosts whose manifest was removed or changed, so that what runs there may be stopped at any moment."""
    known = [(host, observation.hosts[host.name]) for host in cluster.hosts if host.name in observation.hosts]
    return frozenset(one.name for one, host in known if lacks_manifest(one, host) or is_restarting(one, host))


def _endpoints(observation: ClusterObservation) -> tuple[EndpointObservation, ...]:
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


def _margin(seats: Sequence[Seat], awaited: Collection[int] = ()) -> Margin:
    """Return the voters, and those of them that are healthy, or are by the time that they were waited for."""
    voters = [seat for seat in seats if not seat.learner]
    return Margin(staying=sum(seat.healthy is True or seat.id in awaited for seat in voters), voters=len(voters))


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
    told = [status for one in _endpoints(observation) if (status := known_status(one))]
    newest = max(told, key=lambda status: status.raft_term, default=None)
    return newest.leader if newest else 0


def _steps(stage: Stage, leader: int) -> Iterator[Step]:
    change = stage.change
    if stage.stops and change.id == leader and not (stage.action == "readdress-member" and change.kind == "update"):
        yield Step(
            host=change.name,
            action="move-leader",
            reason="the leader is stopped next: another member shall lead, so that it costs no election",
            precondition="another voter has caught up",
            proof="another member leads",
            undo="none needed: any member may lead",
            member_id=change.id,
        )
    yield Step(
        host=change.name,
        action=stage.action,
        reason=f"{change.purpose}{_about(stage)}",
        precondition=PRECONDITIONS[stage.action] + (_ACKNOWLEDGED if stage.needs_acknowledgement else ""),
        proof=PROOFS[stage.action],
        undo=UNDOS[stage.action],
        disruptive=stage.stops,
        margin=str(stage.least),
        member_id=change.id,
        peer_url=change.peer_url,
    )
    if stage.action == "promote-member":
        yield Step(
            host=change.name,
            action="await-member",
            reason="it votes from now on",
            precondition="the live list has it as a voter",
            proof="the member answers a linearizable read",
            undo="none needed: nothing is changed",
        )


_ACKNOWLEDGED = "; the operator has acknowledged that one more failure would stop the cluster"


def _about(stage: Stage) -> str:
    """Return whom a step is about, and why."""
    change = stage.change
    who = f"member {hexadecimal(change.id)}, " if change.id else ""
    if change.kind == "resume":
        return f" ({who}{change.peer_url}): it is a learner, and is to vote"
    if change.kind == "clear":
        return f" ({who}{change.peer_url}): it is no member any more, and something of it is on its host"
    if change.purpose == "replace":
        return f" {_subject(change)} ({who}{change.peer_url}){_left_alone(change)}"
    if change.damage:
        return f" ({who}{change.peer_url}): its data are corrupt ({change.damage})"
    return f" ({who}{change.peer_url}): {PURPOSES[change.purpose]}{_left_alone(change)}"


def _left_alone(change: Change) -> str:
    """Return that the host of a member which leaves stays as it is; empty where it is cleared."""
    return "; its host is left as it is" if change.kind == "remove" and not change.clears else ""


def _subject(change: Change) -> str:
    """Return whom a change is about; both where one replaces the other."""
    if change.purpose != "replace":
        return change.name
    gone, new = (change.name, change.other) if change.kind == "remove" else (change.other, change.name)
    return f"{gone} by {new}"
