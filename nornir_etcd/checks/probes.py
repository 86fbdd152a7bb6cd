"""What does a member say to the probes of a kubelet?"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import ENDPOINT, Kind
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.state import known_status
from nornir_etcd.versions import live_path, ready_path, startup_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.report.model import Finding

KINDS = (
    Kind(
        code="member.probes",
        asks="Does the member answer 200 to every probe that its release has?",
        reads=ENDPOINT,
        worst="critical",
        settings=("etcd_timeout",),
        rule="https://etcd.io/docs/v3.5/op-guide/monitoring/: Health Check",
    ),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the probes of every member."""
    for member in seen.cluster.members:
        yield _probes(seen, member)


def _probes(seen: Evidence, member: Member) -> Finding:
    asked = Check("member.probes", member.name)
    probes = seen.endpoint(member.name).probes
    if isinstance(probes, Unknown):
        return asked.unknown(probes)
    if not probes.answers:
        return asked.unknown("no probe was sent")
    failed = {path: status for path, status in probes.answers.items() if status != HTTPStatus.OK}
    if not failed:
        return asked.ok(f"answers 200 to {', '.join(probes.answers)}", **probes.answers)
    message = ", ".join(
        f"{path} answers {status}" if status else f"{path} does not answer within {member.settings.etcd_timeout} s"
        for path, status in failed.items()
    )
    remedy = "see the findings member.unhealthy and cluster.alarm, and the member's log: it names the reason"
    if _asked_by_kubelet(seen, member) & set(failed):
        return asked.critical(message, remedy, **probes.answers)
    # /health of a release that has better probes: nothing restarts for it. It fails for an alarm, too.
    return asked.warning(message, remedy, **probes.answers)


def _asked_by_kubelet(seen: Evidence, member: Member) -> set[str]:
    """Return the paths that the manifest makes a kubelet ask, by the release that runs."""
    status = known_status(seen.endpoint(member.name))
    version = release(status.version) if status else None
    return {"/health"} if version is None else {path(version) for path in (live_path, ready_path, startup_path)}
