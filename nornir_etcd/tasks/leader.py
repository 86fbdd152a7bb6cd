"""Lets another member lead before the one that leads is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.exceptions import EtcdError
from nornir_etcd.observation import ClusterObservation
from nornir_etcd.observe import etcd_client, observe_endpoint
from nornir_etcd.plan.state import is_healthy, known_status, live_list

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster

MOVE_TIMEOUT = 10.0
"""Seconds: etcd itself gives up after five election time-outs or so (Config.ReqTimeout), with one of 1 s after 7 s."""


def move_leader(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, dry_run: bool | None = None
) -> Result:
    """Hand leadership to the voter that is furthest, where the host's member leads.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the members; where it is not given, the other voters are tried as they are listed.
        dry_run: overrides Nornir's own.

    Returns:
        changed where leadership was moved.

    Raises:
        EtcdError: no other voter could be made the leader.
    """
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    if task.is_dry_run(dry_run):
        return Result(task.host, changed=True, diff="another member leads\n")
    client = etcd_client(task.host, task.nornir.config, cluster.member(task.host.name))
    failed: EtcdError | None = None
    for number in _candidates(task, cluster, observation):
        try:
            return Result(task.host, changed=rpc.move_leader(client, to=number, timeout=MOVE_TIMEOUT))
        except EtcdError as error:  # noqa: PERF203 - that one may have stopped since
            failed = error
    if failed is not None:
        raise failed
    return Result(task.host)


def _candidates(task: Task, cluster: Cluster, observation: ClusterObservation | None) -> list[int]:
    """Return the IDs of the other voters, the one with the longest applied log first."""
    name = task.host.name
    seen = observation or ClusterObservation(0.0, {}, {name: observe_endpoint(task, cluster).result})
    own, live = known_status(seen.endpoints[name]), live_list(seen)
    if own is None or live is None:
        return []
    told = [status for one in seen.endpoints.values() if is_healthy(one) and (status := known_status(one)) is not None]
    applied = {status.member_id: status.raft_applied_index for status in told}
    others = [info.id for info in live.members if info.id != own.member_id and not info.is_learner and info.started]
    known = [number for number in others if number in applied] or others
    return sorted(known, key=lambda number: -applied.get(number, 0))
