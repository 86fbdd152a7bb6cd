"""The stand-in for the kubelet does with static Pods what a real one was seen to do."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODE = "node-1"
PATIENCE = 40
SERVE = ["etcd", "--data-dir=/var/lib/etcd", "--listen-metrics-urls=http://127.0.0.1:2381"]


class Host:
    """A fresh host and its one static Pod."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.manifests: Path = lab.root(NODE) / "etc/kubernetes/manifests"

    def pod(
        self, command: list[str] = SERVE, kind: str = "DirectoryOrCreate", container: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        image = f"registry.ikubeops.local/ikubeops/etcd:{self.lab.versions[-1]}"
        mounts = [{"name": "data", "mountPath": "/var/lib/etcd"}]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "etcd", "namespace": "kube-system", "labels": {"component": "etcd"}},
            "spec": {
                "hostNetwork": True,
                "terminationGracePeriodSeconds": 5,
                "containers": [
                    {"name": "etcd", "image": image, "command": command, "volumeMounts": mounts} | (container or {}),
                ],
                "volumes": [{"name": "data", "hostPath": {"path": "/var/lib/etcd", "type": kind}}],
            },
        }

    def write(self, pod: dict[str, Any], name: str = "etcd.yaml", comment: str = "") -> None:
        staged = self.manifests.parent / "staged"
        staged.write_text(yaml.safe_dump(pod) + comment, encoding="utf-8")
        staged.rename(self.manifests / name)

    def containers(self, *flags: str) -> list[dict[str, Any]]:
        printed = self.lab.run(NODE, f"crictl ps -o json {' '.join(flags)}").stdout
        found: list[dict[str, Any]] = json.loads(printed)["containers"]
        return found

    def running(self) -> dict[str, Any]:
        """Wait for the one running container."""
        found: dict[str, Any] = self.until(lambda: next(iter(self.containers()), None))
        return found

    def sandboxes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.lab.run(NODE, "crictl pods -o json").stdout)["items"]
        return found

    def log(self) -> str:
        return self.lab.run(NODE, "cat /var/log/kubelet.log").stdout

    def until(self, found: Callable[[], Any], patience: float = PATIENCE) -> Any:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            value = found()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"not so within {patience} s; kubelet: {self.log()[-2000:]}")


@pytest.fixture
def host(fresh_lab: Lab) -> Host:
    fresh_lab.run(NODE, ": > /var/log/kubelet.log")
    return Host(fresh_lab)


def test_a_pod_is_named_and_labelled_as_the_kubelet_does_it(host: Host) -> None:
    host.write(host.pod())
    container = host.running()
    assert container["metadata"] == {"name": "etcd", "attempt": 0}
    assert container["labels"]["io.kubernetes.pod.name"] == "etcd-node-1"
    assert container["labels"]["io.kubernetes.pod.namespace"] == "kube-system"
    uid = container["labels"]["io.kubernetes.pod.uid"]
    (sandbox,) = host.sandboxes()
    assert sandbox["labels"]["component"] == "etcd"
    assert sandbox["metadata"] == {"name": "etcd-node-1", "uid": uid, "namespace": "kube-system", "attempt": 0}
    log = f"/var/log/pods/kube-system_etcd-node-1_{uid}/etcd/0.log"
    host.until(lambda: " stderr F " in host.lab.run(NODE, f"cat {log}", check=False).stdout)


def test_a_changed_manifest_replaces_the_container(host: Host) -> None:
    host.write(host.pod())
    old = host.running()
    host.lab.run(NODE, "until etcdctl endpoint health; do sleep 0.2; done", timeout=PATIENCE)
    host.write(host.pod([*SERVE, "--snapshot-count=5000"]))
    new = host.until(lambda: next((one for one in host.containers() if one["id"] != old["id"]), None))
    assert new["annotations"]["io.kubernetes.container.restartCount"] == "0"
    assert new["labels"]["io.kubernetes.pod.uid"] != old["labels"]["io.kubernetes.pod.uid"]
    assert {one["id"]: one["state"] for one in host.containers("-a")}[old["id"]] == "CONTAINER_EXITED"
    # It was asked to stop, not killed.
    assert "received signal; shutting down" in host.lab.run(NODE, f"crictl logs {old['id']} 2>&1").stdout


def test_the_same_content_written_again_restarts_nothing(host: Host) -> None:
    host.write(host.pod())
    old = host.running()
    host.write(host.pod())
    time.sleep(1)
    host.write(host.pod(), comment="# only a comment\n")
    time.sleep(2)
    assert [one["id"] for one in host.containers("-a")] == [old["id"]]


def test_a_changed_manifest_takes_the_delay_that_is_set(host: Host) -> None:
    host.lab.set_delay("4-4.5")
    host.write(host.pod())
    old = host.running()
    changed = time.monotonic()
    host.write(host.pod([*SERVE, "--snapshot-count=5000"]))
    host.until(lambda: not host.containers())
    assert time.monotonic() - changed < 4
    host.until(lambda: [one for one in host.containers() if one["id"] != old["id"]])
    assert time.monotonic() - changed > 4


