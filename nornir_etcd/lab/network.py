"""A lab's network: a bridge of its own, a subnet of a small pool, one veth pair a host."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from nornir_etcd.lab.command import run
from nornir_etcd.lab.error import LabError

# 10.77.N.0/24 and fd77:6e65:N::/64, N being the lab's index.
POOL = range(100)
BRIDGE_HOST = 1
REGISTRY_HOST = 2
FIRST_NODE = 11
MAX_HOSTS = 200


def has_ipv6() -> bool:
    """Tell whether the kernel lets an interface have an IPv6 address."""
    switch = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    return switch.exists() and switch.read_text(encoding="ascii").strip() == "0"


def address(index: int, host: int) -> str:
    """Give the IPv4 address of a lab's host number."""
    return f"10.77.{index}.{host}"


def address6(index: int, host: int) -> str:
    """Give the IPv6 address of a lab's host number."""
    return str(ipaddress.IPv6Address(f"fd77:6e65:{index:x}::{host:x}"))


def bridge(index: int) -> str:
    """Name a lab's bridge."""
    return f"nel{index}"


def veth(index: int, host: int) -> str:
    """Name the machine's end of a host's link."""
    return f"nel{index}-{host}"


def links() -> set[str]:
    """Names of the machine's interfaces."""
    return {link.name for link in Path("/sys/class/net").iterdir()}


def free_index(taken: set[int]) -> int:
    """Choose a lab index whose bridge name and subnet nobody uses.

    Raises:
        LabError: all are in use.
    """
    routes = [
        route["dst"].partition("/")[0]
        for route in json.loads(run("ip", "-json", "-4", "route", "show", "table", "all"))
    ]
    used = {int(parts[2]) for parts in (route.split(".") for route in routes) if parts[:2] == ["10", "77"]}
    present = links()
    for index in POOL:
        if index not in taken | used and bridge(index) not in present:
            return index
    raise LabError("lab: network: wanted a free subnet 10.77.N.0/24, found none; take other labs down")


def add_bridge(index: int) -> None:
    """Make a lab's bridge, with the machine's own address on it."""
    name = bridge(index)
    lines = [
        f"link add {name} type bridge forward_delay 0 mcast_snooping 0",
        f"address add {address(index, BRIDGE_HOST)}/24 dev {name}",
        f"link set {name} up",
    ]
    if has_ipv6():
        lines.insert(2, f"address add {address6(index, BRIDGE_HOST)}/64 dev {name} nodad")
    run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")


def plug(index: int, host: int, pid: int) -> None:
    """Link a host, by its init's process ID, to the lab's bridge and give it its addresses as eth0."""
    name = veth(index, host)
    # A hardware address of its own, as a machine has one: after a power cycle its neighbours still know it.
    hardware = f"02:6e:65:{index:02x}:00:{host:02x}"
    outside = [
        f"link add {name} type veth peer name eth0 address {hardware} netns {pid}",
        f"link set {name} master {bridge(index)} up",
    ]
    run("ip", "-batch", "-", stdin="\n".join(outside) + "\n")
    inside = [f"address add {address(index, host)}/24 dev eth0", "link set lo up", "link set eth0 up"]
    if has_ipv6():
        inside.insert(1, f"address add {address6(index, host)}/64 dev eth0 nodad")
    run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-", stdin="\n".join(inside) + "\n")


def unplug(index: int, host: int) -> None:
    """Remove a host's link, if the kernel has not yet done so with the host's namespace."""
    _delete(veth(index, host))


def remove(index: int) -> None:
    """Remove a lab's bridge and whatever hangs on it."""
    for host in range(REGISTRY_HOST, FIRST_NODE + MAX_HOSTS):
        unplug(index, host)
    _delete(bridge(index))


def _delete(link: str) -> None:
    if link in links():
        # It may go by itself, or by another's hand, between the look and the deed.
        try:
            run("ip", "link", "delete", link)
        except LabError:
            if link in links():
                raise
