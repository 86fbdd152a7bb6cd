"""The report as one HTML page that needs nothing else: no network, no file beside it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from nornir_etcd.report import figures
from nornir_etcd.report.attributes import attributes, days_tone
from nornir_etcd.report.authority import authority_line
from nornir_etcd.report.console import harmless
from nornir_etcd.report.model import Outcome, Severity, StepStatus
from nornir_etcd.report.summary import EXIT_CODES, WORST_FIRST, summary, unreached
from nornir_etcd.report.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nornir_etcd.report.model import CertificateReport, ClusterReport, Finding, Link, Report

Look = Literal["ok", "warning", "critical", "unknown", "info", "dim"]

SYMBOLS = {
    "critical": "✗",
    "unknown": "?",
    "warning": "!",
    "ok": "✓",
    "open": "✓",
    "refused": "✗",
    "silent": "⋯",
}
"""Beside every colour stands a sign: not everybody sees colours, and not every printer prints them."""
LINKS = {"open": "ok", "refused": "critical", "silent": "critical", "unknown": "unknown"}
OUTCOMES: dict[Outcome, Look] = {
    Outcome.UNCHANGED: "ok",
    Outcome.CHECKED: "ok",
    Outcome.CHANGED: "info",
    Outcome.PLANNED: "info",
    Outcome.REFUSED: "critical",
    Outcome.FAILED: "critical",
}
STATUSES: dict[StepStatus, Look] = {
    StepStatus.PLANNED: "info",
    StepStatus.DONE: "ok",
    StepStatus.FAILED: "critical",
    StepStatus.SKIPPED: "dim",
}
VERDICTS: dict[int, Look] = {0: "ok", 1: "critical", 3: "critical", 4: "unknown"}
MANY = 4
"""More clusters than that, and those with nothing to be looked at are folded."""


def to_html(report: Report) -> str:
    """Return the report as one HTML file, to be kept, mailed and printed.

    It loads nothing, and what it may run is told by a policy of its own (CSP with the hashes of its one style and its
    one script). All text of the report is escaped; control characters and those that turn the direction of text are
    written out.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment().get_template("page.html.j2").render(
        report=report,
        view=PageView(report),
        policy=policy,
        style=style,
        script=script,
    )  # fmt: skip


