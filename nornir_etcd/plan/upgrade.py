"""A change of etcd's version, member by member, and the way back of one that does not come up. Pure: no I/O.

Followers first, the leader last (https://etcd.io/docs/v3.5/upgrades/upgrade_3_5/). What a run that was ended has left
shows by itself: a member with the wanted manifest that does not yet run the wanted release is seen through to the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nornir_etcd.layout import layout
from nornir_etcd.manifest import image_of, manifest_diff
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.facts import facts, running
from nornir_etcd.plan.gate import gate, may_go_back
from nornir_etcd.plan.manifest import pulls, release, rolling, unprovable
from nornir_etcd.plan.state import known_status
from nornir_etcd.plan.step import Step
from nornir_etcd.versions import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.gate import Verdict
    from nornir_etcd.plan.state import ClusterState
    from nornir_etcd.versions import Version

FRESH = timedelta(hours=1)
"""A snapshot that is younger serves an upgrade that begins: the same command, said again, takes no other one."""
OF_THIS_UPGRADE = timedelta(days=1)
"""A snapshot that is younger is taken for that of an upgrade which has begun."""


@dataclass(frozen=True)
class UpgradePlan:
    """What a change of version needs."""

    waves: tuple[tuple[Step, ...], ...]
    refusals: tuple[str, ...]
    notes: tuple[str, ...]


def plan_upgrade(  # noqa: PLR0913 - all that it hangs on
    cluster: Cluster,
    observation: ClusterObservation,
    state: ClusterState,
    manifests: Mapping[str, str],
    *,
    scope: frozenset[str],
    snapshots: Collection[datetime],
    now: datetime,
    accept_downtime: bool,
) -> UpgradePlan:
    """Plan the change of every member to the version that the inventory wants.

    Args:
        cluster: as the inventory wants it.
        observation: a deep one.
        state: where the cluster stands by it.
        manifests: wanted text by host name.
        scope: the hosts that may change.
        snapshots: when those that the controller holds were taken.
        now: the controller's time.
        accept_downtime: the only member of a cluster may be stopped.
    """
    verdict = judge(cluster, observation, manifests)
    begun, ahead = unfinished(cluster, observation, state, manifests, scope), {}
    for member in cluster.members:
        path = layout(member.settings).manifest
        text = observation.hosts[member.name].texts.get(path)
        if member.name in scope - begun and text and image_of(text) != image_of(manifests[member.name]):
            ahead[member.name] = manifest_diff(text, manifests[member.name], path)
    by_then = replace(state, healthy=state.healthy | begun, restarting=state.restarting - begun)
    changes, unsafe = rolling(
        cluster, observation, by_then, ahead, accept_downtime=accept_downtime, action="upgrade-member"
    )
    moved = begun | frozenset(ahead)
    refusals = [*verdict.refusals, *unsafe, *unprovable(cluster, observation, moved)] if moved else []
    waves: list[tuple[Step, ...]] = []
    if moved:
        started = verdict.started or bool(begun)
        waves = [
            pulls(cluster, observation, frozenset(member.name for member in cluster.members)),
            _snapshot(cluster, state, snapshots, now, OF_THIS_UPGRADE if started else FRESH),
            _downgrade(cluster, state, verdict),
            *((_finish(cluster.member(name)),) for name in sorted(begun)),
            *changes,
        ]
    return UpgradePlan(tuple(wave for wave in waves if wave), tuple(refusals), _notes(verdict, started=bool(moved)))


def judge(cluster: Cluster, observation: ClusterObservation, manifests: Mapping[str, str]) -> Verdict:
    """Return what the gate says of the change to the version that the inventory wants."""
    wanted = parse(cluster.members[0].settings.etcd_version)
    return gate(
        running(cluster, observation), wanted, facts(cluster, observation, manifests), known(cluster, observation)
    )


def known(cluster: Cluster, observation: ClusterObservation) -> list[Version]:
    """Return the releases whose images lie on hosts, under the wanted image's name."""
    name = cluster.members[0].settings.etcd_image.rpartition(":")[0]
    found = set()
    for host in observation.hosts.values():
        tags = [] if isinstance(host.images, Unknown) else host.images
        found |= {release(tag.rpartition(":")[2]) for tag in tags if tag.rpartition(":")[0] == name}
    return sorted(version for version in found if version is not None)


