"""The planner: what is wanted and what is there in, ordered waves of steps out. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from nornir_etcd.pki.trust import CLUSTER
from nornir_etcd.plan import apiserver, certs, change_over, manifest, membership, rotation
from nornir_etcd.plan.certs import AS_DUE, Renewal
from nornir_etcd.plan.clients import plan_clients
from nornir_etcd.plan.members import joins, plan_members
from nornir_etcd.plan.rotation import UNSAID, Rotation
from nornir_etcd.plan.state import ClusterState, cluster_state, has_data, is_prepared, live_list
from nornir_etcd.plan.step import Plan, Step, waves
from nornir_etcd.plan.upgrade import plan_upgrade, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.signers.local import StoreContent

Difference = Literal["certificates", "manifests", "authority", "version", "members"]


@dataclass(frozen=True)
class Desired:
    """What is wanted of one cluster, and how far a run may go for it."""

    cluster: Cluster
    manifests: Mapping[str, str]  # text by host name
    scope: frozenset[str]  # the hosts that may change; the plan always covers the whole cluster
    allowed: frozenset[Difference]  # the differences that the runbook acts on
    now: datetime  # controller's time
    accept_downtime: bool = False
    renewal: Renewal = AS_DUE
    rotation: Rotation = UNSAID
    snapshots: tuple[datetime, ...] = ()  # when those that the controller holds were taken
    update_apiserver: bool = False  # API servers are pointed at the members of now


def plan(desired: Desired, observation: ClusterObservation, store: StoreContent) -> Plan:
    """Return the plan, or its refusals: every reason at once, and then no step at all."""
    if not desired.allowed:
        return Plan()
    if not desired.cluster.managed:
        return Plan(refusals=(_foreign(desired.cluster),))
    if "members" in desired.allowed:  # a host that cannot be read may be the one to replace
        return _plan_members(desired, observation, store)
    if unreadable := _unreadable(desired, observation):
        return Plan(refusals=tuple(unreadable))
    planners = {"authority": _plan_rotation, "version": _plan_upgrade, "manifests": _plan_deploy}
    planner = next((one for name, one in planners.items() if name in desired.allowed), _plan_certificates)
    return planner(desired, observation, store)


def _plan_upgrade(desired: Desired, observation: ClusterObservation, store: StoreContent) -> Plan:
    """Plan a change of version, on a cluster on which nothing else is to be done first."""
    cluster = desired.cluster
    state = cluster_state(cluster, observation)
    # A cluster of one does not answer while its change is under way.
    under_way = len(cluster.members) == 1 and unfinished(cluster, observation, state, desired.manifests, desired.scope)
    if state.life != "live" and not under_way:
        return Plan(
            refusals=(f"{cluster.name}: wanted a cluster that answers with a quorum, found none; mend it first",)
        )
    certificates = certs.plan_certificates(cluster, store, observation, scope=desired.scope, now=desired.now)
    refused = [*membership.refusals(cluster, observation, state), *certificates.refusals]
    if roles := change_over.members(cluster, observation, desired.scope):
        refused.append(
            f"{cluster.name}: {_listed(roles)}: deployed by the Ansible role; run deploy first, which brings them over"
        )
    if due := [*certificates.issue, *certificates.place]:
        refused.append(
            f"{cluster.name}: certificates: wanted nothing to do, found {due[0].host or 'the controller'}: "
            f"{due[0].reason}; run certs first"
        )
    planned = plan_upgrade(
        cluster,
        observation,
        state,
        desired.manifests,
        scope=desired.scope,
        snapshots=desired.snapshots,
        now=desired.now,
        accept_downtime=desired.accept_downtime,
    )
    if planned.refusals or (refused and planned.waves):
        return Plan(refusals=(*refused, *planned.refusals), notes=planned.notes)
    return Plan(waves=planned.waves, notes=planned.notes)


def _plan_members(desired: Desired, observation: ClusterObservation, store: StoreContent) -> Plan:
    """Plan the way to the inventory's members, and at its end the API servers on their hosts."""
    planned = plan_members(desired.cluster, observation, store, scope=desired.scope, now=desired.now)
    if planned.refusals or not desired.update_apiserver:
        return planned
    return replace(planned, waves=(*planned.waves, *plan_clients(desired.cluster, observation, desired.scope)))


