"""Has a member raised an alarm?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import hexadecimal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.observation import Alarm
    from nornir_etcd.report.model import Finding

REMEDIES = {
    "NOSPACE": "compact and defragment every member, then disarm (https://etcd.io/docs/v3.5/op-guide/maintenance/)",
    "CORRUPT": "find the corrupt member and replace it; do not restart the others "
    "(https://etcd.io/docs/v3.5/op-guide/data_corruption/)",
}


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the alarms of the cluster, as any of its members tells them."""
    asked = Check("cluster.alarm", seen.cluster.name)
    answers = [
        endpoint.alarms for endpoint in seen.observation.endpoints.values() if not isinstance(endpoint.alarms, Unknown)
    ]
    if not answers:
        yield asked.unknown("no member answers, so alarms are not known")
        return
    raised = {alarm for answer in answers for alarm in answer}
    if not raised:
        yield asked.ok("no alarm")
    for alarm in sorted(raised, key=lambda one: (one.kind, one.member_id)):
        yield asked.critical(
            f"{_name(seen, alarm)} has raised {alarm.kind}",
            REMEDIES.get(alarm.kind, "see etcdctl alarm list"),
            member=hexadecimal(alarm.member_id),
            alarm=alarm.kind,
        )


def _name(seen: Evidence, alarm: Alarm) -> str:
    members = seen.state.live.members if seen.state.live else ()
    return next((info.name for info in members if info.id == alarm.member_id), hexadecimal(alarm.member_id))
