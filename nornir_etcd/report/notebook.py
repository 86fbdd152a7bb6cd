"""The report and its parts as a notebook shows them: fragments of HTML that bring their own style and run nothing."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from nornir_etcd.report.html import ClusterView, PageView, environment, ordered
from nornir_etcd.report.model import Severity, StepStatus

if TYPE_CHECKING:
    from nornir_etcd.report.model import ClusterReport, Finding, Report, StepReport


def report_cell(report: Report) -> str:
    """Return a report: what it came to, the members, and the findings that are not ok; the rest is folded."""
    view = PageView(report)
    return _cell("report", report=report, view=view, clusters=[_Shown(one) for one in view.clusters])


def cluster_cell(cluster: ClusterReport) -> str:
    """Return a cluster: its members, its plan, and the findings that are not ok."""
    return _cell("cluster", one=_Shown(ClusterView(cluster, 1)))


def step_cell(step: StepReport) -> str:
    """Return a step of a plan, with its diff."""
    return _cell("step", step=step)


def finding_cell(finding: Finding) -> str:
    """Return a finding, with its evidence and its remedy."""
    return _cell("finding", finding=finding)


class _Shown:
    """A cluster, with its steps and its findings in two heaps each: what is to be read, and what may be folded."""

    def __init__(self, view: ClusterView) -> None:
        self.view = view
        self.cluster = view.cluster
        self.ahead = [step for step in self.cluster.plan if step.status is not StepStatus.DONE]
        self.done = [step for step in self.cluster.plan if step.status is StepStatus.DONE]
        findings = ordered(view.cluster.findings)
        self.told = [one for one in findings if one.severity is not Severity.OK]
        self.fine = [one for one in findings if one.severity is Severity.OK]


def _cell(kind: str, **what: object) -> str:
    return environment().get_template("cell.html.j2").render(kind=kind, style=_style(), **what)


@cache
def _style() -> str:
    return (files("nornir_etcd.report") / "page" / "cell.css").read_text(encoding="utf-8")
