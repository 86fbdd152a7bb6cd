"""The report as a terminal shows it, and as a log keeps it: text without frames, so that a line can be copied whole."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nornir_etcd.report.authority import authority_line
from nornir_etcd.report.model import Outcome, Report, Severity, StepStatus
from nornir_etcd.report.summary import EXIT_CODES, WORST_FIRST, summary, unreached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from nornir_etcd.report.model import ClusterReport, Finding, MemberReport, StepReport, Waiver

OUTCOME_STYLE = {
    Outcome.UNCHANGED: "green",
    Outcome.CHECKED: "green",
    Outcome.CHANGED: "yellow",
    Outcome.PLANNED: "cyan",
    Outcome.REFUSED: "bold red",
    Outcome.FAILED: "bold red",
}
SEVERITY_STYLE = {
    Severity.CRITICAL: "bold red",
    Severity.UNKNOWN: "magenta",
    Severity.WARNING: "yellow",
    Severity.OK: "green",
}
STATUS_STYLE = {
    StepStatus.PLANNED: "cyan",
    StepStatus.DONE: "green",
    StepStatus.FAILED: "bold red",
    StepStatus.SKIPPED: "dim",
}
DIFF_STYLE = {"+": "green", "-": "red", "@": "cyan"}
ROLE_STYLE = {"leader": "bold", "unknown": "dim"}
LINK_STYLE = {"open": "green", "refused": "bold red", "silent": "bold red", "unknown": "magenta"}
SPARE = ("container", "db", "restarts", "address", "certificate", "version")
"""Columns of the member table that a narrow terminal goes without, the first one first."""
LOG_WIDTH = 2000
"""Columns where the output is no terminal: a line of a log is not broken, so that grep finds it whole."""

_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that change the direction of text: what comes from a host must not steer a terminal."""


def print_report(report: Report, *, verbose: bool = False) -> None:
    """Draw the report on stdout: in the width of a terminal, else without colours and without breaking lines.

    Args:
        report: the report.
        verbose: also show the findings that are ok, every reason in full, the diffs, the ways between the members, and
            the certificates.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale without arrows must not end in a traceback
    console = Console()
    view = report_view(report, verbose=verbose)
    if console.is_terminal:
        console.print(view)
        return
    log = Console(width=LOG_WIDTH, color_system=None)
    with log.capture() as captured:
        log.print(view)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    sys.stdout.flush()


def report_view(report: Report, *, verbose: bool = False) -> RenderableType:
    """Return the report for a rich console.

    Args:
        report: the report.
        verbose: also show the findings that are ok, every reason in full, the diffs, the ways between the members, and
            the certificates; a dry run shows reasons and diffs in any case.
    """
    report = Report.model_validate(_harmless(report.model_dump()))
    parts = [Text(f"warning: {warning}", style="yellow") for warning in report.warnings]
    full = verbose or report.dry_run
    listed = verbose or report.runbook == "certs status"
    now = report.finished_at
    clusters = [_cluster(one, now, verbose=verbose, full=full, listed=listed) for one in report.clusters]
    return Group(*parts, *([Text()] if parts else []), *clusters, _summary(report))


def harmless(text: str) -> str:
    """Return the text with every harmful character written out."""
    return _HARMFUL.sub(lambda match: ascii(match[0])[1:-1], text)


def _harmless(value: object, *, lines: bool = False) -> object:
    """Return a value of the report with all its texts harmless, and with line ends in diffs alone."""
    if isinstance(value, dict):
        return {key: _harmless(one, lines=key == "diff") for key, one in value.items()}
    if isinstance(value, list):
        return [_harmless(one) for one in value]
    if not isinstance(value, str):
        return value
    return harmless(value if lines else value.replace("\n", " "))


def _cluster(cluster: ClusterReport, now: datetime, *, verbose: bool, full: bool, listed: bool) -> RenderableType:
    heading = Text.assemble(
        (f"cluster {cluster.name}", "bold"), ": ", (cluster.outcome.value, OUTCOME_STYLE[cluster.outcome])
    )
    shown = [finding for finding in cluster.findings if verbose or finding.severity is not Severity.OK]
    parts: list[RenderableType] = [_members(cluster.members), *_wrong(cluster)]
    if cluster.plan:
        parts += [Text(), _plan(cluster, full=full)]
        parts += [part for step in cluster.plan for part in _details(step, diffs=full)]
    if shown:
        parts += [Text(), _findings(shown, cluster)]
    if verbose and cluster.mesh:
        parts += [Text(), _mesh(cluster)]
    if listed and cluster.owned:
        parts += [Text(), _certificates(cluster, now)]
    if cluster.authority and (listed or cluster.authority.phase != "settled"):
        parts += [Text(), Text(authority_line(cluster.authority))]
    return Group(heading, Padding(Group(*parts), (1, 0, 1, 2), expand=False))


def _wrong(cluster: ClusterReport) -> Iterator[RenderableType]:
    """Say what kept the run from its work, each reason once, and what is to be noted."""
    told = [finding.message for finding in cluster.findings]
    silent = [member.ssh for member in cluster.members if unreached(member) and member.ssh not in told]
    reasons = dict.fromkeys((cluster.error, *cluster.refusals, *silent))
    lines = [Text(f"✗ {reason}", style="red") for reason in reasons if reason]
    lines += [Text(f"· {note}", style="dim") for note in cluster.notes]
    if lines:
        yield from (Text(), *lines)


@dataclass
class _Table:
    """A table that goes without spare columns until it fits."""

    headings: list[str]
    rows: list[list[str | Text]]
    spare: tuple[str, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update(max_width=LOG_WIDTH)
        for left_out in range(len(self.spare) + 1):
            table = self._without(self.spare[:left_out])
            if Measurement.get(console, unlimited, table).maximum <= options.max_width:
                break
        yield table

    def _without(self, names: tuple[str, ...]) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        chosen = [number for number, heading in enumerate(self.headings) if heading not in names]
        for number in chosen:
            table.add_column(Text(self.headings[number]), overflow="fold")
        for row in self.rows:
            cells = (row[number] for number in chosen)
            table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
        return table


def _members(members: list[MemberReport]) -> RenderableType:
    headings = ["member", "address", "health", "role", "version", "db", "container", "restarts", "certificate", ""]
    rows: list[list[str | Text]] = [
        [
            member.name,
            member.address,
            _health(member),
            Text(member.role, style=ROLE_STYLE.get(member.role, "")),
            member.version or "-",
            "-" if member.db_size is None else size(member.db_size),
            member.container or "-",
            "-" if member.restarts is None else str(member.restarts),
            "-" if member.certificate_days_left is None else f"{member.certificate_days_left} days",
            Text(*marked(member)),
        ]
        for member in members
    ]
    return _Table(headings, rows, SPARE)


def _health(member: MemberReport) -> Text:
    if member.healthy is None:
        return Text("unknown", style="magenta")
    return Text("healthy", style="green") if member.healthy else Text("unhealthy", style="bold red")


def marked(member: MemberReport) -> tuple[str, str]:
    """Return what is to be said at a member's row, and the style of it."""
    if member.ssh != "ok":
        return ("no SSH", "red") if unreached(member) else ("not asked", "dim")
    return ("changed", "yellow") if member.changed else ("", "")


