"""The report in Prometheus' text format."""

from __future__ import annotations

import subprocess
import time
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from nornir_etcd.report.model import (
    CertificateReport,
    ClusterReport,
    Finding,
    Link,
    MemberReport,
    Outcome,
    Report,
    Severity,
    Waiver,
)
from nornir_etcd.report.prometheus import to_prometheus
from tests.unit.program import ROOT
from tests.unit.report import samples
from tests.unit.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

PAGE = ROOT / "docs" / "schedule.md"
EVERY = pytest.mark.parametrize("sample", samples.SAMPLES.values(), ids=samples.SAMPLES)
WAIVER = Waiver(reason="known", until=date(2027, 1, 1))
NOT_AFTER = datetime(2027, 11, 22, 13, 0, 0, tzinfo=timezone.utc)
FIGURES = {
    "db_size": ("db_size_bytes", 20480),
    "db_size_in_use": ("db_in_use_bytes", 4096),
    "db_quota": ("db_quota_bytes", 2147483648),
    "read_seconds": ("read_latency_seconds", 0.012),
    "raft_term": ("raft_term", 3),
    "raft_index": ("raft_index", 512),
    "raft_applied_index": ("raft_applied_index", 511),
    "leader_changes": ("leader_changes", 4),
    "restarts": ("container_restarts", 2),
    "wal_fsync_p99_seconds": ("wal_fsync_p99_seconds", 0.008),
    "backend_commit_p99_seconds": ("backend_commit_p99_seconds", 0.02),
    "clock_offset_seconds": ("clock_offset_seconds", -0.25),
}
"""Fields of MemberReport, and what becomes of each."""
NUMBERS = {"int | None", "float | None", "<class 'float'>", "<class 'int'>"}
"""How the types of numbers are written."""


