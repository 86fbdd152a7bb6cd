"""The live cluster and the inventory's members: what differs, in which order it is changed, with what margin. Pure.

A plan has the whole way, simulated, and is carried out up to the next change of membership alone: what follows is
planned again from what is seen then, so that quorum is counted anew before each step, and a run that was ended needs no
memory of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.observation import Unknown
from nornir_etcd.plan.certs import plan_certificates
from nornir_etcd.plan.hashes import agree
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.manifest import awaits, pulls, version_refusals
from nornir_etcd.plan.member_steps import steps_of, subject
from nornir_etcd.plan.seats import differing, endpoints_of, hosts_of, leader_of, margin, seats_of, unasked
from nornir_etcd.plan.sequence import ordered, stages
from nornir_etcd.plan.state import cluster_state, has_data
from nornir_etcd.plan.step import Consent, Plan, Step, waves

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation, MemberList
    from nornir_etcd.plan.reconfiguration import Change, Differences
    from nornir_etcd.signers.local import StoreContent

NO_LIST = "wanted a quorum that tells the member list, found none; bring members up first (see verify)"


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
    seats = seats_of(cluster, state.live, observation)
    found = _in_scope(cluster, differing(cluster, observation, state.live, seats), scope)
    order, stuck = ordered(found.changes)
    awaiting = tuple(_awaiting(cluster, observation, order, scope, state.live))
    sequence = stages(order, margin(seats, [state.entries[step.host].id for wave in awaiting for step in wave]))
    refusals = [*found.refusals, *(stage.refusal for stage in sequence if stage.refusal)]
    if stuck:
        names = ", ".join(change.name for change in stuck)
        refusals.append(f"{names}: each takes the peer URL of another; give one of them an address of its own first")
    first = (*_disarming(cluster, observation, state.live), *awaiting)
    readying, unready = _readying(cluster, observation, store, order, now)
    refusals += [*unready, *_not_root(observation, order)]
    notes = [f"{cluster.name}: {note}" for note in (*found.notes, *unasked(seats, observation))]
    if refusals:
        return Plan(refusals=tuple(dict.fromkeys(refusals)), notes=tuple(notes))
    narrow = [f"{stage.change.name}: {stage.action}" for stage in sequence if stage.needs_acknowledgement]
    if narrow:
        notes.append(f"{cluster.name}: to be acknowledged: one more failure would stop it at {', '.join(narrow)}")
    leader = leader_of(observation)
    steps = [tuple(steps_of(stage, leader)) for stage in sequence]
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
    found = differing(cluster, observation, state.live, seats_of(cluster, state.live, observation))
    # What is to be started is started as a member whose manifest differs.
    changes = [change for change in found.changes if change.purpose != "start"]
    # A learner that lost its data is one whose withdrawal was broken off.
    anew = {one.name for one in changes if (one.kind, one.purpose, one.votes) == ("remove", "repair", False)}
    if found.refusals or any(change.purpose != "add" and change.name not in anew for change in changes):
        return frozenset()
    return frozenset(change.name for change in changes)


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
    told = [one.alarms for one in endpoints_of(observation) if not isinstance(one.alarms, Unknown)]
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
    seats = seats_of(cluster, state.live, observation)
    hosts = hosts_of(cluster, state.live)
    for seat in seats:
        role = "learner" if seat.learner else "voter"
        health = {True: "healthy", False: "not healthy", None: "health not known"}[seat.healthy]
        where = f"host {hosts[seat.id]}" if seat.id in hosts else "no host of the inventory"
        yield f"live: {seat.label} ({hexadecimal(seat.id)}), {role}, {health}, {', '.join(seat.peer_urls)}: {where}"
    for member in cluster.members:
        if member.name not in state.entries:
            yield f"wanted: {member.name}, {member.peer_url}: not in the live list"
    yield f"margin: {margin(seats)}"
    found = differing(cluster, observation, state.live, seats)
    yield from (f"{cluster.name}: {line}" for line in (*found.refusals, *found.notes, *unasked(seats, observation)))
    order, stuck = ordered(found.changes)
    told = dict.fromkeys(f"{change.purpose} {subject(change)}" for change in (*order, *stuck))
    yield f"differs: {', '.join(told) or 'nothing'}"