def test_a_removed_manifest_stops_the_pod(host: Host) -> None:
    host.write(host.pod())
    host.running()
    (host.manifests / "etcd.yaml").unlink()
    host.until(lambda: not host.containers())
    host.until(lambda: [one["state"] for one in host.sandboxes()] == ["SANDBOX_NOTREADY"])


def test_every_file_but_dot_files_is_a_pod(host: Host) -> None:
    host.write(host.pod(), name=".etcd.yaml")
    time.sleep(1.5)
    assert host.containers("-a") == []
    host.write(host.pod(), name="etcd.yaml.bak")
    assert host.running()


def test_a_crash_is_restarted_once_at_once_and_then_with_back_off(host: Host) -> None:
    host.write(host.pod(["etcd", "--no-such-flag"]))
    host.until(lambda: [one for one in host.containers("-a") if one["metadata"]["attempt"] == 1])
    crashed = time.monotonic()
    host.until(lambda: "back-off 10s restarting failed container=etcd pod=etcd-node-1_kube-system(" in host.log())
    assert host.containers() == []
    (first, second) = [one["metadata"]["attempt"] for one in host.containers("-a")]
    assert (first, second) == (1, 0)
    host.until(lambda: host.containers("-a")[0]["metadata"]["attempt"] == 2)
    assert time.monotonic() - crashed > 8
    assert (
        "flag provided but not defined: -no-such-flag"
        in host.lab.run(NODE, "crictl logs $(crictl ps -aq --latest) 2>&1").stdout
    )


def test_a_missing_directory_keeps_the_pod_from_starting_until_it_is_there(host: Host) -> None:
    host.write(host.pod(kind="Directory"))
    complaint = "hostPath type check failed: /var/lib/etcd is not a directory"
    host.until(lambda: complaint in host.log())
    assert host.sandboxes() == []
    host.lab.run(NODE, "mkdir /var/lib/etcd")
    assert host.running()


@pytest.mark.parametrize("kind", ["livenessProbe", "startupProbe"])
def test_a_container_that_fails_its_probe_is_restarted(host: Host, kind: str) -> None:
    probe = {"httpGet": {"host": "127.0.0.1", "port": 2399, "path": "/"}, "periodSeconds": 1, "failureThreshold": 2}
    host.write(host.pod(container={kind: probe}))
    assert host.running()["metadata"]["attempt"] == 0
    host.until(lambda: [one for one in host.containers() if one["metadata"]["attempt"] == 1])
    word = "liveness" if kind == "livenessProbe" else "startup"
    assert f"Container etcd failed {word} probe, will be restarted" in host.log()


def test_liveness_waits_for_startup_and_a_live_container_is_left_alone(host: Host) -> None:
    alive = {"httpGet": {"host": "127.0.0.1", "port": 2381, "path": "/health"}, "periodSeconds": 1}
    probes = {"startupProbe": alive | {"failureThreshold": 30}, "livenessProbe": alive, "readinessProbe": alive}
    host.write(host.pod(container=probes))
    old = host.running()
    time.sleep(5)
    assert [one["id"] for one in host.containers("-a")] == [old["id"]]


def test_an_image_that_cannot_be_pulled_leaves_a_sandbox_without_a_container(host: Host) -> None:
    host.write(host.pod(container={"image": "registry.ikubeops.local/ikubeops/etcd:9.9.9-0"}))
    host.until(lambda: "ErrImagePull" in host.log())
    assert [one["state"] for one in host.sandboxes()] == ["SANDBOX_READY"]
    assert host.containers("-a") == []


def test_a_pod_is_back_when_only_its_kubelet_was_away(host: Host) -> None:
    host.write(host.pod())
    old = host.running()
    command = "tr '\\0' '\\n' < /proc/$(pgrep -x kubelet)/cmdline"
    # The interpreter and its flag come first; started by its own name it is again known by it.
    argv = host.lab.run(NODE, command).stdout.split()[2:]
    host.lab.run(NODE, "pkill -KILL -x kubelet")
    host.lab.run(NODE, f"setsid {' '.join(argv)} >> /var/log/kubelet.log 2>&1 < /dev/null &")
    time.sleep(2)
    assert [one["id"] for one in host.containers("-a")] == [old["id"]]
    (host.manifests / "etcd.yaml").unlink()
    host.until(lambda: not host.containers())


def test_the_kubelet_shows_its_static_pod_path(host: Host) -> None:
    command = "tr '\\0' '\\n' < /proc/$(pgrep -x kubelet)/cmdline | sed -n 's/^--config=//p' | xargs cat"
    assert yaml.safe_load(host.lab.run(NODE, command).stdout)["staticPodPath"] == "/etc/kubernetes/manifests"


def test_a_file_that_is_no_pod_is_said_once_and_harms_no_other(host: Host) -> None:
    (host.manifests / "notes.txt").write_text("kind: [", encoding="utf-8")
    pod = host.pod() | {"metadata": {"name": "other"}}
    pod["spec"] = pod["spec"] | {"hostNetwork": False}
    host.write(pod, name="other.yaml")
    host.write(host.pod())
    assert host.running()
    time.sleep(1)
    assert host.log().count("notes.txt") == 1
    assert host.log().count("only hostNetwork Pods run") == 1
