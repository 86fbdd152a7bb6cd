"""Does every member run the version that is wanted?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.state import known_status
from nornir_etcd.versions import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.report.model import Finding


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the version of every member that answers."""
    for member in seen.cluster.members:
        asked = Check("member.version", member.name)
        status = known_status(seen.endpoint(member.name))
        wanted = member.settings.etcd_version
        if status is None:
            yield asked.unknown("the member does not answer", wanted=wanted)
        elif release(status.version) == parse(wanted):
            yield asked.ok(f"runs {status.version}", wanted=wanted, found=status.version)
        else:
            yield asked.warning(
                f"runs another version: wanted {wanted}, found {status.version}",
                "the runbook upgrade changes versions",
                wanted=wanted,
                found=status.version,
            )
