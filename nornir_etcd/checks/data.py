"""Has every member its own data, and are they the same as the others'?"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import BOTH, ENDPOINT, Kind
from nornir_etcd.observation import HashKv, Unknown
from nornir_etcd.plan.identity import bootstrap_ids, hexadecimal
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.membership import data_refusals
from nornir_etcd.plan.state import has_manifest, known_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
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
    comparable: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for name, one in known.items():
        comparable[one.revision, one.compact_revision][name] = one.hash
    for found in comparable.values():
        if len(set(found.values())) > 1:
            return _unequal(seen, asked, found, read)
    unread = {name: one for name, one in hashes.items() if isinstance(one, Unknown)}
    if unread:
        why = next(iter(unread.values()))
        return asked.unknown(f"no hash of {', '.join(unread)}: {why.reason}", "", **read)
    if len(comparable) > 1:
        return asked.unknown(
            "the hashes are of different revisions or compact revisions, which cannot be compared",
            "run it again",
            **read,
        )
    return asked.ok("all members have the same hash", **read)


def _unequal(seen: Evidence, asked: Check, found: Mapping[str, int], read: Mapping[str, str]) -> Finding:
    """Tell who differs from the majority of all members.

    Releases may hash differently what is the same: from 3.5.16 on a deletion at the compact revision is kept
    (etcd#18474). So between members of different releases alone it is not known.
    """
    releases: dict[str, set[int]] = defaultdict(set)
    for name, number in found.items():
        status = known_status(seen.endpoint(name))
        releases[str(release(status.version)) if status else ""].add(number)
    if len(releases) > 1 and all(len(numbers) == 1 for numbers in releases.values()):
        return asked.unknown(
            "the hashes differ between members of different releases, which may hash the same data differently",
            "verify again when all members run one release",
            **read,
        )
    ((most, count), *_) = Counter(found.values()).most_common()
    few = [name for name, number in found.items() if number != most]
    remedy = (
        "write nothing that matters; take a snapshot of each member, find out which holds the right data, and replace "
        "the others one at a time (https://etcd.io/docs/v3.5/op-guide/data_corruption/)"
    )
    if 2 * count > len(seen.cluster.members):
        return asked.critical(f"{', '.join(few)} has other data than the majority", remedy, **read)
    return asked.critical(
        f"{', '.join(found)} have different data, and no majority tells which is right", remedy, **read
    )
