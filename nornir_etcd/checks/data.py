"""Has a member lost its data, or got somebody else's?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import bootstrap_ids, hexadecimal
from nornir_etcd.plan.membership import data_refusals
from nornir_etcd.plan.state import has_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.report.model import Finding


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the data directory of every member whose host answers."""
    for member in seen.cluster.members:
        yield _data(seen, member)


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
