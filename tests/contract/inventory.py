"""Real members as the hosts of an inventory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Defaults, Group, Groups, Host, Hosts, ParentGroups
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.state import GlobalState
from nornir.plugins.runners import ThreadedRunner

from nornir_etcd.workflows.inventory import WholeInventory, clusters_in

if TYPE_CHECKING:
    from nornir_etcd.cluster import Cluster
    from tests.contract.etcd_cluster import EtcdCluster


def nornir(cluster: EtcdCluster, **data: Any) -> tuple[Nornir, Cluster]:
    """Return Nornir with the members as hosts that have no SSH, and their cluster."""
    ConnectionPluginRegister.auto_register()
    defaults = Defaults()
    group = Group("etcd", data={"etcd_via": "direct", **data}, defaults=defaults)
    hosts = {
        node.name: Host(
            node.name,
            hostname=f"192.0.2.{number}",  # a member's address in an inventory is never a loopback one
            groups=ParentGroups([group]),
            defaults=defaults,
            connection_options={"etcd": ConnectionOptions(extras=cluster.extras(node))},
        )
        for number, node in enumerate(cluster.nodes, start=1)
    }
    inventory = WholeInventory(Hosts(hosts), Groups({"etcd": group}), defaults)
    (found,), _ = clusters_in(inventory)
    addresses = {node.name: node.address for node in cluster.nodes}
    members = tuple(replace(member, address=addresses[member.name]) for member in found.members)
    nr = Nornir(inventory, Config(), GlobalState(), runner=ThreadedRunner(num_workers=3))
    return nr, replace(found, members=members)
