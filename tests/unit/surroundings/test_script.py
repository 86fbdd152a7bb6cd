"""What preflight wants to know, read by real shells on this machine; where a host of the lab is needed, the lab's tests
go the real road."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.observation import Manifests, Surroundings, Unknown
from nornir_etcd.surroundings.script import TOOLS as NEEDED
from tests.unit.test_survey import IMAGE, SHELLS, Tree
from tests.unit.test_survey import TOOLS as SURVEYED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = ("df", "grep", "sed", "timeout", "tr")
LISTENS, SILENT = "127.77.0.1", "127.77.0.2"


@pytest.fixture(params=SHELLS)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    probe = ("nc",) if request.param == "busybox" else ("bash",)
    tools = {*SURVEYED, *NEEDED, *OWN, *probe}
    return Tree(tmp_path, shell=request.param, tools=tools, peers=[SILENT])


def surroundings(tree: Tree) -> Surroundings:
    found = tree.survey().surroundings
    assert isinstance(found, Surroundings)
    return found


@contextmanager
def listening(address: str, port: int) -> Iterator[None]:
    with socket.create_server((address, port)):
        yield


@contextmanager
def kubelet(tree: Tree, *arguments: str) -> Iterator[int]:
    """Run a process that is called kubelet, as the lab's stand-in is: a script."""
    program = tree.root / "kubelet"
    program.write_text("#!/bin/sh\necho\nread never\n")
    program.chmod(0o755)
    with subprocess.Popen([str(program), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - made here
        assert process.stdin
        assert process.stdout
        process.stdout.readline()  # it is what it is called by now
        yield process.pid
        process.stdin.close()


def verdict(tree: Tree, pid: int) -> tuple[str, str, str]:
    kubelets = surroundings(tree).kubelets
    assert not isinstance(kubelets, Unknown)
    (found,) = (one for one in kubelets if one.pid == pid)
    return found.verdict, found.source, found.path


def test_a_host_without_faults_is_read_whole(tree: Tree) -> None:
    tree.deploy()
    seen = surroundings(tree)
    assert seen.missing_tools == ()
    assert seen.runtime in {"containerd", None}, "None: an etcd of another test runs on this machine"
    assert not isinstance(seen.sockets, Unknown)
    assert not isinstance(seen.digests, Unknown)
    assert IMAGE in seen.digests["registry.ikubeops.local/ikubeops/etcd:3.5.16-0"]
    assert seen.manifests == Manifests((), ())
    assert not isinstance(seen.kubelets, Unknown)
    assert not isinstance(seen.listeners, Unknown)
    assert not isinstance(seen.volumes, Unknown)
    assert set(seen.volumes) == set(tree.paths.volumes)
    assert all(volume.writable and volume.free > 0 for volume in seen.volumes.values())
    assert not isinstance(seen.offset, Unknown)
    assert seen.offset.low <= 0 <= seen.offset.high
    assert seen.peers == {SILENT: "refused"}


def test_nothing_of_it_is_read_where_nothing_is_asked(tree: Tree) -> None:
    tree.peers = None
    assert isinstance(tree.survey().surroundings, Unknown)


@pytest.mark.parametrize("tool", ["stat", "sha256sum", "readlink", "od", "dd", "mv"])
def test_a_tool_that_is_missing_is_named(tool: str, tree: Tree) -> None:
    tree.tools = [name for name in tree.tools if name != tool]
    if tree.shell == "busybox":
        pytest.skip("this busybox finds its applets without a name in PATH")
    missing = surroundings(tree).missing_tools
    assert not isinstance(missing, Unknown)
    assert tool in missing


def test_a_runtime_that_is_missing_is_named(tree: Tree) -> None:
    tree.crictl = False
    assert "crictl" in (seen := surroundings(tree)).missing_tools  # type: ignore[operator]  # it is known
    assert isinstance(seen.digests, Unknown)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("kind: KubeletConfiguration\nstaticPodPath: {}\n", "same"),
        ("staticPodPath: {}/   # where they are\nmaxPods: 5\n", "same"),
        ('staticPodPath: "{}"', "same"),
        ("'staticPodPath' : '{}'\n", "same"),
        ('{{"kind": "KubeletConfiguration", "staticPodPath": "{}", "maxPods": 5}}', "same"),
        ("# staticPodPath: {}\nstaticPodPath: /elsewhere\n", "other"),
        ("#staticPodPath: {}\nkind: KubeletConfiguration\n", "unset"),
        ("kind: KubeletConfiguration\n", "unset"),
        ('staticPodPath: ""\n# {}', "unset"),
    ],
)
def test_the_kubelets_folder_is_read_from_its_configuration(config: str, path: str, tree: Tree) -> None:
    file = tree.root / "config.yaml"
    file.write_text(config.format(tree.paths.manifests))
    with kubelet(tree, "--v=2", "--config", str(file), "--cgroup-root=/x") as pid:
        assert verdict(tree, pid)[:2] == (path, str(file))
    with kubelet(tree, f"--config={file}") as pid:
        assert verdict(tree, pid)[:2] == (path, str(file))


