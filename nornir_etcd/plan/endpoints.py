"""Whose the endpoints in a client's list are, as far as that is known. Pure: no I/O."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nornir_etcd.plan.state import kept_first_start
from nornir_etcd.settings.addresses import initial_cluster_entries, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import HostObservation, MemberList


@dataclass(frozen=True)
class Place:
    """Where an endpoint leads: what is compared, instead of its text."""

    scheme: str
    host: str  # an IP address in its shortest form, or a name in lower case
    port: int


@dataclass(frozen=True)
class Owners:
    """Whose endpoints are known.

    Attributes:
        cluster: as the inventory wants it.
        wanted: the host of the inventory, by place.
        leaving: places of live members that the inventory does not have.
        former: addresses that a member had once.
    """

    cluster: Cluster
    wanted: Mapping[Place, str]
    leaving: frozenset[Place]
    former: frozenset[str]


@dataclass(frozen=True)
class Sorted:
    """The endpoints of a list, by whose they are.

    Attributes:
        named: the host of the inventory, by endpoint.
        leaving: those of live members that the inventory does not have.
        gone: those of former members.
        unknown: all others.
    """

    named: Mapping[str, str]
    leaving: tuple[str, ...]
    gone: tuple[str, ...]
    unknown: tuple[str, ...]


def owners(cluster: Cluster, lists: Iterable[MemberList], hosts: Mapping[str, HostObservation]) -> Owners:
    """Return whose endpoints are known.

    A client URL that several members advertise is nobody's: it may be a load balancer before them. Nor is a loopback
    address, which --advertise-client-urls has by default: it is the member's on whose host it is asked.

    Args:
        cluster: as the inventory wants it.
        lists: live member lists, also those from before a change.
        hosts: what is known of the hosts, by name.
    """
    by_peer_url = {member.peer_url: member.name for member in cluster.members}
    wanted = {place: member.name for member in cluster.members if (place := place_of(member.client_url))}
    told: defaultdict[Place, dict[int, str]] = defaultdict(dict)  # the host, or none, by member ID
    for info in (one for listed in lists for one in listed.members):
        name = next((by_peer_url[url] for url in info.peer_urls if url in by_peer_url), "")
        for place in filter(None, map(place_of, info.client_urls)):
            if place not in wanted and not is_loopback(place.host):
                # A member that takes another peer URL is the inventory's in one of the lists alone.
                told[place][info.id] = told[place].get(info.id) or name
    single = {place: name for place, names in told.items() if len(names) == 1 for name in names.values()}
    return Owners(
        cluster,
        wanted | {place: name for place, name in single.items() if name},
        frozenset(place for place, name in single.items() if not name),
        frozenset(_first_addresses(cluster, hosts)),
    )


def place_of(url: str) -> Place | None:
    """Return where an endpoint leads; None where that cannot be told. One without a scheme is asked with TLS.

    Args:
        url: as it stands in --etcd-servers.
    """
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if not host or port is None or parts.path not in {"", "/"}:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return Place(parts.scheme, host, port)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Place(parts.scheme, str(mapped or address), port)


def by_owner(member: Member, servers: Iterable[str], known: Owners) -> Sorted:
    """Return the endpoints of a client on a member's host by whose they are.

    Args:
        member: on whose host it runs: a loopback address is that member's.
        servers: the endpoints.
        known: whose endpoints are known.
    """
    places = {url: place_of(url) for url in servers}
    named = {url: name for url, place in places.items() if place and (name := _name(member, place, known))}
    leaving = tuple(url for url, place in places.items() if place in known.leaving)
    rest = {url: place for url, place in places.items() if url not in named and url not in leaving}
    former = [url for url, place in rest.items() if place and _is_etcd(place, known) and place.host in known.former]
    beside = bool(named or leaving or former)
    gone = tuple(
        url
        for url, place in rest.items()
        if url in former or (beside and place and _is_etcd(place, known) and _is_ip(place.host))
    )
    return Sorted(named, leaving, gone, tuple(url for url in rest if url not in gone))


def _name(member: Member, place: Place, known: Owners) -> str:
    """Return the host of the inventory that an endpoint leads to; empty where it leads to none."""
    if is_loopback(place.host) and _is_etcd(place, known):
        return member.name
    return known.wanted.get(place, "")


def _is_etcd(place: Place, known: Owners) -> bool:
    """Whether an endpoint looks as every member's does."""
    return (place.scheme, place.port) == ("https", known.cluster.members[0].client_port)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _first_addresses(cluster: Cluster, hosts: Mapping[str, HostObservation]) -> Iterator[str]:
    """Yield the addresses that members knew each other by when each of them was started first."""
    for member in cluster.members:
        start = kept_first_start(member, hosts[member.name]) if member.name in hosts else None
        for _, url in initial_cluster_entries(start.initial_cluster) if start else ():
            if place := place_of(url):
                yield place.host
