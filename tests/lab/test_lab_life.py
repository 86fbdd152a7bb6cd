"""A lab's life: made, reached, switched off and on, removed without a trace, cleaned after a kill."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab import Lab, LabError, network, processes
from nornir_etcd.lab.state import DISKS, STATE

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

SPACES = ("net", "mnt", "pid", "uts", "ipc")


@pytest.fixture
def other(lab: Lab) -> Iterator[Lab]:
    """A second, small lab, which a test may take down itself."""
    made = Lab(f"{lab.name}-other", hosts=1)
    try:
        yield made
    finally:
        made.down()


def index_of(lab: Lab) -> int:
    return int(lab.registry_address.split(".")[2])


def namespaces(lab: Lab) -> set[str]:
    pids = ["self", *processes.marked(lab.name)]
    own, *others = [{str(Path(f"/proc/{pid}/ns/{space}").readlink()) for space in SPACES} for pid in pids]
    return set().union(*others) - own


def in_use(wanted: set[str]) -> set[str]:
    """Namespaces that a process is still in; a zombie, which the machine's init has not reaped yet, does not count."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if "\nState:\tZ" not in (process / "status").read_text(encoding="utf-8"):
                found |= {str(entry.readlink()) for entry in (process / "ns").iterdir()}
    return found & wanted


def traces(name: str, index: int) -> list[str]:
    """All that a lab may have left on the machine."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [
        *(f"process {pid}" for pid in processes.marked(name)),
        *(f"mount {line}" for line in mounts if f"nornir-etcd-lab/{name}/" in line),
        *(f"link {link}" for link in network.links() if link == f"nel{index}" or link.startswith(f"nel{index}-")),
        *(f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"**/nornir-etcd-lab/{name}")),
        *(f"directory {path}" for path in (STATE / name, DISKS / name) if path.exists()),
    ]


def start_pod(lab: Lab, node: str) -> None:
    manifest = f"""
apiVersion: v1
kind: Pod
metadata: {{name: etcd, namespace: kube-system}}
spec:
  hostNetwork: true
  containers:
  - name: etcd
    image: registry.ikubeops.local/ikubeops/etcd:{lab.versions[-1]}
    command: [etcd, --data-dir=/var/lib/etcd]
    volumeMounts: [{{name: data, mountPath: /var/lib/etcd}}]
  volumes: [{{name: data, hostPath: {{path: /var/lib/etcd, type: DirectoryOrCreate}}}}]
