"""What preflight finds, and what of it stops a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks.evidence import evidence
from nornir_etcd.checks.preflight import concern, preflight, refusals
from nornir_etcd.checks.preflight.image import difference
from nornir_etcd.observation import (
    NOT_READ,
    ClockOffset,
    Container,
    Kubelet,
    Listener,
    Manifests,
    Surroundings,
    Unknown,
    Volume,
)
from nornir_etcd.plan.planner import Desired
from tests.unit.builders import DEPLOY, NOW, World, deployed, differ
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, WARNING

if TYPE_CHECKING:
    from nornir_etcd.plan.planner import Difference
    from nornir_etcd.report.model import Finding, Severity

IMAGE = "registry.ikubeops.local/ikubeops/etcd:3.5.16-0"
ID = "ab" * 32
GIB = 1024**3
ALL = {
    "preflight.clock",
    "preflight.tools",
    "preflight.writable",
    "preflight.space",
    "preflight.runtime",
    "preflight.kubelet",
    "preflight.manifests",
    "preflight.port",
    "preflight.peer",
}
FOLDERS = ("/var/lib/etcd", "/etc/kubernetes/pki", "/etc/kubernetes", "/etc/kubernetes/manifests")
KUBELETS = (Kubelet(1, "same", "/var/lib/kubelet/config.yaml", "/etc/kubernetes/manifests"),)
GOOD = Surroundings(
    offset=ClockOffset(-0.1, 0.1),
    missing_tools=(),
    runtime="containerd",
    sockets=("/run/containerd/containerd.sock",),
    digests={},
    kubelets=KUBELETS,
    manifests=Manifests((), ()),
    listeners=(),
    volumes={path: Volume(path, 50 * GIB, writable=True, mount="/") for path in FOLDERS},
    peers={f"192.0.2.{10 + number}": "refused" for number in (1, 2, 3)},
)


class Ground:
    """A cluster in memory, and what its hosts offer."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        probes = dict.fromkeys(GOOD.peers, "open" if self.world.running else "refused")
        self.hosts = dict.fromkeys(self.world.names, replace(GOOD, peers=probes))
        self.containers: dict[str, tuple[Container, ...]] = {}

    def change(self, name: str, **values: object) -> None:
        """Change what a host offers."""
        self.hosts[name] = replace(self.hosts[name], **values)  # type: ignore[arg-type]  # by name

    def findings(self, allowed: frozenset[Difference] = DEPLOY) -> dict[tuple[str, str], Finding]:
        """Return what preflight finds for the plan that the world wants, by code and subject; each is there once."""
        observation = self.world.observe()
        for name, surroundings in self.hosts.items():
            host = replace(observation.hosts[name], surroundings=surroundings)
            observation.hosts[name] = replace(host, containers=self.containers.get(name, host.containers))
        planned = self.world.plan(allowed=allowed)
        desired = Desired(self.world.cluster, self.world.wanted, self.world.names, allowed, NOW)
        found = preflight(evidence(self.world.cluster, observation, {}, NOW), concern(desired, planned))
        by_subject = {(one.code, one.subject): one for one in found}
        assert len(by_subject) == len(found)
        assert all(one.remedy for one in found if one.severity is not OK)
        assert len(refusals(found)) == sum(one.severity is CRITICAL for one in found)
        return by_subject

    def bad(self, allowed: frozenset[Difference] = DEPLOY) -> dict[tuple[str, str], Severity]:
        """Return every finding that is not ok."""
        return {key: one.severity for key, one in self.findings(allowed).items() if one.severity is not OK}


def test_hosts_that_bear_a_bootstrap_have_every_finding_and_all_are_ok() -> None:
    found = Ground().findings()
    assert {code for code, _ in found} == ALL | {"preflight.image"}
    assert {subject for code, subject in found if code in ALL} == {"master-1", "master-2", "master-3"}
    assert {one.severity for one in found.values()} == {OK}


def test_a_healthy_cluster_on_which_nothing_differs_is_asked_for_its_clocks_alone() -> None:
    ground = Ground(deployed())
    ground.change("master-1", kubelets=(), listeners=(Listener(2380, "0.0.0.0", 1, "nc"),), missing_tools=("crictl",))  # noqa: S104 - what is read
    assert {code for code, _ in ground.findings()} == {"preflight.clock"}
    assert ground.bad() == {}


