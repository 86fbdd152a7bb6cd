"""What preflight reads of a host, or why it is not known. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.observation import Surroundings, Unknown

if TYPE_CHECKING:
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import ClusterObservation


def surroundings(observation: ClusterObservation, member: Member) -> Surroundings:
    """Return what was read of the host; where nothing was, everything in it is unknown."""
    read = observation.hosts[member.name].surroundings
    if not isinstance(read, Unknown):
        return read
    return Surroundings(read, read, read, read, read, read, read, read, read)
