"""A cluster: the hosts that share a deploy_name, their URLs, and quorum arithmetic. Pure: no I/O."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nornir_etcd.settings import Settings

CLIENT_PORT = 2379
PEER_PORT = 2380
METRICS_PORT = 2381

MAX_MEMBERS = 7
"""More members cost write latency and win nothing (https://etcd.io/docs/v3.5/faq/, "What is maximum cluster size")."""


def quorum(voters: int) -> int:
    """Return how many of `voters` must agree: floor(n/2)+1 (https://etcd.io/docs/v3.5/faq/)."""
    return voters // 2 + 1


def url_host(address: str) -> str:
    """Return an address as it stands in a URL: an IPv6 address in brackets, anything else unchanged."""
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address  # noqa: PLR2004 - IPv6
    except ValueError:
        return address


@dataclass(frozen=True)
class Member:
    """One member as the inventory wants it."""

    name: str
    address: str
    settings: Settings

    @property
    def client_url(self) -> str:
        """The client URL that the member advertises."""
        return f"https://{url_host(self.address)}:{CLIENT_PORT}"

    @property
    def peer_url(self) -> str:
        """The peer URL that the member advertises: what identifies it in the member list."""
        return f"https://{url_host(self.address)}:{PEER_PORT}"


@dataclass(frozen=True)
class Cluster:
    """The members that share a deploy_name, in inventory order."""

    name: str
    members: tuple[Member, ...]

    @property
    def initial_cluster(self) -> str:
        """The value of --initial-cluster."""
        return ",".join(f"{member.name}={member.peer_url}" for member in self.members)

    @property
    def token(self) -> str:
        """The value of --initial-cluster-token, the same on all members."""
        return self.members[0].settings.etcd_initial_cluster_token

    @property
    def quorum(self) -> int:
        """How many members must be healthy."""
        return quorum(len(self.members))

    def member(self, name: str) -> Member:
        """Return the member of that name.

        Raises:
            KeyError: where the cluster has none.
        """
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(name)
