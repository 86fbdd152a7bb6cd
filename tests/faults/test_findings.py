"""Every fault that verify is there for, made for real: it is found, by its code, and nothing else is.

Each test compares what is wrong with what is wrong on a healthy cluster (HEALTHY), which the first test holds to that
exactly. A member that stops takes its answers with it: what follows from that alone is in `gone`.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from nornir_etcd.lab.images import Storage
from nornir_etcd.pki.authority import load_authority, make_authority
from nornir_etcd.pki.leaf import client_request, issue, member_request
from tests.contract.etcd_cluster import etcd_binary
from tests.faults.faults import MANIFEST, NODES, PKI, Faults, wait_for
from tests.lab.workspace import ETCDCTL, Run, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.pki.authority import Authority

pytestmark = pytest.mark.lab

Wrong = set[tuple[str, str, str]]

CLUSTER = "example"
STEADY = {
    # What the machine's own disks and cores decide has tests of its own.
    "etcd_wal_fsync_warning_ms": 60000,
    "etcd_backend_commit_warning_ms": 60000,
    "etcd_read_warning_ms": 60000,
    "etcd_leader_changes_warning": 1000,
    "etcd_timeout": 5,
}
HEALTHY: Wrong = {
    ("warning", "ca.shared", CLUSTER),  # the role's one CA
    *(("warning", "version.floor", node) for node in NODES),  # Debian's etcd is older than the security floor
}
CHECK = '    - "--experimental-initial-corrupt-check=true"\n'


@pytest.fixture
def cluster(workspace: Workspace) -> Workspace:
    """A healthy cluster of three."""
    workspace.inventory(data=STEADY)
    workspace.deploy()
    return workspace


def verify(workspace: Workspace, *words: str) -> Run:
    """Run verify, with whatever exit code."""
    run = workspace.run("verify", *words)
    assert run.report, f"{run.out}\n{run.err}"
    return run


def wrong(run: Run) -> Wrong:
    """What a run found that is not ok, and not waived, but for round trips, which busy cores decide."""
    return {
        (one["severity"], one["code"], one["subject"])
        for one in run.cluster["findings"]
        if one["severity"] != "ok" and one["waiver"] is None
        if (one["severity"], one["code"]) != ("warning", "member.round_trip")
    }


def new(run: Run) -> Wrong:
    """What is wrong that is not so on a healthy cluster."""
    return wrong(run) - HEALTHY


def codes(run: Run, severity: str = "critical") -> set[tuple[str, str]]:
    """What a run found of one severity: codes and subjects."""
    return {(code, subject) for found, code, subject in wrong(run) if found == severity}


def said(run: Run, code: str, subject: str) -> str:
    """What the findings of a code on a subject say: message, what was read, remedy."""
    found = [one for one in run.cluster["findings"] if (one["code"], one["subject"]) == (code, subject)]
    return "\n".join(" ".join((one["message"], *one["evidence"].values(), one["remedy"])) for one in found)


def beside(run: Run, node: str) -> Wrong:
    """What is wrong besides with the other members, but for what follows where the one that cannot be asked leads."""
    others = {one for one in new(run) if one[2] not in {node, CLUSTER}}
    return others - {("unknown", "member.lag", other) for other in NODES}


def answers(workspace: Workspace, node: str) -> bool:
    """Whether a member answers a linearizable read."""
    ask = f"{ETCDCTL} --command-timeout=2s get x"
    return workspace.lab.run(node, ask, check=False).returncode == 0


def stop(workspace: Workspace, node: str) -> None:
    """Stop a member as an operator does: its manifest is moved out of the kubelet's folder."""
    workspace.lab.run(node, f"mv {MANIFEST} /root/etcd.yaml")
    workspace.await_stop(node)


def start(workspace: Workspace, node: str) -> None:
    workspace.lab.run(node, f"mv /root/etcd.yaml {MANIFEST}")


