"""A name or an address that changes leads to a new certificate, and restarts nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import ETCDCTL, Run, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    made.deploy()
    return made


@pytest.fixture
def moved(workspace: Workspace) -> Iterator[str]:
    """Another address of node-1, as somebody gives it to a host who is about to move it."""
    former = workspace.lab.nodes[0].address
    network, _, number = former.rpartition(".")
    address = f"{network}.{int(number) + 100}"
    interface = workspace.lab.run("node-1", f"ip -o -4 address show to {former} | cut -d' ' -f2").stdout.strip()
    workspace.lab.run("node-1", f"ip address add {address}/24 dev {interface}")
    yield address
    workspace.lab.run("node-1", f"ip address del {address}/24 dev {interface}")


def sans(run: Run) -> dict[str, set[str]]:
    """The names of the certificate on each host."""
    return {
        member["name"]: set(one["sans"])
        for member in run.cluster["members"]
        for one in member["certificates"]
        if one["place"].endswith("/etcd/etcd.pem")
    }


def is_whole(workspace: Workspace) -> None:
    """Every member answers at the address that the member list has, and the members are connected."""
    health = workspace.lab.run("node-3", f"{ETCDCTL} endpoint health --cluster")
    assert (health.stdout + health.stderr).count("is healthy") == 3


def test_a_name_or_an_address_that_changes_leads_to_a_new_certificate_and_restarts_nobody(
    workspace: Workspace, moved: str
) -> None:
    former, containers = workspace.lab.nodes[0].address, workspace.containers()
    named = workspace.run("deploy", "--set", 'etcd_extra_sans=["etcd.example.org"]')
    assert named.code == 0, named.out + named.err
    assert {(step["action"], step["disruptive"]) for step in named.cluster["plan"]} == {
        ("issue-certificate", False),
        ("place-files", False),
    }
    assert all("lacks the name etcd.example.org" in step["reason"] for step in named.steps("issue-certificate"))
    assert all("etcd.example.org" in names for names in sans(named).values())
    assert workspace.run("certs").cluster["outcome"] == "unchanged", "a name that is too much harms nothing"

    before = {node: workspace.fingerprint(node) for node in NODES}
    workspace.inventory(hosts={"node-1": {"etcd_address": moved}})
    refused = workspace.run("certs")
    assert refused.code == 3, refused.out
    (line,) = refused.cluster["refusals"]
    assert line.startswith(f"node-1: its certificate would be for {moved} and not for {former}")
    assert {node: workspace.fingerprint(node) for node in NODES} == before

    workspace.inventory(hosts={"node-1": {"etcd_address": moved, "etcd_extra_sans": [former]}})
    run = workspace.run("certs")
    assert {(step["host"], step["action"], step["status"]) for step in run.cluster["plan"]} == {
        ("node-1", "issue-certificate", "done"),
        ("node-1", "place-files", "done"),
    }
    assert {moved, former} <= sans(run)["node-1"]
    assert workspace.containers() == containers
    is_whole(workspace)
    assert "is not in the live member list" in workspace.deploy(code=3).cluster["refusals"][0]