def test_a_clock_that_is_off_is_a_warning_where_nothing_is_to_be_done() -> None:
    """All hosts of the lab share one kernel, and so one clock: a wrong one is made here, in what was observed."""
    ground = Ground(deployed())
    ground.change("master-2", offset=ClockOffset(4.9, 5.1))
    assert ground.bad() == {("preflight.clock", "master-2"): WARNING}
    differ(ground.world[1])
    assert ground.bad() == {("preflight.clock", "master-2"): CRITICAL}


def test_only_hosts_with_steps_are_held_to_what_steps_need() -> None:
    ground = Ground(deployed())
    differ(ground.world[1])
    for name in ("master-1", "master-2"):
        ground.change(name, kubelets=())
    assert ground.bad() == {("preflight.kubelet", "master-1"): CRITICAL}


def test_files_alone_need_no_kubelet_and_no_port() -> None:
    ground = Ground()
    ground.change("master-1", kubelets=(), manifests=Manifests(("x",), ("x",)), runtime=Unknown("no crictl"), peers={})
    found = ground.findings(frozenset({"certificates"}))
    assert {code for code, _ in found} == {
        "preflight.clock",
        "preflight.tools",
        "preflight.writable",
        "preflight.space",
    }
    assert {one.severity for one in found.values()} == {OK}


def test_where_the_plan_is_refused_every_reason_comes_out_all_the_same() -> None:
    ground = Ground(deployed())
    ground.world[2].data = replace(ground.world[2].bootstrapped(ground.world.cluster), node_id=1)
    assert ground.world.refusals()
    ground.change("master-1", kubelets=())
    ground.change("master-3", missing_tools=("od",))
    assert set(ground.bad()) == {("preflight.kubelet", "master-1"), ("preflight.tools", "master-3")}


def test_every_fault_of_every_host_is_told_at_once() -> None:
    ground = Ground()
    small = {path: replace(volume, free=0, writable=False) for path, volume in GOOD.volumes.items()}  # type: ignore[union-attr]  # they are known
    for name in ground.hosts:
        ground.change(
            name,
            offset=ClockOffset(-9, -8),
            missing_tools=("mv -T",),
            runtime="cri-o",
            kubelets=(),
            manifests=Manifests(("etcd.yaml.bak",), ("etcd.yaml.bak",)),
            listeners=(Listener(2379, "127.0.0.1", 7, "nc"),),
            volumes=small,
            peers=dict.fromkeys(GOOD.peers, "silent"),
        )
    assert ground.bad() == {(code, name): CRITICAL for code in ALL for name in ground.hosts}


def test_what_was_not_read_is_unknown_and_never_ok() -> None:
    ground = Ground()
    ground.hosts = dict.fromkeys(ground.hosts, NOT_READ)  # type: ignore[arg-type]  # as of a host that was not asked
    found = ground.findings()
    assert {one.severity for key, one in found.items() if key[0] != "preflight.runtime"} == {UNKNOWN}
    assert not [one for one in found.values() if one.severity is OK]


@pytest.mark.parametrize(
    ("low", "high", "severity"),
    [
        (-0.2, 0.3, OK),
        (-0.9, 0.99, OK),
        (-1.2, 0.1, UNKNOWN),  # the answer was slow
        (0.4, 1.4, UNKNOWN),
        (-2.5, 0.1, UNKNOWN),
        (1.01, 1.2, CRITICAL),
        (-7.0, -1.01, CRITICAL),
    ],
)
def test_a_clock_is_called_off_only_where_it_surely_is(low: float, high: float, severity: Severity) -> None:
    ground = Ground()
    ground.change("master-1", offset=ClockOffset(low, high))
    assert ground.findings()["preflight.clock", "master-1"].severity is severity
    if severity is not OK:
        assert ground.bad() == {("preflight.clock", "master-1"): severity}


def test_two_clocks_that_agree_with_the_controllers_may_disagree_with_each_other() -> None:
    ground = Ground()
    ground.change("master-1", offset=ClockOffset(0.8, 0.9))
    ground.change("master-3", offset=ClockOffset(-0.9, -0.8))
    found = ground.findings()
    assert ground.bad() == {("preflight.clock", "master-1"): CRITICAL, ("preflight.clock", "master-3"): CRITICAL}
    assert "1.6 s ahead of master-3's" in found["preflight.clock", "master-1"].message