def edit(workspace: Workspace, node: str, old: str, text: str) -> None:
    """Edit a member's manifest by hand, and wait until the member is back with it."""
    before = workspace.containers()[node]
    path = workspace.lab.root(node) / MANIFEST[1:]
    content = path.read_text()
    assert old in content
    staged = path.parents[1] / "edited.yaml"
    staged.write_text(content.replace(old, text))
    staged.chmod(0o600)
    staged.rename(path)
    wait_for(lambda: workspace.containers()[node] not in {"", before}, f"{node}: another container runs")
    wait_for(lambda: answers(workspace, node), f"{node} answers again")


def authority(workspace: Workspace) -> Authority:
    folder = workspace.directory / "certs" / CLUSTER
    certificate, key = (next(iter(folder.rglob(name))).read_bytes() for name in ("ca.pem", "ca-key.pem"))
    return load_authority(certificate, key, now=datetime.now(tz=timezone.utc))


def place(workspace: Workspace, node: str, by: Authority, *, days: int = 365) -> None:
    """Put another certificate with its key in the place of a member's own."""
    address = next(one.address for one in workspace.lab.nodes if one.name == node)
    leaf = issue(by, member_request(node, address, days=days), now=datetime.now(tz=timezone.utc))
    folder: Path = workspace.lab.root(node) / PKI[1:] / "etcd"
    (folder / "etcd-key.pem").write_bytes(leaf.key_pem)
    (folder / "etcd.pem").write_bytes(leaf.certificate_pem)


def test_on_a_healthy_cluster_fires_what_holds_and_nothing_else(cluster: Workspace) -> None:
    run = verify(cluster)
    assert wrong(run) == HEALTHY, run.out
    assert run.code == 0


def test_a_member_that_is_stopped(cluster: Workspace) -> None:
    stop(cluster, "node-2")
    run = verify(cluster)
    found = codes(run)
    assert {("container.down", "node-2"), ("client.unreachable", "node-2"), ("member.unhealthy", "node-2")} <= found
    assert ("peer.mesh", "node-1") in found, "the others do not reach its peer port"
    assert {subject for _, subject in found} <= {*NODES, CLUSTER}
    assert {code for code, subject in found if subject in {"node-1", "node-3"}} == {"peer.mesh"}
    assert "survives 0 more" in said(run, "cluster.quorum", CLUSTER)
    assert run.code == 1


def test_a_client_port_that_is_filtered(cluster: Workspace) -> None:
    cluster.inventory(data=STEADY | {"etcd_via": "direct", "etcd_timeout": 2})
    table = "nft add table inet t; nft add chain inet t in '{ type filter hook input priority 0; }'; "
    cluster.lab.run("node-2", f"{table} nft add rule inet t in iif != lo tcp dport 2379 drop")
    try:
        run = verify(cluster)
    finally:
        cluster.lab.run("node-2", "nft delete table inet t")
    assert ("client.unreachable", "node-2") in codes(run)
    assert {subject for _, subject in codes(run)} <= {"node-2", CLUSTER}
    assert wrong(verify(cluster)) == HEALTHY


def test_a_peer_port_that_one_member_cannot_reach(cluster: Workspace) -> None:
    address = cluster.lab.nodes[0].address
    table = "nft add table inet t; nft add chain inet t in '{ type filter hook input priority 0; }'; "
    cluster.lab.run("node-2", f"{table} nft add rule inet t in ip saddr {address} tcp dport 2380 tcp flags syn drop")
    try:
        run = verify(cluster)
    finally:
        cluster.lab.run("node-2", "nft delete table inet t")
    assert new(run) == {("critical", "peer.mesh", "node-1")}, run.out
    links = {(link["source"], link["target"]): link["state"] for link in run.cluster["mesh"]}
    assert links["node-1", "node-2"] == "silent"
    assert {state for pair, state in links.items() if pair != ("node-1", "node-2")} == {"open"}


def test_a_host_that_cannot_be_reached_is_told_apart_from_one_that_failed(cluster: Workspace, faults: Faults) -> None:
    faults.stop_server("node-3")
    run = verify(cluster)
    assert codes(run) == set(), run.out
    assert ("unknown", "host.unreachable", "node-3") in wrong(run)
    assert {subject for severity, _, subject in new(run) if severity == "unknown"} <= {"node-3", CLUSTER}
    assert run.code == 4


