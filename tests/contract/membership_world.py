"""Changes of membership asked of real clusters, as a runbook asks for them: Nornir tasks on the host of one member."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from nornir_etcd.connections import membership_rpc
from nornir_etcd.connections.rpc import status
from tests.contract.etcd_cluster import EtcdCluster
from tests.contract.inventory import nornir
from tests.contract.releases import programs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nornir.core.task import Result

    from nornir_etcd.observation import MemberInfo
    from tests.contract.etcd_cluster import Node

TIMEOUT = 5.0
HEALTH_TIMEOUT = 60  # seconds; an election, a start and the 5 s of strict-reconfig-check together
POLLS = 200


def cluster_of(directory: Path, release: str, size: int, *flags: str) -> EtcdCluster:
    """Make a cluster of a release, not started."""
    made = EtcdCluster(directory, size, flags=flags)
    for node in made.nodes:
        node.binary = programs(release, directory / "release") / "etcd"
    return made


def carried_out(
    cluster: EtcdCluster, via: Node, task: Callable[..., Result], *, within: int = HEALTH_TIMEOUT, **arguments: Any
) -> Result:
    """Run a task on the host of one member, and return its result or raise what it raised."""
    nr, found = nornir(cluster, etcd_health_timeout=within)
    try:
        (results,) = nr.filter(name=via.name).run(task=task, cluster=found, **arguments).values()
    finally:
        for host in nr.inventory.hosts.values():
            host.close_connections()
    if results[0].exception is not None:
        raise results[0].exception
    return results[0]


def listed(cluster: EtcdCluster, via: Node) -> dict[str, MemberInfo]:
    """Return the member list by peer URL, each member having one."""
    with closing(cluster.open(via)) as plugin:
        live = membership_rpc.live_members(plugin.connection, timeout=TIMEOUT)
    return {info.peer_urls[0]: info for info in live.members}


def member_id(cluster: EtcdCluster, node: Node) -> int:
    """Return the ID of a member that runs."""
    with closing(cluster.open(node)) as plugin:
        return status(plugin.connection, timeout=TIMEOUT).member_id


def leader(cluster: EtcdCluster) -> Node:
    """Return the member that leads."""
    for _ in range(POLLS):
        for node in cluster.nodes:
            with closing(cluster.open(node)) as plugin:
                found = status(plugin.connection, timeout=TIMEOUT)
            if found.leader == found.member_id:
                return node
        time.sleep(0.1)
    raise AssertionError("nobody leads")


def ended(node: Node) -> bool:
    """Return whether a member's process ends by itself."""
    assert node.process is not None
    for _ in range(POLLS):
        if node.process.poll() is not None:
            return True
        time.sleep(0.1)
    return False
