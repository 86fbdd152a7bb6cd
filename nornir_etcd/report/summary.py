"""What a run comes to: the line that ends every form, and the codes that a process ends with. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nornir_etcd.report.model import Outcome, Severity, StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.report.model import ClusterReport, MemberReport, Report

ExitStyle = Literal["default", "nagios"]

WORST_FIRST = (Severity.CRITICAL, Severity.UNKNOWN, Severity.WARNING, Severity.OK)
"""The order in which findings are shown. A doubt stands before a warning: it may hide something critical."""
EXIT_CODES = {1: "critical findings", 3: "a step failed or was refused", 4: "a check could not be made"}
NAGIOS_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""By exit code (https://nagios-plugins.org/doc/guidelines.html, "Plugin Return Codes")."""
NAGIOS_UNKNOWN = 3
NOT_ASKED = "not asked"
"""How `MemberReport.ssh` begins where nobody wanted to reach the host."""


def unreached(member: MemberReport) -> bool:
    """Whether the host was to be asked and could not be."""
    return member.ssh != "ok" and not member.ssh.startswith(NOT_ASKED)


def counts(clusters: Sequence[ClusterReport]) -> list[tuple[str, Severity | None]]:
    """Return what was found, in words, with the severity that each stands for; nothing is said of none."""
    found = [(sum(cluster.count(severity) for cluster in clusters), severity) for severity in WORST_FIRST]
    parts: list[tuple[str, Severity | None]] = [(f"{count} {one.value}", one) for count, one in found if count]
    if waived := sum(cluster.waived for cluster in clusters):
        parts.append((f"{waived} waived", None))
    if lost := sum(unreached(member) for cluster in clusters for member in cluster.members):
        parts.append((f"{lost} host{'s' if lost > 1 else ''} not reached", Severity.UNKNOWN))
    return parts


def summary(report: Report) -> list[tuple[str, Severity | None]]:
    """Return the parts of the line that ends every form, each with the severity that it stands for."""
    members = [member for cluster in report.clusters for member in cluster.members]
    healthy = sum(member.healthy is True for member in members)
    changed = sum(member.changed for member in members)
    seconds = (report.finished_at - report.started_at).total_seconds()
    run = f"{report.runbook}{' (dry run)' if report.dry_run else ''}"
    return [
        (f"{run}: {healthy} of {len(members)} members healthy, {changed or 'nothing'} changed", None),
        *counts(report.clusters),
        (f"{seconds:.1f} s", None),
    ]


def summary_line(report: Report) -> str:
    """Return the line that ends every form."""
    return " · ".join(text for text, _ in summary(report))


def exit_code(report: Report, style: ExitStyle = "default") -> int:
    """Return the code that a process ends with after this report.

    default: `Report.exit_code`. nagios: 2 a step failed, or something is critical; 3 refused, or a check could not be
    made; 1 warnings; 0 none of these. As there, a doubt stands before a warning.
    """
    if style == "default":
        return report.exit_code
    steps = [step for cluster in report.clusters for step in cluster.plan]
    if any(step.status is StepStatus.FAILED for step in steps) or _any(report, Severity.CRITICAL):
        return 2
    stopped = any(cluster.outcome in (Outcome.FAILED, Outcome.REFUSED) for cluster in report.clusters)
    if stopped or _any(report, Severity.UNKNOWN):
        return NAGIOS_UNKNOWN
    return 1 if _any(report, Severity.WARNING) else 0


def status_line(code: int, text: str) -> str:
    """Return the one line that Nagios and its kind show of a run: without performance data, which | would begin."""
    return f"ETCD {NAGIOS_WORDS[code]} - {' '.join(text.split()).replace('|', '/')}"


def _any(report: Report, severity: Severity) -> bool:
    return any(cluster.count(severity) for cluster in report.clusters)
