"""Whose data differ, by HashKV at one revision and one compact revision. Pure: no I/O.

Other hashes cannot be compared (https://etcd.io/docs/v3.5/op-guide/data_corruption/).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.observation import HashKv
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.state import is_itself, known_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation, MemberList
    from nornir_etcd.plan.state import ClusterState


@dataclass(frozen=True)
class Disagreement:
    """Members with different hashes of what is to be the same."""

    hashes: Mapping[str, int]  # by host
    releases: Mapping[str, str]  # by host; empty where it is not known
    majority: frozenset[str]  # hosts with the hash that more than half of all voters have; empty where none has that

    @property
    def few(self) -> tuple[str, ...]:
        """The hosts that differ from the majority; none where there is no majority."""
        return tuple(name for name in self.hashes if self.majority and name not in self.majority)

    @property
    def by_release(self) -> bool:
        """Whether members differ between releases alone: those of one release agree."""
        numbers: dict[str, set[int]] = defaultdict(set)
        for name, number in self.hashes.items():
            numbers[self.releases[name]].add(number)
        return len(numbers) > 1 and all(len(found) == 1 for found in numbers.values())

    @property
    def certain(self) -> tuple[str, ...]:
        """Those of the few that a member of the majority contradicts which runs the same release.

        Releases may hash differently what is the same: from 3.5.16 on a deletion at the compact revision is kept
        (etcd#18474).
        """
        known = {self.releases[name] for name in self.majority} - {""}
        return tuple(name for name in self.few if self.releases[name] in known)


def comparable(cluster: Cluster, observation: ClusterObservation) -> list[dict[str, int]]:
    """Return the hashes that can be compared with each other, by host.

    Args:
        cluster: the cluster.
        observation: one from a deep look: another has no hashes.
    """
    found: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for member in cluster.members:
        one = observation.endpoints[member.name].hash
        if isinstance(one, HashKv):
            found[one.revision, one.compact_revision][member.name] = one.hash
    return list(found.values())


def agree(cluster: Cluster, observation: ClusterObservation, live: MemberList) -> bool:
    """Return whether every voter is known to have the same data as all others.

    Args:
        cluster: the cluster.
        observation: one from a deep look.
        live: the live list.
    """
    voters = {info.id for info in live.members if not info.is_learner}
    for hashes in comparable(cluster, observation):
        statuses = (known_status(observation.endpoints[name]) for name in hashes)
        if voters <= {status.member_id for status in statuses if status}:
            return len(set(hashes.values())) == 1
    return False


def disagreement(cluster: Cluster, observation: ClusterObservation, state: ClusterState) -> Disagreement | None:
    """Return who has which data where they differ, or None where all that can be compared is the same.

    The majority is one of all voters, those included that tell no hash. A learner is compared and does not count, and
    neither does an etcd that is not the member which the live list has at its address.

    Args:
        cluster: the cluster.
        observation: one from a deep look.
        state: where the cluster stands by the same observation.
    """
    for hashes in comparable(cluster, observation):
        if len(set(hashes.values())) > 1:
            statuses = {name: known_status(observation.endpoints[name]) for name in hashes}
            releases = {name: str(release(status.version) or "") if status else "" for name, status in statuses.items()}
            votes = Counter(number for name, number in hashes.items() if _votes(name, observation, state))
            voters = len(cluster.members)
            if state.live is not None:
                voters = sum(not info.is_learner for info in state.live.members)
            most = {number for number, count in votes.items() if 2 * count > voters}
            return Disagreement(hashes, releases, frozenset(name for name in hashes if hashes[name] in most))
    return None


def _votes(name: str, observation: ClusterObservation, state: ClusterState) -> bool:
    if state.live is None:
        return True
    entry = state.entries.get(name)
    return entry is not None and not entry.is_learner and is_itself(observation.endpoints[name], state.live, entry)
