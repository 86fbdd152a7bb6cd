"""The way back of a member that does not come up with another version. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.layout import layout
from nornir_etcd.manifest import image_of, manifest_diff
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.gate import may_go_back
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.quorum import margin_without, refusal
from nornir_etcd.plan.state import cluster_state, known_status
from nornir_etcd.plan.step import Step
from nornir_etcd.plan.upgrade import OF_THIS_UPGRADE, has_arrived
from nornir_etcd.versions import Version, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.layout import Layout
    from nornir_etcd.observation import ClusterObservation, HostObservation
    from nornir_etcd.plan.state import ClusterState

KEPT_WITHIN = 60.0
"""Seconds between the two files of one push at most: the former manifest, and the one that took its place."""


def way_back(cluster: Cluster, observation: ClusterObservation, manifests: Mapping[str, str], host: str) -> Step | str:
    """Return the step that puts the former manifest of a member back which did not come up, or why it stays as it is.

    Args:
        cluster: as the inventory wants it.
        observation: one that was taken after the member failed, deep enough to tell the cluster's version.
        manifests: wanted text by host name.
        host: whose member failed.
    """
    member, seen = cluster.member(host), observation.hosts[host]
    paths, state = layout(member.settings), cluster_state(cluster, observation)
    if stays := _left_alone(member, observation, state, manifests[host]):
        return stays
    former, from_ = seen.texts.get(paths.former, ""), parse(member.settings.etcd_version)
    to = release(image_of(former).rpartition(":")[2])
    if to is None or image_of(former) == image_of(manifests[host]) or not _was_replaced(seen, paths):
        return (
            f"not rolled back, since no manifest lies at {paths.former} that the present one has replaced "
            "within a day; look at the container and its log"
        )
    refused = may_go_back(from_, to, still_on_old=_speaks(observation, to))
    # The only member stops for nobody. One of several may serve the others, although it does not answer the controller.
    others = len(cluster.members) > 1
    if not refused and others:
        refused = refusal(member, state, observation, state.healthy, accept_downtime=False)
    if refused:
        return f"not rolled back: {refused}"
    return Step(
        host=host,
        action="roll-back-member",
        reason=f"{from_} did not come up: back to {to}, whose manifest lies at {paths.former}",
        precondition="the cluster still speaks the former minor's protocol, so that its binaries start",
        proof="a container of the former image runs, and the member answers a linearizable read",
        undo="run the upgrade again",
        margin=str(margin_without(member, state, state.healthy)) if others else "",
        diff=manifest_diff(seen.texts.get(paths.manifest), former, paths.manifest),
    )


def _left_alone(member: Member, observation: ClusterObservation, state: ClusterState, wanted: str) -> str:
    """Return why there is nothing to go back from, or no knowing it; empty where there is."""
    seen, path = observation.hosts[member.name], layout(member.settings).manifest
    if seen.error is not None:
        return f"not rolled back, since the host could not be asked: {seen.error.reason}; run the same command again"
    if image_of(seen.texts.get(path, "")) != image_of(wanted):
        return f"nothing to roll back: {path} has not the image that was to be written there"
    if has_arrived(member, observation, state):
        return "not rolled back, since it answers as wanted by now; run the same command again"
    return ""


def _was_replaced(seen: HostObservation, paths: Layout) -> bool:
    """Whether the former manifest is what the present one has replaced just now.

    It stays when the member has come up: of an earlier upgrade, or before a later deploy, it is no way back. All times
    are the host's own.
    """
    kept, written = seen.files.get(paths.former), seen.files.get(paths.manifest)
    if kept is None or written is None or seen.clock - written.mtime > OF_THIS_UPGRADE.total_seconds():
        return False
    return abs(written.mtime - kept.mtime) <= KEPT_WITHIN


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
