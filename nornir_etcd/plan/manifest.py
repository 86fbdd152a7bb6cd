"""Which members start or restart with a new manifest, in which order. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nornir_etcd.layout import layout
from nornir_etcd.manifest import image_of, manifest_diff
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.change_over import is_roles
from nornir_etcd.plan.quorum import Margin, margin_without, refusal, runtime_refusal
from nornir_etcd.plan.state import has_data, is_healthy, is_restarting, is_surely_down, known_status
from nornir_etcd.plan.step import Step
from nornir_etcd.versions import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation
    from nornir_etcd.plan.state import ClusterState
    from nornir_etcd.versions import Version

ROLL_BACK = "write the former manifest again (its text is the diff's other side)"


def differing(
    cluster: Cluster, observation: ClusterObservation, manifests: Mapping[str, str], scope: frozenset[str]
) -> dict[str, str]:
    """Return, by host, the diff between the manifest on the host and the one wanted, where they differ.

    Byte by byte: a kubelet restarts a Pod whose file has changed, and not one that is rewritten as it was.
    """
    found: dict[str, str] = {}
    for member in cluster.members:
        path = layout(member.settings).manifest
        text = observation.hosts[member.name].texts.get(path)
        if member.name in scope and text != manifests[member.name]:
            found[member.name] = manifest_diff(text, manifests[member.name], path)
    return found


def version_refusals(cluster: Cluster, observation: ClusterObservation) -> list[str]:
    """Refuse another version on a member that has data: that is an upgrade, which wants more than a new manifest."""
    found: list[str] = []
    for member in cluster.members:
        host = observation.hosts[member.name]
        present = _present_version(member, host, observation)
        wanted = member.settings.etcd_version
        if present and release(present) != parse(wanted):
            found.append(
                f"{member.name}: etcd_version: wanted {wanted}, found {present}; "
                "the runbook `upgrade` changes versions, deploy does not"
            )
    return found


def release(found: str) -> Version | None:
    """Return the release that etcd or an image tag on a host names; None where it names none, as `latest` does."""
    try:
        return parse(found)
    except ValueError:
        return None


def _present_version(member: Member, host: HostObservation, observation: ClusterObservation) -> str:
    status = known_status(observation.endpoints[member.name])
    if status is not None:
        return status.version
    if not has_data(host):
        return ""
    image = image_of(host.texts.get(layout(member.settings).manifest, ""))
    tag = image.rpartition(":")[2]
    return tag if not image or release(tag) else f"the image {image}"


def pulls(cluster: Cluster, observation: ClusterObservation, hosts: frozenset[str]) -> tuple[Step, ...]:
    """Plan to pull the image on every host of `hosts` that is known to lack it."""
    found = []
    for member in cluster.members:
        images = observation.hosts[member.name].images
        image = member.settings.etcd_image
        if member.name in hosts and not isinstance(images, Unknown) and image not in images:
            found.append(
                Step(
                    host=member.name,
                    action="pull-image",
                    reason=f"{image} is not on the host",
                    precondition="the runtime answers",
                    proof="the runtime lists the image",
                    undo="none needed: an image that is not used does nothing",
                )
            )
    return tuple(found)


def starts(
    cluster: Cluster, observation: ClusterObservation, state: ClusterState, diffs: Mapping[str, str]
) -> list[tuple[Step, ...]]:
    """Plan to start the members that serve nobody.

    Members that cannot answer without each other start in the first wave, side by side: those of a cluster without a
    quorum, and those that have never had data. In a cluster that lives the others follow one by one: a member that the
    controller does not reach may be one of the quorum.
    """
    chosen = [member for member in cluster.members if member.name in diffs and member.name not in state.healthy]
    alone = [member for member in chosen if state.life == "live" and has_data(observation.hosts[member.name])]
    together = tuple(_start(member, observation, diffs[member.name]) for member in chosen if member not in alone)
    return [together, *((_start(member, observation, diffs[member.name], state),) for member in alone)]


def start_refusals(
    cluster: Cluster, observation: ClusterObservation, state: ClusterState, diffs: Mapping[str, str]
) -> list[str]:
    """Refuse to start members whose runtime does not answer, or that may serve without the controller seeing it."""
    found: list[str] = []
    for member in cluster.members:
        if member.name not in diffs or member.name in state.healthy:
            continue
        refused = runtime_refusal(member, observation)
        if not refused and state.life == "live" and has_data(observation.hosts[member.name]):
            refused = refusal(member, state, observation, state.healthy, accept_downtime=False)
        if refused:
            found.append(refused)
    return found


def unprovable(cluster: Cluster, observation: ClusterObservation, hosts: frozenset[str]) -> list[str]:
    """Return why no member of `hosts` is started: whether it gets healthy could not be seen.

    A host that lives and lets the controller through answers also where etcd does not run: it refuses the connection.
    """
    return [
        f"{member.name}: not started, since its health could not be seen afterwards: {port.reason}"
        for member in cluster.members
        if member.name in hosts
        and observation.hosts[member.name].error is None
        and isinstance(port := observation.endpoints[member.name].client_port, Unknown)
    ]


def in_doubt(
    cluster: Cluster, observation: ClusterObservation, state: ClusterState, diffs: Mapping[str, str]
) -> list[str]:
    """Return why members of a cluster without a known quorum must not be restarted: they may serve unseen.

    That etcd does not answer is one thing, that the controller cannot ask is another: without a valid client
    certificate of its own, or with a firewall between, a cluster that serves everybody else looks dead to it.
    """
    return [
        f"{member.name}: its container runs and the controller cannot tell whether it serves: {why.reason}"
        for member in cluster.members
        if state.life != "live"
        and member.name in diffs
        and (why := observation.endpoints[member.name].blind) is not None
        and not is_surely_down(member.name, observation)
    ]


def _start(member: Member, observation: ClusterObservation, diff: str, live: ClusterState | None = None) -> Step:
    """Return the step; in a cluster that lives it is disruptive where the member may serve after all."""
    unsure = live is not None and not is_surely_down(member.name, observation)
    return Step(
        host=member.name,
        action="start-member",
        reason=_start_reason(observation.hosts[member.name]),
        precondition="its data directory is this member's or prepared for its first start, and it serves nobody",
        proof="a new container runs, and the member answers a linearizable read",
        undo="remove the manifest; the data directory stays as it is",
        disruptive=unsure,
        margin=str(margin_without(member, live, live.healthy)) if live is not None and unsure else "",
        diff=diff,
    )


def _start_reason(host: HostObservation) -> str:
    if has_data(host):
        return "the member is down and its manifest differs"
    return "the member has never started"


def awaits(
    cluster: Cluster, observation: ClusterObservation, scope: frozenset[str], planned: frozenset[str]
) -> tuple[Step, ...]:
    """Plan to wait for members that were started before and do not answer yet, or are still to be restarted.

    A run that was ended after it wrote a manifest leaves nothing else behind by which it could be recognised.
    """
    steps = []
    for member in cluster.members:
        host = observation.hosts[member.name]
        if member.name not in scope - planned:
            continue
        if is_restarting(member, host):
            steps.append(_await(member, "await-restart", "the manifest was changed and the member not restarted yet"))
        elif not is_healthy(observation.endpoints[member.name]) and _is_starting(member, host):
            steps.append(_await(member, "await-member", "the member was started before and does not answer yet"))
    return tuple(steps)


def _await(member: Member, action: Literal["await-member", "await-restart"], reason: str) -> Step:
    new = "a new container runs, and " if action == "await-restart" else ""
    return Step(
        host=member.name,
        action=action,
        reason=reason,
        precondition="the manifest is there",
        proof=f"{new}the member answers a linearizable read",
        undo="none needed: nothing is changed",
    )


def _is_starting(member: Member, host: HostObservation) -> bool:
    """Whether the manifest is there and the member had no fair chance yet: no data, or its manifest is new."""
    manifest = host.files.get(layout(member.settings).manifest)
    if manifest is None or manifest.kind == "absent":
        return False
    return not has_data(host) or host.clock - manifest.mtime < member.settings.etcd_health_timeout


def rolling(  # noqa: PLR0913 - all that it hangs on
    cluster: Cluster,
    observation: ClusterObservation,
    state: ClusterState,
    diffs: Mapping[str, str],
    *,
    accept_downtime: bool,
    action: Literal["replace-manifest", "upgrade-member"] = "replace-manifest",
) -> tuple[list[tuple[Step, ...]], list[str]]:
    """Plan to replace manifests of serving members one at a time; the leader last, when another member leads.

    Returns:
        The waves, each of one step, and the refusals. Leadership that has moved by itself until then is no matter.
    """
    waves: list[tuple[Step, ...]] = []
    refusals: list[str] = []
    # Members that are started first are healthy, by their proof, when the first of these is stopped.
    healthy = state.healthy | frozenset(diffs)
    for member in _order(cluster, state, diffs):
        refused = refusal(member, state, observation, healthy, accept_downtime=accept_downtime)
        if refused:
            refusals.append(refused)
        margin = margin_without(member, state, healthy)
        if member.name == state.leader and (others := healthy - {member.name}):
            waves.append((move_leader_first(member, others),))
        what = _what(member, observation.hosts[member.name], action)
        role = "the leader, restarted last" if member.name == state.leader else "a follower"
        waves.append((_replace(member, margin, diffs[member.name], action, f"{what} ({role})"),))
    return waves, refusals


def _order(cluster: Cluster, state: ClusterState, diffs: Mapping[str, str]) -> Iterator[Member]:
    serving = [member for member in cluster.members if member.name in diffs and member.name in state.healthy]
    yield from (member for member in serving if member.name != state.leader)
    yield from (member for member in serving if member.name == state.leader)


def move_leader_first(member: Member, others: frozenset[str]) -> Step:
    """Return the step that lets one of the other members lead, before the leader is stopped."""
    return Step(
        host=member.name,
        action="move-leader",
        reason=f"the leader is restarted next: {' or '.join(sorted(others))} shall lead, so that it costs no election",
        precondition="another voter has caught up",
        proof="another member leads",
        undo="none needed: any member may lead",
    )


def _what(member: Member, host: HostObservation, action: Literal["replace-manifest", "upgrade-member"]) -> str:
    if action == "upgrade-member":
        return f"to {member.settings.etcd_version}"
    return "the Ansible role's manifest becomes ours" if is_roles(member, host) else "the manifest differs"


def _replace(
    member: Member, margin: Margin, diff: str, action: Literal["replace-manifest", "upgrade-member"], reason: str
) -> Step:
    return Step(
        host=member.name,
        action=action,
        reason=reason,
        precondition="a fresh observation shows that the voters that stay are a quorum",
        proof="a new container runs, and the member answers a linearizable read",
        undo=ROLL_BACK,
        disruptive=True,
        margin=str(margin),
        diff=diff,
    )
