"""Carries out the steps of a plan on the hosts."""

from __future__ import annotations

import time
from inspect import signature
from typing import TYPE_CHECKING, Any

from nornir.core.task import Result

from nornir_etcd.plan.certs import AS_DUE
from nornir_etcd.plan.step import BY_RPC
from nornir_etcd.tasks.apiserver import place_apiserver_files, replace_etcd_servers, write_apiserver_manifest
from nornir_etcd.tasks.certificates import issue_apiserver, issue_certificate
from nornir_etcd.tasks.clear import clear_member
from nornir_etcd.tasks.container import await_member, pull_image
from nornir_etcd.tasks.files import place_files
from nornir_etcd.tasks.leader import move_leader
from nornir_etcd.tasks.learner import readdress_member, start_learner
from nornir_etcd.tasks.manifest import write_manifest
from nornir_etcd.tasks.membership import (
    add_learner,
    disarm_corrupt_alarm,
    promote_member,
    remove_member,
    update_peer_url,
)
from nornir_etcd.tasks.snapshot import save_snapshot
from nornir_etcd.tasks.upgrade import await_version, enable_downgrade, roll_back_member, upgrade_member

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.certs import Renewal
    from nornir_etcd.plan.step import Action, Step


CHANGES_NO_HOST: tuple[Action, ...] = (
    "issue-certificate",
    "issue-apiserver",
    "await-member",
    "await-restart",
    "move-leader",
    "save-snapshot",
    "enable-downgrade",
    "finish-upgrade",
    *BY_RPC,
)
"""Actions by which no host is changed."""


def start_member(task: Task, cluster: Cluster, observation: ClusterObservation) -> Result:
    """Write the manifest and wait until a new container runs and the member answers.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what was known before.

    Raises:
        StepFailed: the member did not come up in time.
        RemoteError: the host could not be worked on.
    """
    written = task.run(task=write_manifest, cluster=cluster, observation=observation)
    task.run(task=await_member, cluster=cluster, observation=observation, restarted=True)
    return Result(task.host, changed=written[0].changed, diff=written[0].diff)


def carry_out(  # noqa: PLR0913 - a step, and what it hangs on
    task: Task,
    cluster: Cluster,
    observation: ClusterObservation,
    step: Step,
    *,
    renewal: Renewal = AS_DUE,
    purge: bool = False,
) -> Result:
    """Carry out a step on the task's host: its own, or one whose member is asked for a change of membership.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the hosts.
        step: the step.
        renewal: which certificates are made anew before their time.
        purge: data directories are deleted, not moved aside.

    Returns:
        As result the seconds it took.
    """
    started = time.monotonic()
    chosen, more = _TASKS[step.action]
    given = {
        "observation": observation,
        "renewal": renewal,
        "purge": purge,
        "member_id": step.member_id,
        "peer_url": step.peer_url,
    }
    named = {name: value for name, value in given.items() if name in signature(chosen).parameters}
    done = task.run(task=chosen, cluster=cluster, **named, **more)
    return Result(
        task.host,
        changed=step.action not in CHANGES_NO_HOST and done[0].changed,
        diff=done[0].diff,
        result=time.monotonic() - started,
    )


_TASKS: dict[Action, tuple[Callable[..., Result], dict[str, Any]]] = {
    "issue-certificate": (issue_certificate, {}),
    "issue-apiserver": (issue_apiserver, {}),
    "pull-image": (pull_image, {}),
    "place-files": (place_files, {}),
    "prepare-member": (place_files, {"first_start": True}),
    "place-apiserver-files": (place_apiserver_files, {}),
    "replace-apiserver": (write_apiserver_manifest, {}),
    "replace-etcd-servers": (replace_etcd_servers, {}),
    "start-member": (start_member, {}),
    "await-member": (await_member, {}),
    "await-restart": (await_member, {"restarted": True}),
    "move-leader": (move_leader, {}),
    "replace-manifest": (start_member, {}),
    "save-snapshot": (save_snapshot, {}),
    "enable-downgrade": (enable_downgrade, {}),
    "upgrade-member": (upgrade_member, {}),
    "finish-upgrade": (await_version, {}),
    "roll-back-member": (roll_back_member, {}),
    "add-learner": (add_learner, {}),
    "start-learner": (start_learner, {}),
    "promote-member": (promote_member, {}),
    "remove-member": (remove_member, {}),
    "clear-member": (clear_member, {"certificates": True}),
    "set-data-aside": (clear_member, {"certificates": False}),
    "update-peer-url": (update_peer_url, {}),
    "disarm-alarm": (disarm_corrupt_alarm, {}),
    "readdress-member": (readdress_member, {}),
}
"""The task that carries out a step on its host, and what it is told besides, by action."""
