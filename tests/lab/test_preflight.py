"""Faults of hosts, made for real and found before anything is touched.

Clocks are not among them: all hosts of a lab share the machine's. tests/unit/checks/test_preflight.py has them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
REPOSITORY = "registry.ikubeops.local/ikubeops/etcd"
BACKUP = "printf 'metadata:\\n  name: etcd\\n' >/etc/kubernetes/manifests/etcd.yaml.bak"
KUBELET = "/var/lib/kubelet/config.yaml"


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


@pytest.fixture
def mend(workspace: Workspace) -> Iterator[Callable[[], None]]:
    """Undo every fault: what is mounted, runs or filters goes with the hosts' power, the rest is put back."""
    lab = workspace.lab

    def undo() -> None:
        for node in NODES:
            lab.run(node, f"chmod 755 /usr/local/bin/crictl; sed -i 's#/elsewhere#/manifests#' {KUBELET}")
            lab.kill(node)
            lab.start(node)
            lab.wipe(node)

    yield undo
    undo()


def restart_kubelet(lab: Lab, node: str) -> None:
    """Switch a host off and on, so that its kubelet reads its configuration again."""
    lab.kill(node)
    lab.start(node)


def test_every_fault_of_every_host_is_told_in_one_run_that_touches_nothing(
    workspace: Workspace, mend: Callable[[], None]
) -> None:
    lab = workspace.lab
    lab.run("node-1", BACKUP)
    lab.run("node-1", "setsid busybox nc -ll -p 2380 -e true >/dev/null 2>&1 </dev/null &")
    lab.run("node-1", "mkdir -p /var/lib/etcd && mount -t tmpfs -o size=64m tmpfs /var/lib/etcd")
    lab.run("node-2", "chmod 644 /usr/local/bin/crictl")
    lab.run("node-2", "mount --bind /etc/kubernetes /etc/kubernetes && mount -o remount,ro,bind /etc/kubernetes")
    lab.run("node-2", "kill -KILL $(pgrep -x kubelet)")
    lab.run("node-3", f"sed -i 's#/manifests#/elsewhere#' {KUBELET}")
    restart_kubelet(lab, "node-3")
    filtering = "nft add table inet t; nft add chain inet t in '{ type filter hook input priority 0; }'; "
    lab.run("node-3", f"{filtering} nft add rule inet t in tcp dport 2380 drop")
    before = {node: workspace.fingerprint(node) for node in NODES}

    run = workspace.deploy(code=3)
    told = {
        (one["code"], one["subject"])
        for one in run.cluster["findings"]
        if one["severity"] == "critical" and one["code"].startswith("preflight.")
    }
    assert told == {
        ("preflight.manifests", "node-1"),
        ("preflight.port", "node-1"),
        ("preflight.space", "node-1"),
        ("preflight.peer", "node-1"),
        ("preflight.tools", "node-2"),
        ("preflight.runtime", "node-2"),
        ("preflight.writable", "node-2"),
        ("preflight.kubelet", "node-2"),
        ("preflight.peer", "node-2"),
        ("preflight.kubelet", "node-3"),
    }
    assert run.cluster["outcome"] == "refused"
    refusals = "\n".join(run.cluster["refusals"])
    assert all(f"({code})" in refusals for code, _ in told)
    assert "etcd.yaml.bak" in refusals
    assert "2380 by busybox (pid" in refusals or "2380 by nc (pid" in refusals
    assert "crictl" in refusals
    assert "/etc/kubernetes/elsewhere" in refusals
    assert "node-3 (https://" in refusals
    assert run.cluster["plan"] == []
    assert {node: workspace.fingerprint(node) for node in NODES} == before

    mend()
    assert workspace.deploy().cluster["outcome"] == "changed"


def test_a_fault_in_one_cluster_does_not_stop_another(workspace: Workspace) -> None:
    lab = workspace.lab
    workspace.inventory(
        hosts={"node-1": {"deploy_name": "sick"}, "node-2": {"deploy_name": "well"}, "node-3": {"deploy_name": "well"}}
    )
    lab.run("node-1", BACKUP)
    run = workspace.deploy(code=3)
    assert run.cluster_named("sick")["outcome"] == "refused"
    assert run.cluster_named("well")["outcome"] == "changed"
    planned = workspace.run("deploy", "--dry-run")
    assert [one["subject"] for one in planned.findings("preflight.manifests", "critical")] == ["node-1"]
    lab.run("node-1", "rm /etc/kubernetes/manifests/etcd.yaml.bak")
    assert workspace.deploy().cluster_named("sick")["outcome"] == "changed"


def test_a_healthy_cluster_is_asked_only_for_what_its_steps_need(
    workspace: Workspace, mend: Callable[[], None]
) -> None:
    workspace.deploy()
    workspace.lab.run("node-1", "kill -KILL $(pgrep -x kubelet)")
    unchanged = workspace.deploy(code=1)
    assert unchanged.cluster["outcome"] == "unchanged"
    assert not unchanged.findings("preflight.kubelet", "critical")
    assert unchanged.amiss == [("critical", "host.kubelet", "node-1")], "what verification says of it afterwards"
    alone = workspace.deploy("--hosts", "node-2", "--set", "etcd_snapshot_count=20000", code=1)
    assert [step["host"] for step in alone.steps("replace-manifest")] == ["node-2"]
    (ports,) = alone.findings("preflight.port", "ok")
    assert ports["message"] == "the member itself has the ports"
    assert set(ports["evidence"]) >= {"2381 127.0.0.1"}
    assert all("etcd (pid" in owner for owner in ports["evidence"].values())
    refused = workspace.deploy("--set", "etcd_snapshot_count=20000", code=3)
    assert [one["subject"] for one in refused.findings("preflight.kubelet", "critical")] == ["node-1"]
    assert refused.cluster["plan"] == []
    mend()


def test_a_tag_that_is_another_image_on_one_host_is_never_started(workspace: Workspace) -> None:
    """First the others have to pull it, and the images are compared then; the next run sees it before all else."""
    lab = workspace.lab
    wanted, other = f"{REPOSITORY}:3.5.16-0", f"{REPOSITORY}:{lab.versions[0]}"
    for node in NODES:
        lab.run(node, f"crictl rmi {wanted} || ctr -n k8s.io images rm {wanted}", check=False)
    lab.run("node-2", f"crictl pull {other} && ctr -n k8s.io images tag --force {other} {wanted}", timeout=120)
    try:
        await_image(lab, "node-2", wanted)
        first = workspace.deploy(code=3)
        assert {step["host"] for step in first.steps("pull-image")} == {"node-1", "node-3"}
        assert {step["status"] for step in first.steps("start-member")} == {"failed"}
        assert all("not the same on all hosts" in step["error"] for step in first.steps("start-member"))
        assert not any(lab.run(node, f"ls {MANIFEST}", check=False).stdout for node in NODES)
        second = workspace.deploy(code=3)
        assert len(second.findings("preflight.image", "critical")) == 1
        assert second.cluster["plan"] == []
    finally:
        lab.run("node-2", f"ctr -n k8s.io images rm --sync {wanted}")
    assert workspace.deploy().cluster["outcome"] == "changed"


def await_image(lab: Lab, node: str, image: str) -> None:
    """Wait until the runtime lists an image that was tagged behind its back."""
    ends = time.monotonic() + 20
    while image not in lab.run(node, "crictl images -o json").stdout:
        assert time.monotonic() < ends, f"{image} is not listed"
        time.sleep(0.1)
