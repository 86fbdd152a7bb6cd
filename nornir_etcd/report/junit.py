"""The report as JUnit XML, which CI systems show: a suite for each cluster, a case for each finding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from nornir_etcd.report.console import harmless
from nornir_etcd.report.model import Outcome, Severity, StepStatus
from nornir_etcd.report.summary import counts, summary_line

if TYPE_CHECKING:
    from nornir_etcd.report.model import ClusterReport, Finding, Report

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even as a reference (https://www.w3.org/TR/xml/#charsets)."""


def to_junit(report: Report) -> str:
    """Return the report as JUnit XML.

    Critical findings and warnings are failures of the type `critical` or `warning`: a viewer that knows passed and
    failed alone must not show a warning as passed. What could not be checked is an error, what is waived is skipped.
    The case `run` of each suite fails where a step failed or was refused, so that a run without findings is not green.
    """
    root = ET.Element("testsuites", name=_text(f"nornir-etcd {report.runbook}"))
    suites = [_suite(report, cluster) for cluster in report.clusters]
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.set("time", f"{(report.finished_at - report.started_at).total_seconds():.3f}")
    root.extend(suites)
    # No comment may hold two hyphens in a row (https://www.w3.org/TR/xml/#sec-comments).
    root.append(ET.Comment(f" {re.sub('-(?=-)', '- ', _text(summary_line(report)))} "))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(report: Report, cluster: ClusterReport) -> ET.Element:
    cases = [_run(report, cluster), *(_case(cluster, finding) for finding in cluster.findings)]
    suite = ET.Element("testsuite", name=_text(cluster.name), tests=str(len(cases)))
    for name, child in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(child) is not None for case in cases)))
    suite.set("time", f"{(report.finished_at - report.started_at).total_seconds():.3f}")
    suite.set("timestamp", report.started_at.strftime("%Y-%m-%dT%H:%M:%S"))
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = _text(" · ".join(text for text, _ in counts([cluster])))
    return suite


def _run(report: Report, cluster: ClusterReport) -> ET.Element:
    """Return the case of the run itself."""
    case = ET.Element("testcase", classname=_text(cluster.name), name=_text(report.runbook), time="0")
    failed = [step.error for step in cluster.plan if step.status is StepStatus.FAILED]
    reasons = [reason for reason in (cluster.error, *cluster.refusals, *failed) if reason]
    if cluster.outcome in (Outcome.FAILED, Outcome.REFUSED):
        message = reasons[0] if reasons else cluster.outcome.value
        failure = ET.SubElement(case, "failure", message=_text(message), type=cluster.outcome.value)
        failure.text = _text("\n".join(reasons))
    return case


def _case(cluster: ClusterReport, finding: Finding) -> ET.Element:
    case = ET.Element(
        "testcase", classname=_text(f"{cluster.name}.{finding.subject}"), name=_text(finding.code), time="0"
    )
    if finding.waiver is not None:
        until = f" (until {finding.waiver.until})" if finding.waiver.until else ""
        ET.SubElement(
            case, "skipped", message=_text(f"{finding.severity.value}, waived: {finding.waiver.reason}{until}")
        )
    elif finding.severity is not Severity.OK:
        word = "error" if finding.severity is Severity.UNKNOWN else "failure"
        problem = ET.SubElement(case, word, message=_text(finding.message), type=finding.severity.value)
        problem.text = _text(_told(finding))
        return case
    ET.SubElement(case, "system-out").text = _text(_told(finding))
    return case


def _told(finding: Finding) -> str:
    lines = [finding.message, f"→ {finding.remedy}" if finding.remedy else ""]
    lines += [f"{name}: {value}" for name, value in finding.evidence.items()]
    return "\n".join(line for line in lines if line)


def _text(text: str) -> str:
    """Return text that XML can hold: control characters written out, what is no character left out."""
    return _ILLEGAL.sub("", harmless(text))
