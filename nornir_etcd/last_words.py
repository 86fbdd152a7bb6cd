"""Reads the log of an etcd that does not run though it has data."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.exceptions import NornirEtcdError
from nornir_etcd.layout import layout
from nornir_etcd.observation import Unknown
from nornir_etcd.remote.exec import run_script
from nornir_etcd.runtimes import runtime

if TYPE_CHECKING:
    from nornir.core import Nornir
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation, Maybe
    from nornir_etcd.remote.completed import Completed

LINES = 2000
"""Lines that are read of a log: several times what an etcd writes that ends while it starts, the stacks of all its
goroutines included (230 were seen)."""
DEADLINE = 15.0
OLDER = Unknown("its container is older than its manifest")
CUT = Unknown(f"it has more than {LINES} lines, so the member had started")


def observe_last_words(
    nr: Nornir, cluster: Cluster, observation: ClusterObservation
) -> dict[str, Maybe[tuple[str, ...]]]:
    """Read the log of every newest etcd container that does not run, on hosts with data: one round trip to each.

    Args:
        nr: Nornir with exactly the hosts of the cluster.
        cluster: the cluster.
        observation: what is known of it; where every member runs, nobody is asked.

    Returns:
        The whole log of the container, by host name.
    """
    chosen = nr.filter(filter_func=lambda host: _is_silent(observation.hosts[host.name]))
    if not chosen.inventory.hosts:
        return {}
    results = chosen.run(
        task=read_last_words,
        cluster=cluster,
        observation=observation,
        on_failed=True,
        severity_level=logging.DEBUG,
    )
    return {
        name: Unknown(f"{name}: {multi[0].exception}") if multi[0].failed else multi[0].result
        for name, multi in results.items()
    }


def _is_silent(host: HostObservation) -> bool:
    """Whether etcd does not run on a host, and has run there, and its data are there, or may be."""
    if host.error is not None or host.container is None or host.container.running:
        return False
    return isinstance(host.data, Unknown) or host.data.state in {"member", "other"}


def read_last_words(task: Task, cluster: Cluster, observation: ClusterObservation) -> Result:
    """Read the log of the host's newest etcd container.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: one that knows the container.

    Returns:
        As result its lines; unknown where it could not be read, or is not that of one whole process of what the
        manifest wants.
    """
    seen, member = observation.hosts[task.host.name], cluster.member(task.host.name)
    found: Maybe[tuple[str, ...]]
    try:
        done = read_log(task.host, task.nornir.config, member, seen, LINES)
    except NornirEtcdError as error:  # RemoteError, or InventoryError of an option of the connection
        found = Unknown(str(error))
    else:
        found = OLDER if done is None else _lines(done)
    return Result(task.host, result=found, severity_level=logging.DEBUG)


def _lines(done: Completed) -> Maybe[tuple[str, ...]]:
    lines = tuple(done.stdout.decode(errors="replace").splitlines())
    if done.exit_status:
        return Unknown("; ".join(lines[-1:]) or f"exit code {done.exit_status}")
    return lines if len(lines) < LINES else CUT


def read_log(host: Host, config: Config, member: Member, seen: HostObservation, lines: int) -> Completed | None:
    """Return the last lines of the log of the newest etcd container on a host.

    None where it was made before the manifest was written, or is not there: what that wants was never started.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        member: the host's member.
        seen: what is known of the host.
        lines: how many.

    Raises:
        RemoteError: the host could not be worked on.
    """
    container, manifest = seen.container, seen.files.get(layout(member.settings).manifest)
    if container is None or (manifest is not None and container.created_ns / 1e9 < manifest.mtime):
        return None
    script = runtime(member.settings.container_runtime).last_lines(container.id, lines)
    return run_script(host, config, script, deadline=DEADLINE, check=False, purpose="log of etcd")