def _plan_certificates(desired: Desired, observation: ClusterObservation, store: StoreContent) -> Plan:
    planned = certs.plan_certificates(
        desired.cluster, store, observation, scope=desired.scope, now=desired.now, renewal=desired.renewal
    )
    refusals = (*planned.refusals, *change_over.refusals(desired.cluster, observation, desired.scope))
    if refusals:
        return Plan(refusals=refusals)
    placing = _placing(planned, cluster_state(desired.cluster, observation))
    notes = change_over.notes(desired.cluster, observation, {}) if planned.place else ()
    return Plan(waves(planned.issue, placing), notes=notes)


def _plan_rotation(desired: Desired, observation: ClusterObservation, store: StoreContent) -> Plan:
    """Plan what the present phase of a CA rotation still wants; where that is nothing, the next phase."""
    cluster = desired.cluster
    refused = list(rotation.refusals(cluster, store, observation, desired.manifests))
    if left_out := {member.name for member in cluster.members} - desired.scope:
        refused.append(f"{cluster.name}: a CA is rotated on all members, the selection leaves out {_listed(left_out)}")
    if refused:
        return Plan(refusals=tuple(refused))
    planned = _plan_deploy(desired, observation, store)
    if planned.refusals or planned.steps:
        return replace(planned, again=True)
    clients = apiserver.apiservers(cluster, store, observation, desired.scope)
    if clients.restarts and store.trust.trusted != (CLUSTER,):  # until a rotation begins, another tool's files do
        return Plan(waves=clients.restarts, again=True)
    return rotation.next_phase(cluster, store, observation, desired.rotation, clients, now=desired.now)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _foreign(cluster: Cluster) -> str:
    """Return why a cluster is left alone whose files this program does not write."""
    if not cluster.declared:
        return f"{cluster.name}: endpoints alone are known of it, so it can be verified and not changed"
    preset = cluster.members[0].settings.etcd_preset
    return f"{cluster.name}: its files are {preset}'s (etcd_preset) and not managed by this program; verify reads them"


def _unreadable(desired: Desired, observation: ClusterObservation) -> list[str]:
    """Refuse to work on a host that could not be read, and to judge a cluster without etcd's word on the rest."""
    asks_all = cluster_state(desired.cluster, observation).life != "live"
    found: list[str] = []
    for member in desired.cluster.members:
        host = observation.hosts[member.name]
        if host.error is not None and (member.name in desired.scope or asks_all):
            found.append(host.error.reason)
        elif host.error is None and host.uid != 0:
            found.append(f"{member.name}: wanted root on the host, found uid {host.uid}; log in as root")
    return found


def _plan_deploy(desired: Desired, observation: ClusterObservation, store: StoreContent) -> Plan:
    """Plan what differs on the members; where that is nothing, the next step of the hosts that join them."""
    new = joins(desired.cluster, observation)
    if not new & desired.scope or not _has_learner(observation):  # else no member is stopped before that one votes
        planned = _plan_present(desired, observation, store, new)
        if not new or planned.refusals:
            return planned
        if planned.steps:
            return replace(planned, again=True, notes=(*planned.notes, f"{_listed(new)}: joined after that"))
    return plan_members(desired.cluster, observation, store, scope=desired.scope, now=desired.now)


def _has_learner(observation: ClusterObservation) -> bool:
    live = live_list(observation)
    return live is not None and any(info.is_learner for info in live.members)


