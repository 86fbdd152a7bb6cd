"""Whose data are corrupt, for certain, and what only looks like it. Pure: no I/O.

Three things tell: an alarm of etcd's, hashes that a majority contradicts, and the log of a member that refuses to
start.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.layout import layout
from nornir_etcd.manifest import command_flags
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.etcdlog import InitialCheck, damage, initial_check, last_words, shortened
from nornir_etcd.plan.hashes import disagreement
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.state import cluster_state, is_itself, known_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, MemberInfo
    from nornir_etcd.plan.state import ClusterState

NAMING = (3, 6)
"""The first minor whose compact hash check names whom a majority of all members contradicts (checkPeerHashes in
server/etcdserver/corrupt.go)."""
PERIODIC_CHECKS = ("corrupt-check-time", "experimental-corrupt-check-time")


@dataclass(frozen=True)
class Sign:
    """What may mean that data are corrupt."""

    host: str  # whose; empty where that is not known
    said: str
    certain: bool = False


def damages(cluster: Cluster, observation: ClusterObservation) -> dict[str, str]:
    """Return whose data are corrupt, only where that is certain.

    What a log says holds for the data that were there at the last start: look again before something is done.

    Args:
        cluster: as the inventory wants it.
        observation: one from a deep look tells hashes, and one with `last_words` why a member does not start.

    Returns:
        The evidence in words, by host name.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for sign in _signs(cluster, observation):
        if sign.certain:
            found[sign.host].append(sign.said)
    return {name: "; ".join(said) for name, said in found.items()}


def doubts(cluster: Cluster, observation: ClusterObservation) -> list[str]:
    """Return what may mean corrupt data, where it is not certain that they are, or whose; one line each.

    Args:
        cluster: as the inventory wants it.
        observation: as `damages` takes it.
    """
    return [f"{sign.host or cluster.name}: {sign.said}" for sign in _signs(cluster, observation) if not sign.certain]


def _signs(cluster: Cluster, observation: ClusterObservation) -> Iterator[Sign]:
    state = cluster_state(cluster, observation)
    yield from _alarms(cluster, observation, state)
    yield from _hashes(cluster, observation, state)
    for member in cluster.members:
        if _is_stopped(member.name, observation):
            yield from _log(member, observation, state)


def _alarms(cluster: Cluster, observation: ClusterObservation, state: ClusterState) -> Iterator[Sign]:
    """Judge whom CORRUPT alarms name, as members of the quorum tell them.

    An alarm does not say which check has raised it (server/etcdserver/corrupt.go):

    - The initial check raises none: the member ends.
    - The compact hash check (3.5.5 and later) names, from 3.6 on, each that differs from a majority of all members, and
      member 0 where there is no majority. 3.5.7 and later name 0 always ("It isn't clear which member's data is
      corrupted", etcd#14849); before, whoever differs from the leader, which may be wrong itself.
    - The periodic check (off unless --corrupt-check-time is given) names the first that differs from the leader; 3.4.23
      and later, and 3.5.7 and later, name 0. Before, some named 0 by mistake (etcd#14272).
    """
    told = [observation.endpoints[name].alarms for name in sorted(state.healthy)]
    alarms = {alarm for one in told if not isinstance(one, Unknown) for alarm in one}
    raised = sorted({alarm.member_id for alarm in alarms if alarm.kind == "CORRUPT"})
    listed = {info.id: info for info in state.live.members} if state.live else {}
    hosts = {entry.id: name for name, entry in state.entries.items()}
    why = _unbelieved(cluster, observation, state, [listed[number] for number in raised if number in listed])
    for number in raised:
        who, host = f"a CORRUPT alarm names member {hexadecimal(number)}", hosts.get(number, "")
        if not number:
            yield Sign("", "a CORRUPT alarm names no member: etcd did not know whose data are corrupt")
        elif number not in listed:
            yield Sign("", f"{who}, which is in the live list no more; see that the others are well, and disarm it")
        elif not host:
            yield Sign("", f"{who}, which is on no host of the inventory")
        elif why:
            yield Sign(host, f"{who}, and may be wrong: {why}")
        else:
            said = "etcd has raised a CORRUPT alarm for it: a majority of all members has other data"
            yield Sign(host, said, certain=True)