@pytest.mark.parametrize(
    ("path", "mode", "severity"),
    [
        (f"{PKI}/etcd/etcd-key.pem", "0644", "critical"),
        (MANIFEST, "0666", "warning"),
        ("/var/lib/etcd", "0755", "warning"),
    ],
)
def test_a_mode_that_was_changed(cluster: Workspace, path: str, mode: str, severity: str) -> None:
    cluster.lab.run("node-1", f"chmod {mode} {path}")
    run = verify(cluster)
    assert new(run) == {(severity, "file.mode", "node-1")}, run.out
    assert path.rpartition("/")[2] in said(run, "file.mode", "node-1")


def test_a_manifest_that_was_edited_by_hand(cluster: Workspace) -> None:
    edit(cluster, "node-1", "--snapshot-count=10000", "--snapshot-count=20000")
    run = verify(cluster)
    assert new(run) == {("warning", "manifest.drift", "node-1"), ("warning", "flags.unequal", CLUSTER)}, run.out
    assert '-    - "--snapshot-count=20000"' in said(run, "manifest.drift", "node-1")


def test_a_leftover_in_the_folder_of_static_pods(cluster: Workspace) -> None:
    leftover = cluster.lab.root("node-1") / "etc/kubernetes/manifests/etcd.yaml.bak"
    leftover.write_text("# what was here before\n")
    run = verify(cluster)
    assert {(code, subject) for _, code, subject in new(run)} == {("manifests.leftover", "node-1")}, run.out


def test_a_certificate_of_another_member(cluster: Workspace) -> None:
    root = cluster.lab.root
    for name in ("etcd.pem", "etcd-key.pem"):
        taken = root("node-2") / PKI[1:] / "etcd" / name
        (root("node-1") / PKI[1:] / "etcd" / name).write_bytes(taken.read_bytes())
    run = verify(cluster)
    assert ("critical", "cert.sans", "node-1") in new(run), run.out
    assert ("warning", "cert.placed", "node-1") in new(run)
    assert beside(run, "node-1") == set(), run.out


def test_a_certificate_that_has_expired(cluster: Workspace) -> None:
    folder = cluster.lab.root("node-1") / PKI[1:] / "etcd"
    good = x509.load_pem_x509_certificate((folder / "etcd.pem").read_bytes())
    now, by = datetime.now(tz=timezone.utc), authority(cluster)
    expired = x509.CertificateBuilder(
        issuer_name=good.issuer,
        subject_name=good.subject,
        public_key=good.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=2),
        not_valid_after=now - timedelta(days=1),
        extensions=list(good.extensions),
    )
    (folder / "etcd.pem").write_bytes(expired.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM))
    run = verify(cluster)
    assert ("critical", "cert.expiring", "node-1") in new(run), run.out
    assert "expired" in said(run, "cert.expiring", "node-1")
    assert beside(run, "node-1") == set(), run.out


def test_a_certificate_that_soon_expires(cluster: Workspace) -> None:
    place(cluster, "node-1", authority(cluster), days=5)
    run = verify(cluster)
    assert new(run) == {("critical", "cert.expiring", "node-1"), ("warning", "cert.placed", "node-1")}, run.out


def test_a_certificate_of_a_foreign_ca(cluster: Workspace) -> None:
    place(cluster, "node-1", make_authority("another CA", now=datetime.now(tz=timezone.utc)))
    run = verify(cluster)
    assert codes(run) == {("cert.chain", "node-1")}, run.out
    assert beside(run, "node-1") == set(), run.out


def test_members_that_trust_different_cas(cluster: Workspace) -> None:
    """A bundle on one member alone is a change of the CA that was not ended; another CA is worse."""
    other = make_authority("another CA", now=datetime.now(tz=timezone.utc))
    path = cluster.lab.root("node-1") / PKI[1:] / "etcd" / "ca.pem"
    path.write_bytes(path.read_bytes() + other.pem)
    run = verify(cluster)
    assert new(run) == {("warning", "ca.unequal", CLUSTER)}, run.out
    path.write_bytes(other.pem)
    run = verify(cluster)
    assert codes(run) == {("ca.unequal", CLUSTER), ("cert.chain", "node-1")}, run.out


