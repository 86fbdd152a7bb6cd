"""Clears a host of a member that has left its cluster."""

from __future__ import annotations

import posixpath
import time
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd import apiserver
from nornir_etcd.exceptions import StepFailed
from nornir_etcd.layout import layout
from nornir_etcd.observation import DataDirectory, Unknown
from nornir_etcd.remote.clearance import NAMES, Clearance, clear_script, stop_script
from nornir_etcd.remote.completed import failure, last_lines
from nornir_etcd.remote.exec import run_script
from nornir_etcd.runtimes import runtime
from nornir_etcd.tasks.container import LOG_DEADLINE
from nornir_etcd.tasks.files import PUSH_DEADLINE, host_state

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation

PURGE_DEADLINE = 120.0
"""Seconds for some GB to be deleted, which is a matter of few files."""
_NOT_IN_TIME = 1


def clear_member(  # noqa: PLR0913 - Nornir's, the two that every task takes, and three keywords with one meaning each
    task: Task,
    cluster: Cluster,
    observation: ClusterObservation | None = None,
    *,
    certificates: bool = False,
    purge: bool = False,
    dry_run: bool | None = None,
) -> Result:
    """Stop the host's etcd, remove its files, and move its data aside: for a member that has left the cluster.

    The manifest goes first, so that the kubelet stops the Pod. Nothing else is touched until no etcd runs and none can
    be started any more. What is gone already is passed over, so the same task goes on where a killed one has stopped.

    Data is moved by one rename to `DATA.removed-20260102T030405Z`; where the data directory is a link or a mount point,
    its `member` is, within it. An empty directory is removed. What is no data of etcd's stays.

    Whether the member may go is not asked here, nor whether it has left the list of members.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the hosts; read anew where it is not given.
        certificates: also remove etcd's certificate, key and CA from etcd's own folder, and the role's links to them.
            The cluster's CA stays, and what an API server on the host is told to use.
        purge: delete the data instead, where the observation has identified it as a member's: `member` and nothing
            beside it. Other data is moved.
        dry_run: overrides Nornir's own.

    Returns:
        changed where something was there; the diff names each path that went, and where the data is now.

    Raises:
        StepFailed: the host's files are another tool's, what its API server uses is not known, the container did not
            stop in time, or the runtime could not be asked about it; the data lies where it was then.
        RemoteError: the host could not be worked on, or a path not be removed; the error names it.
    """
    member = cluster.member(task.host.name)
    _refuse_foreign(member)
    paths = layout(member.settings)
    host = host_state(task, cluster, observation)
    wanted = Clearance(
        certificates=_removable(member, host) if certificates else (),
        purge=purge,
        identified=isinstance(host.data, DataDirectory) and host.data.state == "member",
        stamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
    )
    dry = task.is_dry_run(dry_run)
    diff = _run(task, stop_script(paths, dry_run=dry), PUSH_DEADLINE)
    if not dry:
        _await_stop(task, member)
    stopped = runtime(member.settings.container_runtime).await_stop(0)
    diff += _run(task, clear_script(paths, wanted, stopped=stopped, dry_run=dry), PURGE_DEADLINE)
    return Result(task.host, changed=bool(diff), diff=diff)


def _refuse_foreign(member: Member) -> None:
    if layout(member.settings).foreign is not None:
        raise StepFailed(
            "the files of this etcd are not touched",
            host=member.name,
            wanted="etcd_preset cfssl",
            found=member.settings.etcd_preset,
            remedy="remove the member with the tool that made it",
        )


def _removable(member: Member, host: HostObservation) -> tuple[str, ...]:
    """Return which of etcd's own files no API server of the host uses.

    Raises:
        StepFailed: that is not known.
    """
    state, paths = host.apiserver, layout(member.settings)
    if state is None:
        return NAMES
    manifest = state if isinstance(state, Unknown) else state.manifest
    if manifest is None or isinstance(manifest, Unknown):
        raise StepFailed(
            "etcd's certificate files are not removed, nor is anything else",
            host=member.name,
            wanted="to know which of them the host's API server uses",
            found=manifest.reason if manifest else f"one that runs, and no manifest at {paths.apiserver_manifest}",
            remedy="set etcd_apiserver_manifest, or keep the certificates",
        )
    files = apiserver.etcd_files(manifest)
    kept = {posixpath.basename(path) for path in files if path in paths.links or path.startswith(f"{paths.etcd}/")}
    return tuple(name for name in NAMES if name not in kept)


def _run(task: Task, script: str, deadline: float) -> str:
    purpose = "clearing of the host"
    done = run_script(task.host, task.nornir.config, script, deadline=deadline, purpose=purpose)
    return done.stdout.decode(errors="replace")


def _await_stop(task: Task, member: Member) -> None:
    """Wait until no etcd runs and none can be started any more.

    The kubelet acts on a manifest that has gone as on one that is new, and may take the Pod's grace besides: that is
    within what kubeadm gives it.
    """
    seconds = member.settings.etcd_start_timeout
    script = runtime(member.settings.container_runtime).await_stop(seconds)
    done = run_script(
        task.host, task.nornir.config, script, deadline=seconds + LOG_DEADLINE, check=False, purpose="wait for a stop"
    )
    if done.exit_status == _NOT_IN_TIME:
        raise StepFailed(
            "etcd did not stop, and its data is not moved",
            host=member.name,
            wanted=f"no container of it within {seconds} s after its manifest was removed",
            found=last_lines(done.stderr),
            remedy="see whether the kubelet runs, and whether another manifest starts an etcd; then run again",
        )
    if error := failure(done, member.name, "wait for a stop"):
        raise StepFailed(
            "whether etcd runs is not known, and its data is not moved",
            host=member.name,
            wanted=f"an answer of {member.settings.container_runtime}",
            found=last_lines(done.stderr) or error.found,
            remedy="start the runtime and run again",
        )