@cache
def environment() -> Environment:
    """Return what draws the templates beside this module: whatever they print is harmless, and escaped."""
    made = Environment(
        loader=PackageLoader("nornir_etcd.report", "page"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "days": figures.days,
        "authority_line": authority_line,
        "days_tone": days_tone,
        "duration": figures.duration,
        "moment": figures.moment,
        "plural": plural,
        "size": figures.size,
    }
    made.globals |= {
        "OUTCOMES": OUTCOMES,
        "STATUSES": STATUSES,
        "SYMBOLS": SYMBOLS,
        "attributes": attributes,
        "timeline": timeline,
    }
    return made


def plural(count: int, noun: str) -> str:
    """Return a number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the worst first, and those that are waived after all others that are not ok."""
    return sorted(findings, key=rank)


def rank(finding: Finding) -> int:
    """Return the place of a finding among others: the smaller, the sooner it is to be looked at."""
    if finding.severity is Severity.OK:
        return 2 * len(WORST_FIRST)
    return WORST_FIRST.index(finding.severity) + (len(WORST_FIRST) if finding.waiver else 0)


@dataclass(frozen=True)
class PageView:
    """What the page shows of a report as a whole."""

    report: Report

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity that are not waived."""
        return {one.value: sum(cluster.count(one) for cluster in self.report.clusters) for one in WORST_FIRST}

    @property
    def waived(self) -> int:
        """How many findings are waived."""
        return sum(cluster.waived for cluster in self.report.clusters)

    @property
    def members(self) -> tuple[int, int]:
        """How many members are healthy, and how many there are."""
        members = [member for cluster in self.report.clusters for member in cluster.members]
        return sum(member.healthy is True for member in members), len(members)

    @property
    def changed(self) -> int:
        """How many members were changed."""
        return sum(member.changed for cluster in self.report.clusters for member in cluster.members)

    @property
    def unreached(self) -> int:
        """How many hosts were to be asked and could not be."""
        return sum(unreached(member) for cluster in self.report.clusters for member in cluster.members)

    @property
    def acted(self) -> bool:
        """Whether there was a plan, or anything was changed."""
        return bool(self.changed) or any(cluster.plan for cluster in self.report.clusters)

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return max(0.0, figures.epoch(self.report.finished_at) - figures.epoch(self.report.started_at))

    @property
    def look(self) -> Look:
        """How the verdict is drawn."""
        found = VERDICTS[self.report.exit_code]
        if found != "ok":
            return found
        if self.planned or not self.findings:
            return "info"
        return "warning" if self.counts["warning"] else "ok"

    @property
    def verdict(self) -> str:
        """What the run came to, in a few words."""
        if self.report.exit_code:
            return EXIT_CODES[self.report.exit_code]
        if self.planned:
            return f"{plural(self.planned, 'step')} planned"
        if self.counts["warning"]:
            return plural(self.counts["warning"], "warning")
        return "all checks passed" if self.findings else "no checks were made"

    @property
    def planned(self) -> int:
        """How many steps a dry run would do."""
        steps = [step for cluster in self.report.clusters for step in cluster.plan]
        return sum(step.status is StepStatus.PLANNED for step in steps)

    @property
    def summary(self) -> list[tuple[str, Severity | None]]:
        """The line that ends every form of the report, in parts."""
        return summary(self.report)

    @property
    def findings(self) -> list[tuple[ClusterReport, Finding]]:
        """All findings with their cluster, the worst first."""
        pairs = [(cluster, finding) for cluster in self.report.clusters for finding in cluster.findings]
        return sorted(pairs, key=lambda pair: rank(pair[1]))

    @property
    def codes(self) -> list[str]:
        """All codes that there are findings of."""
        return sorted({finding.code for _, finding in self.findings})

    @property
    def subjects(self) -> list[str]:
        """All subjects that there are findings on."""
        return sorted({finding.subject for _, finding in self.findings})

    def days_left(self, certificate: CertificateReport) -> int:
        """Return how many whole days a certificate held on after the run."""
        return int((figures.epoch(certificate.not_after) - figures.epoch(self.report.finished_at)) // figures.DAY)

    @property
    def clusters(self) -> list[ClusterView]:
        """The clusters, in the report's order."""
        many = len(self.report.clusters) > MANY
        return [ClusterView(cluster, number, foldable=many) for number, cluster in enumerate(self.report.clusters, 1)]


@dataclass(frozen=True)
class ClusterView:
    """What the page shows of a cluster."""

    cluster: ClusterReport
    number: int
    foldable: bool = False

    @property
    def anchor(self) -> str:
        """The name of its place in the page: a number, since any text may be the name of a cluster."""
        return f"cluster-{self.number}"

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity that are not waived."""
        return {one.value: self.cluster.count(one) for one in WORST_FIRST}

    @property
    def healthy(self) -> int:
        """How many members are healthy."""
        return sum(member.healthy is True for member in self.cluster.members)

    @property
    def folded(self) -> bool:
        """Whether there is nothing to be looked at, and there are many clusters to look at."""
        calm = OUTCOMES[self.cluster.outcome] == "ok" and not any(self.counts[name] for name in ("critical", "unknown"))
        return self.foldable and calm and not self.cluster.error

    @property
    def wrong(self) -> list[str]:
        """What kept the run from its work, each reason once."""
        silent = [member.ssh for member in self.cluster.members if unreached(member)]
        return [reason for reason in dict.fromkeys((self.cluster.error, *self.cluster.refusals, *silent)) if reason]

    @property
    def mesh(self) -> Mesh | None:
        """Who reaches whose peer port; None where nobody was asked."""
        return Mesh(self.cluster.mesh) if self.cluster.mesh else None


@dataclass(frozen=True)
class Mesh:
    """The ways between the members as a matrix."""

    links: Sequence[Link]

    @property
    def sources(self) -> list[str]:
        """The rows, the controller first."""
        names = dict.fromkeys(link.source for link in self.links)
        return sorted(names, key=lambda name: name != "controller")  # stable: the members stay in their order

    @property
    def targets(self) -> list[str]:
        """The columns, in the order of the rows."""
        names = dict.fromkeys(link.target for link in self.links)
        return [
            *(name for name in self.sources if name in names),
            *(name for name in names if name not in self.sources),
        ]

    def at(self, source: str, target: str) -> Link | None:
        """Return the way from one place to another; None where it was not to be tried."""
        return next((link for link in self.links if (link.source, link.target) == (source, target)), None)

    def look(self, link: Link) -> str:
        """Return how a way is drawn."""
        return LINKS[link.state]


def _finalize(value: object) -> object:
    """Make a text harmless before it is escaped; what is markup already is ours."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return harmless(value).encode("utf-8", "backslashreplace").decode()  # half a surrogate cannot be written
    return value


@cache
def _part(name: str) -> str:
    return (files("nornir_etcd.report") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