def test_a_quota_that_is_full(workspace: Workspace) -> None:
    workspace.inventory(data=STEADY | {"etcd_quota_backend_bytes": 4 * 1024 * 1024})
    workspace.deploy()
    put = f"head -c 1000000 /dev/zero | tr '\\0' x | {ETCDCTL} put key$n"
    done = workspace.lab.run("node-1", f"for n in 1 2 3 4 5 6 7 8; do {put} || exit 0; done; exit 1")
    assert done.returncode == 0
    run = verify(workspace)
    found = codes(run)
    assert ("cluster.alarm", CLUSTER) in found, run.out
    assert {(code, node) for code in ("member.db.size", "member.errors") for node in NODES} <= found
    assert "NOSPACE" in said(run, "cluster.alarm", CLUSTER)
    assert {code for code, _ in found} <= {"cluster.alarm", "member.db.size", "member.errors", "member.probes"}, run.out


def damage(workspace: Workspace, node: str) -> None:
    """Change a value in the database of a member that is stopped, as a disk may; the file stays a valid database."""
    database = workspace.lab.root(node) / "var/lib/etcd/member/snap/db"
    content = database.read_bytes()
    assert b"a-value-that-is-right" in content
    database.write_bytes(content.replace(b"a-value-that-is-right", b"a-value-that-is-wrong"))


def corrupt(workspace: Workspace, node: str) -> None:
    """Let a member start on a database that was changed while it was stopped."""
    workspace.lab.run("node-1", f"{ETCDCTL} put key a-value-that-is-right")
    time.sleep(0.5)  # a batch of etcd's backend is written every 100 ms (--backend-batch-interval)
    stop(workspace, node)
    damage(workspace, node)


def test_a_member_that_was_damaged_while_stopped_does_not_start_under_the_corruption_check(
    workspace: Workspace,
) -> None:
    """3.5 knows its peers at a start from its last snapshot alone: before the first one the check compares nothing."""
    workspace.inventory(data=STEADY | {"etcd_snapshot_count": 20})
    workspace.deploy()
    workspace.lab.run("node-1", f"for n in $(seq 40); do {ETCDCTL} put other$n value || exit; done")
    corrupt(workspace, "node-3")
    start(workspace, "node-3")
    crashed = "crictl ps -a -o json --name '^etcd$' | tr -d ' ' | grep -c '\"attempt\":2'"
    wait_for(lambda: not workspace.lab.run("node-3", crashed, check=False).returncode, "it has crashed twice", 60)
    wait_for(lambda: not workspace.containers()["node-3"], "it crashes", 60)
    run = verify(workspace)
    assert ("container.down", "node-3") in codes(run), run.out
    assert {code for code, subject in codes(run) if subject in {"node-1", "node-2"}} <= {"peer.mesh"}, run.out
    assert run.code == 1


def test_a_member_that_was_damaged_and_started_without_the_check_has_another_hash(cluster: Workspace) -> None:
    corrupt(cluster, "node-3")
    parked = cluster.lab.root("node-3") / "root/etcd.yaml"
    text = parked.read_text()
    assert CHECK in text
    parked.write_text(text.replace(CHECK, ""))
    start(cluster, "node-3")
    wait_for(lambda: answers(cluster, "node-3"), "node-3 answers")
    run = verify(cluster)
    assert codes(run) == {("cluster.hash", CLUSTER)}, run.out
    assert "node-3" in said(run, "cluster.hash", CLUSTER)
    assert {code for code, _ in codes(run, "warning")} <= {
        "manifest.drift",
        "flags.unequal",
        "ca.shared",
        "version.floor",
    }


def test_a_learner_that_was_left_behind(cluster: Workspace) -> None:
    add = f"{ETCDCTL} member add ghost --learner --peer-urls=https://10.77.0.99:2380"
    # Refused until all members have been connected for 5 s (HealthInterval, etcd's strict-reconfig-check).
    wait_for(lambda: not cluster.lab.run("node-1", add, check=False).returncode, "the learner is added")
    run = verify(cluster)
    assert ("member.unexpected", CLUSTER) in codes(run), run.out
    assert {subject for _, _, subject in new(run)} == {CLUSTER}
    assert "10.77.0.99" in said(run, "member.unexpected", CLUSTER)