def parsed(text: str) -> Samples:
    """Every sample, by name and labels. No two may be the same, and each has HELP and TYPE; none has a timestamp."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge", family
        assert family.documentation, family
        for one in family.samples:
            assert one.timestamp is None, one
            place = (one.name, frozenset((label, value) for label, value in one.labels.items() if value))
            assert place not in found, one
            found[place] = one.value
    return found


def cluster(**rest: Any) -> ClusterReport:
    """A cluster of one member, or what the test wants of it."""
    made: dict[str, Any] = {"name": "example", "outcome": Outcome.CHECKED, "members": [samples.member("a", "10.0.0.1")]}
    return ClusterReport(**(made | rest))


def told(*clusters: ClusterReport) -> Samples:
    """What is told of these clusters."""
    return parsed(to_prometheus(samples.report("verify", *clusters)))


def value(found: Samples, name: str, **labels: str) -> float | None:
    """One sample; None: there is none."""
    return found.get((name, frozenset(labels.items())))


def names(found: Samples) -> set[str]:
    """The names that have samples."""
    return {name for name, _ in found}


def finding(severity: Severity, code: str = "member.unhealthy", subject: str = "a", **rest: Any) -> Finding:
    """A finding."""
    return Finding(code=code, severity=severity, subject=subject, message="m", **rest)


def certificate(place: str, not_after: datetime = NOT_AFTER, **rest: Any) -> CertificateReport:
    """A certificate of the member a."""
    made: dict[str, Any] = {"subject": "a", "issuer": "kubernetes", "serial": "1f", "not_before": samples.STARTED}
    return CertificateReport(place=place, not_after=not_after, **(made | rest))


def promtool(text: str) -> tuple[int, str]:
    """What promtool says of the metrics: it lints names, types and labels, and parses as Prometheus does."""
    path = need("promtool", "prometheus")
    done = subprocess.run(  # noqa: S603 - Prometheus' own tool
        [path, "check", "metrics"], input=text.encode(), capture_output=True, timeout=60, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def full() -> ClusterReport:
    """A cluster of which everything is known."""
    member = samples.member(
        "a",
        "10.0.0.1",
        **{field: number for field, (_, number) in FIGURES.items()},
        image="registry/etcd:3.5.16-0",
        alarms=["NOSPACE", "CORRUPT"],
        certificates=[certificate("client"), certificate("/etc/kubernetes/pki/etcd/ca.pem", is_ca=True)],
    )
    findings = [*(finding(severity, f"code.{severity.value}") for severity in Severity)]
    return cluster(
        members=[member],
        findings=[*findings, finding(Severity.CRITICAL, waiver=WAIVER)],
        mesh=[Link(source="controller", target="a", state="open")],
    )


@EVERY
def test_every_report_is_what_prometheus_reads(sample: samples.Maker) -> None:
    report = sample()
    text = to_prometheus(report)
    assert names(parsed(text)) > {"nornir_etcd_run_success", "nornir_etcd_member_info"}
    assert promtool(text) == (0, "")


def test_promtool_has_nothing_to_say_of_all_that_may_be_told() -> None:
    assert promtool(to_prometheus(samples.report("verify", full()))) == (0, "")


def test_promtool_would_have_said_something() -> None:
    code, said = promtool("# HELP db_size_mb d\n# TYPE db_size_mb gauge\ndb_size_mb_total 1\n")
    assert code != 0
    assert said


@pytest.mark.parametrize(("field", "told_as"), FIGURES.items(), ids=FIGURES)
def test_what_is_known_of_a_member_is_told_and_what_is_not_has_no_sample(
    field: str, told_as: tuple[str, float]
) -> None:
    name, number = told_as
    name = f"nornir_etcd_member_{name}"
    known = told(cluster(members=[samples.member("a", "10.0.0.1", **{field: number})]))
    assert value(known, name, cluster="example", member="a") == number
    assert name not in names(told(cluster(members=[samples.blank("a", "10.0.0.1")])))


def test_no_figure_of_a_member_is_left_out() -> None:
    numbers = {name for name, field in MemberReport.model_fields.items() if str(field.annotation) in NUMBERS}
    assert numbers - {"certificate_days_left", "hash_revision", "disk_window_seconds"} == FIGURES.keys()


def test_a_zero_is_an_answer() -> None:
    found = told(cluster(members=[samples.member("a", "10.0.0.1", **dict.fromkeys(FIGURES, 0))]))
    assert [
        value(found, f"nornir_etcd_member_{name}", cluster="example", member="a") for name, _ in FIGURES.values()
    ] == [0.0] * len(FIGURES)


@pytest.mark.parametrize(
    ("figure", "changes", "wanted"),
    [
        ("healthy", {"healthy": True}, 1),
        ("healthy", {"healthy": False}, 0),
        ("healthy", {"healthy": None}, None),
        ("is_leader", {"role": "leader"}, 1),
        ("is_leader", {"role": "follower"}, 0),
        ("is_leader", {"role": "unknown"}, None),
        ("is_learner", {"role": "learner"}, 1),
        ("is_learner", {"role": "leader"}, 0),
        ("is_learner", {"role": "unknown"}, None),
        ("ssh_reachable", {"ssh": "ok"}, 1),
        ("ssh_reachable", {"ssh": "a: no answer within 10 s"}, 0),
        ("ssh_reachable", {"ssh": "not asked, as was wanted (--no-ssh)"}, None),
    ],
)
def test_yes_no_and_unknown_are_told_apart(figure: str, changes: dict[str, Any], wanted: float | None) -> None:
    found = told(cluster(members=[samples.member("a", "10.0.0.1", **changes)]))
    assert value(found, f"nornir_etcd_member_{figure}", cluster="example", member="a") == wanted


def test_a_member_has_its_names_in_labels_also_where_little_is_known() -> None:
    members = [samples.member("a", "10.0.0.1", image="r/etcd:1"), samples.blank("b", "10.0.0.2")]
    found = told(cluster(members=members))
    labels = {"member_id": "8e9e05c52164694d", "version": "3.5.16", "image": "r/etcd:1", "address": "10.0.0.1"}
    assert value(found, "nornir_etcd_member_info", cluster="example", member="a", **labels) == 1
    assert value(found, "nornir_etcd_member_info", cluster="example", member="b", address="10.0.0.2") == 1
    assert value(found, "nornir_etcd_members", cluster="example") == 2
    assert value(found, "nornir_etcd_members_healthy", cluster="example") == 1


def test_alarms_are_told_by_their_name() -> None:
    members = [samples.member("a", "10.0.0.1", alarms=["NOSPACE", "7"])]
    found = told(cluster(members=members))
    assert value(found, "nornir_etcd_member_alarm", cluster="example", member="a", alarm="NOSPACE") == 1
    assert value(found, "nornir_etcd_member_alarm", cluster="example", member="a", alarm="7") == 1
    assert "nornir_etcd_member_alarm" not in names(told(cluster()))


def test_findings_are_counted_by_severity_with_a_zero_where_there_are_none_and_waived_ones_apart() -> None:
    found = told(
        cluster(
            findings=[
                *[finding(Severity.WARNING)] * 2,
                finding(Severity.UNKNOWN),
                finding(Severity.WARNING, waiver=WAIVER),
                finding(Severity.CRITICAL, waiver=WAIVER),
            ]
        )
    )
    counted = {one: value(found, "nornir_etcd_findings", cluster="example", severity=one.value) for one in Severity}
    assert counted == {Severity.OK: 0, Severity.WARNING: 2, Severity.CRITICAL: 0, Severity.UNKNOWN: 1}
    assert value(found, "nornir_etcd_findings_waived", cluster="example") == 2


@pytest.mark.parametrize(
    ("severities", "wanted"),
    [
        ([Severity.OK], 0),
        ([Severity.WARNING], 1),
        ([Severity.CRITICAL], 2),
        ([Severity.UNKNOWN], 3),
        ([Severity.OK, Severity.WARNING], 1),
        ([Severity.WARNING, Severity.UNKNOWN, Severity.OK], 3),
        ([Severity.CRITICAL, Severity.UNKNOWN], 2),
    ],
)
def test_a_finding_is_a_number_and_the_worst_of_several_is_told(severities: list[Severity], wanted: float) -> None:
    found = told(cluster(findings=[finding(severity) for severity in severities]))
    assert value(found, "nornir_etcd_finding", cluster="example", code="member.unhealthy", subject="a") == wanted


def test_a_waived_finding_is_told_apart_and_hides_no_other() -> None:
    found = told(cluster(findings=[finding(Severity.CRITICAL, waiver=WAIVER), finding(Severity.OK, subject="b")]))
    place = {"cluster": "example", "code": "member.unhealthy"}
    assert value(found, "nornir_etcd_finding", subject="a", **place) is None
    assert value(found, "nornir_etcd_finding_waived", subject="a", **place) == 2
    assert value(found, "nornir_etcd_finding", subject="b", **place) == 0
    assert value(found, "nornir_etcd_finding_waived", subject="b", **place) is None


def test_certificates_have_the_labels_of_the_x509_exporter_and_no_serial_number() -> None:
    held = [certificate("client"), certificate("/etc/kubernetes/pki/etcd/ca.pem", subject="kubernetes", is_ca=True)]
    found = told(cluster(members=[samples.member("a", "10.0.0.1", certificates=held)]))
    common = {"cluster": "example", "member": "a", "issuer_CN": "kubernetes"}
    served = {"place": "client", "subject_CN": "a", "is_ca": "false"}
    on_disk = {
        "place": "file",
        "filename": "ca.pem",
        "filepath": "/etc/kubernetes/pki/etcd/ca.pem",
        "subject_CN": "kubernetes",
        "is_ca": "true",
    }
    assert value(found, "x509_cert_not_after", **common, **served) == NOT_AFTER.timestamp()
    assert value(found, "x509_cert_not_before", **common, **served) == samples.STARTED.timestamp()
    assert value(found, "x509_cert_not_after", **common, **on_disk) == NOT_AFTER.timestamp()


def test_of_two_certificates_of_one_name_in_one_file_the_first_to_end_is_told() -> None:
    sooner = datetime(2026, 12, 1, tzinfo=timezone.utc)
    for ends in ([NOT_AFTER, sooner], [sooner, NOT_AFTER]):
        held = [certificate("/ca.pem", one) for one in ends]
        found = told(cluster(members=[samples.member("a", "10.0.0.1", certificates=held)]))
        assert [number for (name, _), number in found.items() if name == "x509_cert_not_after"] == [sooner.timestamp()]


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The controller's zone is not UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_a_moment_without_a_zone_is_utc() -> None:
    held = [certificate("client", NOT_AFTER.replace(tzinfo=None))]
    found = told(cluster(members=[samples.member("a", "10.0.0.1", certificates=held)]))
    assert NOT_AFTER.timestamp() in found.values()


@pytest.mark.parametrize(("state", "wanted"), [("open", 1), ("refused", 0), ("silent", 0), ("unknown", None)])
def test_the_mesh_is_told_way_by_way(state: Any, wanted: float | None) -> None:
    found = told(cluster(mesh=[Link(source="controller", target="a", state=state)]))
    where = {"cluster": "example", "source": "controller", "target": "a"}
    assert value(found, "nornir_etcd_peer_port_reachable", **where) == wanted


@pytest.mark.parametrize(
    ("changes", "success", "code"),
    [
        ({}, 1, 0),
        ({"findings": [finding(Severity.CRITICAL)]}, 1, 1),
        ({"findings": [finding(Severity.CRITICAL, waiver=WAIVER)]}, 1, 0),
        ({"findings": [finding(Severity.UNKNOWN)]}, 1, 4),
        ({"outcome": Outcome.FAILED, "error": "no answer"}, 0, 3),
        ({"outcome": Outcome.REFUSED}, 0, 3),
        ({"error": "no answer"}, 0, 0),
    ],
)
def test_a_run_succeeds_where_it_comes_to_its_end_whatever_it_finds(
    changes: dict[str, Any], success: float, code: float
) -> None:
    found = told(cluster(**changes))
    assert value(found, "nornir_etcd_run_success", cluster="example") == success
    assert value(found, "nornir_etcd_exit_code", cluster="example") == code


def test_the_run_is_told_for_each_cluster_as_if_it_had_been_the_only_one() -> None:
    found = told(cluster(name="blue"), cluster(name="green", outcome=Outcome.FAILED))
    for name, success, code in (("blue", 1, 0), ("green", 0, 3)):
        assert value(found, "nornir_etcd_run_success", cluster=name) == success
        assert value(found, "nornir_etcd_exit_code", cluster=name) == code
        ended = samples.STARTED.timestamp() + 4.2
        assert value(found, "nornir_etcd_run_timestamp_seconds", cluster=name) == pytest.approx(ended)
        assert value(found, "nornir_etcd_run_duration_seconds", cluster=name) == pytest.approx(4.2)
        assert value(found, "nornir_etcd_run_info", cluster=name, runbook="verify", tool="nornir-etcd 0.1.0") == 1
    assert all(("cluster", "blue") in labels or ("cluster", "green") in labels for _, labels in found)


@pytest.mark.parametrize(
    "evil",
    [
        'a"b',
        "a\\b",
        "a\\nb",
        "line\nline",
        'x"} 1\nnornir_etcd_run_success{cluster="other"} 1\n#',
        "a\r\nb",
        "tab\t\x1b[2J\x00\x07",
        "\u202egnp.exe \U0001f600",
        "{a=b,c}",
        " # {} 1",
    ],
)
def test_hostile_text_is_a_label_and_nothing_else(evil: str) -> None:
    made = cluster(
        name=evil,
        members=[samples.member(evil, evil, version=evil, member_id=evil, image=evil, alarms=[evil])],
        findings=[finding(Severity.OK, evil, evil)],
    )
    text = to_prometheus(samples.report("verify", made))
    found = parsed(text)
    assert value(found, "nornir_etcd_finding", cluster=evil, code=evil, subject=evil) == 0
    assert value(found, "nornir_etcd_member_alarm", cluster=evil, member=evil, alarm=evil) == 1
    assert {dict(labels)["cluster"] for _, labels in found} == {evil}
    assert promtool(text) == (0, "")


def test_what_no_utf_8_can_carry_is_written_out() -> None:
    """The model refuses a lone surrogate; a copy of it does not look."""
    made = cluster().model_copy(update={"name": "a\udcffb"})
    found = parsed(to_prometheus(samples.report("verify", made)))
    assert {dict(labels)["cluster"] for _, labels in found} == {"a\\udcffb"}


MEMBERS = st.builds(
    MemberReport,
    certificates=st.lists(st.builds(CertificateReport), max_size=3),
    alarms=st.lists(st.text(), max_size=2, unique=True),
)
CLUSTERS = st.builds(
    ClusterReport,
    members=st.lists(MEMBERS, max_size=3, unique_by=lambda one: one.name),
    findings=st.lists(st.builds(Finding, waiver=st.none() | st.just(WAIVER)), max_size=4),
    mesh=st.lists(st.builds(Link), max_size=3),
)
REPORTS = st.builds(
    Report,
    clusters=st.lists(CLUSTERS, max_size=2, unique_by=lambda one: one.name),
    started_at=st.datetimes(timezones=st.just(timezone.utc)),
    finished_at=st.datetimes(timezones=st.just(timezone.utc)),
)


@settings(max_examples=60, deadline=None)
@given(REPORTS)
def test_any_report_is_read_back(report: Report) -> None:
    found = parsed(to_prometheus(report))
    counted = [
        (sum(one.waiver is None for one in made.findings), made.waived, len(made.members)) for made in report.clusters
    ]
    assert [
        (
            sum(number for place, number in found.items() if _is_of(place, made, "nornir_etcd_findings")),
            sum(number for place, number in found.items() if _is_of(place, made, "nornir_etcd_findings_waived")),
            sum(_is_of(place, made, "nornir_etcd_member_info") for place in found),
        )
        for made in report.clusters
    ] == counted


def _is_of(place: tuple[str, frozenset[tuple[str, str]]], made: ClusterReport, name: str) -> bool:
    return place[0] == name and dict(place[1]).get("cluster", "") == made.name


@settings(max_examples=15, deadline=None)
@given(REPORTS)
def test_promtool_has_nothing_to_say_of_any_report(report: Report) -> None:
    assert promtool(to_prometheus(report)) == (0, "")


def table() -> str:
    """The metrics as the page on schedules has them."""
    rows = []
    for family in text_string_to_metric_families(to_prometheus(samples.report("verify", full()))):
        labels = ", ".join(f"`{label}`" for label in family.samples[0].labels if label != "cluster")
        rows.append(f"| `{family.name}` | {labels} | {family.documentation} |")
    return "\n".join(rows)


def test_the_page_has_every_metric() -> None:
    assert f"\n{table()}\n" in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE.name}:\n{table()}"
