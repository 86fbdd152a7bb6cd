"""Findings that are known and borne."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from nornir_etcd.checks import KINDS, waivers
from nornir_etcd.cluster import Cluster, load_clusters
from nornir_etcd.report.model import ClusterReport, Finding, Outcome, Severity, Waiver
from nornir_etcd.settings import HostVariables

TODAY = date(2026, 11, 22)


def rule(code: str, **rest: Any) -> dict[str, Any]:
    """Return a waiver as the inventory has it."""
    return {"code": code, "reason": "known"} | rest


def cluster(*group: dict[str, Any], hosts: dict[str, list[dict[str, Any]]] | None = None) -> Cluster:
    """Return a cluster of three with waivers of the group, or of single hosts."""
    names = ("master-1", "master-2", "master-3")
    chosen = {name: (hosts or {}).get(name, list(group)) for name in names}
    found, _ = load_clusters(
        [
            HostVariables(name, f"192.0.2.{n}", ((f"host {name}", {"etcd_waivers": chosen[name]}),))
            for n, name in enumerate(names, 11)
        ]
    )
    return found[0]


def finding(code: str, subject: str = "master-1", severity: Severity = Severity.CRITICAL) -> Finding:
    """Return a finding that is not ok."""
    return Finding(code=code, severity=severity, subject=subject, message="m", remedy="r")


@pytest.mark.parametrize(
    ("waiver", "waived"),
    [
        (rule("cert.expiring"), True),
        (rule("cert"), True),
        (rule("cert.*"), True),
        (rule("*", subject="master-1"), True),
        (rule("cert", subject="*"), True),
        (rule("cert", subject="master-2"), False),
        (rule("cert", subject="example"), False),
        (rule("cert.chain"), False),
        (rule("cert", until="2026-11-22"), True),
        (rule("cert", until=TODAY), True),
        (rule("cert", until="2026-11-21"), False),
    ],
)
def test_a_waiver_holds_for_its_codes_its_subject_and_until_its_day(waiver: dict[str, Any], waived: bool) -> None:
    (found,) = waivers.waive([finding("cert.expiring")], cluster(waiver), TODAY)
    assert (found.waiver is not None) is waived
    assert found.severity is Severity.CRITICAL, "it keeps its severity"
    report = ClusterReport(name="example", outcome=Outcome.CHECKED, members=[], findings=[found])
    assert (report.count(Severity.CRITICAL), report.waived) == ((0, 1) if waived else (1, 0))


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.UNKNOWN, Severity.CRITICAL])
def test_whatever_is_not_ok_can_be_waived_and_tells_why(severity: Severity) -> None:
    made = cluster(rule("cluster.size", subject="example", until="2026-12-31", reason="two sites"))
    (found,) = waivers.waive([finding("cluster.size", "example", severity)], made, TODAY)
    assert found.waiver == Waiver(reason="two sites", until=date(2026, 12, 31))


def test_what_is_ok_is_not_waived() -> None:
    fine = finding("cert.expiring", severity=Severity.OK)
    assert waivers.waive([fine], cluster(rule("*")), TODAY) == [fine]


def test_the_waivers_of_all_members_hold_for_the_whole_cluster() -> None:
    made = cluster(hosts={"master-2": [rule("cert")], "master-3": [rule("cluster"), rule("cert")]})
    assert [one.code for one in waivers.rules(made)] == ["cert", "cluster"]
    found = waivers.waive([finding("cert.chain"), finding("cluster.size", "example")], made, TODAY)
    assert all(one.waiver for one in found)


def test_a_waiver_that_is_over_is_itself_a_finding_once() -> None:
    over = rule("cert.expiring", subject="master-1", until="2026-11-21", reason="renewal on Monday")
    (found,) = waivers.expired(cluster(over, rule("cluster")), TODAY)
    assert (found.code, found.severity, found.subject) == ("waiver.expired", Severity.WARNING, "example")
    assert found.message == "the waiver of cert.expiring for master-1 ended on 2026-11-21: renewal on Monday"
    assert found.remedy


def test_waivers_that_hold_are_ok_and_none_is_nothing() -> None:
    assert [one.severity for one in waivers.expired(cluster(rule("cert")), TODAY)] == [Severity.OK]
    assert list(waivers.expired(cluster(), TODAY)) == []


def test_a_waiver_of_a_code_that_there_is_not_is_told_and_one_that_meets_nothing_is_not() -> None:
    assert list(waivers.unmatched(cluster(rule("cert"), rule("preflight.clock"), rule("*")), KINDS)) == []
    (line,) = waivers.unmatched(cluster(rule("wavier.expired")), KINDS)
    assert line == (
        "cluster example: etcd_waivers: no check has the code 'wavier.expired'; the nearest is waiver.expired"
    )
