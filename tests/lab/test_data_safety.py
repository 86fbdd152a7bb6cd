"""What must never happen to data: foreign data touched, a member started empty under its old ID."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
KUBELET_PATIENCE = 8
"""Seconds in which the kubelet would have started a Pod several times over."""


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


def sums(workspace: Workspace, node: str) -> str:
    return workspace.lab.run(node, "find /var/lib/etcd -type f -exec sha256sum {} + | sort").stdout


def stop(workspace: Workspace, node: str) -> None:
    """Stop a member as an operator does: its manifest is moved out of the kubelet's folder."""
    workspace.lab.run(node, f"mv {MANIFEST} /root/etcd.yaml")
    workspace.await_stop(node)


def start(workspace: Workspace, node: str) -> None:
    workspace.lab.run(node, f"mv /root/etcd.yaml {MANIFEST}")


def empty(workspace: Workspace, node: str) -> None:
    workspace.lab.run(node, "find /var/lib/etcd -mindepth 1 -delete")


def stays_down(workspace: Workspace, node: str) -> bool:
    ends = time.monotonic() + KUBELET_PATIENCE
    while time.monotonic() < ends:
        if workspace.lab.run(node, "crictl ps -q --name '^etcd$'").stdout.strip():
            return False
        time.sleep(0.3)
    return workspace.lab.run(node, "ls /var/lib/etcd").stdout == ""


def test_the_data_of_another_cluster_survives_untouched_and_is_named(workspace: Workspace) -> None:
    workspace.inventory(data={"deploy_name": "former"})
    workspace.deploy()
    for node in NODES:
        workspace.lab.run(node, f"rm {MANIFEST} && rm -r /etc/kubernetes/pki")
    for node in NODES:
        workspace.await_stop(node)
    for node in NODES[1:]:
        empty(workspace, node)
    before = sums(workspace, "node-1")
    assert "wal" in before
    workspace.inventory()
    run = workspace.deploy(code=3)
    assert run.cluster["outcome"] == "refused"
    assert run.cluster["plan"] == []
    assert any(line.startswith("node-1: /var/lib/etcd holds foreign data") for line in run.cluster["refusals"])
    assert sums(workspace, "node-1") == before
    assert workspace.lab.run("node-2", "ls -A /etc/kubernetes/manifests /var/lib/etcd").stdout.split() == [
        "/etc/kubernetes/manifests:",
        "/var/lib/etcd:",
    ]


def test_a_data_directory_with_something_else_in_it_survives_and_is_named(workspace: Workspace) -> None:
    workspace.lab.run("node-2", "mkdir -p /var/lib/etcd && echo precious >/var/lib/etcd/notes.txt")
    run = workspace.deploy(code=3)
    assert any("node-2" in line and "notes.txt" in line for line in run.cluster["refusals"])
    assert workspace.lab.run("node-2", "cat /var/lib/etcd/notes.txt").stdout == "precious\n"


def test_an_emptied_member_does_not_come_back_by_itself_and_verify_says_why(workspace: Workspace) -> None:
    workspace.deploy()
    stop(workspace, "node-2")
    empty(workspace, "node-2")
    start(workspace, "node-2")
    assert stays_down(workspace, "node-2")
    run = workspace.verify(code=1)
    (finding,) = run.findings("member.data", "critical")
    assert finding["subject"] == "node-2"
    assert "lost its data" in finding["message"]
    refused = workspace.deploy(code=3)
    assert any("lost its data" in line for line in refused.cluster["refusals"])
    assert stays_down(workspace, "node-2")


def test_an_emptied_only_member_does_not_come_back_by_itself_and_verify_says_why(workspace: Workspace) -> None:
    workspace.inventory(hosts={"node-2": None, "node-3": None})
    workspace.deploy()
    stop(workspace, "node-1")
    empty(workspace, "node-1")
    start(workspace, "node-1")
    assert stays_down(workspace, "node-1")
    run = workspace.verify(code=1)
    (finding,) = run.findings("member.data", "critical")
    assert "lost its data" in finding["message"]
    assert workspace.deploy(code=3).cluster["outcome"] == "refused"
    assert stays_down(workspace, "node-1")


def test_all_members_emptied_do_not_come_back_as_a_new_cluster_and_verify_says_why(workspace: Workspace) -> None:
    workspace.deploy()
    for node in NODES:
        stop(workspace, node)
    for node in NODES:
        empty(workspace, node)
        start(workspace, node)
    for node in NODES:
        assert stays_down(workspace, node)
    run = workspace.verify(code=1)
    lost = run.findings("member.data", "critical")
    assert [finding["subject"] for finding in lost] == list(NODES)
    assert all("lost its data" in finding["message"] for finding in lost)
    assert workspace.deploy(code=3).cluster["outcome"] == "refused"
    for node in NODES:
        assert stays_down(workspace, node)
