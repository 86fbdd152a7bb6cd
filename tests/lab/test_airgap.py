"""Behind an air gap: images come out of archives, and every runbook works with nothing but the hosts and a registry."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import bcrypt
import pytest

from nornir_etcd.lab import Lab, cache
from tests.lab.airgap import REGISTRY, AirGap
from tests.lab.conftest import PREFIX, need_root, remove_orphans
from tests.lab.test_users import PASSWORD as SUDO_PASSWORD
from tests.lab.test_users import Users
from tests.lab.upgrades import way
from tests.lab.workspace import ETCDCTL, Workspace
from tests.unit.images.archives import Made, make, pack, saved_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.workspace import Run

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
WITH_DOCKER = "node-3"
USER, PASSWORD = "puller", "PASSWORD-NOT-SHOWN"
IMAGE = f"{REGISTRY}/{cache.REPOSITORY}"
UPLOADS = "/var/lib/nornir-etcd-images"

REGISTRY_CONFIG = """\
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: /var/lib/private-registry}}
http:
  addr: ":443"
  tls: {certificate: /etc/docker/registry/tls.crt, key: /etc/docker/registry/tls.key}
auth: {htpasswd: {realm: lab, path: /etc/docker/registry/htpasswd}}
"""
HOSTS_TOML = """\
server = "https://{registry}"
[host."https://{registry}"]
  capabilities = ["pull", "resolve"]
  ca = "/etc/containerd/certs.d/{registry}/ca.crt"
  [host."https://{registry}".header]
    authorization = "Basic {basic}"
"""
PLAIN_TOML = """\
server = "http://{registry}"
[host."http://{registry}"]
  capabilities = ["pull", "resolve"]
"""
OUTSIDE = """\
import socket
for place in (("{machine}", 22), ("192.0.2.1", 443)):
    try:
        socket.create_connection(place, timeout=5)
    except OSError as error:
        print(error.strerror)
try:
    socket.getaddrinfo("example.org", 443)
except socket.gaierror:
    print("no such name")