def test_a_member_of_another_version(cluster: Workspace) -> None:
    others = [version for version in cluster.lab.versions if version.startswith("3.5.") and version != "3.5.16-0"]
    if not others:
        pytest.skip("the lab has one release of 3.5 only")
    edit(cluster, "node-2", "etcd:3.5.16-0", f"etcd:{others[0]}")
    run = verify(cluster)
    assert new(run) >= {
        ("warning", "member.version", "node-2"),
        ("warning", "container.image", "node-2"),
        ("warning", "manifest.drift", "node-2"),
        ("warning", "version.skew", CLUSTER),
    }, run.out
    assert codes(run) == set()


def test_an_image_that_was_replaced_on_one_host(cluster: Workspace) -> None:
    lab = cluster.lab
    repository = "registry.ikubeops.local/ikubeops/etcd"
    wanted, other = f"{repository}:3.5.16-0", f"{repository}:{lab.versions[0]}"
    assert wanted != other
    lab.run("node-2", f"crictl pull {other} && ctr -n k8s.io images tag --force {other} {wanted}", timeout=120)
    try:
        asked = f"crictl images -o json | tr -d '\\n' | grep -c '{wanted}.*{other}\\|{other}.*{wanted}'"
        wait_for(lambda: not lab.run("node-2", asked, check=False).returncode, "the runtime lists the tag")
        run = verify(cluster)
    finally:
        lab.run("node-2", f"ctr -n k8s.io images rm --sync {wanted}")
    assert ("image.digest", CLUSTER) in codes(run) | codes(run, "warning"), run.out
    assert {subject for _, _, subject in new(run)} <= {"node-2", CLUSTER}


def test_a_data_disk_that_is_nearly_full(workspace: Workspace, faults: Faults) -> None:
    workspace.inventory(data=STEADY | {"etcd_free_data_bytes": 16 * 1024 * 1024})
    faults.disk("node-1", "/var/lib/etcd", "400m")
    workspace.deploy()
    before = wrong(verify(workspace))
    faults.fill("node-1", "/var/lib/etcd", leave=8 * 1024 * 1024)
    run = verify(workspace)
    assert ("host.space", "node-1") in codes(run) | codes(run, "warning"), run.out
    assert {(code, subject) for _, code, subject in wrong(run) - before} <= {("host.space", "node-1")}


def test_a_kubelet_that_does_not_run(cluster: Workspace, faults: Faults) -> None:
    (pid, *_) = faults.running("node-1", "kubelet")
    cluster.lab.run("node-1", f"kill -KILL {pid}")
    try:
        run = verify(cluster)
    finally:
        cluster.lab.kill("node-1")
        cluster.lab.start("node-1")
    assert {(code, subject) for _, code, subject in new(run)} == {("host.kubelet", "node-1")}, run.out


def test_thresholds_that_this_machine_does_not_hold(cluster: Workspace) -> None:
    """No disk here can be made slow for real, so the limits are set below what any disk does."""
    tight = {
        "etcd_wal_fsync_warning_ms": 1,
        "etcd_backend_commit_warning_ms": 1,
        "etcd_read_warning_ms": 1,
        "etcd_metrics_window": 2,
    }
    cluster.inventory(data=STEADY | tight)
    load = f"for n in $(seq 40); do {ETCDCTL} put key$n value >/dev/null; done"
    cluster.lab.run("node-1", f"setsid sh -c '{load}' >/dev/null 2>&1 </dev/null &")
    run = verify(cluster)
    fired = {code for _, code, _ in new(run)}
    assert fired <= {"member.disk.fsync", "member.disk.commit", "member.slow"}, run.out
    assert "member.slow" in fired


