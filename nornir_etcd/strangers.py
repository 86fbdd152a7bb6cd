"""Asks live members that the inventory does not have, where the controller reaches them without SSH."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nornir.core.inventory import Host

from nornir_etcd.cluster import CLIENT_PORT, Member
from nornir_etcd.observation import EndpointObservation, Unknown
from nornir_etcd.observe import observe_member
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.state import live_list

if TYPE_CHECKING:
    from nornir.core import Nornir

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation, MemberInfo

NEVER_STARTED = Unknown("it has never started, and so tells no client URL")


def observe_strangers(nr: Nornir, cluster: Cluster, observation: ClusterObservation) -> dict[int, EndpointObservation]:
    """Ask every live member without a host in the inventory, side by side, at the client URL that it advertises.

    Args:
        nr: Nornir with exactly the hosts of the cluster.
        cluster: the cluster.
        observation: one that tells the live list; without a list nobody is asked.

    Returns:
        What each answered, by member ID.
    """
    live, wanted = live_list(observation), {host.peer_url for host in cluster.hosts}
    strangers = [info for info in live.members if not wanted & set(info.peer_urls)] if live else []
    if not strangers:
        return {}
    with ThreadPoolExecutor(max_workers=len(strangers)) as pool:
        return dict(pool.map(lambda info: (info.id, _asked(nr, cluster, info)), strangers))


def _asked(nr: Nornir, cluster: Cluster, info: MemberInfo) -> EndpointObservation:
    if not info.client_urls:
        return EndpointObservation(client_port=NEVER_STARTED, status=NEVER_STARTED, read_seconds=NEVER_STARTED)
    host, member = stranger(nr.inventory.hosts[cluster.members[0].name], cluster, info)
    try:
        return observe_member(host, nr.config, member)
    finally:
        host.close_connections()


def stranger(like: Host, cluster: Cluster, info: MemberInfo) -> tuple[Host, Member]:
    """Return a live member that the inventory does not have as one that can be asked, straight from the controller.

    Args:
        like: a host of the inventory: as it is asked, so is this one.
        cluster: the cluster.
        info: its entry in the live list, with a client URL.
    """
    known = cluster.members[0]
    url = urlsplit(info.client_urls[0])
    address = url.hostname or ""
    settings = known.settings.model_copy(update={"etcd_via": "direct", "etcd_address": address})
    member = Member(
        info.name or hexadecimal(info.id), address, settings, client_port=url.port or CLIENT_PORT, peer_port=None
    )
    # A host of its own: connections are kept by host, and this one's must not be taken for the other's.
    host = Host(
        name=member.name,
        hostname=address,
        groups=like.groups,
        connection_options=like.connection_options,
        defaults=like.defaults,
    )
    return host, member
