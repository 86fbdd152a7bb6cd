"""Reports with everything that a page can show, for its tests and for looking at."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

from nornir_etcd.report.model import (
    CertificateReport,
    ClusterReport,
    Finding,
    Link,
    MemberReport,
    Outcome,
    Report,
    Severity,
    StepReport,
    StepStatus,
    Waiver,
)
from tests.unit.report import samples

DRIFT = """\
--- /etc/kubernetes/manifests/etcd.yaml (on the host)
+++ /etc/kubernetes/manifests/etcd.yaml (wanted)
@@ -18,3 +18,3 @@
     - --quota-backend-bytes=2147483648
-    - --snapshot-count=5000
+    - --snapshot-count=10000
"""


def certificate(place: str, subject: str, days: int, *, is_ca: bool = False) -> CertificateReport:
    """Return a certificate that holds so many days after the run."""
    return CertificateReport(
        place=place,
        subject=f"CN={subject}",
        issuer="CN=etcd-ca",
        serial="5f0c8e62c1d94e0b8a3f",
        not_before=samples.STARTED - timedelta(days=30),
        not_after=samples.STARTED + timedelta(days=days, hours=1),
        is_ca=is_ca,
    )


def full_member(name: str, address: str, **rest: Any) -> MemberReport:
    """Return a member of which everything is known."""
    known: dict[str, Any] = {
        "db_size": 1_932_735_283,
        "db_size_in_use": 1_210_000_000,
        "db_quota": 2_147_483_648,
        "raft_term": 7,
        "raft_index": 48_211_093,
        "raft_applied_index": 48_211_093,
        "read_seconds": 0.0031,
        "hash": "9c1d04ee",
        "hash_revision": 40_112_731,
        "leader_changes": 2,
        "wal_fsync_p99_seconds": 0.0064,
        "backend_commit_p99_seconds": 0.0182,
        "disk_window_seconds": 10.0,
        "clock_offset_seconds": -0.004,
        "image": samples.IMAGE,
        "certificates": [
            certificate("client", name, 364),
            certificate("peer", name, 364),
            certificate("/etc/kubernetes/pki/etcd/etcd.pem", name, 364),
            certificate("/etc/kubernetes/pki/etcd/ca.pem", "etcd-ca", 3600, is_ca=True),
        ],
    }
    return samples.member(name, address, **(known | rest))


def mesh(names: list[str], **states: tuple[str, str]) -> list[Link]:
    """Return a mesh of open ways; `states` by name of the target, as state and reason."""
    return [
        Link.model_validate(
            {"source": source, "target": target}
            | dict(zip(("state", "reason"), states.get(target, ("open", "")), strict=True))
        )
        for source in ("controller", *names)
        for target in names
        if source != target
    ]


def begun(steps: list[StepReport]) -> list[StepReport]:
    """Return the steps with the times at which they were begun: those of one action side by side."""
    at, after, made = samples.STARTED, "", []
    for one in steps:
        if after and one.action != after:
            at += timedelta(seconds=0.4 if after != "pull-image" else 1.9)
        after = one.action
        made.append(one.model_copy(update={"started_at": at}))
    return made


def troubled(name: str = "example") -> ClusterReport:
    """Return a cluster with something of everything."""
    members = [full_member(host, address) for host, address in samples.HOSTS.items()]
    members[1] = full_member("master-2", samples.HOSTS["master-2"], certificate_days_left=12, hash="11aa22bb")
    members[2] = full_member(
        "master-3",
        samples.HOSTS["master-3"],
        healthy=False,
        version="3.5.9",
        restarts=17,
        alarms=["NOSPACE"],
        changed=True,
        container_state="CONTAINER_EXITED",
        db_size=2_140_000_000,
        certificate_days_left=-2,
        clock_offset_seconds=2.4,
    )
    drift = Finding(
        code="manifest.drift",
        severity=Severity.WARNING,
        subject="master-2",
        message="the manifest on the host differs from the wanted one in 2 lines",
        remedy="run deploy, or put the setting into the inventory",
        evidence={"path": samples.MANIFEST, "diff": DRIFT},
    )
    borne = Finding(
        code="version.floor",
        severity=Severity.WARNING,
        subject="master-3",
        message="runs 3.5.9, below the security floor 3.5.33",
        remedy="upgrade",
        evidence={"version": "3.5.9"},
        waiver=Waiver(reason="the vendor certifies 3.5.9 until the spring release", until=date(2027, 3, 31)),
    )
    steps = begun(samples.bootstrap_steps(samples.HOSTS))
    failed = {"status": StepStatus.FAILED, "error": "master-3: the container crashes again and again", "seconds": 2.1}
    steps[-1] = steps[-1].model_copy(update=failed | {"log": samples.LOG})
    skipped = samples.step(
        "master-1",
        "replace-manifest",
        "the manifest differs; the leader is restarted last",
        disruptive=True,
        status=StepStatus.SKIPPED,
        seconds=0.0,
    )
    return ClusterReport(
        name=name,
        outcome=Outcome.FAILED,
        error="",
        members=members,
        plan=[*steps, skipped],
        refusals=["master-3: the data directory is of another cluster (cdf818194e3a8c32); nothing was touched"],
        notes=["etcd was asked through the host's SSH session: master-3 (etcd_via)"],
        findings=[*samples.findings_of_each_severity().clusters[0].findings, drift, borne],
        mesh=[
            *mesh(list(samples.HOSTS), **{"master-2": ("silent", ""), "master-3": ("refused", "")})[:-1],
            Link(source="master-3", target="master-2", state="unknown", reason="no nc and no bash on the host"),
        ],
    )


def everything() -> Report:
    """Return one cluster with something of everything."""
    return samples.report("deploy", troubled(), seconds=8.3, warnings=["master-3: etcd_vesion is no variable of ours"])


def fleet(count: int = 30) -> Report:
    """Return a verify of many clusters, one of them in trouble, one not reached."""
    clusters = [troubled("prod-07-emea")]
    for number in range(1, count):
        hosts = {f"etcd-{number:02}-{one}": f"10.{number}.0.1{one}" for one in (1, 2, 3)}
        members = [full_member(name, address) for name, address in hosts.items()]
        findings = samples.fine(hosts)
        if number == 5:
            members = [samples.blank(name, address, f"{name}: no answer") for name, address in hosts.items()]
            findings = [samples.finding("host.unreachable", Severity.UNKNOWN, name, "no answer") for name in hosts]
        links = mesh(list(hosts)) if number != 5 else []
        clusters.append(
            ClusterReport(
                name=f"edge-{number:02}", outcome=Outcome.CHECKED, members=members, findings=findings, mesh=links
            )
        )
    return samples.report("verify", *clusters, seconds=3.3)


def many_findings(count: int = 4000) -> Report:
    """Return one cluster with very many findings."""
    severities = list(Severity)
    findings = [
        samples.finding(
            f"check.{number % 40:02}", severities[number % 4], f"master-{number % 3 + 1}", f"finding number {number}"
        )
        for number in range(count)
    ]
    members = [samples.member(name, address) for name, address in samples.HOSTS.items()]
    cluster = ClusterReport(name="example", outcome=Outcome.CHECKED, members=members, findings=findings)
    return samples.report("verify", cluster)


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"' {{ 7*7 }} \x1b[2J \u202egnp.exe\x00 \ud800"


def hostile() -> Report:
    """Return a report whose every text wants to break out of the page."""
    member = full_member(
        EVIL,
        EVIL,
        ssh=EVIL,
        member_id=EVIL,
        version=EVIL,
        image=EVIL,
        container=EVIL,
        container_state=EVIL,
        hash=EVIL,
        alarms=[EVIL],
        certificates=[
            CertificateReport(
                place=EVIL,
                subject=EVIL,
                issuer=EVIL,
                serial=EVIL,
                not_before=datetime(1, 1, 1, tzinfo=timezone.utc),
                not_after=datetime(9999, 12, 31, tzinfo=timezone.utc),
            )
        ],
    )
    step = StepReport(
        **dict.fromkeys(("id", "host", "action", "reason", "margin", "precondition", "proof", "undo"), EVIL),
        disruptive=True,
        diff=f"+{EVIL}\n-{EVIL}\n@{EVIL}\n {EVIL}",
        status=StepStatus.FAILED,
        started_at=samples.STARTED,
        seconds=1e300,
        error=EVIL,
        log=[EVIL],
    )
    finding = Finding(
        code=EVIL,
        severity=Severity.CRITICAL,
        subject=EVIL,
        message=EVIL,
        evidence={EVIL: EVIL, "diff": f"+{EVIL}\n", "text": f"{EVIL}\n{EVIL}"},
        remedy=EVIL,
        waiver=Waiver(reason=EVIL),
    )
    cluster = ClusterReport(
        name=EVIL,
        outcome=Outcome.FAILED,
        error=EVIL,
        members=[member],
        plan=[step],
        refusals=[EVIL],
        notes=[EVIL],
        findings=[finding],
        mesh=[Link(source=EVIL, target=EVIL, state="unknown", reason=EVIL)],
    )
    started = samples.STARTED
    return Report(
        tool=EVIL,
        runbook=EVIL,
        dry_run=True,
        started_at=started,
        finished_at=started,
        warnings=[EVIL],
        clusters=[cluster, cluster],
    )


PAGES = {made.__name__: made for made in (everything, fleet, many_findings, hostile)}
