"""The lab's crictl answers as a real one (v1.36 with containerd 1.6.20) was recorded to: shapes, words, exit codes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nornir_etcd.lab import Lab
from tests.lab.conftest import need_root, remove_orphans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

pytestmark = pytest.mark.lab

DATA = Path(__file__).parents[1] / "data/crictl"
NODE = "node-1"
REPOSITORY = "registry.ikubeops.local/ikubeops/etcd"
RUNTIME_OWN = {"runtimeSpec", "config", "cniconfig", "labels", "annotations", "masked_paths"}
"""What containerd says of itself and the manifest of its Pod: no shape of crictl's."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    need_root()
    remove_orphans()
    made = Lab(f"test-{os.getpid()}-crictl", hosts=1)
    made.up()
    try:
        yield made
    finally:
        made.down()


def write_pod(lab: Lab, image: str, command: list[str]) -> None:
    mounts = [("data", "/var/lib/etcd", False), ("pki", "/etc/kubernetes/pki", True)]
    container = {
        "name": "etcd",
        "image": image,
        "command": command,
        "volumeMounts": [{"name": name, "mountPath": path, "readOnly": only} for name, path, only in mounts],
    }
    spec = {
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}} for name, path, _ in mounts
        ],
    }
    labels = {"component": "etcd", "tier": "control-plane"}
    metadata = {"name": "etcd", "namespace": "kube-system", "labels": labels}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    lab.wipe(NODE)
    (lab.root(NODE) / "etc/kubernetes/manifests/etcd.yaml").write_text(yaml.safe_dump(pod), encoding="utf-8")


@pytest.fixture
def running(lab: Lab) -> Lab:
    """A host with one healthy etcd, as the recordings of the good case had it; kept from test to test."""
    if lab.run(NODE, "crictl ps -q | grep -q . && etcdctl endpoint health", check=False).returncode != 0:
        write_pod(lab, f"{REPOSITORY}:{lab.versions[-1]}", ["etcd", "--data-dir=/var/lib/etcd"])
        lab.run(NODE, "until etcdctl endpoint health; do sleep 0.2; done", timeout=60)
    return lab


@pytest.fixture
def crashed(lab: Lab) -> Iterator[Lab]:
    write_pod(lab, f"{REPOSITORY}:{lab.versions[-1]}", ["etcd", "--no-such-flag"])
    exited = """crictl ps -a -o json | grep -q '"attempt": 1' && [ -z "$(crictl ps -q)" ]"""
    lab.run(NODE, f"until {exited}; do sleep 0.2; done", timeout=60)
    yield lab
    lab.wipe(NODE)


def crictl(lab: Lab, arguments: str) -> CompletedProcess[str]:
    return lab.run(NODE, f"crictl {arguments}", check=False, timeout=60)


