"""What differs between two reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.report.diff import Difference, differences, got_worse, to_json, to_text
from nornir_etcd.report.document import to_json as written
from nornir_etcd.report.model import ClusterReport, Finding, MemberReport, Outcome, Report, Severity, Waiver
from tests.unit.program import PROGRAM, run
from tests.unit.report import samples

if TYPE_CHECKING:
    from pathlib import Path

OK, WARNING, CRITICAL, UNKNOWN = Severity.OK, Severity.WARNING, Severity.CRITICAL, Severity.UNKNOWN
EVERY = pytest.mark.parametrize("sample", samples.SAMPLES.values(), ids=samples.SAMPLES)


def cluster(*findings: Finding, members: tuple[MemberReport, ...] = (), **rest: Any) -> Report:
    """Return the report of one cluster."""
    said: dict[str, Any] = {"name": "example", "outcome": Outcome.CHECKED, "members": list(members)}
    return samples.report("verify", ClusterReport(**(said | {"findings": list(findings)} | rest)))


def found(severity: Severity | None, message: str = "m") -> list[Finding]:
    """Return a finding of that severity; none where it is None."""
    return [] if severity is None else [samples.finding("cert.expiring", severity, "master-1", message)]


@EVERY
def test_a_report_does_not_differ_from_itself(sample: samples.Maker) -> None:
    assert differences(sample(), sample()) == []


@pytest.mark.parametrize(
    ("before", "after", "direction"),
    [
        (OK, OK, None),
        (OK, WARNING, "worse"),
        (OK, UNKNOWN, "worse"),
        (WARNING, CRITICAL, "worse"),
        (WARNING, UNKNOWN, "worse"),
        (CRITICAL, UNKNOWN, "worse"),
        (UNKNOWN, CRITICAL, "worse"),
        (UNKNOWN, WARNING, "better"),
        (UNKNOWN, OK, "better"),
        (CRITICAL, WARNING, "better"),
        (WARNING, OK, "better"),
        (None, WARNING, "new"),
        (None, UNKNOWN, "new"),
        (None, OK, None),
        (CRITICAL, None, "gone"),
        (OK, None, None),
    ],
)
def test_a_finding_goes_one_way(before: Severity | None, after: Severity | None, direction: str | None) -> None:
    told = differences(cluster(*found(before)), cluster(*found(after)))
    assert [one.direction for one in told] == ([direction] if direction else [])
    assert got_worse(told) is (direction in ("worse", "new"))


def test_a_waiver_is_no_change_for_the_worse_and_its_end_is() -> None:
    bad = found(CRITICAL)
    waived = [one.model_copy(update={"waiver": Waiver(reason="known")}) for one in bad]
    (begun,) = differences(cluster(*bad), cluster(*waived))
    (ended,) = differences(cluster(*waived), cluster(*bad))
    assert (begun.direction, begun.before, begun.after) == ("better", "critical", "waived")
    assert (ended.direction, ended.before, ended.after) == ("worse", "waived", "critical")


def test_the_second_of_two_alarms_is_new() -> None:
    space, corrupt = (samples.finding("cluster.alarm", CRITICAL, "example", f"raised {kind}") for kind in "ab")
    (one,) = differences(cluster(space), cluster(space, corrupt))
    assert (one.direction, one.message) == ("new", "raised b")
    (gone,) = differences(cluster(space, corrupt), cluster(space))
    assert (gone.direction, gone.message) == ("gone", "raised b")


def test_members_that_changed_version_role_or_hash_are_told_and_are_not_worse() -> None:
    before = samples.member("master-1", "10.88.0.11", hash="aa", hash_revision=5)
    after = samples.member(
        "master-1", "10.88.0.11", hash="bb", hash_revision=5, version="3.5.33", role="follower", db_size=1
    )
    told = differences(cluster(members=(before,)), cluster(members=(after,)))
    assert [(one.direction, one.code, one.before, one.after) for one in told] == [
        ("changed", "version", "3.5.16", "3.5.33"),
        ("changed", "role", "leader", "follower"),
        ("changed", "hash", "aa", "bb"),
    ]
    assert not got_worse(told)


def test_hashes_of_different_revisions_are_not_compared() -> None:
    rows = [
        samples.member("master-1", "10.88.0.11", hash=value, hash_revision=at) for value, at in (("aa", 5), ("bb", 6))
    ]
    assert differences(cluster(members=(rows[0],)), cluster(members=(rows[1],))) == []


def test_members_and_clusters_that_come_or_go_are_told() -> None:
    member = samples.member("master-1", "10.88.0.11")
    (come,) = differences(cluster(), cluster(members=(member,)))
    assert (come.direction, come.subject, come.after) == ("changed", "master-1", "in the inventory")
    other = cluster(name="green")
    assert [(one.direction, one.cluster) for one in differences(cluster(), other)] == [
        ("gone", "example"),
        ("changed", "green"),
    ]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
def test_a_run_that_ended_early_is_worse_although_it_found_nothing(outcome: Outcome) -> None:
    ended = cluster(outcome=outcome, error="no store")
    told = differences(cluster(*found(OK)), ended)
    assert [(one.direction, one.code, one.message) for one in told] == [("worse", "outcome", "no store")]
    assert not got_worse(differences(ended, cluster(*found(OK))))


def test_the_worst_is_told_first_and_the_totals_last() -> None:
    before = cluster(*found(OK), samples.finding("a", CRITICAL, "example", "x"))
    after = cluster(*found(CRITICAL, "expired\x1b[0m"), samples.finding("a", OK, "example", "fine"))
    assert to_text(differences(before, after)).splitlines() == [
        r"worse: example master-1 cert.expiring: ok → critical: expired\x1b[0m",
        "better: example a: critical → ok: fine",
        "1 worse · 0 new · 1 better · 0 gone · 0 changed",
    ]


def test_json_has_every_field() -> None:
    told = [Difference("new", "c", "s", "a.b", "", "critical", "m")]
    assert json.loads(to_json(told)) == {
        "worse": True,
        "differences": [
            {
                "direction": "new",
                "cluster": "c",
                "subject": "s",
                "code": "a.b",
                "before": "",
                "after": "critical",
                "message": "m",
            }
        ],
    }


@pytest.mark.parametrize(("first", "second", "code"), [("good", "bad", 1), ("bad", "good", 0), ("good", "good", 0)])
def test_the_command_ends_with_one_where_anything_got_worse(tmp_path: Path, first: str, second: str, code: int) -> None:
    for name, severity in (("good", OK), ("bad", WARNING)):
        (tmp_path / f"{name}.json").write_text(written(cluster(*found(severity))), encoding="utf-8")
    done = run(PROGRAM, "report", "diff", f"{first}.json", f"{second}.json", cwd=tmp_path)
    assert (done.code, done.err) == (code, "")
    assert done.out.splitlines()[-1].startswith(f"{code} worse · ")
    as_json = run(PROGRAM, "report", "diff", "--format", "json", f"{first}.json", f"{second}.json", cwd=tmp_path)
    assert (as_json.code, json.loads(as_json.out)["worse"]) == (code, bool(code))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a.json", "no.json"), "no.json"),
        (("a.json", "other.json"), "error: other.json: wanted a report of nornir-etcd, found no JSON"),
        (("a.json", "a.json", "--format", "xml"), "error: --format: wanted text or json, found 'xml'"),
        (("a.json",), "Missing argument"),
    ],
)
def test_what_is_no_report_is_a_fault_of_usage(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "a.json").write_text(written(cluster()), encoding="utf-8")
    (tmp_path / "other.json").write_text("x", encoding="utf-8")
    done = run(PROGRAM, "report", "diff", *words, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err