def size(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:  # noqa: PLR2004 - what the binary prefixes mean
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _plan(cluster: ClusterReport, *, full: bool) -> RenderableType:
    """Show the plan: steps that do the same on several hosts side by side are one row, disruptive ones never are."""
    rows: list[list[str | Text]] = []
    for _, group in groupby(cluster.plan, lambda one: (one.status, one.action, one.reason, one.disruptive and one.id)):
        same = list(group)
        step = same[0]
        seconds = max(one.seconds for one in same)
        took = f" {seconds:.1f} s" if seconds >= 0.1 else ""  # noqa: PLR2004 - what one decimal shows
        status = Text.assemble((step.status.value, STATUS_STYLE[step.status]), (took, "dim"))
        hosts = [one.host or "controller" for one in same]
        whole = len(hosts) > 1 and len(hosts) == len(cluster.members)
        why = step.reason if full else _shortened(step.reason)
        margin = f"; {step.margin}" if step.margin else ""
        rows.append([status, step.action, "all members" if whole else ", ".join(hosts), f"{why}{margin}"])
    return _Table(["plan", "step", "host", "why"], rows)


def _shortened(reason: str) -> str:
    first, *rest = reason.split("; ")
    return f"{first}; and {len(rest)} more (-v)" if len(rest) > 1 else reason


def _details(step: StepReport, *, diffs: bool) -> Iterator[RenderableType]:
    if step.error:
        yield from (Text(), Text(f"✗ {step.error}", style="bold red"))
    if step.log:
        yield from (Text(), Text(f"{step.host}: last lines of the container's log", style="bold"))
        yield Padding(Text("\n".join(step.log), overflow="fold"), (0, 0, 0, 2), expand=False)
    if diffs and step.diff:
        lines = [Text(line, style=DIFF_STYLE.get(line[:1], ""), overflow="fold") for line in step.diff.splitlines()]
        yield from (Text(), Text(f"{step.host}: {step.action}", style="bold"))
        yield Padding(Group(*lines), (0, 0, 0, 2), expand=False)


@dataclass(frozen=True)
class _Said:
    """What one or several checks say in the same words of one or several subjects: a row."""

    severity: Severity
    message: str
    codes: tuple[str, ...]
    remedies: tuple[str, ...]
    waiver: Waiver | None

    def cells(self, subjects: list[str], members: list[str]) -> list[str | Text]:
        """Return the row; `members` are those of the whole cluster."""
        whom = "all members" if len(subjects) > 1 and subjects == members else ", ".join(subjects)
        codes = "\n".join(self.codes)
        if self.waiver is not None:
            until = f" until {self.waiver.until}" if self.waiver.until else ""
            told = f"{self.severity.value}: {self.message}\nwaived{until}: {self.waiver.reason}"
            return [Text(cell, style="dim") for cell in ("waived", whom, codes, told)]
        what = Text(self.message)
        for remedy in self.remedies:
            what.append(f"\n→ {remedy}", style="cyan")
        return [Text(self.severity.value, style=SEVERITY_STYLE[self.severity]), whom, codes, what]


def _findings(findings: list[Finding], cluster: ClusterReport) -> RenderableType:
    """Show the findings, the worst first; what is said in the same words is one row.

    So is what is unknown only since a host was not reached. Those that are waived come last and dimmed, with the word
    that waives them.
    """
    members = [member.name for member in cluster.members]
    lost = {member.name: member.ssh for member in cluster.members if unreached(member)}
    ordered = sorted(findings, key=lambda one: (one.waiver is not None, WORST_FIRST.index(one.severity)))
    alike: dict[tuple[Severity, str, str, Waiver | None], list[Finding]] = {}
    for finding in ordered:
        alike.setdefault((finding.severity, finding.subject, _told(finding, lost), finding.waiver), []).append(finding)
    rows: dict[_Said, list[str]] = {}
    for (severity, subject, message, waiver), same in alike.items():
        own = [finding for finding in same if finding.message == message] or same
        remedies = tuple(dict.fromkeys(finding.remedy for finding in own if finding.remedy))
        codes = tuple(dict.fromkeys(finding.code for finding in same))
        rows.setdefault(_Said(severity, message, codes, remedies, waiver), []).append(subject)
    return _Table(
        ["finding", "subject", "check", "what, and what to do"],
        [said.cells(subjects, members) for said, subjects in rows.items()],
    )


def _told(finding: Finding, lost: Mapping[str, str]) -> str:
    """Return what a finding says, without saying again at length why a host was not reached."""
    why = lost.get(finding.subject)
    if finding.severity is Severity.UNKNOWN and why and why in finding.message:
        return why
    message = finding.message
    for name, reason in lost.items():
        if name != finding.subject:
            message = message.replace(reason, f"{name} was not reached")
    return message


def mesh_rows(cluster: ClusterReport) -> list[list[str]]:
    """Return the ways between the members as a matrix: the headings, then a row for each place that looks."""
    links = {(link.source, link.target): link.state for link in cluster.mesh}
    sources = dict.fromkeys(link.source for link in cluster.mesh)
    targets = [member.name for member in cluster.members]
    rows = [[source, *(links.get((source, target), "-") for target in targets)] for source in sources]
    return [["peer port of", *targets], *rows]


def _mesh(cluster: ClusterReport) -> RenderableType:
    headings, *rows = mesh_rows(cluster)
    return _Table(
        headings, [[row[0], *(Text(cell, style=LINK_STYLE.get(cell, "dim")) for cell in row[1:])] for row in rows]
    )


def _certificates(cluster: ClusterReport, now: datetime) -> RenderableType:
    rows: list[list[str | Text]] = [
        [
            owner,
            one.place,
            one.subject,
            ", ".join(one.sans) or "-",
            ", ".join(one.usages) or ("CA" if one.is_ca else "any"),
            one.issuer,
            one.serial,
            f"{(one.not_after - now).days} days",
            ", ".join(map(str, one.served)) or "-",
        ]
        for owner, one in cluster.owned
    ]
    headings = ["certificate", "place", "subject", "names", "usages", "issuer", "serial", "left", "served on"]
    return _Table(headings, rows, ("serial", "issuer", "names", "usages", "subject"))


def _summary(report: Report) -> Text:
    (first, _), *parts = summary(report)
    named, _, rest = first.partition(":")
    text = Text.assemble((named, "bold"), f":{rest}")
    for part, severity in parts:
        text.append(" · ", style="dim").append(part, style=SEVERITY_STYLE[severity] if severity else "dim")
    if report.exit_code:
        text.append(f"\nexit code {report.exit_code}: {EXIT_CODES[report.exit_code]}", style="bold red")
    return text
