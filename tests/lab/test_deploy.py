"""Deploy on real hosts: a cluster from nothing, and changes to one that lives."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab import leaks
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace

if TYPE_CHECKING:
    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


def openssl(*words: str, text: str = "") -> str:
    argv = ("openssl", *words)
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the real tool
    return done.stdout


def test_empty_hosts_become_a_healthy_cluster_and_a_second_run_changes_nothing(workspace: Workspace) -> None:
    lab = workspace.lab
    for node in NODES:  # earlier tests have pulled it
        lab.run(node, "ctr -n k8s.io images ls -q | grep /etcd: | xargs -r ctr -n k8s.io images rm --sync")
    first, arguments = leaks.watched(workspace, "deploy")
    assert first.code == 0, first.out + first.err
    assert first.cluster["outcome"] == "changed"
    assert [member["healthy"] for member in first.cluster["members"]] == [True, True, True]
    assert sorted(member["role"] for member in first.cluster["members"]) == ["follower", "follower", "leader"]
    assert first.amiss == []
    assert len(first.steps("pull-image")) == 3

    members = lab.run("node-2", f"{ETCDCTL} member list -w table").stdout
    assert members.count("started") == 3
    health = lab.run("node-3", f"{ETCDCTL} endpoint health --cluster")
    assert (health.stdout + health.stderr).count("is healthy") == 3

    leaks.hold_nothing(workspace, first, arguments, leaks.keys(workspace.directory / "certs"))

    before, containers = {node: workspace.fingerprint(node) for node in NODES}, workspace.containers()
    assert all(containers.values())
    second = workspace.deploy()
    assert second.cluster["outcome"] == "unchanged"
    assert second.cluster["plan"] == []
    assert second.report["changed"] is False
    assert {node: workspace.fingerprint(node) for node in NODES} == before
    assert workspace.containers() == containers


def test_files_on_hosts_and_controller_have_the_modes_that_keep_keys_secret(workspace: Workspace) -> None:
    workspace.deploy()
    for node in NODES:
        modes = workspace.lab.run(
            node,
            "stat -L -c '%a %n' /etc/kubernetes/pki/etcd /etc/kubernetes/pki/etcd-key.pem /etc/kubernetes/pki/etcd.pem "
            f"/etc/kubernetes/manifests {MANIFEST} /var/lib/etcd /var/lib/etcd/member",
        ).stdout.split()
        assert modes[::2] == ["700", "600", "644", "700", "600", "700", "700"]
        assert workspace.lab.run(node, "find /etc/kubernetes -name '*-key.pem' | wc -l").stdout.strip() == "3"
        assert workspace.lab.run(node, "find /etc /var/lib /root -name ca-key.pem | wc -l").stdout.strip() == "0"
        own = (workspace.directory / f"certs/example/members/{node}-key.pem").read_text()
        assert workspace.lab.run(node, "cat /etc/kubernetes/pki/etcd-key.pem").stdout == own
    for path in (workspace.directory / "certs").rglob("*"):
        if path.is_dir() or path.name.endswith("-key.pem"):
            assert oct(path.stat().st_mode & 0o777) == ("0o700" if path.is_dir() else "0o600"), path


def test_a_changed_setting_restarts_one_member_at_a_time_the_leader_last(workspace: Workspace) -> None:
    first = workspace.deploy()
    leader = next(member["name"] for member in first.cluster["members"] if member["role"] == "leader")
    before = workspace.containers()
    planned = workspace.deploy("--set", "etcd_quota_backend_bytes=3221225472", "--dry-run")
    assert workspace.containers() == before
    assert planned.cluster["outcome"] == "planned"
    assert '+    - "--quota-backend-bytes=3221225472"' in planned.steps("replace-manifest")[0]["diff"]
    run = workspace.deploy("--set", "etcd_quota_backend_bytes=3221225472")
    steps = run.steps("replace-manifest")
    assert [step["host"] for step in steps][-1] == leader
    assert {step["host"] for step in steps} == set(NODES)
    assert all("2 of 3 voters stay" in step["margin"] for step in steps)
    after = workspace.containers()
    assert not set(before.values()) & set(after.values())
    started = [workspace.created(step["host"], after[step["host"]]) for step in steps]
    assert started == sorted(started)
    assert workspace.deploy("--set", "etcd_quota_backend_bytes=3221225472").cluster["outcome"] == "unchanged"


def test_a_flag_that_etcd_refuses_stops_the_roll_at_the_first_follower_and_shows_its_log(workspace: Workspace) -> None:
    first = workspace.deploy()
    leader = next(member["name"] for member in first.cluster["members"] if member["role"] == "leader")
    bad = ("--set", 'etcd_extra_args={"no-such-flag": "1"}', "--set", "etcd_health_timeout=20")
    run = workspace.deploy(*bad, code=3)
    done, failed, skipped = (
        [s for s in run.cluster["plan"] if s["status"] == x] for x in ("done", "failed", "skipped")
    )
    assert (len(done), len(failed), len(skipped)) == (0, 1, 3)
    assert failed[0]["host"] != leader
    assert any("no-such-flag" in line for line in failed[0]["log"])
    assert sum(member["healthy"] is True for member in run.cluster["members"]) == 2
    again = workspace.deploy()
    assert [step["host"] for step in again.cluster["plan"]] == [failed[0]["host"]]
    assert workspace.verify().code == 0


def test_a_host_that_only_one_member_may_change_changes_alone(workspace: Workspace) -> None:
    refused = workspace.deploy("--hosts", "node-1", code=3)
    assert "bootstrapped whole" in refused.cluster["refusals"][0]
    assert not any(workspace.containers().values())
    workspace.deploy()
    run = workspace.deploy("--hosts", "node-2", "--set", "etcd_snapshot_count=20000")
    assert [step["host"] for step in run.steps("replace-manifest")] == ["node-2"]
    manifest = workspace.lab.run("node-2", f"cat {MANIFEST}").stdout
    assert all(f"{node}=https://" in manifest for node in NODES)
    assert "snapshot-count=10000" in workspace.lab.run("node-1", f"cat {MANIFEST}").stdout


def test_a_killed_bootstrap_is_completed_by_the_same_command(workspace: Workspace) -> None:
    log = workspace.directory / "nornir.log"
    for struck in ("task 'place_files'", "task 'write_manifest'", "task 'await_member'"):
        log.unlink(missing_ok=True)
        for node in NODES:
            workspace.lab.wipe(node)
        process = workspace.start("deploy")
        ends = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < ends:
            if log.exists() and struck in log.read_text():
                break
            time.sleep(0.005)
        process.kill()
        process.wait(timeout=30)
        assert process.returncode == -9, "the run ended before it was struck"
        run = workspace.deploy()
        assert [member["healthy"] for member in run.cluster["members"]] == [True, True, True]
        assert workspace.deploy().cluster["outcome"] == "unchanged"


def test_deploy_works_with_the_pace_of_a_real_kubelet(workspace: Workspace) -> None:
    workspace.lab.set_delay("7-17")
    try:
        workspace.deploy()
        run = workspace.deploy("--set", "etcd_snapshot_count=20000")
        assert all(step["seconds"] >= 7 for step in run.steps("replace-manifest"))
        assert all(member["healthy"] for member in run.cluster["members"])
    finally:
        workspace.lab.set_delay("0.2")


@pytest.mark.parametrize("which", [0, -1])
def test_the_oldest_and_the_newest_version_of_the_lab_are_deployed(workspace: Workspace, which: int) -> None:
    tag = workspace.lab.versions[which]
    workspace.inventory(data={"etcd_version": tag})
    run = workspace.deploy()
    assert {member["version"] for member in run.cluster["members"]} == {tag.partition("-")[0]}
    assert workspace.deploy().cluster["outcome"] == "unchanged"
    other = next(one for one in workspace.lab.versions if one != tag)
    refused = workspace.deploy("--set", f"etcd_version={other}", code=3)
    assert all("upgrade" in line for line in refused.cluster["refusals"])
    assert len(refused.cluster["refusals"]) == 3


def test_ipv6_addresses_work_in_urls_and_certificates(workspace: Workspace) -> None:
    if not workspace.lab.nodes[0].address6:
        pytest.skip("the kernel has no IPv6")
    workspace.inventory(ipv6=True)
    run = workspace.deploy()
    assert all(member["healthy"] for member in run.cluster["members"])
    assert workspace.deploy().cluster["outcome"] == "unchanged"
    assert workspace.lab.run("node-1", f"{ETCDCTL} member list -w table").stdout.count("started") == 3


def test_the_runbook_scripts_do_what_the_commands_do(workspace: Workspace) -> None:
    repository = Path(__file__).parents[2]
    for name, outcome in (("certs", "changed"), ("deploy", "changed"), ("verify", "checked")):
        script = str(repository / "runbooks" / f"{name}.py")
        output = workspace.directory / "report.json"
        output.unlink(missing_ok=True)
        run = workspace.finish(workspace.launch(sys.executable, script, "--output", str(output)))
        assert run.code == 0, run.out + run.err
        assert run.cluster["outcome"] == outcome
        assert run.report["runbook"] == name


def test_an_image_that_is_nowhere_fails_with_its_reason_and_leaves_no_manifest(workspace: Workspace) -> None:
    run = workspace.deploy("--set", "registry_project=nowhere", code=3)
    failed = [step for step in run.cluster["plan"] if step["status"] == "failed"]
    assert {step["action"] for step in failed} == {"pull-image"}
    assert all("nowhere/etcd" in step["error"] for step in failed)
    assert workspace.lab.run("node-1", "ls /etc/kubernetes/manifests").stdout == ""
    assert workspace.deploy().cluster["outcome"] == "changed"


def test_new_certificates_are_served_without_a_restart(workspace: Workspace) -> None:
    workspace.deploy()
    containers = workspace.containers()
    run = workspace.run("certs", "--set", 'etcd_extra_sans=["etcd.example.org"]')
    assert run.code == 0, run.out + run.err
    assert len(run.steps("issue-certificate")) == 3
    assert len(run.steps("place-files")) == 3
    assert not run.findings("cert.served.client", "critical")
    assert workspace.containers() == containers
    shown = openssl("s_client", "-connect", f"{workspace.lab.nodes[0].address}:2379")
    pem = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", shown, re.DOTALL)
    assert pem is not None
    assert "DNS:etcd.example.org" in openssl("x509", "-noout", "-text", text=pem[0])


def test_a_ca_as_kubeadm_wrote_it_signs_what_is_deployed_and_stays_as_it_is(workspace: Workspace) -> None:
    certs = workspace.directory / "certs/example"
    certs.mkdir(mode=0o700, parents=True)
    extensions = ("-addext", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign")
    paths = ("-keyout", str(certs / "ca.key"), "-out", str(certs / "ca.crt"))
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kubernetes", "-days", "3650", *extensions, *paths
    )
    (certs / "ca.key").chmod(0o600)
    ca = (certs / "ca.crt").read_text()
    for node in NODES:
        workspace.lab.run(node, f"mkdir -p /etc/kubernetes/pki && cat >/etc/kubernetes/pki/ca.pem <<'END'\n{ca}END")
    before = workspace.lab.run("node-1", "stat -c '%i %Y' /etc/kubernetes/pki/ca.pem").stdout
    run = workspace.deploy("--set", "etcd_key_type=rsa-2048")
    assert not run.steps("make-ca")
    assert all(member["healthy"] for member in run.cluster["members"])
    assert workspace.lab.run("node-1", "stat -c '%i %Y' /etc/kubernetes/pki/ca.pem").stdout == before
    assert workspace.lab.run("node-2", f"{ETCDCTL} member list -w table").stdout.count("started") == 3
    workspace.lab.run("node-3", "echo >/etc/kubernetes/pki/ca.pem")
    refused = workspace.deploy("--set", "etcd_key_type=rsa-2048", code=3)
    assert any("node-3: /etc/kubernetes/pki/ca.pem" in line for line in refused.cluster["refusals"])
