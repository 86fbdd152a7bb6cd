"""Has every member its own data, and are they the same as the others'?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import BOTH, ENDPOINT, Kind
from nornir_etcd.observation import HashKv, Unknown
from nornir_etcd.plan.hashes import comparable, disagreement
from nornir_etcd.plan.identity import bootstrap_ids, hexadecimal
from nornir_etcd.plan.membership import data_refusals
from nornir_etcd.plan.state import has_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.plan.hashes import Disagreement
    from nornir_etcd.report.model import Finding

KINDS = (
    Kind(
        code="member.data",
        asks="Has the member its own data, and not lost them?",
        reads=BOTH,
        worst="critical",
        settings=("etcd_data_dir",),
    ),
    Kind(
        code="cluster.hash",
        asks="Have all members the same keys and values, by HashKV at one revision and one compact revision?",
        reads=ENDPOINT,
        worst="critical",
        rule="https://etcd.io/docs/v3.5/op-guide/data_corruption/",
    ),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the data directory of every member, then the data of all against each other."""
    for member in seen.cluster.members:
        yield _data(seen, member)
    yield _hash(seen)


def _data(seen: Evidence, member: Member) -> Finding:
    asked = Check("member.data", member.name)
    host = seen.host(member.name)
    if host.error is not None or isinstance(host.data, Unknown):
        return asked.unknown(host.error or Unknown("the data directory was not read"))
    read = {"directory": member.settings.etcd_data_dir, "state": host.data.state}
    refused = list(data_refusals(seen.cluster, member, host, seen.observation, seen.state))
    if refused:
        reason, _, remedy = refused[0].removeprefix(f"{member.name}: ").partition("; ")
        return asked.critical(reason, remedy, **read)
    if host.data.state == "member":
        read |= {"member": hexadecimal(host.data.node_id), "cluster": hexadecimal(host.data.cluster_id)}
        cluster_id, members = bootstrap_ids(seen.cluster)
        if seen.state.live is None and (host.data.cluster_id, host.data.node_id) != (cluster_id, members[member.name]):
            return asked.unknown(
                "its IDs are not those of the bootstrap, and no quorum tells which the cluster has", **read
            )
        return asked.ok("the data directory is this member's", **read)
    message = "prepared for the first start" if has_manifest(member, host) else "nothing is deployed"
    return asked.critical(f"there is no data: {message}", "run deploy", **read)


def _hash(seen: Evidence) -> Finding:
    """Compare the hashes of all members: they say something where revision and compact revision are the same."""
    asked = Check("cluster.hash", seen.cluster.name)
    hashes = {member.name: seen.endpoint(member.name).hash for member in seen.cluster.members}
    known = {name: one for name, one in hashes.items() if isinstance(one, HashKv)}
    read = {
        name: f"{one.hash:08x} at revision {one.revision}, compacted at {one.compact_revision}"
        for name, one in known.items()
    }
    if (differing := disagreement(seen.cluster, seen.observation, seen.state)) is not None:
        return _unequal(asked, differing, read)
    unread = {name: one for name, one in hashes.items() if isinstance(one, Unknown)}
    if unread:
        why = next(iter(unread.values()))
        return asked.unknown(f"no hash of {', '.join(unread)}: {why.reason}", "", **read)
    if len(comparable(seen.cluster, seen.observation)) > 1:
        return asked.unknown(
            "the hashes are of different revisions or compact revisions, which cannot be compared",
            "run it again",
            **read,
        )
    return asked.ok("all members have the same hash", **read)


def _unequal(asked: Check, differing: Disagreement, read: Mapping[str, str]) -> Finding:
    """Tell who differs from the majority of all members."""
    if differing.by_release:
        return asked.unknown(
            "the hashes differ between members of different releases, which may hash the same data differently",
            "verify again when all members run one release",
            **read,
        )
    remedy = (
        "write nothing that matters; take a snapshot of each member, find out which holds the right data, and replace "
        "the others one at a time (https://etcd.io/docs/v3.5/op-guide/data_corruption/)"
    )
    if differing.majority:
        return asked.critical(f"{', '.join(differing.few)} has other data than the majority", remedy, **read)
    return asked.critical(
        f"{', '.join(differing.hashes)} have different data, and no majority tells which is right", remedy, **read
    )
