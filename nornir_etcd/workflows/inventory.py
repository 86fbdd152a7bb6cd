"""From Nornir's inventory to clusters."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nornir.core.inventory import Inventory
from nornir.init_nornir import load_inventory

from nornir_etcd.cluster import endpoint_cluster, load_clusters
from nornir_etcd.connections.etcd import CONNECTION_NAME
from nornir_etcd.exceptions import InventoryError, PkiError
from nornir_etcd.settings import HostVariables
from nornir_etcd.tasks.certificates import store_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nornir.core import Nornir
    from nornir.core.inventory import Host

    from nornir_etcd.cluster import Cluster

GROUP = "etcd"
"""A host is a member when it is in this group."""


class WholeInventory(Inventory):
    """An inventory that is known to be whole: it need not be loaded again. What `filter` makes of it is none.

    For a Nornir whose inventory was made in memory: `nr.inventory = WholeInventory(hosts, groups, defaults)`.
    """


class EndpointInventory(WholeInventory):
    """An inventory of endpoints alone: one cluster, of which nothing is known but where to ask.

    `nornir_etcd.endpoints.nornir_for` makes it.

    Attributes:
        ports: client port by host name.
        ca: PEM of the CA that the endpoints are trusted by.
    """

    ports: Mapping[str, int]
    ca: bytes

    def cluster(self, overrides: Mapping[str, str]) -> tuple[Cluster, tuple[str, ...]]:
        """Return the cluster of the endpoints, and warnings.

        Raises:
            InventoryError: with every fault of the variables.
        """
        # A member is named by address and port, which is no name of a host in an inventory.
        hosts = [
            (replace(variables(host), name=f"endpoint-{number}"), self.ports[name])
            for number, (name, host) in enumerate(self.hosts.items(), 1)
        ]
        return endpoint_cluster(hosts, self.ca, overrides)


def whole_inventory(nr: Nornir) -> Inventory:
    """Return the inventory with the members that a filter has taken out of it.

    A filtered Nornir does not know what was filtered out, and planning from it would make a cluster of the hosts that
    happen to be selected. The hosts that it has are taken as they are, changes made in memory included.

    Raises:
        InventoryError: the inventory cannot be loaded again, so it is not known what a filter has taken out.
    """
    if isinstance(nr.inventory, WholeInventory):
        return nr.inventory
    try:
        loaded = load_inventory(nr.config)
    except Exception as error:  # whatever an inventory plugin raises
        words = " ".join(str(error).split()) or type(error).__name__
        raise InventoryError(
            "wanted to load the inventory again, to know the hosts that a filter of Nornir's may have taken out, found "
            f"{words}; see that its source can be read, or make nr.inventory a nornir_etcd.WholeInventory where it was "
            "made in memory"
        ) from error
    missing = {name: host for name, host in loaded.hosts.items() if name not in nr.inventory.hosts}
    if not missing:
        return nr.inventory
    ordered = {name: nr.inventory.hosts.get(name) or missing[name] for name in loaded.hosts}
    ordered.update({name: host for name, host in nr.inventory.hosts.items() if name not in ordered})
    return Inventory(hosts=ordered, groups=nr.inventory.groups, defaults=nr.inventory.defaults)  # type: ignore[arg-type]  # a dict is what Hosts is


def variables(host: Host) -> HostVariables:
    """Return a host's variables, nearest layer first, in Nornir's own order."""
    layers = [(f"host {host.name}", host.data)]
    layers += [(f"group {group.name}", group.data) for group in host.extended_groups()]
    layers.append(("defaults", host.defaults.data))
    return HostVariables(name=host.name, hostname=host.hostname, layers=tuple(layers))


def clusters_in(
    inventory: Inventory, overrides: Mapping[str, str] | None = None
) -> tuple[tuple[Cluster, ...], tuple[str, ...]]:
    """Return the clusters of an inventory, and warnings.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    if isinstance(inventory, EndpointInventory):
        cluster, warnings = inventory.cluster(overrides or {})
        return (cluster,), warnings
    members = [variables(host) for host in inventory.hosts.values() if host.has_parent_group(GROUP)]
    clusters, warnings = load_clusters(members, overrides or {})
    return tuple(replace(cluster, ca=_trusted_ca(inventory, cluster)) for cluster in clusters), warnings


def named_ca(inventory: Inventory, cluster: Cluster) -> Path | None:
    """Return the file of CAs that the inventory names for the controller to trust the members by, if it names one."""
    extras = inventory.hosts[cluster.members[0].name].get_connection_parameters(CONNECTION_NAME).extras or {}
    return Path(str(extras["cacert"])).expanduser() if "cacert" in extras else None


def _trusted_ca(inventory: Inventory, cluster: Cluster) -> bytes | None:
    """Return the CAs by which the controller trusts the members. What is wrong with them is told by who connects."""
    with suppress(OSError, PkiError):
        return (named_ca(inventory, cluster) or store_of(cluster).cacert()).read_bytes()
    return None


def check_selection(inventory: Inventory, hosts: Collection[str]) -> None:
    """Check that the selected hosts exist and that there are any.

    Raises:
        InventoryError: with every name that is no member.
    """
    members = [name for name, host in inventory.hosts.items() if host.has_parent_group(GROUP)]
    unknown = [name for name in hosts if name not in members]
    if unknown:
        raise InventoryError(
            *(f"--hosts: {name} is no host of the group {GROUP}; there are {', '.join(members)}" for name in unknown)
        )
    if not hosts:
        raise InventoryError(f"the selection leaves no host of the group {GROUP}; there are {', '.join(members)}")
