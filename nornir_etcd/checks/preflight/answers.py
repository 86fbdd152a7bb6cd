"""What checks read of a host's surroundings, or why it is not known. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.observation import Surroundings, Unknown

if TYPE_CHECKING:
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import ClusterObservation


def surroundings(observation: ClusterObservation, member: Member) -> Surroundings:
    """Return what was read of the host; where nothing was, everything in it is unknown."""
    host = observation.hosts[member.name]
    if not isinstance(host.surroundings, Unknown):
        return host.surroundings
    unread = host.error or host.surroundings
    return Surroundings(unread, unread, unread, unread, unread, unread, unread, unread, unread)
