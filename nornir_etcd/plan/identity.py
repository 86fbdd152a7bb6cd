"""The IDs that etcd gives the members of a bootstrap, computed from the inventory. Pure: no I/O.

etcd derives them from peer URLs and token alone, so a data directory can be recognised before anything runs
(server/etcdserver/api/membership: computeMemberId in member.go, genID in cluster.go).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.cluster import Cluster


def member_id(peer_urls: Sequence[str], token: str) -> int:
    """Return the ID of a member that takes part in a bootstrap with these peer URLs and this token."""
    digest = hashlib.sha1(("".join(sorted(peer_urls)) + token).encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big")


def cluster_id(member_ids: Sequence[int]) -> int:
    """Return the ID of the cluster that these members bootstrap."""
    joined = b"".join(number.to_bytes(8, "big") for number in sorted(member_ids))
    return int.from_bytes(hashlib.sha1(joined, usedforsecurity=False).digest()[:8], "big")


def bootstrap_ids(cluster: Cluster) -> tuple[int, dict[str, int]]:
    """Return the cluster ID and, by host name, the member IDs that a bootstrap of this cluster yields."""
    ids = {member.name: member_id([member.peer_url], cluster.token) for member in cluster.members}
    return cluster_id(list(ids.values())), ids


def hexadecimal(number: int) -> str:
    """Return an ID as etcdctl prints it."""
    return f"{number:x}"