def unfinished(
    cluster: Cluster,
    observation: ClusterObservation,
    state: ClusterState,
    manifests: Mapping[str, str],
    scope: Collection[str],
) -> frozenset[str]:
    """Return the members with the wanted manifest that do not run what it says yet, or do not answer."""
    found = set()
    for member in cluster.members:
        text = observation.hosts[member.name].texts.get(layout(member.settings).manifest)
        status = known_status(observation.endpoints[member.name])
        arrived = (
            status is not None
            and release(status.version) == parse(member.settings.etcd_version)
            and member.name in state.healthy - state.restarting
        )
        if member.name in scope and text == manifests[member.name] and not arrived:
            found.add(member.name)
    return frozenset(found)


def way_back(cluster: Cluster, observation: ClusterObservation, manifests: Mapping[str, str], host: str) -> Step | str:
    """Return the step that puts the former manifest of a member back which did not come up, or why it stays as it is.

    Args:
        cluster: as the inventory wants it.
        observation: one that was taken after the member failed, deep enough to tell the cluster's version.
        manifests: wanted text by host name.
        host: whose member failed.
    """
    member, seen = cluster.member(host), observation.hosts[host]
    paths = layout(member.settings)
    if seen.error is not None:
        return f"not rolled back, since the host could not be asked: {seen.error.reason}; run the same command again"
    former = seen.texts.get(paths.former)
    if former is None or image_of(former) == image_of(manifests[host]):
        return f"not rolled back, since no former manifest lies at {paths.former}; look at the container and its log"
    from_, to = parse(member.settings.etcd_version), release(image_of(former).rpartition(":")[2])
    if to is None:
        return f"not rolled back, since {paths.former} names no release; look at the container and its log"
    if refused := may_go_back(from_, to, still_on_old=_speaks(observation, to)):
        return f"not rolled back: {refused}"
    return Step(
        host=host,
        action="roll-back-member",
        reason=f"{from_} did not come up: back to {to}, whose manifest lies at {paths.former}",
        precondition="the cluster still speaks the former minor's protocol, so that its binaries start",
        proof="a new container of the former image runs, and the member answers a linearizable read",
        undo="run the upgrade again",
        diff=manifest_diff(seen.texts.get(paths.manifest), former, paths.manifest),
    )


def _speaks(observation: ClusterObservation, former: Version) -> bool:
    """Whether the cluster still speaks the protocol of a former minor: known, or shown by a member that runs it."""
    told = [
        one.cluster_version for one in observation.endpoints.values() if not isinstance(one.cluster_version, Unknown)
    ]
    spoken = [version for text in told if (version := release(text)) is not None]
    if spoken:
        return all(version.line <= former.line for version in spoken)
    statuses = (known_status(one) for one in observation.endpoints.values())
    versions = (release(status.version) for status in statuses if status is not None)
    return any(version is not None and version.line == former.line for version in versions)


def _snapshot(
    cluster: Cluster, state: ClusterState, snapshots: Collection[datetime], now: datetime, young: timedelta
) -> tuple[Step, ...]:
    host = state.leader or next((m.name for m in cluster.members if m.name in state.healthy), "")
    if not host or any(now - taken < young for taken in snapshots):
        return ()
    return (
        Step(
            host=host,
            action="save-snapshot",
            reason=f"no snapshot of {cluster.name} is younger than {young.total_seconds() / 3600:g} h",
            precondition="the controller has the space for it",
            proof="the stream is whole by its own SHA-256",
            undo="none needed: it is what one goes back to",
        ),
    )


def _downgrade(cluster: Cluster, state: ClusterState, verdict: Verdict) -> tuple[Step, ...]:
    """Return the step that lets etcd go down to another minor, where the gate says that it must be asked."""
    if verdict.kind != "downgrade-minor" or verdict.started:
        return ()
    return (
        Step(
            host=state.leader or cluster.members[0].name,
            action="enable-downgrade",
            reason=f"etcd has to write its data for {cluster.members[0].settings.etcd_version} before members go back",
            precondition="etcd validates it",
            proof="etcd says that the downgrade is enabled",
            undo="cancel it, as long as no member has gone back: etcdctl downgrade cancel",
        ),
    )


def _finish(member: Member) -> Step:
    return Step(
        host=member.name,
        action="finish-upgrade",
        reason="the manifest was changed before, and the member does not run or answer as it says yet",
        precondition="the manifest is the wanted one",
        proof="a container of the wanted image runs, and the member answers a linearizable read as the wanted release",
        undo="write the former manifest again, which lies beside",
    )


def _notes(verdict: Verdict, *, started: bool) -> tuple[str, ...]:
    if not started:
        return ()
    path = (f"the way: {verdict.path}",) if verdict.path else ()
    return path + verdict.warnings
