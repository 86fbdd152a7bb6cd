"""The report in Prometheus' text format, for the textfile collector of the node exporter. Pure: no I/O.

Every metric is a gauge and has the cluster as a label, so that the files of several workspaces may lie in one folder.
What is not known has no sample: a 0 would be an answer. Names go by https://prometheus.io/docs/practices/naming/; there
are no timestamps, which the collector refuses.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from posixpath import basename
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from nornir_etcd.report.model import Outcome, Severity
from nornir_etcd.report.summary import NOT_ASKED, WORST_FIRST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nornir_etcd.report.model import CertificateReport, ClusterReport, Finding, Link, MemberReport, Report

FINDING_VALUES = {Severity.OK: 0, Severity.WARNING: 1, Severity.CRITICAL: 2, Severity.UNKNOWN: 3}
"""What a finding's severity is as a number, as monitoring plugins number it."""
_LEGEND = ", ".join(f"{value} {severity.value}" for severity, value in FINDING_VALUES.items())


@dataclass(frozen=True)
class _Figure:
    """One number of a member."""

    name: str
    meaning: str
    of: Callable[[MemberReport], float | None]


def _is(member: MemberReport, role: str) -> bool | None:
    return None if member.role == "unknown" else member.role == role


def _ssh(member: MemberReport) -> bool | None:
    return None if member.ssh.startswith(NOT_ASKED) else member.ssh == "ok"


_FIGURES = (
    _Figure("healthy", "Whether the member answers as a healthy one: 1 or 0.", lambda one: one.healthy),
    _Figure("is_leader", "Whether the member is the leader: 1 or 0.", lambda one: _is(one, "leader")),
    _Figure("is_learner", "Whether the member is a learner: 1 or 0.", lambda one: _is(one, "learner")),
    _Figure("ssh_reachable", "Whether the host answered over SSH: 1 or 0.", _ssh),
    _Figure("db_size_bytes", "Size of the database on disk.", lambda one: one.db_size),
    _Figure("db_in_use_bytes", "What of the database is in use.", lambda one: one.db_size_in_use),
    _Figure("db_quota_bytes", "Size of the database at which etcd takes no more writes.", lambda one: one.db_quota),
    _Figure("read_latency_seconds", "Time that one linearizable read took.", lambda one: one.read_seconds),
    _Figure("raft_term", "Raft term.", lambda one: one.raft_term),
    _Figure("raft_index", "Raft index.", lambda one: one.raft_index),
    _Figure("raft_applied_index", "Raft index up to which is applied.", lambda one: one.raft_applied_index),
    _Figure("leader_changes", "Changes of the leader seen since the member started.", lambda one: one.leader_changes),
    _Figure("container_restarts", "Restarts of the container.", lambda one: one.restarts),
    _Figure("wal_fsync_p99_seconds", "99th percentile of the WAL's fsync.", lambda one: one.wal_fsync_p99_seconds),
    _Figure(
        "backend_commit_p99_seconds",
        "99th percentile of the backend's commits.",
        lambda one: one.backend_commit_p99_seconds,
    ),
    _Figure("clock_offset_seconds", "The host's clock minus the controller's.", lambda one: one.clock_offset_seconds),
)


def to_prometheus(report: Report) -> str:
    """Return the report in Prometheus' text format.

    A waived finding is in `nornir_etcd_findings_waived` and `nornir_etcd_finding_waived` only. Where several findings
    share code and subject, their worst is told.
    """
    metrics = _Metrics()
    for cluster in report.clusters:
        _run(metrics, report, cluster)
        _findings(metrics, cluster)
        _members(metrics, cluster)
        _certificates(metrics, cluster.name, "controller", cluster.certificates)
        _mesh(metrics, cluster.name, cluster.mesh)
    return generate_latest(metrics.registry).decode()


class _Metrics:
    """Gauges, made when they are first set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._gauges: dict[str, Gauge] = {}

    def set(self, name: str, meaning: str, value: float | None, **labels: str) -> None:
        """Set one sample; None: there is none."""
        if value is None:
            return
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, meaning, list(labels), registry=self.registry)
        self._gauges[name].labels(**{label: _text(text) for label, text in labels.items()}).set(value)


def _text(text: str) -> str:
    """Return the text as UTF-8 can carry it; the library escapes the rest."""
    return text.encode("utf-8", "backslashreplace").decode()


def _run(metrics: _Metrics, report: Report, cluster: ClusterReport) -> None:
    """Tell of the run; cluster by cluster, as if each had been the run's only one."""
    name = cluster.name
    alone = report.model_copy(update={"clusters": [cluster]})
    metrics.set(
        "nornir_etcd_run_info", "What made this file.", 1, cluster=name, runbook=report.runbook, tool=report.tool
    )
    metrics.set("nornir_etcd_run_timestamp_seconds", "When the run ended.", _seconds(report.finished_at), cluster=name)
    metrics.set(
        "nornir_etcd_run_duration_seconds",
        "How long the run took, all its clusters together.",
        (report.finished_at - report.started_at).total_seconds(),
        cluster=name,
    )
    metrics.set(
        "nornir_etcd_run_success",
        "Whether the run came to its end in this cluster, whatever it found: 1 or 0.",
        cluster.outcome not in {Outcome.FAILED, Outcome.REFUSED} and not cluster.error,
        cluster=name,
    )
    metrics.set(
        "nornir_etcd_exit_code", "Exit code that the report of this cluster means.", alone.exit_code, cluster=name
    )