def _unbelieved(
    cluster: Cluster, observation: ClusterObservation, state: ClusterState, named: Sequence[MemberInfo]
) -> str:
    """Return why alarms that name members may name the wrong ones; empty where they cannot."""
    live = state.live.members if state.live else ()
    statuses = (known_status(observation.endpoints[name]) for name in state.healthy)
    # The storage has the cluster's version, which is the lowest minor that a member runs.
    storage = [version.line for status in statuses if status and (version := release(status.storage_version))]
    if not storage or min(storage) < NAMING:
        return "releases before 3.6 compare with the leader alone"
    if 2 * sum(not info.is_learner for info in named) >= sum(not info.is_learner for info in live):
        return "alarms name so many that no majority is left"
    hosts = {entry.id: name for name, entry in state.entries.items()}
    for info in live:
        if info.id not in hosts:
            return f"the flags of member {info.name or hexadecimal(info.id)} are not known"
        if why := _checks_periodically(cluster.member(hosts[info.id]), observation):
            return why
    return ""


def _checks_periodically(member: Member, observation: ClusterObservation) -> str:
    """Return why an alarm may be one of the member's periodic check; empty where it makes none."""
    try:
        flags = command_flags(observation.hosts[member.name].texts[layout(member.settings).manifest])
    except (KeyError, ValueError):
        return f"the flags of {member.name} are not known"
    on = [name for name in PERIODIC_CHECKS if flags.get(name, "0") not in {"0", "0s"}]
    return f"--{on[0]} of {member.name} compares with the leader alone" if on else ""


def _hashes(cluster: Cluster, observation: ClusterObservation, state: ClusterState) -> Iterator[Sign]:
    differing = disagreement(cluster, observation, state)
    if differing is None:
        return
    agreeing = ", ".join(sorted(differing.majority))
    certain = {
        name
        for name in differing.certain
        if state.live is not None and is_itself(observation.endpoints[name], state.live, state.entries.get(name))
    }
    for name in differing.few:
        said = f"its hash is {differing.hashes[name]:08x}, and that of {agreeing} is another at the same revision"
        if name in certain:
            yield Sign(name, f"{said}: a majority of all voters", certain=True)
        else:
            yield Sign(name, f"{said}; a release of its own, or an etcd that is no member, may hash otherwise")
    if not differing.majority:
        names = ", ".join(differing.hashes)
        yield Sign("", f"{names} have different hashes at one revision, and no majority tells which is right")


def _is_stopped(name: str, observation: ClusterObservation) -> bool:
    """Whether no container of a member runs, and nothing answers on its client port."""
    host = observation.hosts[name]
    stopped = not isinstance(host.containers, Unknown) and not any(one.running for one in host.containers)
    return host.error is None and stopped and observation.endpoints[name].client_port is False


def _log(member: Member, observation: ClusterObservation, state: ClusterState) -> Iterator[Sign]:
    """Judge the log of a member that does not run."""
    lines = observation.last_words.get(member.name)
    if lines is None:
        return
    if isinstance(lines, Unknown):
        yield Sign(member.name, f"it does not run, and its log is not known: {lines.reason}")
    elif told := damage(lines):
        yield Sign(member.name, f"it refuses to start: {told}", certain=True)
    elif checked := initial_check(lines):
        yield _outvoted(member, checked, observation, state)
    elif said := last_words(lines):
        yield Sign(member.name, f'it does not run; its log ends with "{shortened(said[0])}"')


def _outvoted(member: Member, checked: InitialCheck, observation: ClusterObservation, state: ClusterState) -> Sign:
    """Judge the hashes beside which a member refuses to start: it is wrong where a majority of all voters has one.

    Of one release at least as it is itself, see nornir_etcd.plan.hashes.
    """
    voters = [info for info in state.live.members if not info.is_learner] if state.live else []
    hosts = {entry.id: name for name, entry in state.entries.items()}
    for urls in checked.peers.values():
        agreeing = [info for info in voters if urls & set(info.peer_urls) and member.peer_url not in info.peer_urls]
        statuses = [known_status(observation.endpoints[hosts[info.id]]) for info in agreeing if info.id in hosts]
        like = {str(release(status.version)) for status in statuses if status}
        if 2 * len(agreeing) > len(voters) and checked.release in like:
            names = ", ".join(sorted(info.name for info in agreeing))
            said = f"it refuses to start: it has other data than {names}, a majority of all voters, have"
            return Sign(member.name, said, certain=True)
    return Sign(member.name, "it refuses to start beside members with other data, and no majority tells which is right")
