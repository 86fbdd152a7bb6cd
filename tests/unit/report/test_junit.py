"""The report as JUnit XML."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.report.junit import to_junit
from nornir_etcd.report.model import ClusterReport, Outcome, Severity
from nornir_etcd.report.summary import summary_line
from tests.unit.report import samples

EVERY = pytest.mark.parametrize("sample", samples.SAMPLES.values(), ids=samples.SAMPLES)

COUNTS = {"tests", "failures", "errors", "skipped"}
# What Jenkins' schema (xunit-plugin, junit-10.xsd) allows and wants: attributes, children, in their order.
GRAMMAR: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "testsuites": ({"name", "time", *COUNTS}, ("testsuite",)),
    "testsuite": ({"name", "time", "timestamp", *COUNTS}, ("testcase", "system-out")),
    "testcase": ({"classname", "name", "time"}, ("failure", "error", "skipped", "system-out")),
    "failure": ({"message", "type"}, ()),
    "error": ({"message", "type"}, ()),
    "skipped": ({"message"}, ()),
    "system-out": (set(), ()),
}
CHILD = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def checked(text: str) -> ET.Element:
    """Return the root of a document, held to the grammar and to its own counts."""
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ET.fromstring(text)  # noqa: S314 - our own text
    for element in root.iter():
        attributes, children = GRAMMAR[element.tag]
        assert set(element.attrib) == attributes, element.tag
        order = [children.index(child.tag) for child in element]
        assert order == sorted(order), element.tag
        assert element.tag != "testcase" or len({child.tag for child in element} - {"system-out"}) <= 1
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for name, child in CHILD.items():
            assert int(suite.attrib[name]) == sum(case.find(child) is not None for case in cases)
    for name in COUNTS:
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root)
    assert re.fullmatch(r"\d+\.\d{3}", root.attrib["time"])
    return root


def case(root: ET.Element, name: str, subject: str) -> ET.Element:
    """Return the one case of that finding."""
    (found,) = (one for one in root.iter("testcase") if (one.get("name"), one.get("classname")) == (name, subject))
    return found


@EVERY
def test_every_report_is_well_formed_and_counts_right(sample: samples.Maker) -> None:
    report = sample()
    root = checked(to_junit(report))
    assert [suite.get("name") for suite in root] == [cluster.name for cluster in report.clusters]
    for suite, cluster in zip(root, report.clusters, strict=True):
        assert len(suite.findall("testcase")) == len(cluster.findings) + 1


@EVERY
def test_the_last_line_but_the_end_is_the_summary(sample: samples.Maker) -> None:
    assert to_junit(sample()).splitlines()[-2].strip() == f"<!-- {summary_line(sample())} -->"


def test_each_severity_is_what_a_viewer_shows_for_it() -> None:
    root = checked(to_junit(samples.findings_of_each_severity()))
    critical = case(root, "cluster.alarm", "example.example").find("failure")
    warning = case(root, "cert.expiring", "example.master-2").find("failure")
    unknown = case(root, "cert.placed", "example.master-3").find("error")
    assert critical is not None
    assert warning is not None
    assert unknown is not None
    assert (critical.get("type"), critical.get("message")) == ("critical", "master-3 has raised NOSPACE")
    assert (warning.get("type"), unknown.get("type")) == ("warning", "unknown")
    assert "→ run certs to renew it" in (warning.text or "")
    fine = case(root, "member.unhealthy", "example.master-1")
    assert [child.tag for child in fine] == ["system-out"]


def test_what_is_waived_is_skipped_with_its_reason() -> None:
    root = checked(to_junit(samples.deep_verify()))
    skipped = case(root, "version.floor", "example.master-1").find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "warning, waived: frozen until the move (until 2026-12-31)"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
def test_a_run_that_ended_early_is_not_green_for_want_of_findings(outcome: Outcome) -> None:
    cluster = ClusterReport(name="x", outcome=outcome, members=[], error="no store", refusals=["a", "b"])
    root = checked(to_junit(samples.report("deploy", cluster)))
    failure = case(root, "deploy", "x").find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == (outcome.value, "no store")
    assert (failure.text or "").split() == ["no", "store", "a", "b"]


def test_the_comment_at_the_end_is_one_whatever_the_run_is_called() -> None:
    checked(to_junit(samples.report("a---b--", ClusterReport(name="x", outcome=Outcome.CHECKED, members=[]))))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.sampled_from(Severity))
def test_any_text_makes_a_well_formed_document(text: str, severity: Severity) -> None:
    found = samples.finding(text, severity, text, text, text).model_copy(update={"evidence": {text: text}})
    cluster = ClusterReport(name=text, outcome=Outcome.FAILED, error=text, members=[], findings=[found])
    checked(to_junit(samples.report(text, cluster)))


def test_what_xml_cannot_hold_is_written_out_or_left_out() -> None:
    found = samples.finding("a", Severity.WARNING, "x", "\x00\x1b\ufffe]]>&<--", "-")
    cluster = ClusterReport(name="x", outcome=Outcome.CHECKED, members=[], findings=[found])
    root = checked(to_junit(samples.report("verify", cluster)))
    failure = case(root, "a", "x.x").find("failure")
    assert failure is not None
    assert failure.get("message") == "\\x00\\x1b]]>&<--"