def _findings(metrics: _Metrics, cluster: ClusterReport) -> None:
    name = cluster.name
    for severity in Severity:
        metrics.set(
            "nornir_etcd_findings",
            "Findings that are not waived.",
            cluster.count(severity),
            cluster=name,
            severity=severity.value,
        )
    metrics.set("nornir_etcd_findings_waived", "Findings that are waived.", cluster.waived, cluster=name)
    counted = [finding for finding in cluster.findings if finding.waiver is None]
    waived = [finding for finding in cluster.findings if finding.waiver is not None]
    for metric, meaning, some in (
        ("nornir_etcd_finding", f"A finding that is not waived: {_LEGEND}.", counted),
        ("nornir_etcd_finding_waived", f"A finding that is waived: {_LEGEND}.", waived),
    ):
        for (code, subject), severity in _worst(some).items():
            metrics.set(metric, meaning, FINDING_VALUES[severity], cluster=name, code=code, subject=subject)


def _worst(findings: Iterable[Finding]) -> dict[tuple[str, str], Severity]:
    """Return the worst severity by code and subject."""
    found: defaultdict[tuple[str, str], list[Severity]] = defaultdict(list)
    for finding in findings:
        found[finding.code, finding.subject].append(finding.severity)
    return {place: min(severities, key=WORST_FIRST.index) for place, severities in found.items()}


def _members(metrics: _Metrics, cluster: ClusterReport) -> None:
    name = cluster.name
    healthy = sum(member.healthy is True for member in cluster.members)
    metrics.set("nornir_etcd_members", "Members of the inventory.", len(cluster.members), cluster=name)
    metrics.set("nornir_etcd_members_healthy", "Members that are known to be healthy.", healthy, cluster=name)
    for member in cluster.members:
        metrics.set(
            "nornir_etcd_member_info",
            "What the member is; a label is empty where that is not known.",
            1,
            cluster=name,
            member=member.name,
            address=member.address,
            member_id=member.member_id,
            version=member.version,
            image=member.image,
        )
        for figure in _FIGURES:
            metric = f"nornir_etcd_member_{figure.name}"
            metrics.set(metric, figure.meaning, figure.of(member), cluster=name, member=member.name)
        for alarm in member.alarms:
            metrics.set(
                "nornir_etcd_member_alarm",
                "An alarm that the member has raised: 1.",
                1,
                cluster=name,
                member=member.name,
                alarm=alarm,
            )
        _certificates(metrics, name, member.name, member.certificates)


def _certificates(metrics: _Metrics, cluster: str, owner: str, certificates: Iterable[CertificateReport]) -> None:
    """Tell until when certificates hold, in the words of x509-certificate-exporter where it has them.

    Its serial_number is left out, since a renewal would begin a new series. A bundle may hold an old and a new CA of
    the same name: what ends first is told.
    """
    held: defaultdict[tuple[tuple[str, str], ...], list[CertificateReport]] = defaultdict(list)
    for one in certificates:
        held[tuple(_names(one).items())].append(one)
    for names, some in held.items():
        first = min(some, key=lambda one: _seconds(one.not_after))
        for metric, meaning, moment in (
            ("x509_cert_not_before", "Since when the certificate is valid, in seconds since 1970.", first.not_before),
            ("x509_cert_not_after", "Until when the certificate is valid, in seconds since 1970.", first.not_after),
        ):
            metrics.set(metric, meaning, _seconds(moment), cluster=cluster, member=owner, **dict(names))


def _names(certificate: CertificateReport) -> dict[str, str]:
    """Return what tells a certificate of a member from its others."""
    path = "" if certificate.place in {"client", "peer"} else certificate.place
    return {
        "place": "file" if path else certificate.place,
        "filename": basename(path),
        "filepath": path,
        "subject_CN": certificate.subject,
        "issuer_CN": certificate.issuer,
        "is_ca": "true" if certificate.is_ca else "false",
    }


def _mesh(metrics: _Metrics, cluster: str, links: Iterable[Link]) -> None:
    for link in links:
        metrics.set(
            "nornir_etcd_peer_port_reachable",
            "Whether the target's peer port can be reached from the source: 1 or 0.",
            None if link.state == "unknown" else link.state == "open",
            cluster=cluster,
            source=link.source,
            target=link.target,
        )


def _seconds(moment: datetime) -> float:
    """Return a moment as seconds since 1970; one without a zone is taken for UTC, and not for the controller's."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