@pytest.mark.parametrize(
    ("kubelets", "severity", "word"),
    [
        ((), CRITICAL, "no kubelet runs"),
        ((Kubelet(1, "other", "/c", "/opt/kube/manifests"),), CRITICAL, "/opt/kube/manifests"),
        ((Kubelet(1, "unset", "/c", ""),), CRITICAL, "no static Pods"),
        ((Kubelet(1, "unreadable", "/c", ""),), UNKNOWN, "/c"),
        ((Kubelet(1, "other", "/c", "/x"), Kubelet(2, "same", "/d", "/y")), OK, "static Pods"),
        (Unknown("no /proc"), UNKNOWN, "no /proc"),
    ],
)
def test_a_kubelet_that_would_not_start_the_pod_is_told(kubelets: object, severity: Severity, word: str) -> None:
    ground = Ground()
    ground.change("master-1", kubelets=kubelets)
    found = ground.findings()["preflight.kubelet", "master-1"]
    assert found.severity is severity
    assert word in found.message


def test_the_remedy_for_a_kubelet_that_looks_elsewhere_names_the_variable_that_follows_it() -> None:
    ground = Ground()
    ground.change("master-1", kubelets=(Kubelet(1, "other", "/c", "/opt/kube/manifests"),))
    assert "kube_base_dir: /opt/kube" in ground.findings()["preflight.kubelet", "master-1"].remedy


def test_a_backup_that_is_no_pod_is_a_warning_and_others_pods_are_fine() -> None:
    ground = Ground()
    ground.change("master-1", manifests=Manifests(("kube-apiserver.yaml", "etcd.old"), ()))
    ground.change("master-2", manifests=Manifests(("kube-apiserver.yaml",), ()))
    assert ground.bad() == {("preflight.manifests", "master-1"): WARNING}


LISTENER = Listener(2380, "192.0.2.11", 7, "etcd", f"0::/kubepods/{ID}")


@pytest.mark.parametrize(
    ("listener", "severity"),
    [
        (LISTENER, OK),  # the member itself
        (replace(LISTENER, cgroup="0::/system.slice/etcd.service"), CRITICAL),
        (replace(LISTENER, process="nc", cgroup="0::/"), CRITICAL),
        (replace(LISTENER, pid=0, process="", cgroup=""), CRITICAL),
        (replace(LISTENER, address="::", cgroup=""), CRITICAL),
        (replace(LISTENER, address="::ffff:127.0.0.1", cgroup=""), CRITICAL),
        (replace(LISTENER, address="192.0.2.99", cgroup=""), OK),  # another address of the host: not in the way
    ],
)
def test_a_port_is_free_or_ours_or_taken(listener: Listener, severity: Severity) -> None:
    ground = Ground()
    ground.containers["master-1"] = (Container(ID, "CONTAINER_RUNNING", "etcd-master-1", 0, "sha256:1", 1),)
    ground.change("master-1", listeners=(listener,))
    found = ground.findings()["preflight.port", "master-1"]
    assert found.severity is severity
    if severity is CRITICAL:
        assert "2380" in found.message


def test_a_host_with_docker_alone_says_so() -> None:
    ground = Ground()
    ground.change("master-1", runtime=Unknown("crictl: not found"), sockets=("/run/docker.sock",))
    found = ground.findings()["preflight.runtime", "master-1"]
    assert found.severity is CRITICAL
    assert "only /run/docker.sock is there" in found.message


@pytest.mark.parametrize(
    ("wanted", "endpoint", "found"),
    [
        ("containerd", "unix:///run/containerd/containerd.sock", ""),
        ("containerd", "/run/k3s/containerd/containerd.sock", ""),
        ("containerd", "", ""),
        ("containerd", "unix:///run/some.sock", ""),
        ("containerd", "unix:///var/run/cri-dockerd.sock", "docker"),
        ("containerd", "unix:///var/run/dockershim.sock", "docker"),
        ("containerd", "unix:///var/run/crio/crio.sock", "cri-o"),
        ("docker", "unix:///run/cri-dockerd.sock", ""),
        ("docker", "unix:///run/containerd/containerd.sock", "containerd"),
    ],
)
@pytest.mark.parametrize("told", [None, "containerd", "docker"])
def test_the_runtime_that_the_kubelet_uses_is_what_counts(
    wanted: str, endpoint: str, found: str, told: str | None
) -> None:
    """A host may have both: Docker brings a containerd of its own, and crictl may be told of either."""
    ground = Ground(World(container_runtime=wanted))
    ground.containers["master-1"] = (Container(ID, "CONTAINER_RUNNING", "etcd-master-1", 0, "sha256:1", 1),)
    ground.change("master-1", runtime=told, kubelets=(replace(*KUBELETS, runtime=endpoint),))
    one = ground.findings()["preflight.runtime", "master-1"]
    assert one.severity is (OK if not found and told in {None, wanted} else CRITICAL)
    if found:
        assert one.message == f"wanted {wanted}, found a kubelet that runs its Pods with {found} ({endpoint})"
        assert one.evidence["found"] == found