def test_a_waived_finding_stays_to_be_seen_and_an_expired_waiver_is_told(cluster: Workspace) -> None:
    today = datetime.now(tz=timezone.utc).date()
    waivers = [
        {"code": "version.floor", "subject": "*", "reason": "upgraded next week", "until": f"{today + timedelta(7)}"},
        {"code": "ca.shared", "reason": "was to be moved last week", "until": f"{today - timedelta(7)}"},
    ]
    cluster.inventory(data=STEADY | {"etcd_waivers": waivers})
    run = verify(cluster)
    assert {(code, severity) for severity, code, _ in wrong(run)} == {
        ("ca.shared", "warning"),
        ("waiver.expired", "warning"),
    }, run.out
    waived = [one for one in run.cluster["findings"] if one["waiver"]]
    assert {one["code"] for one in waived} == {"version.floor"}
    assert "upgraded next week" in run.out


def test_a_quorum_that_is_lost(cluster: Workspace) -> None:
    stop(cluster, "node-2")
    stop(cluster, "node-3")
    run = verify(cluster)
    found = codes(run)
    assert {("cluster.quorum", CLUSTER), ("member.unhealthy", "node-1"), ("container.down", "node-2")} <= found, run.out
    assert "survives" not in said(run, "cluster.quorum", CLUSTER)
    assert run.code == 1


def test_a_leader_that_is_cut_off_falls_behind_in_log_and_term(workspace: Workspace) -> None:
    workspace.inventory(data=STEADY | {"etcd_index_lag_warning": 10})
    members = workspace.deploy().cluster["members"]
    cut = next(member["name"] for member in members if member["role"] == "leader")
    one, other = (node for node in NODES if node != cut)
    chains = "".join(
        f"nft add chain inet t {way} '{{ type filter hook {way}put priority 0; }}'; "
        f"nft add rule inet t {way} iif != lo tcp {port} 2380 drop; "
        for way, port in (("in", "dport"), ("in", "sport"))
    )
    workspace.lab.run(cut, f"nft add table inet t; {chains}")
    try:
        wait_for(lambda: answers(workspace, one), "the others have a leader")
        puts = f"for n in $(seq 40); do {ETCDCTL} --command-timeout=20s put key$n value || exit; done"
        workspace.lab.run(one, puts, timeout=60)
        run = verify(workspace)
    finally:
        workspace.lab.run(cut, "nft delete table inet t")
    own = {(code, cut) for code in ("member.unhealthy", "member.errors", "member.probes", "peer.mesh")}
    assert codes(run) == own | {("cluster.leader", CLUSTER), ("peer.mesh", one), ("peer.mesh", other)}, run.out
    assert {("warning", "member.lag", cut), ("warning", "cluster.term", CLUSTER)} <= new(run), run.out


def test_a_member_that_was_removed_and_one_that_was_added_and_never_started(cluster: Workspace) -> None:
    address = next(node.address for node in cluster.lab.nodes if node.name == "node-3")
    listed = cluster.lab.run("node-1", f"{ETCDCTL} member list").stdout
    member = next(line.partition(",")[0] for line in listed.splitlines() if address in line)
    remove = f"{ETCDCTL} member remove {member}"
    wait_for(lambda: not cluster.lab.run("node-1", remove, check=False).returncode, "the member is removed")
    run = verify(cluster)
    assert ("member.missing", "node-3") in codes(run), run.out
    add = f"{ETCDCTL} member add node-3 --peer-urls=https://{address}:2380"
    wait_for(lambda: not cluster.lab.run("node-1", add, check=False).returncode, "the member is added")
    run = verify(cluster)
    assert ("member.unstarted", "node-3") in codes(run), run.out
    assert ("member.missing", "node-3") not in codes(run)


def test_a_certificate_that_servers_cannot_use(cluster: Workspace) -> None:
    folder = cluster.lab.root("node-1") / PKI[1:] / "etcd"
    leaf = issue(authority(cluster), client_request("node-1"), now=datetime.now(tz=timezone.utc))
    (folder / "etcd-key.pem").write_bytes(leaf.key_pem)
    (folder / "etcd.pem").write_bytes(leaf.certificate_pem)
    run = verify(cluster)
    assert {("cert.usages", "node-1"), ("cert.sans", "node-1")} <= codes(run), run.out
    assert {subject for severity, _, subject in new(run) if severity == "critical"} <= {"node-1", CLUSTER}


