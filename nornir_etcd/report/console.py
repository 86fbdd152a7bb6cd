"""The report as a terminal shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from nornir_etcd.report.model import Outcome, Severity, StepStatus

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nornir_etcd.report.model import ClusterReport, Finding, MemberReport, Report, StepReport

OUTCOME_STYLE = {
    Outcome.UNCHANGED: "green",
    Outcome.CHECKED: "green",
    Outcome.CHANGED: "yellow",
    Outcome.PLANNED: "cyan",
    Outcome.REFUSED: "bold red",
    Outcome.FAILED: "bold red",
}
SEVERITY_STYLE = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.CRITICAL: "bold red",
    Severity.UNKNOWN: "magenta",
}
STATUS_STYLE = {
    StepStatus.PLANNED: "cyan",
    StepStatus.DONE: "green",
    StepStatus.FAILED: "bold red",
    StepStatus.SKIPPED: "dim",
}
MEBIBYTE = 1024 * 1024


def report_view(report: Report, *, verbose: bool = False) -> RenderableType:
    """Return the report for a rich console.

    Args:
        report: the report.
        verbose: also show the findings that are ok, and the diffs (which a dry run always shows).
    """
    parts: list[RenderableType] = [Text(f"warning: {warning}", style="yellow") for warning in report.warnings]
    parts += [_cluster(cluster, verbose=verbose, diffs=verbose or report.dry_run) for cluster in report.clusters]
    return Group(*parts, _summary(report))


def _cluster(cluster: ClusterReport, *, verbose: bool, diffs: bool) -> RenderableType:
    parts: list[RenderableType] = [_members(cluster.members)]
    parts += [Text(f"✗ {line}", style="bold red") for line in (cluster.error, *cluster.refusals) if line]
    parts += [Text(f"· {note}", style="dim") for note in cluster.notes]
    if cluster.plan:
        parts += [Text(), _plan(cluster.plan)]
        parts += [part for step in cluster.plan for part in _details(step, diffs=diffs)]
    shown = [finding for finding in cluster.findings if verbose or finding.severity is not Severity.OK]
    if shown:
        parts += [Text(), _findings(shown)]
    style = OUTCOME_STYLE[cluster.outcome]
    title = Text.assemble("cluster ", (cluster.name, "bold"), " · ", (cluster.outcome.value, style))
    counted = Text(_counted(cluster), style="dim")
    return Panel(
        Group(*parts), title=title, title_align="left", subtitle=counted, subtitle_align="right", padding=(1, 2)
    )


def _counted(cluster: ClusterReport) -> str:
    counts = [(severity, cluster.count(severity)) for severity in Severity]
    return " · ".join(f"{count} {severity.value}" for severity, count in counts if count)


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _members(members: list[MemberReport]) -> RenderableType:
    table = _table("member", "address", "health", "role", "version", "db", "container", "restarts", "certificate", "")
    for member in members:
        known = member.ssh == "ok" or member.role != "unknown"
        table.add_row(
            member.name,
            member.address,
            _health(member),
            Text(member.role, style="bold" if member.role == "leader" else "dim" if member.role == "unknown" else ""),
            member.version or "-",
            "-" if member.db_size is None else f"{member.db_size / MEBIBYTE:.1f} MiB",
            member.container or "-",
            "-" if member.restarts is None else str(member.restarts),
            "-" if member.certificate_days_left is None else f"{member.certificate_days_left} days",
            Text("changed", style="yellow") if member.changed else "" if known else Text("not reached", style="red"),
        )
    return table


def _health(member: MemberReport) -> Text:
    if member.healthy is None:
        return Text("unknown", style="magenta")
    return Text("healthy", style="green") if member.healthy else Text("unhealthy", style="bold red")


def _plan(steps: list[StepReport]) -> RenderableType:
    table = _table("step", "", "seconds", "why")
    for step in steps:
        why = step.reason if not step.margin else f"{step.reason}; {step.margin}"
        seconds = f"{step.seconds:.1f}" if step.status is StepStatus.DONE else ""
        table.add_row(step.id, Text(step.status.value, style=STATUS_STYLE[step.status]), seconds, why)
    return table


def _details(step: StepReport, *, diffs: bool) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if step.error:
        parts.append(Text(f"✗ {step.id}: {step.error}", style="bold red"))
    if step.log:
        log = Text("\n".join(step.log), style="dim", overflow="fold")
        parts.append(Panel(log, title=f"{step.host}: last lines of the container's log", title_align="left"))
    if diffs and step.diff:
        parts.append(Padding(Syntax(step.diff, "diff", theme="ansi_dark", background_color="default"), (0, 2)))
    return parts


def _findings(findings: list[Finding]) -> RenderableType:
    order = list(reversed(Severity))
    table = _table("finding", "", "subject", "what, and what to do")
    for finding in sorted(findings, key=lambda one: order.index(one.severity)):
        text = Text(finding.message)
        if finding.remedy:
            text.append(f"\n→ {finding.remedy}", style="dim")
        severity = Text(finding.severity.value, style=SEVERITY_STYLE[finding.severity])
        table.add_row(finding.code, severity, finding.subject, text)
    return table


def _summary(report: Report) -> Text:
    members = [member for cluster in report.clusters for member in cluster.members]
    healthy = sum(member.healthy is True for member in members)
    counts = [(severity, sum(cluster.count(severity) for cluster in report.clusters)) for severity in Severity]
    seconds = (report.finished_at - report.started_at).total_seconds()
    text = Text.assemble(
        (f"{report.runbook}{' (dry run)' if report.dry_run else ''}", "bold"),
        f": {len(report.clusters)} cluster{'s' if len(report.clusters) != 1 else ''}, "
        f"{healthy} of {len(members)} members healthy, "
        f"{sum(member.changed for member in members)} changed",
    )
    for severity, count in counts:
        if count:
            text.append(", ")
            text.append(f"{count} {severity.value}", style=SEVERITY_STYLE[severity])
    text.append(f" · {seconds:.1f} s · exit code {report.exit_code}", style="dim")
    return text