"""


class Site:
    """A workspace whose program runs behind the gap, and the archives that were carried there."""

    def __init__(self, workspace: Workspace, gap: AirGap, archives: Path) -> None:
        self.workspace = workspace
        self.lab = workspace.lab
        self.gap = gap
        self.archives = archives

    def run(self, *words: str, code: int = 0) -> Run:
        """Run the program to its end and hold it to an exit code."""
        process = self.workspace.launch(*self.gap.program(*words))
        run = self.workspace.finish(process)
        assert run.code == code, f"{words}\n{run.out}\n{run.err}"
        return run

    def runbook(self, *words: str) -> Run:
        """Run a runbook, which leaves a report."""
        output = self.workspace.directory / "report.json"
        output.unlink(missing_ok=True)
        run = self.run(*words, "--output", str(output))
        assert not [one for one in run.amiss if one[0] != "warning"], run.amiss
        return run

    def save(self, tag: str, name: str) -> Path:
        """Write an archive of an image of the lab, as `docker save` does on a machine that has the internet."""
        root = cache.ready().storage / "docker/registry/v2"
        link = root / "repositories" / cache.REPOSITORY / f"_manifests/tags/{tag}/current/link"
        manifest = json.loads(blob(root, link.read_text()))
        layers = [blob(root, layer["digest"]) for layer in manifest["layers"]]
        made = Made(blob(root, manifest["config"]["digest"]), layers)
        return pack(self.archives / f"{tag}.tar", saved_files(made, name))


def blob(root: Path, digest: str) -> bytes:
    hexadecimal = digest.removeprefix("sha256:")
    return (root / "blobs/sha256" / hexadecimal[:2] / hexadecimal / "data").read_bytes()


@pytest.fixture(scope="module")
def closed() -> Iterator[Lab]:
    """A lab of its own, whose registry and hosts are changed; the last host has Docker."""
    need_root()
    remove_orphans()
    made = Lab(f"{PREFIX}{os.getpid()}-gap", docker=1)
    made.up()
    try:
        for node in NODES:
            made.run(node, f"crictl pull {REGISTRY}/{cache.PAUSE}:{cache.PAUSE_TAG}", timeout=60)
        yield made
    finally:
        made.down()


@pytest.fixture
def site(closed: Lab, tmp_path: Path) -> Iterator[Site]:
    for node in NODES:
        closed.wipe(node)
    (tmp_path / "archives").mkdir()
    with AirGap(closed, tmp_path) as gap:
        workspace = Workspace(closed, tmp_path / "workspace")
        yield Site(workspace, gap, tmp_path / "archives")


def make_private(lab: Lab) -> None:
    """Give the registry a login and an empty storage, and the hosts that login, as docs/airgap.md tells it."""
    folder = lab.root("registry") / "etc/docker/registry"
    (folder / "config.yml").write_text(REGISTRY_CONFIG)
    (folder / "htpasswd").write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    lab.kill("registry")
    lab.start("registry")
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    login = lab.root(WITH_DOCKER) / "root/.docker/config.json"
    login.parent.mkdir(mode=0o700, exist_ok=True)
    login.write_text(json.dumps({"auths": {REGISTRY: {"auth": basic}}}))
    for node in set(NODES) - {WITH_DOCKER}:
        path = lab.root(node) / f"etc/containerd/certs.d/{REGISTRY}/hosts.toml"
        path.touch(mode=0o600)
        path.write_text(HOSTS_TOML.format(registry=REGISTRY, basic=basic))


def test_every_runbook_works_with_the_hosts_and_a_private_registry_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lab, (former, later) = site.lab, way(site.lab)[-2:]
    machine = lab.registry_address.rpartition(".")[0] + ".1"
    site.workspace.inventory(data={"etcd_version": former})
    seen = site.workspace.finish(
        site.workspace.launch(*site.gap.inside(sys.executable, "-c", OUTSIDE.format(machine=machine)))
    )
    assert seen.out.splitlines() == ["Network is unreachable", "Network is unreachable", "no such name"], seen.err
    make_private(lab)
    ca = str(lab.key_file.parent / "ca.crt")
    monkeypatch.setenv("REGISTRY_PASSWORD", PASSWORD)
    to = ("--from", str(site.archives), "--ca", ca, "--user", USER, "--password-env", "REGISTRY_PASSWORD")
    for tag in (former, later):
        site.save(tag, f"registry.k8s.io/etcd:{tag}")
        listed = json.loads(site.run("images", "list", "--format", "json", "--set", f"etcd_version={tag}").out)
        assert listed == [{"image": f"{IMAGE}:{tag}", "hosts": list(NODES)}]
        pushed = site.run("images", "push", *to, "--set", f"etcd_version={tag}")
        assert pushed.out.startswith(f"{IMAGE}:{tag} (linux/"), pushed.out
        assert ": pushed, sha256:" in pushed.out
    assert site.run("images", "push", *to).out.endswith("there already\n")
    site.runbook("certs")
    deployed = site.runbook("deploy")
    assert len(deployed.steps("pull-image")) == len(NODES)
    site.runbook("verify")
    site.runbook("upgrade", "--to", later)
    site.workspace.inventory(data={"etcd_version": later})
    site.runbook("verify")
    site.runbook("certs", "renew", "--force")
    site.workspace.inventory(data={"etcd_version": later}, hosts={"node-2": {"etcd_member": "absent"}})
    assert site.runbook("members", "plan").cluster["outcome"] == "planned"
    gone = site.runbook("members", "apply", "--accept-no-margin")
    assert [step["host"] for step in gone.steps("clear-member")] == ["node-2"]
    site.workspace.inventory(data={"etcd_version": later})
    joined = site.runbook("members", "apply", "--accept-no-margin")
    assert [step["host"] for step in joined.steps("promote-member")] == ["node-2"]
    status = site.runbook("members", "status")
    assert all(name in status.out for name in NODES)
    assert "3.5" in lab.run("node-1", f"{ETCDCTL} endpoint status").stdout
    for rotation in ((), ("--clients-trust-new",), ("--clients-trust-new", "--clients-use-new")):
        site.runbook("certs", "rotate-ca", *rotation, "--set", "etcd_ca=dedicated")
    site.runbook("certs", "status", "--set", "etcd_ca=dedicated")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert not written, "the password stays where it was"


def test_hosts_pull_from_a_registry_of_plain_http_that_was_filled_on_purpose(site: Site, tmp_path: Path) -> None:
    """It runs beside the controller: the lab's own has TLS."""
    lab, tag = site.lab, site.lab.versions[0]
    address = f"{site.gap.address}:5000"
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"{site.gap.address}:5000"},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(config))
    site.workspace.inventory(data={"etcd_version": tag, "registry": address})
    site.save(tag, f"registry.k8s.io/etcd:{tag}")
    argv = site.gap.inside("timeout", "60", "docker-registry", "serve", str(tmp_path / "registry.yml"))
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as server:  # noqa: S603 - the registry
        try:
            await_port(lab, site.gap.address, 5000)
            refused = site.run("images", "push", "--from", str(site.archives), code=3)
            assert "wanted a TLS handshake, found an answer without TLS" in refused.err
            site.run("images", "push", "--from", str(site.archives), "--plain-http")
            folder = lab.root("node-1") / f"etc/containerd/certs.d/{address}"
            folder.mkdir()
            (folder / "hosts.toml").write_text(PLAIN_TOML.format(registry=address))
            (lab.root(WITH_DOCKER) / "etc/docker/daemon.json").write_text(insecure(lab, address))
            lab.run(WITH_DOCKER, "pkill -HUP -x dockerd")
            image = f"{address}/ikubeops/etcd:{tag}"
            for node, command in (("node-1", "crictl"), (WITH_DOCKER, "docker")):
                lab.run(node, f"{command} pull {image}", timeout=60)
        finally:
            server.terminate()


