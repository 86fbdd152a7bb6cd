"""A change of etcd's version, member by member. Pure: no I/O.

Followers first, the leader last (https://etcd.io/docs/v3.5/upgrades/upgrade_3_5/). What a run that was ended has left
shows by itself: a member whose manifest has the wanted image, and that does not yet run it, is seen through to the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from nornir_etcd.layout import layout
from nornir_etcd.manifest import image_of, manifest_diff
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.facts import facts, running
from nornir_etcd.plan.gate import gate
from nornir_etcd.plan.manifest import ROLL_BACK, pulls, release, rolling, unprovable
from nornir_etcd.plan.quorum import margin_without, refusal
from nornir_etcd.plan.state import is_surely_down, known_status
from nornir_etcd.plan.step import Step
from nornir_etcd.versions import Version, parse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation
    from nornir_etcd.plan.gate import Verdict
    from nornir_etcd.plan.state import ClusterState

FRESH = timedelta(minutes=10)
"""A snapshot that is younger serves an upgrade that begins, where no member was changed since: the same command, said
again, takes no other one. What is written after it is what going back to it would cost."""
OF_THIS_UPGRADE = timedelta(days=1)
"""A snapshot that is younger is taken for that of an upgrade which has begun, and so is a manifest."""


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
    begun = unfinished(cluster, observation, state, manifests, scope)
    verdict = judge(cluster, observation, manifests, begun)
    ahead, again = _differing(cluster, observation, manifests, scope, begun)
    by_then = replace(state, healthy=state.healthy | begun, restarting=state.restarting - begun)
    # One that does not answer and was not begun is no healthy voter by then: the gate and preflight refuse it.
    serving = {name: diff for name, diff in ahead.items() if name in state.healthy}
    changes, unsafe = rolling(
        cluster, observation, by_then, serving, accept_downtime=accept_downtime, action="upgrade-member"
    )
    moved = begun | frozenset(ahead)
    if not moved:
        return UpgradePlan((), (), _at_rest(cluster, observation, state))
    mends = [_mend(cluster.member(name), observation, state, again.get(name)) for name in _ordered(cluster, begun)]
    refusals = [*_without_manifest(cluster, observation, scope), *unsafe, *unprovable(cluster, observation, moved)]
    if state.life == "live":  # else it is the only member, whose change was judged when it was begun
        refusals = [*verdict.refusals, *refusals]
    refusals += [
        refused
        for step in mends
        if step.disruptive and (refused := _stopping(cluster, step.host, observation, state, accept=accept_downtime))
    ]
    started = verdict.started or bool(begun)
    young, since = (OF_THIS_UPGRADE, now - OF_THIS_UPGRADE) if started else (FRESH, _changed_last(cluster, observation))
    waves: list[tuple[Step, ...]] = [
        pulls(cluster, observation, scope),
        _snapshot(cluster, state, snapshots, now=now, since=since, young=young),
        _downgrade(cluster, observation, state, verdict, begun),
        *((step,) for step in mends),
        *changes,
    ]
    return UpgradePlan(tuple(wave for wave in waves if wave), tuple(refusals), _notes(verdict))


def judge(
    cluster: Cluster,
    observation: ClusterObservation,
    manifests: Mapping[str, str],
    begun: Collection[str] = (),
) -> Verdict:
    """Return what the gate says of the change to the version that the inventory wants.

    Args:
        cluster: as the inventory wants it.
        observation: a deep one.
        manifests: wanted text by host name.
        begun: members whose change was begun before: it is no reason to refuse its end that they do not answer.
    """
    wanted = parse(cluster.members[0].settings.etcd_version)
    told = {
        name: version
        for name, version in running(cluster, observation).items()
        if name not in begun or not isinstance(version, Unknown)
    }
    known = sorted(_tags(cluster, observation))
    return gate(told, wanted, facts(cluster, observation, manifests), known)


def tag_of(cluster: Cluster, observation: ClusterObservation, stop: Version) -> str:
    """Return the image's tag of a release on the way: as hosts have it, else with the build that is wanted."""
    wanted = cluster.members[0].settings.etcd_version
    alike = wanted.replace(str(parse(wanted)), str(stop), 1)
    found = _tags(cluster, observation).get(stop, {alike})
    return alike if alike in found else max(found)