def _plan_present(desired: Desired, observation: ClusterObservation, store: StoreContent, new: frozenset[str]) -> Plan:
    """Plan what differs on hosts that are members, or are to bootstrap their cluster.

    Args:
        desired: what is wanted.
        observation: of hosts and members.
        store: what the controller's folder holds.
        new: hosts that join a cluster which lives, and are left out here.
    """
    cluster, scope = desired.cluster, desired.scope - new
    state = cluster_state(cluster, observation)
    first_start = _first_starts(cluster, observation, state) - new
    refusals = [*membership.refusals(cluster, observation, state, new)]
    refusals += manifest.version_refusals(cluster, observation)
    refusals += change_over.refusals(cluster, observation, scope)
    if left_out := first_start - scope:
        refusals.append(
            f"{cluster.name}: a cluster is bootstrapped whole, the selection leaves out {_listed(left_out)}"
        )
    planned = certs.plan_certificates(
        cluster, store, observation, scope=scope, now=desired.now, bootstrap=_unprepared(first_start, observation)
    )
    diffs = manifest.differing(cluster, observation, desired.manifests, scope)
    awaits = manifest.awaits(cluster, observation, scope, frozenset(diffs))
    # A member that is awaited is healthy, by that step's proof, when the first one is stopped.
    awaited = frozenset(step.host for step in awaits)
    by_then = replace(state, healthy=state.healthy | awaited, restarting=state.restarting - awaited)
    rolling, unsafe = manifest.rolling(cluster, observation, by_then, diffs, accept_downtime=desired.accept_downtime)
    refusals += [*planned.refusals, *manifest.start_refusals(cluster, observation, state, diffs), *unsafe]
    refusals += manifest.unprovable(cluster, observation, frozenset(diffs) | {step.host for step in awaits})
    if refusals:
        return Plan(refusals=tuple(refusals))
    notes = change_over.notes(cluster, observation, desired.manifests)
    if doubts := manifest.in_doubt(cluster, observation, state, diffs):
        return _mend_first(planned, doubts, notes)
    together, *alone = manifest.starts(cluster, observation, state, diffs)
    placing = _placing(planned, state)
    hosts = [manifest.pulls(cluster, observation, scope), *placing, together + awaits, *alone, *rolling]
    return Plan(waves(planned.issue, hosts), notes=notes)


def _mend_first(planned: certs.CertificatePlan, doubts: list[str], notes: tuple[str, ...]) -> Plan:
    """Plan the certificates alone, after which etcd may be asked; where they are in order, refuse."""
    if not planned.issue and not planned.place and not planned.clients:
        return Plan(refusals=tuple(f"{doubt}; nothing is restarted on a doubtful observation" for doubt in doubts))
    notes += tuple(f"{doubt}; restarts are planned after that" for doubt in doubts)
    return Plan(waves(planned.issue, [planned.place, planned.clients]), notes=notes, again=True)  # no quorum to lose


def _placing(planned: certs.CertificatePlan, state: ClusterState) -> list[tuple[Step, ...]]:
    """Place files on members that serve one after the other: what is wrong with the first is seen before the next."""
    return [*([(step,) for step in planned.place] if state.life == "live" else [planned.place]), planned.clients]


def _first_starts(cluster: Cluster, observation: ClusterObservation, state: ClusterState) -> frozenset[str]:
    """Return the hosts whose member has never had data: what membership.refusals leaves to be started."""
    return frozenset(
        member.name
        for member in cluster.members
        if not has_data(observation.hosts[member.name])
        and ((entry := state.entry(member)) is None or membership.never_started(entry))
        and observation.hosts[member.name].error is None
    )


def _unprepared(hosts: frozenset[str], observation: ClusterObservation) -> frozenset[str]:
    """Return those of `hosts` that have no guard yet: a first start is prepared on all before it begins on one."""
    return frozenset(name for name in hosts if not is_prepared(observation.hosts[name]))