"""
    (lab.root(node) / "etc/kubernetes/manifests/etcd.yaml").write_text(manifest, encoding="utf-8")
    lab.run(node, "until crictl ps -q | grep -q .; do sleep 0.2; done", timeout=60)


def test_down_leaves_nothing(other: Lab) -> None:
    other.up()
    start_pod(other, "node-1")
    index, spaces = index_of(other), namespaces(other)
    assert len(spaces) == 2 * len(SPACES)
    assert any(line.startswith("cgroup") for line in traces(other.name, index))
    other.down()
    assert traces(other.name, index) == []
    assert in_use(spaces) == set()


def test_down_of_what_is_not_there_is_no_error(other: Lab) -> None:
    other.down()
    other.down()


@pytest.mark.parametrize("after", [0.0, 0.3, 0.6])
def test_an_up_that_was_killed_is_cleaned_by_the_next_up_and_by_down(other: Lab, after: float) -> None:
    program = f"from nornir_etcd.lab import Lab; Lab({other.name!r}).up()"
    for clean in (other.up, other.down):
        process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)  # noqa: S603 - ourselves
        deadline = time.monotonic() + 30
        while not (STATE / other.name / "lab.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(after)
        index = index_of(other)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
        clean()
        if clean == other.up:
            assert other.run("node-1", "crictl version").returncode == 0
            assert len(other.nodes) == 1
        else:
            assert traces(other.name, index) == []


def test_two_labs_are_up_at_once_and_apart(lab: Lab, other: Lab) -> None:
    other.up()
    assert {node.address for node in lab.nodes}.isdisjoint(node.address for node in other.nodes)
    assert other.run("node-1", "hostname").stdout == "node-1\n"
    assert lab.run("node-1", "hostname").stdout == "node-1\n"
    probe = f"exec 3<>/dev/tcp/{lab.nodes[0].address}/22"
    assert other.run("node-1", f"timeout 2 bash -c '{probe}'", check=False).returncode != 0
    other.down()
    assert lab.run("node-1", "crictl version").returncode == 0


def ssh(lab: Lab, known_hosts: Path, command: str, address: str) -> subprocess.CompletedProcess[str]:
    options = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={known_hosts}", "BatchMode=yes", "ConnectTimeout=5"]
    words = [word for option in options for word in ("-o", option)]
    return subprocess.run(  # noqa: S603 - a fixed command
        ["/usr/bin/ssh", "-i", str(lab.key_file), *words, f"root@{address}", command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ssh_with_strict_host_keys_works_over_every_address(lab: Lab) -> None:
    for node in lab.nodes:
        for address in filter(None, (node.address, node.address6)):
            done = ssh(lab, lab.known_hosts, "hostname; command -v crictl etcdctl", address)
            assert done.stdout.splitlines() == [node.name, "/usr/local/bin/crictl", "/usr/local/bin/etcdctl"], (
                done.stderr
            )


def test_ssh_refuses_a_host_whose_key_is_another(lab: Lab, tmp_path: Path) -> None:
    first, second = lab.nodes[0].address, lab.nodes[1].address
    line = next(line for line in lab.known_hosts.read_text().splitlines() if line.startswith(f"{second},"))
    (tmp_path / "known_hosts").write_text(f"{first} {line.partition(' ')[2]}\n")
    assert "Host key verification failed" in ssh(lab, tmp_path / "known_hosts", "true", first).stderr


def test_hosts_know_each_other_by_name(lab: Lab) -> None:
    for node in lab.nodes:
        for peer in lab.nodes:
            found = lab.run(node.name, f"getent ahosts {peer.name}").stdout
            assert peer.address in found
            assert peer.address6 in found


def test_nothing_of_a_lab_listens_outside_its_own_network(lab: Lab) -> None:
    machine = Path("/proc/self/ns/net").readlink()
    inside = [Path(f"/proc/{pid}/ns/net").readlink() for pid in processes.marked(lab.name)]
    assert inside
    assert machine not in inside


def test_a_host_pulls_from_the_registry_over_tls(fresh_lab: Lab) -> None:
    image = f"registry.ikubeops.local/ikubeops/etcd:{fresh_lab.versions[0]}"
    assert "Image is up to date for sha256:" in fresh_lab.run("node-2", f"crictl pull {image}", timeout=120).stdout
    fresh_lab.run("node-2", "mv /etc/containerd/certs.d /etc/containerd/certs.off")
    try:
        refused = fresh_lab.run("node-2", f"crictl pull {image}", check=False)
        assert refused.returncode == 1
        assert "certificate signed by unknown authority" in refused.stderr
    finally:
        fresh_lab.run("node-2", "mv /etc/containerd/certs.off /etc/containerd/certs.d")


def test_the_registry_can_be_switched_off(fresh_lab: Lab) -> None:
    fresh_lab.kill("registry")
    try:
        pull = "crictl pull registry.ikubeops.local/ikubeops/etcd:0.0.0-0"
        refused = fresh_lab.run("node-1", pull, check=False, timeout=60)
        assert "failed to do request" in refused.stderr
    finally:
        fresh_lab.start("registry")


def test_a_killed_host_is_gone_and_comes_back_with_its_disk(fresh_lab: Lab) -> None:
    start_pod(fresh_lab, "node-3")
    fresh_lab.run("node-3", "echo kept > /etc/kubernetes/kept; touch /run/lost")
    fresh_lab.kill("node-3")
    assert not fresh_lab.is_running("node-3")
    with pytest.raises(OSError), socket.create_connection((fresh_lab.nodes[2].address, 22), timeout=1):  # noqa: PT011 - refused, unreachable or no answer
        pass
    with pytest.raises(LabError, match="not running"):
        fresh_lab.run("node-3", "true")
    fresh_lab.start("node-3")
    assert fresh_lab.run("node-3", "cat /etc/kubernetes/kept; ls /run/lost", check=False).stdout == "kept\n"
    fresh_lab.run("node-3", "until crictl ps -q | grep -q .; do sleep 0.2; done", timeout=60)
    restarts = fresh_lab.run("node-3", "crictl ps -o json | grep restartCount").stdout
    assert '"1"' in restarts


def test_what_a_host_writes_stays_in_the_host(lab: Lab) -> None:
    for place in ("/etc", "/root", "/opt", "/tmp", "/usr/local/bin", "/var/lib", "/var/log", "/run"):  # noqa: S108 - a directory of the host
        lab.run("node-1", f"echo x > {place}/nornir-etcd-lab-probe")
        assert not Path(place, "nornir-etcd-lab-probe").exists()
        lab.run("node-1", f"rm {place}/nornir-etcd-lab-probe")


def test_a_wiped_host_is_as_new(fresh_lab: Lab) -> None:
    start_pod(fresh_lab, "node-1")
    fresh_lab.run(
        "node-1", "mkdir -p /etc/kubernetes/pki; touch /etc/kubernetes/pki/ca.pem /etc/kubernetes/manifests/.x"
    )
    fresh_lab.wipe("node-1")
    listed = "ls -A /etc/kubernetes /etc/kubernetes/manifests /var/log/pods; stat -c %a /etc/kubernetes/manifests"
    assert fresh_lab.run("node-1", listed).stdout.split() == [
        "/etc/kubernetes:",
        "manifests",
        "/etc/kubernetes/manifests:",
        "/var/log/pods:",
        "700",
    ]
    assert fresh_lab.run("node-1", "crictl ps -aq; crictl pods -q; ls -d /var/lib/etcd", check=False).stdout == ""


def test_a_command_that_hangs_is_ended_in_the_host(lab: Lab) -> None:
    assert lab.run("node-1", "sleep 987", check=False, timeout=1).returncode == 124
    assert lab.run("node-1", "pgrep -f '[s]leep 987'", check=False).stdout == ""


def test_every_error_is_one_line_that_names_the_lab(lab: Lab) -> None:
    with pytest.raises(LabError, match=rf"lab {lab.name}: node-9: no such host; it has node-1, node-2"):
        lab.run("node-9", "true")
    with pytest.raises(LabError, match="lab nosuch: not up"):
        _ = Lab("nosuch").nodes
    with pytest.raises(LabError, match="delay '7s': wanted seconds"):
        Lab("x", delay="7s")
    with pytest.raises(LabError, match="name 'A b'"):
        Lab("A b")


def test_preload_puts_every_image_on_the_hosts(lab: Lab, other: Lab) -> None:
    preloaded = Lab(other.name, hosts=1, preload=True)
    preloaded.up()
    images = preloaded.run("node-1", "crictl images -o json").stdout
    assert [tag for tag in lab.versions if f"registry.ikubeops.local/ikubeops/etcd:{tag}" not in images] == []
    preloaded.kill("registry")
    start_pod(preloaded, "node-1")


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    program = "from nornir_etcd.lab.cli import app; app()"
    return subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=90, check=False
    )


def test_the_commands_work_and_leave_no_pipe_open(other: Lab) -> None:
    # That this returns at all shows that the hosts hold neither stdout nor stderr.
    made = cli("up", "--name", other.name, "--hosts", "1", "--delay", "7-17")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith(f"lab {other.name}: 1 hosts up in ")
    assert f"lab {other.name}: registry.ikubeops.local at {other.registry_address}" in cli("status").stdout
    told = cli("ssh", "--name", other.name, "node-1", "--", "cat", "/etc/hostname", "/var/lib/kubelet/lab-delay")
    assert told.stdout == "node-1\n7-17\n"
    assert cli("ssh", "--name", other.name, "node-1", "--", "exit", "7").returncode == 7
    assert cli("down", "--name", other.name).stdout == f"lab {other.name}: gone\n"
    assert other.name not in cli("status").stdout
