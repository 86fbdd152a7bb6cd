"""Is the image the same on every host that has it? The plan pulls it where it is missing, and compares again then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.observation import Unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.report.model import Finding

REMEDY = (
    "remove it where it is wrong (crictl rmi, docker rmi) and run again, which pulls it; "
    "a tag must not move in the registry"
)


def check(seen: Evidence, started: frozenset[str]) -> Finding:
    """Compare the image of all members: one that is left as it is counts like one that is to start."""
    asked = Check("preflight.image", seen.cluster.name)
    found = present(seen.cluster, seen.observation)
    read = {name: shown(digests) for name, digests in found.items()}
    if differing := difference(found):
        return asked.critical(f"the image is not the same on all hosts: {differing}", REMEDY, **read)
    doubtful = sorted(
        member.name
        for member in seen.cluster.members
        if member.name in started and isinstance(surroundings(seen.observation, member).digests, Unknown)
    )
    if doubtful:
        return asked.unknown(
            f"the images of {', '.join(doubtful)} could not be listed", "see that the runtime answers", **read
        )
    lacking = sorted(started - found.keys())
    pulls = f"; {', '.join(lacking)} will pull it" if lacking else ""
    return asked.ok(f"the image is the same wherever it is{pulls}", **read)


def present(cluster: Cluster, observation: ClusterObservation) -> dict[str, frozenset[str]]:
    """Return the digests of the wanted image on each host that has it."""
    found = {}
    for member in cluster.members:
        digests = surroundings(observation, member).digests
        if not isinstance(digests, Unknown) and member.settings.etcd_image in digests:
            found[member.name] = digests[member.settings.etcd_image]
    return found


def difference(found: Mapping[str, frozenset[str]]) -> str:
    """Return, in words, which host has which image; empty where one digest is common to all."""
    if not found or frozenset.intersection(*found.values()):
        return ""
    return ", ".join(f"{name} has {shown(digests)}" for name, digests in found.items())


def shown(digests: frozenset[str]) -> str:
    """Return a digest in short, as crictl shows it: its first 13 digits."""
    return min(digests).removeprefix("sha256:")[:13]
