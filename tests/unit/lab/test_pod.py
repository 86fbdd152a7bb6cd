from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nornir_etcd.lab.host.pod import Pod, PodError, container_config, parse, quantity, sandbox_config
from nornir_etcd.lab.host.worker import Backoff

DATA = Path(__file__).parents[2] / "data/crictl"
SEEN = "2026-11-22T11:33:59.248412071Z"


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "etcd",
            "namespace": "kube-system",
            "labels": {"component": "etcd", "tier": "control-plane"},
        },
        "spec": {"hostNetwork": True, "containers": [{"name": "etcd", "image": "x", "command": ["etcd"]}]} | spec,
    }


def read(data: object, path: str = "/etc/kubernetes/manifests/etcd.yaml", hostname: str = "node-1") -> Pod:
    return parse(yaml.safe_dump(data), path, hostname, SEEN)


def test_what_a_manifest_says_makes_the_pod_not_how_it_is_written() -> None:
    data = manifest()
    assert (
        parse(json.dumps(data), "/a", "n", "now").uid == parse("# new\n" + yaml.safe_dump(data), "/a", "n", "later").uid
    )
    assert read(data).uid != read(manifest(priority=1)).uid
    assert read(data).uid != read(data, path="/etc/kubernetes/manifests/other.yaml").uid
    assert read(data).uid != read(data, hostname="node-2").uid


def test_a_pod_is_asked_for_as_a_kubelet_was_recorded_to_ask() -> None:
    recorded = json.loads((DATA / "inspect.json").read_text(encoding="utf-8"))["info"]["config"]
    mounts = [
        {"name": "d", "mountPath": "/var/lib/etcd"},
        {"name": "p", "mountPath": "/etc/kubernetes/pki", "readOnly": True},
    ]
    container = {"name": "etcd", "image": "x", "command": recorded["command"], "volumeMounts": mounts}
    volumes = [
        {"name": "d", "hostPath": {"path": "/var/lib/etcd"}},
        {"name": "p", "hostPath": {"path": "/etc/kubernetes/pki"}},
    ]
    pod = read(manifest(containers=[container], volumes=volumes, priorityClassName="system-node-critical"))
    found = container_config(pod, container, 0, recorded["image"]["image"], "/log")
    assert found["command"] == recorded["command"]
    assert found["annotations"].keys() == recorded["annotations"].keys()
    assert found["labels"] == recorded["labels"] | {"io.kubernetes.pod.uid": pod.uid}
    assert found["logPath"] == recorded["log_path"]
    assert found["mounts"][:2] == [
        {"containerPath": "/var/lib/etcd", "hostPath": "/var/lib/etcd", "readonly": False},
        {"containerPath": "/etc/kubernetes/pki", "hostPath": "/etc/kubernetes/pki", "readonly": True},
    ]
    assert found["mounts"][2]["hostPath"] == f"/var/lib/kubelet/pods/{pod.uid}/etc-hosts"
    assert found["linux"]["resources"]["cpuShares"] == recorded["linux"]["resources"]["cpu_shares"]
    assert found["linux"]["resources"]["oomScoreAdj"] == recorded["linux"]["resources"]["oom_score_adj"]
    assert found["linux"]["securityContext"]["maskedPaths"] == recorded["linux"]["security_context"]["masked_paths"]


def test_a_sandbox_is_asked_for_as_a_kubelet_was_recorded_to_ask() -> None:
    recorded = json.loads((DATA / "inspectp.json").read_text(encoding="utf-8"))["info"]["config"]
    pod = read(manifest())
    found = sandbox_config(pod, 0, "/lab")
    assert found["labels"] == recorded["labels"] | {"io.kubernetes.pod.uid": pod.uid}
    assert found["annotations"] == recorded["annotations"] | {"kubernetes.io/config.hash": pod.uid}
    assert found["logDirectory"] == f"/var/log/pods/kube-system_etcd-node-1_{pod.uid}"
    assert found["metadata"]["name"] == recorded["metadata"]["name"]


def test_requests_and_security_reach_the_runtime() -> None:
    container = {
        "name": "etcd",
        "image": "x",
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "100Mi", "cpu": "0.5"}},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = read(manifest(containers=[container], securityContext={"seccompProfile": {"type": "RuntimeDefault"}}))
    linux = container_config(pod, container, 2, "sha256:1", "/log")["linux"]
    assert linux["resources"]["cpuShares"] == 102
    assert linux["resources"]["cpuQuota"] == 50_000
    assert linux["resources"]["memoryLimitInBytes"] == 100 * 2**20
    assert linux["securityContext"]["readonlyRootfs"]
    assert linux["securityContext"]["noNewPrivs"]
    assert linux["securityContext"]["capabilities"]["dropCapabilities"] == ["ALL"]
    assert linux["securityContext"]["seccomp"] == {"profileType": "RuntimeDefault"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"kind": "Service"}, "couldn't parse as pod"),
        (["a", "list"], "couldn't parse as pod"),
        ({"kind": "Pod", "spec": {"containers": []}}, "metadata.name and spec.containers"),
        (manifest(hostNetwork=False), "no CNI"),
        (manifest(initContainers=[{"name": "x"}]), "initContainers"),
        (manifest(volumes=[{"name": "e", "emptyDir": {}}]), "hostPath volumes only"),
        (manifest(containers=[{"name": "e", "livenessProbe": {"exec": {}}}]), "by httpGet only"),
    ],
)
def test_what_the_stand_in_cannot_run_it_refuses(data: object, problem: str) -> None:
    with pytest.raises(PodError, match=problem):
        read(data)


def test_a_text_that_is_no_yaml_is_refused_in_one_line() -> None:
    with pytest.raises(PodError, match="couldn't parse as pod") as raised:
        parse("kind: [\n  a\n b", "/a", "n", "now")
    assert "\n" not in str(raised.value)


def test_a_mount_of_an_unknown_volume_is_refused() -> None:
    container = {"name": "etcd", "image": "x", "volumeMounts": [{"name": "nosuch", "mountPath": "/a"}]}
    pod = read(manifest(containers=[container]))
    with pytest.raises(PodError, match="no volume named nosuch"):
        container_config(pod, container, 0, "sha256:1", "/log")


@pytest.mark.parametrize(("text", "value"), [("100m", 0.1), (2, 2.0), ("0.5", 0.5), ("1Ki", 1024), ("2G", 2e9)])
def test_quantities_are_read(text: object, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def test_a_quantity_that_is_none_is_refused() -> None:
    with pytest.raises(PodError, match="quantities must match"):
        quantity("much")


def test_pauses_double_up_to_the_largest() -> None:
    backoff = Backoff(10, 60)
    assert [backoff.pause() for _ in range(5)] == [10, 20, 40, 60, 60]