def differences(recorded: Any, found: Any, path: str = "") -> list[str]:
    """Where the found value has other keys or types than the recorded one; of a list the first elements are held."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        missing = [f"{path}.{key}: only in the recording" for key in recorded if key not in found]
        added = [f"{path}.{key}: only found" for key in found if key not in recorded]
        both = [key for key in recorded if key in found and key not in RUNTIME_OWN]
        return (
            missing + added + [line for key in both for line in differences(recorded[key], found[key], f"{path}.{key}")]
        )
    if isinstance(recorded, list) and isinstance(found, list):
        return differences(recorded[0], found[0], f"{path}[0]") if recorded and found else []
    if type(recorded) is not type(found):
        return [f"{path}: recorded {recorded!r}, found {found!r}"]
    if isinstance(recorded, str) and recorded.isdigit() != found.isdigit():
        return [f"{path}: recorded {recorded!r}, found {found!r}"]
    return []


def hold(lab: Lab, arguments: str, name: str) -> Any:
    """Compare one JSON answer with its recording, and give it."""
    found = json.loads(crictl(lab, arguments).stdout)
    assert differences(json.loads((DATA / name).read_text(encoding="utf-8")), found) == []
    return found


def blocks(name: str) -> list[tuple[list[str], int]]:
    """Split a recording of stderr into the lines of each command and its exit code."""
    found: list[tuple[list[str], int]] = []
    lines: list[str] = []
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("rc="):
            found.append((lines, int(line[3:])))
            lines = []
        else:
            lines.append(line)
    return found


def same_words(recorded: list[str], found: str) -> None:
    """Compare lines but for what differs each time: times, process IDs, container IDs, lines of source."""

    def plain(line: str) -> str:
        line = re.sub(r'time="[^"]*"', 'time=""', line)
        line = re.sub(r"^E\d{4} \S+ +\d+ (\w+\.go):\d+\]", r"E \1]", line)
        line = re.sub(r"[0-9a-f]{64}|\b[0-9a-f]{32}\b", "ID", line)
        return re.sub(r":\d+\.\d+\.\d+-\d+|/\d+\.\d+\.\d+-\d+", ":TAG", line)

    assert [plain(line) for line in found.splitlines()] == [plain(line) for line in recorded]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("ps -o json", "ps.json"),
        ("ps -a -o json", "ps-all.json"),
        ("ps -o json --name '^etcd$'", "ps-name-etcd.json"),
        ("ps -o json --name '^etcd$' --label io.kubernetes.container.name=etcd --latest", "ps-name-etcd.json"),
        ("ps -o json --name nosuch", "ps-none.json"),
        ("pods -o json", "pods.json"),
        ("pods -o json --name '^etcd-node-1$' --label component=etcd --state Ready", "pods.json"),
        ("images -o json", "images.json"),
        (f"images -o json {REPOSITORY}", "images.json"),
        ("inspect -o json $(crictl ps -q)", "inspect.json"),
        ("inspect $(crictl ps -q | cut -c1-13)", "inspect.json"),
        ("inspectp -o json $(crictl pods -q)", "inspectp.json"),
        ("inspecti -o json $(crictl images -q | head -n1)", "inspecti.json"),
        ("info", "info.json"),
    ],
)
def test_json_has_the_recorded_shape(running: Lab, arguments: str, name: str) -> None:
    hold(running, arguments, name)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [("inspect $(crictl ps -q)", "inspect.json"), ("inspectp $(crictl pods -q)", "inspectp.json")],
)
def test_the_pod_asks_the_runtime_for_what_a_kubelet_asks_for(running: Lab, arguments: str, name: str) -> None:
    recorded = json.loads((DATA / name).read_text(encoding="utf-8"))["info"]["config"]
    found = json.loads(crictl(running, arguments).stdout)["info"]["config"]
    # The recorded manifest named no seccomp profile; the lab's hosts have no resolver and no user namespaces, and keep
    # their containers below a cgroup of the lab.
    known = ("cgroup_parent", "dns_config", "userns_options", "profile_type")
    assert [line for line in differences(recorded, found) if not any(word in line for word in known)] == []


def test_containers_and_sandboxes_carry_the_recorded_labels_and_annotations(running: Lab) -> None:
    for arguments, name, key in (("ps -o json", "ps.json", "containers"), ("pods -o json", "pods.json", "items")):
        recorded = json.loads((DATA / name).read_text(encoding="utf-8"))[key][0]
        found = json.loads(crictl(running, arguments).stdout)[key][0]
        assert found["labels"].keys() == recorded["labels"].keys()
        assert found["annotations"].keys() == recorded["annotations"].keys()


def test_a_crashed_container_is_shown_as_recorded(crashed: Lab) -> None:
    assert hold(crashed, "ps -o json", "ps-crashed-running-only.json") == {"containers": []}
    found = hold(crashed, "ps -a -o json --latest", "ps-all-crashed.json")
    assert found["containers"][0]["state"] == "CONTAINER_EXITED"
    inspected = hold(crashed, "inspect -o json $(crictl ps -a -q --latest)", "inspect-crashed.json")
    assert inspected["status"]["exitCode"] == 2
    logs = crictl(crashed, "logs --tail 5 $(crictl ps -a -q --latest)")
    assert (logs.returncode, logs.stdout) == (0, "")
    assert "Run the stateless etcd v3 gRPC L7 reverse proxy." in logs.stderr
    table, recorded = (
        crictl(crashed, "ps -a --latest").stdout,
        (DATA / "ps-all-crashed.txt").read_text(encoding="utf-8"),
    )
    assert table.splitlines()[0] == recorded.splitlines()[0]
    assert re.split(r"\s{2,}", table.splitlines()[1])[3:5] == ["Exited", "etcd"]


def test_a_missing_image_is_shown_as_recorded(lab: Lab) -> None:
    write_pod(lab, f"{REPOSITORY}:9.9.9-0", ["etcd"])
    lab.run(NODE, "sed -i '/registry/d' /etc/hosts; : > /var/log/kubelet.log")
    try:
        lab.run(NODE, "until grep -q pod_workers /var/log/kubelet.log; do sleep 0.2; done", timeout=60)
    finally:
        lab.run(NODE, f"echo {lab.registry_address} registry.ikubeops.local >> /etc/hosts")
    assert hold(lab, "ps -a -o json", "ps-image-missing.json") == {"containers": []}
    hold(lab, "pods -o json", "pods-image-missing.json")
    log = lab.run(NODE, "cat /var/log/kubelet.log").stdout.replace("node-1", "node-2")
    same_words((DATA / "kubelet-image-missing.txt").read_text(encoding="utf-8").splitlines(), log)
    lab.wipe(NODE)


def test_commands_that_fail_say_so_in_the_recorded_words(running: Lab) -> None:
    for arguments, (recorded, code) in zip(("inspect", "logs", "exec"), blocks("not-found.txt"), strict=True):
        done = crictl(running, f"{arguments} nosuch{' true' if arguments == 'exec' else ''}")
        same_words(recorded, done.stderr)
        assert (done.returncode, done.stdout) == (code, "")
    # Recorded: the exit code of a shell that is not there, its words, then an etcdctl that fails.
    (_, code), ((shell, *health), health_code) = blocks("exec-failure.txt")
    done = crictl(running, "exec $(crictl ps -q) sh")
    same_words([shell], done.stderr)
    assert done.returncode == code
    refused = "--endpoints=127.0.0.1:9 --command-timeout=1s"
    done = crictl(running, f"exec $(crictl ps -q) etcdctl {refused} endpoint health")
    same_words(health[-2:], "\n".join(done.stderr.splitlines()[-2:]))
    assert done.returncode == health_code


def test_pulls_without_a_registry_fail_in_the_recorded_words(running: Lab) -> None:
    running.run(NODE, "sed -i '/registry/d' /etc/hosts")
    try:
        for name, tag in (("pull-failure.txt", "9.9.9-0"), ("pull-present-unreachable.txt", running.versions[-1])):
            ((recorded, code),) = blocks(name)
            done = crictl(running, f"pull {REPOSITORY}:{tag}")
            same_words(recorded, done.stderr)
            assert (done.returncode, done.stdout) == (code, "")
    finally:
        running.run(NODE, f"echo {running.registry_address} registry.ikubeops.local >> /etc/hosts")


def test_logs_are_parted_into_their_streams_and_cut_to_the_tail(running: Lab) -> None:
    done = crictl(running, "logs --tail 3 $(crictl ps -q)")
    recorded = (DATA / "logs-stderr.txt").read_text(encoding="utf-8").splitlines()[0]
    assert done.stdout == (DATA / "logs-stdout.txt").read_text(encoding="utf-8") == ""
    assert len(done.stderr.splitlines()) == 3
    assert {"level", "ts", "caller", "msg"} <= json.loads(done.stderr.splitlines()[0]).keys() & json.loads(
        recorded
    ).keys()
    assert len(crictl(running, "logs $(crictl ps -q)").stderr.splitlines()) > 10


def test_exec_gives_the_commands_output(running: Lab) -> None:
    done = crictl(running, "exec $(crictl ps -q) etcdctl version")
    assert done.stdout.startswith(f"etcdctl version: {running.versions[-1].removesuffix('-0')}\n")
    assert (done.returncode, done.stderr) == (0, "")


def test_version_and_tables_are_laid_out_as_recorded(running: Lab) -> None:
    recorded = (DATA / "version.txt").read_text(encoding="utf-8").splitlines()
    found = crictl(running, "version").stdout.splitlines()
    assert [line.partition(":  ")[0] for line in found] == [line.partition(":  ")[0] for line in recorded]
    table = (DATA / "images.txt").read_text(encoding="utf-8").splitlines()
    assert crictl(running, "images").stdout.splitlines()[0] == table[0]


def test_only_root_reaches_the_runtime(running: Lab) -> None:
    # The capability lets Python be read where it lies in root's home; it opens no socket.
    drop = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    read = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
    done = running.run(NODE, f"{drop} {read} crictl ps -q", check=False)
    recorded, code = blocks("non-root.txt")[0]
    same_words(recorded, done.stderr)
    assert done.returncode == code


def test_a_runtime_that_is_down_is_said_in_the_recorded_words(lab: Lab) -> None:
    lab.run(NODE, "pkill -KILL -x containerd && while pgrep -x containerd; do sleep 0.05; done")
    lab.run(NODE, "rm /run/containerd/containerd.sock")
    try:
        ((recorded, code),) = blocks("runtime-down.txt")
        for arguments in ("ps -o json", "version", "pull x", "inspect x"):
            done = crictl(lab, arguments)
            same_words(recorded, done.stderr)
            assert (done.returncode, done.stdout) == (code, "")
    finally:
        lab.kill(NODE)
        lab.start(NODE)