def test_a_flag_of_the_kubelet_is_above_its_configuration(tree: Tree) -> None:
    file = tree.root / "config.yaml"
    file.write_text(f"staticPodPath: {tree.paths.manifests}\n")
    with kubelet(tree, f"--config={file}", "--pod-manifest-path=/elsewhere") as pid:
        assert verdict(tree, pid) == ("other", "--pod-manifest-path", "/elsewhere")


def test_drop_ins_are_above_the_configuration_and_the_last_one_counts(tree: Tree) -> None:
    file, folder = tree.root / "config.yaml", tree.root / "drop"
    file.write_text("staticPodPath: /elsewhere\n")
    folder.mkdir()
    (folder / "10.conf").write_text("staticPodPath: /nowhere\n")
    (folder / "20.conf").write_text(f"staticPodPath: {tree.paths.manifests}\n")
    with kubelet(tree, f"--config={file}", f"--config-dir={folder}") as pid:
        assert verdict(tree, pid)[0] == "same"


def test_the_folder_is_the_same_by_whatever_link_it_is_reached(tree: Tree) -> None:
    tree.deploy()
    tree.link(f"{tree.root}/kube", "kubernetes")
    file = tree.root / "config.yaml"
    file.write_text("staticPodPath: kube/manifests\n")  # relative to the file that says it
    with kubelet(tree, f"--config={file}") as pid:
        assert verdict(tree, pid) == ("same", str(file), f"{tree.root}/kube/manifests")


def test_a_configuration_that_cannot_be_read_is_not_taken_for_an_empty_one(tree: Tree) -> None:
    with kubelet(tree, "--config=/no/such/file") as pid:
        assert verdict(tree, pid) == ("unreadable", "/no/such/file", "")


def test_a_kubelet_without_configuration_runs_no_static_pods(tree: Tree) -> None:
    with kubelet(tree, "--v=2") as pid:
        assert verdict(tree, pid)[0] == "unset"


@pytest.mark.parametrize(
    ("arguments", "config", "endpoint"),
    [
        (
            (),
            "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n",
            "unix:///run/containerd/containerd.sock",
        ),
        ((), 'containerRuntimeEndpoint: "/run/x.sock" # the one\n', "/run/x.sock"),
        ((), "# containerRuntimeEndpoint: /run/x.sock\n", ""),
        (("--container-runtime-endpoint=unix:///run/cri-dockerd.sock",), "", "unix:///run/cri-dockerd.sock"),
        (("--container-runtime-endpoint", "/run/y.sock"), "containerRuntimeEndpoint: /run/x.sock\n", "/run/y.sock"),
    ],
)
def test_a_kubelet_tells_its_runtime_by_a_flag_or_in_its_configuration(
    arguments: tuple[str, ...], config: str, endpoint: str, tree: Tree
) -> None:
    file = tree.root / "config.yaml"
    file.write_text(f"{config}staticPodPath: {tree.paths.manifests}\n")
    with kubelet(tree, f"--config={file}", *arguments) as pid:
        assert verdict(tree, pid) == ("same", str(file), tree.paths.manifests)
        kubelets = surroundings(tree).kubelets
    assert not isinstance(kubelets, Unknown)
    assert [one.runtime for one in kubelets if one.pid == pid] == [endpoint]


