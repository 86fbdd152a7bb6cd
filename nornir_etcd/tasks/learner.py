"""Starts the learner on a host that joins, and a member at its new address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.exceptions import StepFailed
from nornir_etcd.plan.state import has_data, joining_start, live_list
from nornir_etcd.tasks.container import await_learner, await_member
from nornir_etcd.tasks.files import place_files
from nornir_etcd.tasks.manifest import write_manifest

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.manifest import FirstStart
    from nornir_etcd.observation import ClusterObservation


def start_learner(
    task: Task, cluster: Cluster, observation: ClusterObservation, *, dry_run: bool | None = None
) -> Result:
    """Start the member that the live list has as a learner, and wait until it answers and knows the leader.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: a fresh one: the learner is told of the members that it names.
        dry_run: overrides Nornir's own.

    Returns:
        changed and the unified diff of the manifest.

    Raises:
        StepFailed: the live list does not have it, or it did not come up in time.
        PkiError: the controller's folder lacks a file.
        RemoteError: the host could not be worked on.
    """
    member, host = cluster.member(task.host.name), observation.hosts[task.host.name]
    start = _joining(member, observation)
    if not has_data(host):
        task.run(task=place_files, cluster=cluster, observation=observation, first_start=True, dry_run=dry_run)
    written = task.run(
        task=write_manifest, cluster=cluster, observation=observation, first_start=start, dry_run=dry_run
    )
    if not task.is_dry_run(dry_run):
        task.run(task=await_learner, cluster=cluster, observation=observation, restarted=written[0].changed)
    return Result(task.host, changed=written[0].changed, diff=written[0].diff)


def _joining(member: Member, observation: ClusterObservation) -> FirstStart:
    """Return what a learner is told for its first start.

    Raises:
        StepFailed: the live list does not have it.
    """
    live = live_list(observation)
    start = joining_start(member, live) if live else None
    if start is None:
        urls = sorted(url for info in live.members for url in info.peer_urls) if live else []
        raise StepFailed(
            "the learner was not started",
            host=member.name,
            wanted=f"{member.peer_url} in the live list",
            found=", ".join(urls) or "no list",
            remedy="run the same command again",
        )
    return start


def readdress_member(
    task: Task, cluster: Cluster, observation: ClusterObservation, *, dry_run: bool | None = None
) -> Result:
    """Place files and manifest for the address that the live list has by now, and wait until the member answers.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what was known before.
        dry_run: overrides Nornir's own.

    Returns:
        changed and the unified diff of the manifest.

    Raises:
        StepFailed: the member did not come up in time.
        PkiError: the controller's folder lacks a file.
        RemoteError: the host could not be worked on.
    """
    task.run(task=place_files, cluster=cluster, observation=observation, dry_run=dry_run)
    written = task.run(task=write_manifest, cluster=cluster, observation=observation, dry_run=dry_run)
    if not task.is_dry_run(dry_run):
        task.run(task=await_member, cluster=cluster, observation=observation, restarted=written[0].changed)
    return Result(task.host, changed=written[0].changed, diff=written[0].diff)
