"""The report as Markdown (GitHub's), for tickets and merge requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nornir_etcd.report.authority import authority_line
from nornir_etcd.report.console import harmless, marked, mesh_rows, size
from nornir_etcd.report.model import Severity
from nornir_etcd.report.summary import EXIT_CODES, WORST_FIRST, summary_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from nornir_etcd.report.model import ClusterReport, Finding, MemberReport, Report, StepReport

_SPECIAL = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads as its own inside a line; an underscore inside a word it leaves alone."""


def to_markdown(report: Report) -> str:
    """Return the report as Markdown: members, plan and what is not ok; what is ok is named by its codes."""
    blocks = [f"# nornir-etcd {text(report.runbook)}{' (dry run)' if report.dry_run else ''}"]
    blocks += [f"**warning:** {text(warning)}" for warning in report.warnings]
    for cluster in report.clusters:
        blocks += _cluster(cluster, report.finished_at)
    if code := report.exit_code:
        blocks.append(f"**exit code {code}:** {EXIT_CODES[code]}")
    blocks.append(text(summary_line(report)))
    return "\n\n".join(blocks) + "\n"


def text(value: str) -> str:
    """Return text of whoever's making as Markdown that shows it, on one line: no markup, no HTML, no controls."""
    line = " ".join(harmless(value).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", line)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown already."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cluster(cluster: ClusterReport, now: datetime) -> Iterator[str]:
    yield f"## Cluster {text(cluster.name)}: {cluster.outcome.value}"
    lines = [f"- **{text(line)}**" for line in dict.fromkeys((cluster.error, *cluster.refusals)) if line]
    lines += [f"- {text(note)}" for note in cluster.notes]
    if lines:
        yield "\n".join(lines)
    yield _members(cluster.members)
    if cluster.plan:
        yield "### Plan"
        yield _plan(cluster.plan)
        for step in cluster.plan:
            yield from _details(step)
    if cluster.findings:
        yield "### Findings"
        yield from _findings(cluster.findings)
    if cluster.mesh:
        yield "### Peer ports"
        headings, *rows = mesh_rows(cluster)
        yield table([text(cell) for cell in headings], [[text(cell) for cell in row] for row in rows])
    if cluster.owned:
        yield "### Certificates"
        yield _certificates(cluster, now)
    if cluster.authority:
        yield text(authority_line(cluster.authority))


def _members(members: Iterable[MemberReport]) -> str:
    headings = ["member", "address", "health", "role", "version", "db", "in use", "read", "restarts", "certificate", ""]
    rows = (
        [
            text(member.name),
            text(member.address),
            "unknown" if member.healthy is None else "healthy" if member.healthy else "**unhealthy**",
            member.role,
            text(member.version) or "-",
            "-" if member.db_size is None else size(member.db_size),
            "-" if member.db_size_in_use is None else size(member.db_size_in_use),
            "-" if member.read_seconds is None else f"{member.read_seconds * 1000:.1f} ms",
            "-" if member.restarts is None else str(member.restarts),
            "-" if member.certificate_days_left is None else f"{member.certificate_days_left} days",
            marked(member)[0],
        ]
        for member in members
    )
    return table(headings, rows)


def _plan(steps: Iterable[StepReport]) -> str:
    rows = (
        [
            step.status.value,
            text(step.action),
            text(step.host) or "controller",
            text(f"{step.reason}{f'; {step.margin}' if step.margin else ''}"),
        ]
        for step in steps
    )
    return table(["plan", "step", "host", "why"], rows)


def _details(step: StepReport) -> Iterator[str]:
    if step.error:
        yield f"**{text(step.id)} failed:** {text(step.error)}"
    if step.log:
        yield f"Last lines of the container's log on {text(step.host)}:"
        yield _fenced("\n".join(step.log))
    if step.diff:
        yield f"{text(step.host)}: {text(step.action)}"
        yield _fenced(step.diff, "diff")


def _fenced(content: str, language: str = "") -> str:
    """Return a block of code, behind a fence that nothing in it can close."""
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = [harmless(line) for line in content.splitlines()]
    return "\n".join([f"{fence}{language}", *lines, fence])


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    told = [one for one in findings if one.severity is not Severity.OK]
    told.sort(key=lambda one: (one.waiver is not None, WORST_FIRST.index(one.severity)))
    if told:
        yield table(["finding", "subject", "check", "what", "what to do"], map(_finding, told))
    fine = dict.fromkeys(one.code for one in findings if one.severity is Severity.OK)
    if fine:
        yield f"ok: {', '.join(map(text, fine))}"


def _finding(finding: Finding) -> list[str]:
    severity = finding.severity.value
    what = text(finding.message)
    if finding.waiver is not None:
        severity = f"~~{severity}~~ waived"
        until = f" until {finding.waiver.until}" if finding.waiver.until else ""
        what = f"{what} — waived{until}: {text(finding.waiver.reason)}"
    return [severity, text(finding.subject), text(finding.code), what, text(finding.remedy)]


def _certificates(cluster: ClusterReport, now: datetime) -> str:
    rows = (
        [
            text(owner),
            text(one.place),
            text(one.subject),
            text(", ".join(one.sans)),
            text(", ".join(one.usages)),
            text(one.issuer),
            text(one.serial),
            f"{one.not_after:%Y-%m-%d}",
            f"{(one.not_after - now).days} days",
            ", ".join(map(str, one.served)),
        ]
        for owner, one in cluster.owned
    )
    headings = ["certificate of", "place", "subject", "names", "usages", "issuer", "serial", "holds until", "left"]
    return table([*headings, "served on"], rows)
