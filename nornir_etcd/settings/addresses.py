"""Addresses of members: IPv4, IPv6 and DNS names, as values of variables and in --initial-cluster."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from nornir_etcd.settings.problems import Unwanted
from nornir_etcd.settings.values import checked_item, from_json, text

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENTRY = re.compile(r"([^=,\s]+)=(https?)://(\[[^\]\s,]+\]|[^:/\[\]\s,]+):([0-9]{1,5})/?")
_ENDPOINT = re.compile(r"(?:(https?)://)?(\[[^\]]+\]|[^:/\[\]]+)(?::([0-9]{1,5}))?/?")
_MAX_DNS_NAME = 253
_MAX_PORT = 65535


def is_dns_name(found: str) -> bool:
    """Tell whether a string is a DNS name (RFC 1123, 2.1), in lower case and without a final dot."""
    labels = found.split(".")
    # A last label of digits alone is an IPv4 address gone wrong (RFC 1123, 2.1).
    return len(found) <= _MAX_DNS_NAME and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()


def ip_or_name(value: object) -> str:
    """Return an IP address in its shortest form, or a DNS name in lower case."""
    wanted = "an IPv4 or IPv6 address or a DNS name"
    found = text(value, wanted)
    if "%" in found:
        raise Unwanted(wanted, "an address with a zone (%) holds on one host alone")
    if found.startswith("["):
        raise Unwanted(wanted, "write an IPv6 address without brackets")
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        if is_dns_name(found.lower()):
            return found.lower()
        raise Unwanted(wanted) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        raise Unwanted(wanted, f"write it as {address.ipv4_mapped}")
    return str(address)


def member_address(value: object) -> str:
    """Return an address at which other members can reach this one.

    Whether loopback will do depends on the cluster (is_loopback).
    """
    found = ip_or_name(value)
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return found
    link_local = isinstance(address, ipaddress.IPv6Address) and address.is_link_local  # useless without a zone
    if address.is_unspecified or address.is_multicast or link_local or found == "255.255.255.255":
        raise Unwanted("an address of this host that the other members reach")
    return found


def is_loopback(address: str) -> bool:
    """Tell whether an address means the host itself."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost" or address.endswith(".localhost")


def subject_alternative_names(value: object) -> tuple[str, ...]:
    """Return IP addresses and DNS names (also with *. in front), each once, from a list or a JSON list in a string."""
    wanted = "a list of IP addresses and DNS names"
    found = from_json(value, wanted)
    if not isinstance(found, Sequence) or isinstance(found, (str, bytes)):
        raise Unwanted(wanted)
    names: dict[str, None] = {}
    for item in found:
        wildcard = isinstance(item, str) and item.startswith("*.")
        if wildcard and is_dns_name(item[2:].lower()):
            names[item.lower()] = None
        else:
            names[checked_item(ip_or_name, item)] = None
    return tuple(names)


def initial_cluster(value: object) -> str | None:
    """Return --initial-cluster as set by the user, or None: derived from the inventory.

    The order is kept and URLs take one form: etcd does not start where an address is spelt otherwise here than in
    --initial-advertise-peer-urls, where a URL ends in a slash, or where an entry stands twice. Whether the value
    agrees with the inventory is checked where the cluster is known.
    """
    if value is None:
        return None
    wanted = "name=https://address:2380, several with a comma and no space between"
    found = text(value, wanted)
    entries = initial_cluster_entries(found)
    if not entries:
        raise Unwanted(wanted)
    return ",".join(f"{member}={url}" for member, url in dict.fromkeys(entries))


def initial_cluster_entries(found: str) -> tuple[tuple[str, str], ...]:
    """Return an --initial-cluster as (name, URL), URLs in one form; empty where it is malformed."""
    entries = []
    for part in found.split(","):
        match = _ENTRY.fullmatch(part)
        if not match:
            return ()
        member, scheme, host, port = match.groups()
        try:
            address = ip_or_name(host.strip("[]"))
        except Unwanted:
            return ()
        bracketed = f"[{address}]" if ":" in address else address
        entries.append((member, f"{scheme}://{bracketed}:{int(port)}"))
    return tuple(entries)


def endpoint(found: str, default_port: int) -> tuple[str, int]:
    """Return address and port of an endpoint of etcd, as etcdctl takes them: a client URL, or what follows its https://.

    Args:
        found: https://10.0.0.1:2379, 10.0.0.1:2379 or 10.0.0.1; an IPv6 address in brackets.
        default_port: where none is told.

    Raises:
        Unwanted: it is none, or one without TLS.
    """
    wanted = "an endpoint such as https://10.0.0.1:2379, an IPv6 address in brackets"
    match = _ENDPOINT.fullmatch(found)
    if not match:
        raise Unwanted(wanted)
    scheme, host, port = match.groups()
    if scheme == "http":
        raise Unwanted("https://", "plain HTTP is not supported: etcd must serve TLS there")
    number = default_port if port is None else int(port)
    try:
        address = member_address(host.strip("[]"))
    except Unwanted:
        raise Unwanted(wanted) from None
    if not 0 < number <= _MAX_PORT or host.startswith("[") != (":" in address):
        raise Unwanted(wanted)
    return address, number