def test_a_ca_that_soon_expires(workspace: Workspace) -> None:
    workspace.inventory(data=STEADY | {"etcd_ca_days": 20, "etcd_cert_days": 15, "etcd_renew_days": 5})
    workspace.deploy(code=1)
    run = verify(workspace)
    assert ("ca.expiring", CLUSTER) in codes(run), run.out
    assert {code for code, _ in codes(run)} == {"ca.expiring"}


def test_free_space_inside_a_database(workspace: Workspace) -> None:
    workspace.inventory(data=STEADY | {"etcd_fragmentation_warning_bytes": 1024 * 1024})
    workspace.deploy()
    put = f"head -c 500000 /dev/zero | tr '\\0' x | {ETCDCTL} put big >/dev/null"
    workspace.lab.run("node-1", f"for n in 1 2 3 4 5 6 7 8; do {put} || exit; done")
    workspace.lab.run("node-1", f"{ETCDCTL} compact --physical 8")
    found: list[Wrong] = []

    def freed() -> bool:  # a member compacts in its own time, and frees pages with its next write
        workspace.lab.run("node-1", f"{ETCDCTL} put small value")
        found[:] = [new(verify(workspace))]
        return found[0] >= {("warning", "member.db.fragmentation", node) for node in NODES}

    wait_for(freed, "the space is free", 20)
    assert {code for _, code, _ in found[0]} == {"member.db.fragmentation"}


def test_leaders_that_change_all_the_time(workspace: Workspace) -> None:
    workspace.inventory(data=STEADY | {"etcd_leader_changes_warning": 2})
    workspace.deploy()
    urls = ",".join(f"https://{node.address}:2379" for node in workspace.lab.nodes)
    ask = ETCDCTL.replace("https://127.0.0.1:2379", urls)
    move = f"{ask} member list | cut -d, -f1 | while read -r id; do {ask} move-leader $id; done"
    workspace.lab.run("node-1", f"{move}; {move}; {move}", check=False, timeout=60)
    run = verify(workspace)
    assert {code for _, code, _ in new(run)} == {"member.elections"}, run.out


def test_a_client_url_that_nobody_can_use(cluster: Workspace) -> None:
    address = cluster.lab.nodes[0].address
    flag = f"--advertise-client-urls=https://{address}:2379"
    edit(cluster, "node-1", flag, f"{flag},http://127.0.0.1:2379")
    run = verify(cluster)
    assert {(code, subject) for _, code, subject in new(run)} == {
        ("member.client_urls", "node-1"),
        ("manifest.drift", "node-1"),
    }, run.out


def test_a_port_of_etcds_that_something_else_has(cluster: Workspace, faults: Faults) -> None:
    address = cluster.lab.nodes[0].address
    listen = f'import socket, time; s = socket.create_server(("{address}", 2381)); time.sleep(600)'
    faults.background("node-1", f"python3 -c '{listen}'")
    listens = "grep -cE '^ *[0-9]+: [0-9A-F]+:094D [0-9A-F]+:0000 0A' /proc/net/tcp"  # 2381
    wait_for(lambda: cluster.lab.run("node-1", listens, check=False).stdout.strip() == "2", "it listens beside etcd")
    run = verify(cluster)
    assert {(code, subject) for _, code, subject in new(run)} == {("host.ports", "node-1")}, run.out


def test_a_release_that_is_known_to_lose_data(workspace: Workspace) -> None:
    storage = Storage(workspace.lab.root("registry") / "var/lib/docker-registry")
    storage.add("former/etcd", "3.5.1-0", {"usr/local/bin/etcd": etcd_binary()}, ["etcd"])  # it needs no library
    workspace.inventory(data=STEADY | {"registry_project": "former", "etcd_version": "3.5.1-0"})
    workspace.deploy(code=1)
    run = verify(workspace)
    assert codes(run) == {("version.bad", node) for node in NODES}, run.out
