"""Lets another member lead before the one that leads is stopped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.exceptions import EtcdError
from nornir_etcd.observation import ClusterObservation
from nornir_etcd.observe import etcd_client, observe_endpoint, separate_client
from nornir_etcd.plan.state import is_healthy, known_status, live_list
from nornir_etcd.strangers import stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etcd3 import MultiEndpointEtcd3Client
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster

MOVE_TIMEOUT = 10.0
"""Seconds: etcd itself gives up after five election time-outs or so (Config.ReqTimeout), with one of 1 s after 7 s."""


def move_leader(
    task: Task,
    cluster: Cluster,
    observation: ClusterObservation | None = None,
    *,
    member_id: int = 0,
    dry_run: bool | None = None,
) -> Result:
    """Hand leadership to the voter that is furthest, where the host's member leads.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the members; where it is not given, the other voters are tried as they are listed.
        member_id: of the member that leads, where that is one that the inventory does not have; 0: the host's.
        dry_run: overrides Nornir's own.

    Returns:
        changed where leadership was moved.

    Raises:
        EtcdError: no other voter could be made the leader.
    """
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    if task.is_dry_run(dry_run):
        return Result(task.host, changed=True, diff="another member leads\n")
    failed: EtcdError | None = None
    with _leader(task, cluster, observation, member_id) as client:
        for number in _candidates(task, cluster, observation, member_id):
            try:
                return Result(task.host, changed=rpc.move_leader(client, to=number, timeout=MOVE_TIMEOUT))
            except EtcdError as error:  # noqa: PERF203 - that one may have stopped since
                failed = error
    if failed is not None:
        raise failed
    return Result(task.host)


@contextmanager
def _leader(
    task: Task, cluster: Cluster, observation: ClusterObservation | None, member_id: int
) -> Iterator[MultiEndpointEtcd3Client]:
    """Yield a client of the member that leads: etcd hands leadership over for nobody else."""
    live = live_list(observation) if observation is not None and member_id in observation.strangers else None
    info = next((info for info in live.members if info.id == member_id), None) if live else None
    if info is None or not info.client_urls:
        yield etcd_client(task.host, task.nornir.config, cluster.member(task.host.name))
        return
    host, member = stranger(task.host, cluster, info)
    with separate_client(host, task.nornir.config, member) as client:
        yield client


def _candidates(task: Task, cluster: Cluster, observation: ClusterObservation | None, member_id: int = 0) -> list[int]:
    """Return the IDs of the other voters, the one with the longest applied log first."""
    name = task.host.name
    seen = observation or ClusterObservation(0.0, {}, {name: observe_endpoint(task, cluster).result})
    status, live = known_status(seen.endpoints[name]), live_list(seen)
    own = member_id or (status.member_id if status else 0)
    if not own or live is None:
        return []
    told = [status for one in seen.endpoints.values() if is_healthy(one) and (status := known_status(one)) is not None]
    applied = {status.member_id: status.raft_applied_index for status in told}
    others = [info.id for info in live.members if info.id != own and not info.is_learner and info.started]
    known = [number for number in others if number in applied] or others
    return sorted(known, key=lambda number: -applied.get(number, 0))
