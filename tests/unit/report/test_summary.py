"""What a run comes to: the last line of every form, and exit codes."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from nornir_etcd.report.document import to_json
from nornir_etcd.report.model import ClusterReport, Outcome, Report, Severity, StepStatus, Waiver
from nornir_etcd.report.summary import exit_code, status_line, summary_line
from tests.unit.report import samples

OK, WARNING, CRITICAL, UNKNOWN = Severity.OK, Severity.WARNING, Severity.CRITICAL, Severity.UNKNOWN


def run(*found: Severity, outcome: Outcome = Outcome.CHECKED, **rest: Any) -> Report:
    """Return the report of a run that found this."""
    findings = [samples.finding(f"a.b{number}", one, "example", "m") for number, one in enumerate(found)]
    return samples.report("verify", ClusterReport(name="x", outcome=outcome, members=[], findings=findings, **rest))


FAILED = {"outcome": Outcome.FAILED, "plan": [samples.step("n", "start-member", "r", status=StepStatus.FAILED)]}


@pytest.mark.parametrize(
    ("report", "default", "nagios"),
    [
        (run(), 0, 0),
        (run(OK), 0, 0),
        (run(OK, WARNING), 0, 1),
        (run(OK, CRITICAL), 1, 2),
        (run(OK, UNKNOWN), 4, 3),
        (run(WARNING, UNKNOWN), 4, 3),
        (run(WARNING, UNKNOWN, CRITICAL), 1, 2),
        (run(OK, outcome=Outcome.REFUSED), 3, 3),
        (run(CRITICAL, outcome=Outcome.REFUSED), 3, 2),
        (run(OK, outcome=Outcome.FAILED, error="the run ended early"), 3, 3),
        (run(OK, **FAILED), 3, 2),
        (run(UNKNOWN, **FAILED), 3, 2),
    ],
)
def test_the_exit_code_tells_the_worst(report: Report, default: int, nagios: int) -> None:
    assert (exit_code(report), exit_code(report, "nagios")) == (default, nagios)
    assert report.exit_code == default


@pytest.mark.parametrize(
    ("severities", "outcome"), list(itertools.product([(OK,), (WARNING, UNKNOWN), (UNKNOWN,)], Outcome))
)
def test_no_style_ends_with_zero_where_a_check_could_not_be_made(
    severities: tuple[Severity, ...], outcome: Outcome
) -> None:
    report = run(*severities, outcome=outcome)
    doubtful = UNKNOWN in severities or outcome in (Outcome.FAILED, Outcome.REFUSED)
    assert all(bool(exit_code(report, style)) >= doubtful for style in ("default", "nagios"))  # type: ignore[arg-type]  # both are styles


@pytest.mark.parametrize("severity", [WARNING, CRITICAL, UNKNOWN])
def test_what_is_waived_counts_in_no_style(severity: Severity) -> None:
    waived = samples.finding("a.b", severity, "x", "m").model_copy(update={"waiver": Waiver(reason="known")})
    report = samples.report("verify", ClusterReport(name="x", outcome=Outcome.CHECKED, members=[], findings=[waived]))
    assert (exit_code(report), exit_code(report, "nagios")) == (0, 0)
    assert "1 waived" in summary_line(report)
    assert severity.value not in summary_line(report)


def test_the_line_tells_members_findings_waivers_and_hosts_that_were_not_reached() -> None:
    members = [
        samples.member("master-1", "10.88.0.11"),
        samples.member("master-2", "10.88.0.12", ssh="master-2: no route", healthy=None, changed=True),
        samples.member("master-3", "10.88.0.13", ssh="not asked, as was wanted (--no-ssh)", healthy=False),
    ]
    findings = [
        samples.finding(code, severity, "x", "m")
        for code, severity in (("a", OK), ("b", WARNING), ("c", UNKNOWN), ("d", CRITICAL))
    ]
    findings.append(findings[1].model_copy(update={"waiver": Waiver(reason="known")}))
    report = samples.report(
        "verify", ClusterReport(name="x", outcome=Outcome.CHECKED, members=members, findings=findings)
    )
    assert summary_line(report) == (
        "verify: 1 of 3 members healthy, 1 changed · 1 critical · 1 unknown · 1 warning · 1 ok · 1 waived · "
        "1 host not reached · 4.2 s"
    )


def test_json_ends_with_the_line() -> None:
    document = json.loads(to_json(samples.deep_verify()))
    assert list(document)[-1] == "summary"
    assert document["summary"] == summary_line(samples.deep_verify())


def test_a_status_line_is_one_line_without_performance_data() -> None:
    assert status_line(3, "a | b\nc") == "ETCD UNKNOWN - a / b c"
    assert [status_line(code, "x").split()[1] for code in range(4)] == ["OK", "WARNING", "CRITICAL", "UNKNOWN"]