def _tags(cluster: Cluster, observation: ClusterObservation) -> dict[Version, set[str]]:
    """Return the releases whose images lie on hosts under the wanted image's name, each with its tags."""
    wanted = cluster.members[0].settings.etcd_image.rpartition(":")[0]
    found: dict[Version, set[str]] = {}
    for host in observation.hosts.values():
        for image in {} if isinstance(host.images, Unknown) else host.images:
            name, _, tag = image.rpartition(":")
            if name == wanted and (version := release(tag)) is not None:
                found.setdefault(version, set()).add(tag)
    return found


def unfinished(
    cluster: Cluster,
    observation: ClusterObservation,
    state: ClusterState,
    manifests: Mapping[str, str],
    scope: Collection[str],
) -> frozenset[str]:
    """Return the members whose manifest has the wanted image, and that do not run it yet or do not answer."""
    found = set()
    for member in cluster.members:
        text = observation.hosts[member.name].texts.get(layout(member.settings).manifest, "")
        if member.name in scope and image_of(text) == image_of(manifests[member.name]):
            found |= set() if has_arrived(member, observation, state) else {member.name}
    return frozenset(found)


def has_arrived(member: Member, observation: ClusterObservation, state: ClusterState) -> bool:
    """Whether a member serves as the wanted release, from the wanted image, and goes on to."""
    host, status = observation.hosts[member.name], known_status(observation.endpoints[member.name])
    if status is None or member.name not in state.healthy - state.restarting:
        return False
    return release(status.version) == parse(member.settings.etcd_version) and not _runs_another_image(member, host)


def _runs_another_image(member: Member, host: HostObservation) -> bool:
    """Whether the container is known to be of another image: two builds of one release are told apart by nothing else.

    A kubelet that has not acted on a manifest for long, as one that stands still, leaves such a container as well.
    """
    container, images, wanted = host.container, host.images, member.settings.etcd_image
    if container is None or not container.running or isinstance(images, Unknown) or wanted not in images:
        return False
    return images[wanted] != container.image_id


