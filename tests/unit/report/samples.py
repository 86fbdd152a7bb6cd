"""Reports as runs leave them, for the tests of every form and for looking at."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from nornir_etcd.manifest import manifest_diff
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

if TYPE_CHECKING:
    from collections.abc import Callable

    Maker = Callable[[], Report]

STARTED = datetime(2026, 11, 22, 13, 0, 0, tzinfo=timezone.utc)
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"
HOSTS = {"master-1": "10.88.0.11", "master-2": "10.88.0.12", "master-3": "10.88.0.13"}
IMAGE = "registry.ikubeops.local/ikubeops/etcd:3.5.16-0"


def report(runbook: str, *clusters: ClusterReport, seconds: float = 4.2, **rest: Any) -> Report:
    """Return a report of these clusters."""
    return Report(
        tool="nornir-etcd 0.1.0",
        runbook=runbook,
        dry_run=rest.pop("dry_run", False),
        started_at=STARTED,
        finished_at=STARTED + timedelta(seconds=seconds),
        clusters=list(clusters),
        **rest,
    )


def member(name: str, address: str, **rest: Any) -> MemberReport:
    """Return a healthy member."""
    healthy: dict[str, Any] = {
        "ssh": "ok",
        "member_id": "8e9e05c52164694d",
        "role": "leader" if name.endswith("1") else "follower",
        "healthy": True,
        "version": "3.5.16",
        "db_size": 20480,
        "container": "3c1f0a7be2d94",
        "container_state": "CONTAINER_RUNNING",
        "restarts": 0,
        "certificate_days_left": 364,
    }
    return MemberReport(name=name, address=address, **(healthy | rest))


def blank(name: str, address: str, ssh: str = "ok") -> MemberReport:
    """Return a member of which nothing is known but its place in the inventory."""
    return MemberReport(name=name, address=address, ssh=ssh)


def step(host: str, action: str, reason: str, **rest: Any) -> StepReport:
    """Return a step that was carried out."""
    done: dict[str, Any] = {
        "disruptive": False,
        "precondition": "the runtime answers",
        "proof": "the runtime lists the image",
        "undo": "none needed: an image that is not used does nothing",
        "status": StepStatus.DONE,
        "seconds": 0.4,
    }
    return StepReport(id=f"{host or 'controller'}/{action}", host=host, action=action, reason=reason, **(done | rest))


def finding(code: str, severity: Severity, subject: str, message: str, remedy: str = "") -> Finding:
    """Return a finding."""
    return Finding(code=code, severity=severity, subject=subject, message=message, remedy=remedy)


def fine(hosts: dict[str, str] | None = None) -> list[Finding]:
    """Return what verify finds of a healthy cluster."""
    asked = {
        "host.unreachable": "answers over SSH",
        "client.unreachable": "the client port answers",
        "peer.unreachable": "the peer port answers",
        "container.down": "the container runs, 0 restarts",
        "container.image": "the container runs the wanted image",
        "member.data": "the data directory is this member's",
        "member.missing": "is in the live member list",
        "member.unhealthy": "answers a linearizable read",
        "member.version": "runs 3.5.16",
        "cert.expiring": "holds for 364 days",
    }
    found = [finding(code, Severity.OK, host, message) for code, message in asked.items() for host in hosts or HOSTS]
    return [*found, finding("cluster.leader", Severity.OK, "example", "one leader: master-1")]


def bootstrap_steps(hosts: dict[str, str], **rest: Any) -> list[StepReport]:
    """Return the plan of a first deploy."""
    certs = "/srv/etcd/certs/example"
    placed = (
        "a new certificate; /etc/kubernetes/pki/ca.pem is absent; /etc/kubernetes/pki/etcd/etcd.pem is absent; "
        "/etc/kubernetes/pki/etcd/etcd-key.pem is absent; /etc/kubernetes/pki/etcd/ca.pem is absent; "
        "/var/lib/etcd/member is to be prepared for the first start"
    )
    never = "the member has never started"
    new = {
        name: manifest_diff(None, f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd  # {name}\n", MANIFEST)
        for name in hosts
    }
    return [
        step("", "make-ca", f"{certs} has no CA, and no host has one", **rest),
        step("", "issue-client", "the controller's client certificate: a new CA", **rest),
        *(step(name, "issue-certificate", f"{name}'s certificate: a new CA", **rest) for name in hosts),
        *(step(name, "pull-image", f"{IMAGE} is not on the host", **({"seconds": 1.9} | rest)) for name in hosts),
        *(step(name, "prepare-member", placed, **rest) for name in hosts),
        *(step(name, "start-member", never, **({"seconds": 2.6, "diff": new[name]} | rest)) for name in hosts),
    ]


def healthy_deploy(hosts: dict[str, str] | None = None) -> Report:
    """Return the first deploy of three members."""
    found = hosts or HOSTS
    members = [member(name, address, changed=True) for name, address in found.items()]
    cluster = ClusterReport(
        name="example",
        outcome=Outcome.CHANGED,
        members=members,
        plan=bootstrap_steps(found),
        findings=fine(found),
    )
    return report("deploy", cluster, seconds=5.6)


def second_deploy() -> Report:
    """Return a deploy that found nothing to do."""
    members = [member(name, address) for name, address in HOSTS.items()]
    return report(
        "deploy",
        ClusterReport(name="example", outcome=Outcome.UNCHANGED, members=members, findings=fine()),
        seconds=0.62,
    )


def dry_run() -> Report:
    """Return the plan of a changed setting."""
    before = "    - etcd\n    - --name=master-1\n    - --quota-backend-bytes=2147483648\n    - --snapshot-count=10000\n"
    after = before.replace("2147483648", "8589934592")
    steps = [
        step(
            name,
            "replace-manifest",
            f"the manifest differs ({'the leader, restarted last' if name == 'master-1' else 'a follower'})",
            disruptive=True,
            margin="2 of 3 voters stay, quorum 2: survives 0 more failures",
            status=StepStatus.PLANNED,
            seconds=0.0,
            diff=manifest_diff(before, after, MANIFEST),
        )
        for name in ("master-2", "master-3", "master-1")
    ]
    members = [member(name, address) for name, address in HOSTS.items()]
    cluster = ClusterReport(name="example", outcome=Outcome.PLANNED, members=members, plan=steps)
    return report("deploy", cluster, seconds=0.4, dry_run=True)


LOG = """\
{"level":"info","ts":"2026-11-22T13:00:03.412Z","caller":"embed/etcd.go:378","msg":"closing etcd server","name":"master-3"}
{"level":"fatal","ts":"2026-11-22T13:00:03.413Z","msg":"discovery failed","error":"listen tcp 10.88.0.13:2380: bind: address already in use"}
""".splitlines()  # noqa: E501 - as etcd logs


def failed_step() -> Report:
    """Return a deploy in which one of three members did not start."""
    members = [member(name, address, changed=True) for name, address in HOSTS.items()]
    members[2] = member(
        "master-3", HOSTS["master-3"], changed=True, healthy=False, role="unknown", version="", db_size=None,
        restarts=3, container_state="CONTAINER_EXITED", certificate_days_left=None,
    )  # fmt: skip
    steps = bootstrap_steps(HOSTS)
    failed = {
        "status": StepStatus.FAILED,
        "seconds": 0.0,
        "log": LOG,
        "error": "master-3: the container crashes again and again: wanted a container that runs, found "
        "CONTAINER_EXITED after 3 restarts; read the last lines of its log below",
    }
    steps[-1] = steps[-1].model_copy(update=failed)
    findings = [
        *[one for one in fine() if one.subject != "master-3"],
        finding(
            "client.unreachable",
            Severity.CRITICAL,
            "master-3",
            "10.88.0.13 port 2379 refuses connections: nothing listens there",
            "look at the container and its log (finding container.down)",
        ),
        finding(
            "container.down",
            Severity.CRITICAL,
            "master-3",
            "the container does not run: CONTAINER_EXITED, 3 restarts",
            "read its log: crictl logs 3c1f0a7be2d94",
        ),
    ]
    cluster = ClusterReport(name="example", outcome=Outcome.FAILED, members=members, plan=steps, findings=findings)
    return report("deploy", cluster, seconds=21.4)


def refused() -> Report:
    """Return a deploy that would have had to touch what it must not."""
    foreign = (
        "master-2: /var/lib/etcd holds foreign data: wanted member 8211f1d0f64f3269 of cluster ef37ad9dc622a7c4, "
        "found member 91bc3c398fb3c146 of cluster 5a3e1d2b7c9f8e04; move it away yourself once you know whose it is, "
        "deploy never touches it"
    )
    members = [member(name, address) for name, address in HOSTS.items()]
    members[1] = blank("master-2", HOSTS["master-2"])
    return report(
        "deploy",
        ClusterReport(name="example", outcome=Outcome.REFUSED, members=members, refusals=[foreign], findings=fine()),
    )


def findings_of_each_severity() -> Report:
    """Return a verify that has found something of everything."""
    members = [member(name, address) for name, address in HOSTS.items()]
    members[1] = member("master-2", HOSTS["master-2"], certificate_days_left=12)
    members[2] = member("master-3", HOSTS["master-3"], healthy=False, version="3.5.9", restarts=17)
    findings = [
        *fine({"master-1": "10.88.0.11"}),
        finding("cert.expiring", Severity.WARNING, "master-2", "expires in 12 days", "run certs to renew it"),
        finding(
            "cluster.alarm",
            Severity.CRITICAL,
            "example",
            "master-3 has raised NOSPACE",
            "compact and defragment every member, then disarm (https://etcd.io/docs/v3.5/op-guide/maintenance/)",
        ),
        finding(
            "member.unhealthy",
            Severity.CRITICAL,
            "master-3",
            "does not answer a linearizable read: master-3: RPC to https://10.88.0.13:2379: wanted an answer within "
            "3.0 s, found none; there is no quorum, or the member is overloaded",
            "look at its container and at the quorum of the cluster",
        ),
        finding(
            "cert.placed",
            Severity.UNKNOWN,
            "master-3",
            "certs/example holds no certificate of this member",
            "run verify where certs or deploy was run, or copy that folder here",
        ),
    ]
    return report(
        "verify",
        ClusterReport(name="example", outcome=Outcome.CHECKED, members=members, findings=findings),
        warnings=["master-3: etcd_vesion: is no variable of ours; the nearest is etcd_version"],
    )


def two_clusters() -> Report:
    """Return a deploy of two clusters, one of them with a dead host."""
    dead = (
        "node-5: the host does not answer: wanted an SSH session with 10.88.0.15 port 22 within 10 s, found no answer; "
        "look whether it is up and reachable"
    )
    hosts = {f"node-{number}": f"10.88.0.1{number}" for number in (1, 2, 3)}
    others = {f"node-{number}": f"10.88.0.1{number}" for number in (4, 5, 6)}
    alive = [member(name, address) for name, address in hosts.items()]
    broken = [blank(name, address, dead if name == "node-5" else "ok") for name, address in others.items()]
    unreachable = finding(
        "host.unreachable",
        Severity.UNKNOWN,
        "node-5",
        dead,
        "make the host reachable over SSH; what only the host can tell is unknown until then",
    )
    return report(
        "deploy",
        ClusterReport(name="blue", outcome=Outcome.UNCHANGED, members=alive, findings=fine(hosts)),
        ClusterReport(name="green", outcome=Outcome.REFUSED, members=broken, refusals=[dead], findings=[unreachable]),
        seconds=11.0,
    )


def long_addresses() -> Report:
    """Return a first deploy of members with IPv6 addresses and long names."""
    return healthy_deploy(
        {
            "control-plane-1.rack-12.fra1.example.internal": "2001:db8:85a3:8d3:1319:8a2e:370:7341",
            "control-plane-2.rack-12.fra1.example.internal": "2001:db8:85a3:8d3:1319:8a2e:370:7342",
            "control-plane-3.rack-12.fra1.example.internal": "control-plane-3.rack-12.fra1.example.internal",
        }
    )


def certificate(place: str, subject: str = "CN=master-1", **rest: Any) -> CertificateReport:
    """Return a certificate that holds for 100 days more."""
    return CertificateReport(
        place=place,
        subject=subject,
        issuer="CN=example CA",
        serial="1f",
        not_before=STARTED - timedelta(days=265),
        not_after=STARTED + timedelta(days=100, hours=1),
        **rest,
    )


def deep_verify() -> Report:
    """Return a verify with all that hosts and members tell, one way of the mesh closed and two findings waived."""
    known: dict[str, Any] = {
        "db_size_in_use": 16384,
        "db_quota": 2147483648,
        "raft_term": 3,
        "raft_index": 1200,
        "raft_applied_index": 1200,
        "read_seconds": 0.0042,
        "hash": "8f1c2d3e",
        "hash_revision": 900,
        "leader_changes": 1,
        "wal_fsync_p99_seconds": 0.0031,
        "backend_commit_p99_seconds": 0.0122,
        "clock_offset_seconds": 0.01,
        "image": IMAGE,
        "certificates": [certificate("client"), certificate("/etc/kubernetes/pki/ca.pem", "CN=example CA", is_ca=True)],
    }
    members = [member(name, address, **known) for name, address in HOSTS.items()]
    mesh = [
        Link(source=source, target=target, state="silent" if (source, target) == ("master-2", "master-3") else "open")
        for source in ("controller", *HOSTS)
        for target in HOSTS
        if source != target
    ]
    known_ones = [
        finding("version.floor", Severity.WARNING, "master-1", "runs 3.5.16, below the floor 3.5.33", "upgrade"),
        finding("cluster.size", Severity.CRITICAL, "example", "an even number of members", "add one"),
    ]
    waivers = [Waiver(reason="frozen until the move", until=date(2026, 12, 31)), Waiver(reason="as it is")]
    findings = [
        *fine(),
        finding("peer.mesh", Severity.CRITICAL, "master-2", "does not reach master-3 port 2380", "open the firewall"),
        finding("ca.shared", Severity.WARNING, "example", "etcd trusts the general CA", "give it one of its own"),
        *(one.model_copy(update={"waiver": waiver}) for one, waiver in zip(known_ones, waivers, strict=True)),
    ]
    cluster = ClusterReport(
        name="example", outcome=Outcome.CHECKED, members=members, findings=findings, mesh=mesh, notes=["deep"]
    )
    return report("verify", cluster)


def hostile() -> Report:
    """Return a report full of what a host must not be able to do to a terminal."""
    evil = "\x1b[2J\x1b]0;owned\x07[bold red]not markup[/]\r\x9b31m \u202egnp.exe\ttab"
    cluster = ClusterReport(
        name="example",
        outcome=Outcome.FAILED,
        error=evil,
        members=[
            member("master-1", "10.88.0.11", version=evil, container=evil, certificates=[certificate(evil, evil)]),
            blank("master-2", "10.88.0.12", evil),
        ],
        plan=[step("master-1", "start-member", evil, status=StepStatus.FAILED, error=evil, log=[evil], diff=evil)],
        refusals=[evil],
        notes=[evil],
        findings=[
            finding("member.data", Severity.CRITICAL, "master-1", evil, evil),
            finding("member.data", Severity.WARNING, evil, evil, evil).model_copy(
                update={"waiver": Waiver(reason=evil), "evidence": {"read": evil}}
            ),
        ],
        mesh=[Link(source=evil, target="master-1", state="unknown", reason=evil)],
    )
    return report("deploy", cluster, warnings=[evil])


SAMPLES = {
    made.__name__: made
    for made in (
        healthy_deploy,
        second_deploy,
        dry_run,
        failed_step,
        refused,
        findings_of_each_severity,
        two_clusters,
        long_addresses,
        deep_verify,
        hostile,
    )
}