def test_other_files_in_manifests_are_told_and_those_named_etcd_apart(tree: Tree) -> None:
    tree.deploy()
    folder = tree.paths.manifests
    pods = {
        "kube-apiserver.yaml": "metadata:\n  name: kube-apiserver\nspec:\n  volumes:\n  - name: etcd-certs\n",
        "commented.yaml": "metadata:\n  # name: etcd\n  name: other\n",
        "etcd.yaml.bak": "metadata:\n  name: etcd\n",
        "quoted": 'metadata:\n  name: "etcd"\n',
        "pod.json": '{"kind": "Pod", "metadata": {"name":"etcd"}}',
        "container": "spec:\n  containers:\n  - name: etcd # by hand\n",
        ".hidden": "name: etcd\n",
        "etcd.yaml~": "",
    }
    for name, text in pods.items():
        tree.write(f"{folder}/{name}", text.encode())
    (tree.root / "kubernetes/manifests/folder").mkdir()
    found = surroundings(tree).manifests
    assert not isinstance(found, Unknown)
    assert set(found.files) == set(pods) - {".hidden"}
    assert set(found.etcd) == {"etcd.yaml.bak", "quoted", "pod.json", "container"}


@pytest.mark.parametrize("port", [2379, 2380, 2381])
def test_who_has_a_port_is_told(port: int, tree: Tree) -> None:
    with listening(LISTENS, port):
        listeners = surroundings(tree).listeners
    assert not isinstance(listeners, Unknown)
    (found,) = (one for one in listeners if one.address == LISTENS)
    assert (found.port, found.pid) == (port, os.getpid())
    assert found.process


def test_a_port_that_listens_on_ipv6_is_told(tree: Tree) -> None:
    if not socket.has_ipv6:
        pytest.skip("the kernel has no IPv6")
    with socket.create_server(("::1", 2381), family=socket.AF_INET6):
        listeners = surroundings(tree).listeners
    assert not isinstance(listeners, Unknown)
    assert [one.pid for one in listeners if one.address == "::1"] == [os.getpid()]


def test_a_peer_that_listens_and_one_that_does_not_are_told_apart(tree: Tree) -> None:
    tree.peers = [LISTENS, SILENT]
    with listening(LISTENS, 2380):
        assert surroundings(tree).peers == {LISTENS: "open", SILENT: "refused"}


@pytest.mark.parametrize("gone", [("bash", "nc"), ("timeout",)])
def test_peers_are_unknown_without_a_tool_to_probe_them(gone: tuple[str, ...], tree: Tree) -> None:
    if tree.shell == "busybox":
        pytest.skip("this busybox finds its applets without a name in PATH")
    tree.tools = [name for name in tree.tools if name not in gone]
    assert isinstance(surroundings(tree).peers[SILENT], Unknown)


def test_a_probe_that_hangs_is_ended_and_its_peer_is_silent(tree: Tree) -> None:
    if tree.shell == "busybox":
        pytest.skip("this busybox takes its applets before what is in PATH")
    slow = tree.root / "slow/bash"
    tree.write(str(slow), b"#!/bin/sh\nexec /bin/sleep 60\n", 0o755)
    tree.before = str(slow.parent)
    began = time.monotonic()
    assert surroundings(tree).peers == {SILENT: "silent"}
    assert time.monotonic() - began < 30


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above_it(tree: Tree) -> None:
    volumes = surroundings(tree).volumes
    assert not isinstance(volumes, Unknown)
    assert {volume.folder for volume in volumes.values()} == {str(tree.root)}