def insecure(lab: Lab, address: str) -> str:
    """Docker's configuration on its host with a registry that it may talk to without TLS."""
    found = json.loads((lab.root(WITH_DOCKER) / "etc/docker/daemon.json").read_text())
    return json.dumps(found | {"insecure-registries": [address]})


def await_port(lab: Lab, address: str, port: int) -> None:
    ends = time.monotonic() + 20
    while lab.run("node-1", f"bash -c 'exec 3<>/dev/tcp/{address}/{port}'", check=False).returncode:
        assert time.monotonic() < ends, "the registry does not listen"
        time.sleep(0.1)


def test_images_go_into_the_runtimes_where_there_is_no_registry(site: Site) -> None:
    lab, tag = site.lab, site.lab.versions[0]
    image = f"{IMAGE}:{tag}"
    if lab.is_running("registry"):
        lab.kill("registry")
    users = Users(site.workspace)
    for node in NODES:
        users.remove(node)
        users.add(node, sudo="ALL")
    users.inventory({WITH_DOCKER: {"data": {"container_runtime": "docker"}}}, secret=SUDO_PASSWORD)
    path = site.save(tag, image)
    # Cut short and of another architecture: told in a line, before a host is touched or for each of them.
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    load = ("images", "load", "--from", str(site.archives), "--set", f"etcd_version={tag}")
    short = site.run(*load, code=2)
    assert short.err.startswith(f"error: {path}: wanted a whole tar of images, found one that is cut short")
    other = make("arm64" if os.uname().machine == "x86_64" else "amd64")
    pack(path, saved_files(other, image))
    wrong = site.run(*load, code=3)
    assert [line.partition(": ")[2].partition(":")[0] for line in wrong.err.splitlines()] == list(NODES)
    assert "which the host is, found one for linux/" in wrong.err
    path.write_bytes(whole)
    # A run that is killed while it sends is gone on with.
    killed = site.workspace.launch(*site.gap.program(*load))
    ends = time.monotonic() + 30
    while not lab.run("node-1", f"find {UPLOADS} -name '*.part' -size +3M 2>/dev/null", check=False).stdout:
        assert time.monotonic() < ends, "nothing is sent"
        assert killed.poll() is None, "it has ended before it was killed"
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(10)
    loaded = site.run(*load)
    assert loaded.out == "".join(f"{node}: {image}: loaded\n" for node in NODES)
    again = site.run(*load, "--hosts", "node-2,node-3")
    assert again.out == "".join(f"{node}: {image}: there already\n" for node in ("node-2", "node-3"))
    assert all(lab.run(node, f"ls {UPLOADS}", check=False).returncode for node in NODES), "nothing is left there"
    site.workspace.inventory(data={"etcd_version": tag})
    deployed = site.runbook("deploy")
    assert not deployed.steps("pull-image")
    site.runbook("verify")