def test_a_kubelet_that_does_not_run_the_pod_has_no_say_in_the_runtime() -> None:
    ground = Ground()
    other = Kubelet(2, "other", "/c", "/x", "unix:///run/cri-dockerd.sock")
    ground.change("master-1", kubelets=(*KUBELETS, other))
    assert ground.bad() == {}


def test_a_runtime_that_was_not_asked_is_known_by_what_it_runs() -> None:
    ground = Ground()
    ground.change("master-1", runtime=None)
    assert ground.bad() == {("preflight.runtime", "master-1"): UNKNOWN}
    ground.containers["master-1"] = (Container(ID, "CONTAINER_RUNNING", "etcd-master-1", 0, "sha256:1", 1),)
    assert ground.bad() == {}


@pytest.mark.parametrize(
    ("path", "free", "severity"),
    [
        ("/var/lib/etcd", 100 * 1024**2, CRITICAL),
        ("/var/lib/etcd", GIB, WARNING),  # enough to start, less than the quota
        ("/var/lib/etcd", 3 * GIB, OK),
        ("/etc/kubernetes", 1024, CRITICAL),
        ("/etc/kubernetes/pki", 1024, CRITICAL),
    ],
)
def test_space_is_wanted_for_the_start_and_advised_for_growth(path: str, free: int, severity: Severity) -> None:
    ground = Ground()
    assert not isinstance(GOOD.volumes, Unknown)
    ground.change("master-1", volumes=GOOD.volumes | {path: replace(GOOD.volumes[path], free=free)})
    assert ground.findings()["preflight.space", "master-1"].severity is severity


def test_a_peer_that_is_refused_while_it_serves_the_controller_is_cut_off() -> None:
    ground = Ground(deployed())
    differ(ground.world[1])
    assert ground.bad() == {}
    ground.change("master-1", peers=GOOD.peers | {"192.0.2.13": "open"})
    ground.change("master-2", peers=GOOD.peers | {"192.0.2.11": "open"})  # of its way to master-3 nothing hangs
    assert ground.bad() == {("preflight.peer", "master-1"): CRITICAL}


def test_a_host_that_is_dead_keeps_nobody_from_work_on_the_others() -> None:
    ground = Ground(deployed(5))
    differ(ground.world[1])
    ground.world[5].error, ground.world[5].up = DEAD, False
    for name in ground.hosts:
        probes = {f"192.0.2.{10 + number}": "open" for number in (1, 2, 3, 4)} | {"192.0.2.15": "silent"}
        ground.change(name, peers=probes)
    assert ground.world.plan(ground.world.names - {"master-5"}).steps
    assert ground.bad() == {}


def test_a_peer_that_does_not_answer_is_named() -> None:
    ground = Ground()
    ground.change("master-1", peers=GOOD.peers | {"192.0.2.13": "silent"})
    found = ground.findings()["preflight.peer", "master-1"]
    assert found.severity is CRITICAL
    assert "master-3 (https://192.0.2.13:2380)" in found.message


def test_images_of_one_digest_are_one_image_also_of_two_architectures() -> None:
    of_list = {"sha256:the-list"}
    assert difference({"a": frozenset({"sha256:amd", *of_list}), "b": frozenset({"sha256:arm", *of_list})}) == ""
    assert difference({"a": frozenset({"sha256:1"}), "b": frozenset({"sha256:2"})}) == "a has 1, b has 2"
    assert difference({}) == ""


def test_an_image_that_differs_between_hosts_is_told_once() -> None:
    ground = Ground()
    ground.change("master-1", digests={IMAGE: frozenset({"sha256:1"})})
    assert "master-2, master-3 will pull it" in ground.findings()["preflight.image", "example"].message
    ground.change("master-2", digests={IMAGE: frozenset({"sha256:2"})})
    assert ground.bad() == {("preflight.image", "example"): CRITICAL}


def test_a_single_member_has_no_peers_to_reach() -> None:
    found = Ground(World(1)).findings()
    assert {code for code, _ in found} == (ALL - {"preflight.peer"}) | {"preflight.image"}
