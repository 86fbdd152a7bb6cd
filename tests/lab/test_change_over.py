"""A cluster that the Ansible role has deployed is brought over, killed on the way, and taken back on one host."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.boundaries import Watched
from tests.lab import role
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace
from tests.lab.writer import Writer

if TYPE_CHECKING:
    from nornir_etcd.lab import Lab
    from tests.lab.workspace import Run

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
PAGE = Path(__file__).parents[2] / "docs" / "from-the-role.md"


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    role.deploy(fresh_lab, tmp_path / "certs/example")
    return made


def way_back() -> str:
    """The commands that the documentation gives."""
    _, _, after = PAGE.read_text(encoding="utf-8").partition("## Going back")
    _, _, block = after.partition("```sh\n")
    return block.partition("```")[0]


def on_each(workspace: Workspace, command: str) -> list[str]:
    """What a command prints on each host."""
    return [workspace.lab.run(node, command).stdout for node in NODES]


def the_roles_commands_work(workspace: Workspace) -> None:
    for node in NODES:
        assert workspace.lab.run(node, f"{ETCDCTL} member list -w table").stdout.count("started") == 3, node
    health = workspace.lab.run("node-3", f"{ETCDCTL} endpoint health --cluster")
    assert (health.stdout + health.stderr).count("is healthy") == 3


def leader(run: Run) -> str:
    return next(member["name"] for member in run.cluster["members"] if member["role"] == "leader")


def planned_alone(workspace: Workspace) -> Run:
    """Verify and a dry run tell what there is and what would change, and change nothing."""
    before, containers = {node: workspace.fingerprint(node) for node in NODES}, workspace.containers()
    found = workspace.verify()
    assert {one["subject"] for one in found.findings("cert.shared", "warning")} == {"example"}
    assert {code for severity, code, _ in found.amiss if severity == "warning"} == {
        *("cert.placed", "cert.sans", "cert.shared", "file.mode", "manifest.drift"),
    }
    assert {severity for severity, _, _ in found.amiss} == {"warning"}
    planned = workspace.deploy("--dry-run")
    told = "\n".join(planned.cluster["notes"])
    assert f"all members are deployed by the Ansible role, with one certificate and key for {', '.join(NODES)}" in told
    assert "flag: --tls-min-version=TLS1.2, not set before (etcd_tls_min_version)" in told
    assert [step["host"] for step in planned.steps("place-files")] == list(NODES)
    rolled = planned.steps("replace-manifest")
    assert (len(rolled), rolled[-1]["host"]) == (3, leader(planned))
    assert all("2 of 3 voters stay" in step["margin"] for step in rolled)
    assert {node: workspace.fingerprint(node) for node in NODES} == before
    assert workspace.containers() == containers
    return planned


def brought_over(workspace: Workspace, leads: str) -> None:
    """Deploy, killed while files are placed and after the first member, gets through with the same command."""
    containers = workspace.containers()
    with Watched(workspace, "deploy") as run:
        run.step("step-finished", "place-files", "node-2")
        run.kill()
    the_roles_commands_work(workspace)
    assert workspace.containers() == containers, "files alone restart nobody"
    with Watched(workspace, "deploy") as run:
        first = run.step("step-finished", "replace-manifest")["host"]
        run.kill()
    the_roles_commands_work(workspace)
    assert first != leads
    again = workspace.deploy()
    assert first not in {step["host"] for step in again.steps("replace-manifest")}
    assert again.amiss == []
    assert not set(containers.values()) & set(workspace.containers().values())


def holds_what_is_wanted(workspace: Workspace) -> None:
    """Every host has a key of its own; the role's files are kept for root alone; first starts are told as before."""
    lab = workspace.lab
    shared = hashlib.sha256((workspace.directory / "certs/example/etcd-key.pem").read_bytes()).hexdigest()
    keys = [line.split()[0] for line in on_each(workspace, f"sha256sum {role.PKI}/etcd-key.pem")]
    assert len({*keys, shared}) == 4
    kept = on_each(workspace, f"cd {role.PKI}; stat -c '%a' *.nornir-etcd-*; sha256sum etcd-key.pem.nornir-etcd-*")
    assert [text.split()[:3] for text in kept] == [["600", "600", shared]] * 3
    for node in NODES:
        roles = role.manifest(lab, node)
        wanted = next(line for line in roles.splitlines() if "initial-cluster=" in line)
        assert wanted.partition("--")[2] in lab.run(node, f"cat {MANIFEST}").stdout
        assert lab.run(node, "cat /etc/kubernetes/etcd.yaml.role").stdout == roles
        assert lab.run(node, "stat -c %a /var/lib/etcd").stdout.strip() == "700"


def test_the_roles_cluster_is_recognised_brought_over_under_writes_and_taken_back(workspace: Workspace) -> None:
    lab, certs = workspace.lab, workspace.directory / "certs/example"
    assert "chmod 700 certs/example" in workspace.deploy("--dry-run", code=3).out
    certs.chmod(0o700)
    planned = planned_alone(workspace)

    the_ca = f"stat -c '%i %Y' {role.PKI}/ca.pem; sha256sum {role.PKI}/ca.pem"
    ca = on_each(workspace, the_ca)
    identity = (certs / "ca.pem", certs / "etcd.pem", certs / "etcd-key.pem")
    urls = [f"https://{node.address}:2379" for node in lab.nodes]
    with Writer(workspace.directory / "writer", urls, [identity]) as writer:
        brought_over(workspace, leader(planned))
        writer.wait(5)
        verdict = writer.stop()
    assert verdict.ok, verdict.judgement

    the_roles_commands_work(workspace)
    assert on_each(workspace, the_ca) == ca
    holds_what_is_wanted(workspace)
    assert workspace.deploy().cluster["outcome"] == "unchanged"
    assert workspace.verify().amiss == []

    before = workspace.containers()["node-1"]
    lab.run("node-1", way_back())
    workspace.await_restart("node-1", before)
    the_roles_commands_work(workspace)
    mixed = workspace.deploy()
    assert {step["host"] for step in mixed.steps("replace-manifest")} == {"node-1"}
    assert mixed.amiss == []
