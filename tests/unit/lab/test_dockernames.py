"""The lab's cri-dockerd names, labels and limits as the real one does."""

from __future__ import annotations

from typing import Any

import pytest

from nornir_etcd.lab.host import dockernames
from nornir_etcd.lab.host.client import RuntimeCallError
from nornir_etcd.lab.host.docker import Docker
from nornir_etcd.lab.host.pod import Pod, container_config, parse, sandbox_config

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: etcd, namespace: kube-system, labels: {component: etcd}}
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  securityContext: {seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: etcd
    image: registry.example/etcd:1
    command: [etcd, --data-dir=/var/lib/etcd]
    env: [{name: A, value: b}]
    resources: {requests: {cpu: 100m}, limits: {memory: 100Mi}}
    securityContext: {capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false, runAsUser: 5, runAsGroup: 6}
    volumeMounts: [{name: data, mountPath: /var/lib/etcd}, {name: certs, mountPath: /certs, readOnly: true}]
  volumes:
  - {name: data, hostPath: {path: /data}}
  - {name: certs, hostPath: {path: /pki}}
"""


@pytest.fixture
def pod() -> Pod:
    return parse(MANIFEST, "/etc/kubernetes/manifests/etcd.yaml", "node-1", "2026-11-26T00:00:00Z")


def bodies(pod: Pod, floor: int = -1000) -> tuple[dict[str, Any], dict[str, Any]]:
    sandbox = sandbox_config(pod, 2, "/lab/node-1")
    container = container_config(pod, pod.containers[0], 3, "sha256:1", "/tmp/log")  # noqa: S108 - a path in a body
    return (
        dockernames.sandbox_body(sandbox, "pause:1", floor),
        dockernames.container_body("0123", sandbox, container, floor),
    )


def test_names_are_a_kubelets(pod: Pod) -> None:
    sandbox = sandbox_config(pod, 2, "/")
    container = container_config(pod, pod.containers[0], 3, "sha256:1", "/x")
    assert dockernames.sandbox_name(sandbox) == f"k8s_POD_etcd-node-1_kube-system_{pod.uid}_2"
    assert dockernames.container_name(sandbox, container) == f"k8s_etcd_etcd-node-1_kube-system_{pod.uid}_3"


def test_labels_hold_the_kubelets_labels_and_annotations_and_are_read_again(pod: Pod) -> None:
    sandbox, container = bodies(pod)
    assert sandbox["Labels"]["io.kubernetes.docker.type"] == "podsandbox"
    assert sandbox["Labels"]["component"] == "etcd"
    labels = container["Labels"]
    assert labels["io.kubernetes.container.name"] == "etcd"
    assert labels["io.kubernetes.pod.name"] == "etcd-node-1"
    assert labels["io.kubernetes.sandbox.id"] == "0123"
    assert labels["annotation.io.kubernetes.container.restartCount"] == "3"
    name = f"/k8s_etcd_etcd-node-1_kube-system_{pod.uid}_3"
    entry = {"Id": "4567", "Names": [name], "Image": "sha256:1", "ImageID": "sha256:1", "Created": 7}
    found = dockernames.read_container(entry | {"Status": "Up 2 minutes (Paused)", "Labels": labels})
    assert found["metadata"] == {"name": "etcd", "attempt": 3}
    assert (found["podSandboxId"], found["state"], found["createdAt"]) == ("0123", "CONTAINER_RUNNING", "7000000000")
    assert found["labels"] == {
        "io.kubernetes.container.name": "etcd",
        "io.kubernetes.pod.name": "etcd-node-1",
        "io.kubernetes.pod.namespace": "kube-system",
        "io.kubernetes.pod.uid": pod.uid,
    }
    assert found["annotations"]["io.kubernetes.container.restartCount"] == "3"
    dead = dockernames.read_container(entry | {"Status": "Dead", "Labels": labels})
    assert dead["state"] == "CONTAINER_UNKNOWN"


def test_a_container_gets_what_the_manifest_says(pod: Pod) -> None:
    sandbox, container = bodies(pod)
    host = container["HostConfig"]
    assert (container["Entrypoint"], container["Cmd"]) == (["etcd", "--data-dir=/var/lib/etcd"], None)
    assert (container["Env"], container["User"], container["Image"]) == (["A=b"], "5:6", "sha256:1")
    assert host["Binds"][:2] == ["/data:/var/lib/etcd", "/pki:/certs:ro"]
    assert (host["NetworkMode"], host["IpcMode"]) == ("container:0123", "container:0123")
    assert sandbox["HostConfig"]["NetworkMode"] == "host"
    assert host["CgroupParent"] == sandbox["HostConfig"]["CgroupParent"] == "/lab/node-1"
    assert (host["CpuShares"], host["Memory"], host["CapDrop"]) == (102, 100 * 2**20, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"], "RuntimeDefault is Docker's own profile"


@pytest.mark.parametrize(("floor", "scores"), [(-1000, (-998, -997)), (0, (0, 0))])
def test_an_oom_score_is_no_lower_than_the_host_may_set(pod: Pod, floor: int, scores: tuple[int, int]) -> None:
    assert tuple(body["HostConfig"]["OomScoreAdj"] for body in bodies(pod, floor)) == scores


def test_a_docker_that_is_not_there_is_said_so(tmp_path: Any) -> None:
    with pytest.raises(RuntimeCallError, match="Cannot connect to the Docker daemon"):
        Docker(str(tmp_path / "nosuch.sock")).call("GET", "/version")
