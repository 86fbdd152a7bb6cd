"""Saves a snapshot of a member's database on the controller."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd import snapshots
from nornir_etcd.exceptions import EtcdError
from nornir_etcd.observe import etcd_client
from nornir_etcd.remote.tunnel import opened_tunnel
from nornir_etcd.report.figures import size

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member


def save_snapshot(task: Task, cluster: Cluster, *, dry_run: bool | None = None) -> Result:
    """Save a snapshot of the host's member, the leader by choice, in the controller's folder of the cluster.

    The member first answers a read through a quorum: so it has, and so has the snapshot, every write that any client
    was told of before. A cluster without a quorum is not asked for one here, nor a learner.

    For one host at a time: a second snapshot of the same cluster is refused while one is being written.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        dry_run: overrides Nornir's own. Room and folder are looked at all the same.

    Returns:
        As result a `nornir_etcd.snapshots.SavedSnapshot`, None in a dry run; the diff names the new file and those that
        were removed for it.

    Raises:
        EtcdError: the member does not answer, there is no quorum, or the stream broke off.
        SnapshotError: the snapshot cannot be kept, or is not whole.
        PkiError: the controller has no client certificate.
        RemoteError: the tunnel to the member cannot be made.
    """
    member = cluster.member(task.host.name)
    folder = Path(member.settings.etcd_snapshot_dir)
    try:
        saved = _save(task, cluster, member, folder, dry_run=task.is_dry_run(dry_run))
    except EtcdError as error:
        through = opened_tunnel(task.host)
        trouble = through.trouble() if through else None
        if trouble:
            raise trouble from error
        raise
    if saved is None:
        return Result(task.host, changed=True, diff=f"+ {folder}: a snapshot\n")
    lines = [f"+ {saved.path} ({size(saved.bytes)})", *(f"- {path}" for path in saved.removed)]
    return Result(task.host, changed=True, diff="".join(f"{line}\n" for line in lines), result=saved)


def _save(
    task: Task, cluster: Cluster, member: Member, folder: Path, *, dry_run: bool
) -> snapshots.SavedSnapshot | None:
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    settings = member.settings
    client = etcd_client(task.host, task.nornir.config, member)
    rpc.linearizable_read(client, timeout=settings.etcd_timeout)
    status = rpc.status(client, timeout=settings.etcd_timeout)
    if dry_run:
        snapshots.check_space(folder, cluster.name, status.db_size)
        return None
    with closing(rpc.snapshot(client, timeout=settings.etcd_snapshot_timeout)) as chunks:
        return snapshots.save(
            (chunk.blob for chunk in chunks),
            folder,
            cluster.name,
            database=status.db_size,
            revision=status.revision,
            keep=settings.etcd_snapshot_keep,
            now=datetime.now(tz=timezone.utc),
            timeout=settings.etcd_snapshot_timeout,
        )
