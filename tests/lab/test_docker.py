"""Hosts with Docker, and a cluster that has both runtimes: node-1 has containerd, node-2 and node-3 a real dockerd."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nornir_etcd.lab import Lab
from tests.lab.conftest import PREFIX, need_root, remove_orphans
from tests.lab.upgrades import deploy, upgrade, upgraded, way
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
WITH_DOCKER = ("node-2", "node-3")


@pytest.fixture(scope="module")
def mixed() -> Iterator[Lab]:
    """A lab of three hosts, two of which have Docker."""
    need_root()
    remove_orphans()
    made = Lab(f"{PREFIX}{os.getpid()}-docker", docker=2)
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def workspace(mixed: Lab, tmp_path: Path) -> Workspace:
    for node in NODES:
        if not mixed.is_running(node):
            mixed.start(node)
        mixed.wipe(node)
    made = Workspace(mixed, tmp_path)
    made.inventory(data={"etcd_timeout": 5})
    return made


def inspected(lab: Lab, node: str) -> list[dict[str, Any]]:
    """What Docker itself says of the containers named etcd, newest first."""
    ask = "docker ps -a -q --filter name=k8s_etcd_ | xargs --no-run-if-empty docker inspect"
    found: list[dict[str, Any]] = json.loads(lab.run(node, ask).stdout or "[]")
    return found


def state(workspace: Workspace) -> dict[str, str]:
    """What no run without a difference may change."""
    return {node: workspace.fingerprint(node) for node in NODES} | workspace.containers()


def test_a_cluster_on_both_runtimes_is_deployed_renewed_and_upgraded(workspace: Workspace) -> None:
    former, later = way(workspace.lab)[-2:]
    deploy(workspace, former)
    before = state(workspace)
    assert workspace.deploy().cluster["outcome"] == "unchanged"
    assert workspace.verify().amiss == []
    assert {node: name for node, name in before.items() if not name} == {}
    for node in WITH_DOCKER:
        (found,) = inspected(workspace.lab, node)
        uid = found["Config"]["Labels"]["io.kubernetes.pod.uid"]
        assert found["Name"] == f"/k8s_etcd_etcd-{node}_kube-system_{uid}_0"
        assert found["State"]["Running"]

    renewed = workspace.run("certs", "renew", "--force")
    assert renewed.code == 0, renewed.out
    assert {step["host"] for step in renewed.steps("place-files")} == set(NODES)
    assert workspace.containers() == {node: before[node] for node in NODES}

    run = upgrade(workspace, later)
    assert sorted(upgraded(run)) == list(NODES)
    seen = workspace.verify("--set", f"etcd_version={later}")
    assert seen.amiss == []
    assert {member["version"] for member in seen.cluster["members"]} == {later.partition("-")[0]}
    workspace.lab.run("node-1", f"{ETCDCTL} endpoint health --cluster")
    planned = workspace.run("members", "plan", "--set", f"etcd_version={later}")
    assert (planned.code, planned.cluster["plan"]) == (0, []), planned.out


def test_the_other_runtime_than_the_inventorys_is_told_in_both_directions_and_nothing_is_touched(
    workspace: Workspace,
) -> None:
    lab = workspace.lab
    swapped: dict[str, Any] = {"node-1": {"container_runtime": "docker"}}
    swapped |= {node: {"container_runtime": "containerd"} for node in WITH_DOCKER}
    workspace.inventory(hosts=swapped)
    # Without a word of the kubelet's the runtimes themselves tell: one that is not there, one that is another.
    lab.run("node-3", "sed -i /containerRuntimeEndpoint/d /var/lib/kubelet/config.yaml")
    before = {node: workspace.fingerprint(node) for node in NODES}
    try:
        told = workspace.deploy(code=3)
    finally:
        lab.run(
            "node-3", "echo 'containerRuntimeEndpoint: unix:///run/cri-dockerd.sock' >>/var/lib/kubelet/config.yaml"
        )
    found = {one["subject"]: one["message"] for one in told.findings("preflight.runtime", "critical")}
    kubelet = "found a kubelet that runs its Pods with"
    assert found == {
        "node-1": f"wanted docker, {kubelet} containerd (unix:///run/containerd/containerd.sock)",
        "node-2": f"wanted containerd, {kubelet} docker (unix:///run/cri-dockerd.sock)",
        "node-3": "wanted containerd, found docker",
    }
    assert told.cluster["outcome"] == "refused"
    assert told.cluster["plan"] == []
    assert {node: workspace.fingerprint(node) for node in NODES} == before


def test_a_docker_that_does_not_answer_is_told_and_nothing_is_touched(workspace: Workspace) -> None:
    lab = workspace.lab
    lab.run("node-2", "pkill -KILL -x dockerd && while pgrep -x dockerd; do sleep 0.05; done")
    told = workspace.deploy(code=3)
    (found,) = told.findings("preflight.runtime", "critical")
    assert found["subject"] == "node-2"
    assert "Cannot connect to the Docker daemon" in found["message"]
    assert "docker version" in found["remedy"]
    assert lab.run("node-2", f"ls {MANIFEST}", check=False).returncode != 0
    lab.kill("node-2")
    lab.start("node-2")
    assert workspace.deploy().cluster["outcome"] == "changed"


def test_what_stops_a_container_on_docker_is_told_from_its_log_and_an_image_from_its_registry(
    workspace: Workspace,
) -> None:
    missing = workspace.deploy("--set", "registry_project=nowhere", code=3)
    errors = {step["host"]: step["error"] for step in missing.steps("pull-image")}
    for node in WITH_DOCKER:
        assert "nowhere/etcd" in errors[node]
        assert "Error response from daemon" in errors[node]

    workspace.deploy()
    lab, before = workspace.lab, workspace.containers()
    bad = ("--set", 'etcd_extra_args={"no-such-flag": "1"}', "--set", "etcd_health_timeout=8")
    run = workspace.deploy("--hosts", "node-2", *bad, code=3)
    (broken,) = [step for step in run.cluster["plan"] if step["status"] == "failed"]
    assert broken["host"] == "node-2"
    assert any("no-such-flag" in line for line in broken["log"]), broken
    assert {one["State"]["Status"] for one in inspected(lab, "node-2")} == {"exited"}
    assert {node: workspace.containers()[node] for node in ("node-1", "node-3")} == {
        node: before[node] for node in ("node-1", "node-3")
    }
    assert workspace.deploy().cluster["outcome"] == "changed"
    assert workspace.verify().amiss == []


def test_the_kubelet_restarts_what_ends_or_fails_its_probe_and_comes_back_after_a_power_cycle(
    workspace: Workspace,
) -> None:
    workspace.deploy()
    lab = workspace.lab
    first = workspace.containers()["node-3"]
    lab.run("node-3", "kill -KILL $(pgrep -x etcd)")
    workspace.await_restart("node-3", first)
    newest, *_ = inspected(lab, "node-3")
    assert newest["Name"].endswith("_1")
    assert newest["Config"]["Labels"]["annotation.io.kubernetes.container.restartCount"] == "1"
    seen = {one["subject"]: one for one in workspace.verify().findings("container.restarts", "ok")}
    assert "started again 1 times" in seen["node-3"]["message"]

    mute = yaml.safe_load(lab.run("node-3", f"cat {MANIFEST}").stdout)
    container = mute["spec"]["containers"][0]
    del container["startupProbe"]
    target = container["livenessProbe"]["httpGet"] | {"port": 2399}
    container["livenessProbe"] = {"httpGet": target, "periodSeconds": 1, "failureThreshold": 2}
    (lab.root("node-3") / MANIFEST[1:]).write_text(yaml.safe_dump(mute))
    lab.run("node-3", "until grep 'failed liveness probe, will be restarted' /var/log/kubelet.log; do sleep 0.2; done")
    lab.run("node-3", "until docker ps --format '{{.Names}}' | grep 'k8s_etcd_.*_1'; do sleep 0.2; done")
    assert workspace.deploy().cluster["outcome"] == "changed", "the manifest that was changed by hand"

    before = workspace.containers()["node-3"]
    lab.run("node-3", f"docker pause {before}")  # a process that is frozen dies with its host too
    lab.kill("node-3")
    lab.start("node-3")
    workspace.await_restart("node-3", before)
    assert workspace.deploy().cluster["outcome"] == "unchanged"
    assert workspace.verify().amiss == []


def test_a_member_on_docker_leaves_and_another_joins(workspace: Workspace) -> None:
    workspace.deploy()
    lab = workspace.lab
    workspace.inventory(data={"etcd_timeout": 5}, hosts={"node-3": {"etcd_member": "absent"}})
    gone = workspace.run("members", "apply", "--accept-no-margin")
    assert gone.code == 0, gone.out
    assert gone.steps("clear-member")[0]["host"] == "node-3"
    assert not any(one["State"]["Running"] for one in inspected(lab, "node-3"))
    assert lab.run("node-3", "ls /var/lib/etcd.removed-*/member/wal").stdout
    assert lab.run("node-3", f"ls {MANIFEST} /var/lib/etcd", check=False).returncode
    workspace.inventory(data={"etcd_timeout": 5})
    joined = workspace.deploy("--accept-no-margin")
    assert [step["host"] for step in joined.steps("promote-member")] == ["node-3"]
    assert workspace.verify().amiss == []