def _differing(
    cluster: Cluster,
    observation: ClusterObservation,
    manifests: Mapping[str, str],
    scope: Collection[str],
    begun: Collection[str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the diffs of the manifests with another image; and of those that were begun and are to be written anew.

    What else differs in the manifest of a member that runs the wanted image is left to deploy.
    """
    ahead, again = {}, {}
    for member in cluster.members:
        name, path = member.name, layout(member.settings).manifest
        text = observation.hosts[name].texts.get(path)
        if name not in scope or text is None or text == manifests[name]:
            continue
        diff = manifest_diff(text, manifests[name], path)
        if name in begun:
            again[name] = diff
        elif image_of(text) != image_of(manifests[name]):
            ahead[name] = diff
    return ahead, again


def _ordered(cluster: Cluster, names: Collection[str]) -> list[str]:
    return [member.name for member in cluster.members if member.name in names]


def _without_manifest(cluster: Cluster, observation: ClusterObservation, scope: Collection[str]) -> list[str]:
    paths = {member.name: layout(member.settings).manifest for member in cluster.members if member.name in scope}
    return [
        f"{name}: {path}: wanted the manifest of the member that runs, found none; run deploy first"
        for name, path in paths.items()
        if observation.hosts[name].error is None and path not in observation.hosts[name].texts
    ]


def _stopping(
    cluster: Cluster, host: str, observation: ClusterObservation, state: ClusterState, *, accept: bool
) -> str | None:
    """Return why a member that may serve after all must not be stopped now, or None where it may."""
    return refusal(cluster.member(host), state, observation, state.healthy, accept_downtime=accept)


def _changed_last(cluster: Cluster, observation: ClusterObservation) -> datetime:
    """Return when the manifest of any member was last written: what was taken before is of another upgrade."""
    states = (observation.hosts[member.name].files.get(layout(member.settings).manifest) for member in cluster.members)
    written = max((state.mtime for state in states if state is not None), default=0.0)
    return datetime.fromtimestamp(written, tz=timezone.utc)


def _snapshot(  # noqa: PLR0913 - all that it hangs on
    cluster: Cluster,
    state: ClusterState,
    snapshots: Collection[datetime],
    *,
    now: datetime,
    since: datetime,
    young: timedelta,
) -> tuple[Step, ...]:
    host = state.leader or next((m.name for m in cluster.members if m.name in state.healthy), "")
    # One from the future, by a clock that was wrong, tells nothing.
    if not host or any(since <= taken <= now and now - taken < young for taken in snapshots):
        return ()
    return (
        Step(
            host=host,
            action="save-snapshot",
            reason=f"no snapshot of {cluster.name} is younger than {young.total_seconds() / 60:g} min",
            precondition="the controller has the space for it",
            proof="the stream is whole by its own SHA-256",
            undo="none needed: it is what one goes back to",
        ),
    )


def _downgrade(
    cluster: Cluster,
    observation: ClusterObservation,
    state: ClusterState,
    verdict: Verdict,
    begun: Collection[str],
) -> tuple[Step, ...]:
    """Return the step that lets etcd go down to another minor, where the gate says that it must be asked.

    etcd refuses to be asked twice.
    """
    if verdict.kind != "downgrade-minor" or verdict.started or begun:
        return ()
    statuses = [status for one in observation.endpoints.values() if (status := known_status(one)) is not None]
    if any(status.downgrade for status in statuses):  # the gate refuses one to another minor
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


def _mend(member: Member, observation: ClusterObservation, state: ClusterState, diff: str | None) -> Step:
    """Return the step that sees a member through whose change was begun, before another one is stopped.

    Args:
        member: the member.
        observation: of the cluster.
        state: where the cluster stands by it.
        diff: to the manifest that is wanted by now; None where the one on the host is that.
    """
    margin = str(margin_without(member, state, state.healthy)) if state.live else ""
    proof = "a container of the wanted image runs, and the member answers a linearizable read as the wanted release"
    if diff is None:
        return Step(
            host=member.name,
            action="finish-upgrade",
            reason="the manifest was changed before, and the member does not run or answer as it says yet",
            precondition="the manifest is the wanted one",
            proof=proof,
            undo="write the former manifest again, which lies beside",
            margin=margin,
        )
    return Step(
        host=member.name,
        action="upgrade-member",
        reason="the manifest was changed before, the member does not run as it says yet, and another one is wanted now",
        precondition="it serves nobody, or the voters that stay are a quorum",
        proof=proof,
        undo=ROLL_BACK,
        disruptive=not is_surely_down(member.name, observation),
        margin=margin,
        diff=diff,
    )


def _at_rest(cluster: Cluster, observation: ClusterObservation, state: ClusterState) -> tuple[str, ...]:
    """Return what is to be said where nothing is to be done."""
    wanted = cluster.members[0].settings.etcd_version
    others = [
        f"{member.name} runs {status.version}" if status else f"{member.name} does not tell its version"
        for member in cluster.members
        if not has_arrived(member, observation, state)
        for status in [known_status(observation.endpoints[member.name])]
    ]
    done = f"nothing to do for {wanted} on the selected hosts: {', '.join(others)}"
    statuses = [status for one in observation.endpoints.values() if (status := known_status(one)) is not None]
    return (
        done if others else f"every member runs {wanted} already",
        *(
            f"etcd is told to go down to {asked}; if that is given up, cancel it: etcdctl downgrade cancel"
            for asked in sorted({status.downgrade for status in statuses} - {""})
        ),
    )


def _notes(verdict: Verdict) -> tuple[str, ...]:
    path = (f"the way: {verdict.path}",) if len(verdict.stages) > 1 else ()
    return path + verdict.warnings
