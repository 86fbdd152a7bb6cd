"""Has a member raised an alarm?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import ENDPOINT, Kind
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.state import known_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.observation import Alarm
    from nornir_etcd.report.model import Finding

KINDS = (
    Kind(
        code="cluster.alarm",
        asks="Has no member raised an alarm?",
        reads=ENDPOINT,
        worst="critical",
        rule="https://etcd.io/docs/v3.5/op-guide/maintenance/: Space quota",
    ),
)
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
    """Return the name of the member that raised an alarm: as the live list has it, or as the inventory calls it."""
    listed = {info.id: info.name for info in seen.state.live.members} if seen.state.live else {}
    asked = {
        status.member_id: member.name
        for member in seen.cluster.members
        if (status := known_status(seen.endpoint(member.name)))
    }
    return listed.get(alarm.member_id) or asked.get(alarm.member_id) or hexadecimal(alarm.member_id)
