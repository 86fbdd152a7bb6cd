"""verify on lab hosts: without SSH, with waivers, and what it tells from one day to the next."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import PROGRAM, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

LOGIN = "Connection from "
"""sshd's own words at LogLevel VERBOSE, one line a connection, whoever it is."""
DOWN = {"client.unreachable", "container.down", "member.unhealthy"}


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


def connections(lab: Lab) -> dict[str, int]:
    """How many SSH connections each host has seen so far."""
    return {node.name: (lab.root(node.name) / "var/log/sshd.log").read_text().count(LOGIN) for node in lab.nodes}


def diff(workspace: Workspace, before: str, after: str) -> subprocess.CompletedProcess[str]:
    """Compare two reports in the workspace."""
    argv = (str(PROGRAM), "report", "diff", before, after)
    return subprocess.run(argv, cwd=workspace.directory, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the program under test


def test_verify_without_ssh_turns_to_no_host_and_a_member_that_stops_is_worse_until_it_is_waived(
    workspace: Workspace,
) -> None:
    workspace.deploy()
    before = connections(workspace.lab)
    assert all(before.values()), "the deploy itself is seen"
    assert workspace.verify("--no-ssh", "--output", "good.json").code == 0
    assert connections(workspace.lab) == before
    workspace.lab.run("node-3", "mv /etc/kubernetes/manifests/etcd.yaml /root/")
    workspace.await_stop("node-3")
    stopped = workspace.verify("--output", "bad.json", code=1)
    assert {one["code"] for one in stopped.cluster["findings"] if one["severity"] == "critical"} >= DOWN
    worse = diff(workspace, "good.json", "bad.json")
    assert worse.returncode == 1
    assert "worse: example node-3 client.unreachable: ok → critical" in worse.stdout
    assert diff(workspace, "bad.json", "good.json").returncode == 0

    waivers = [{"code": "*", "subject": whom, "reason": "node-3 is being moved"} for whom in ("node-3", "example")]
    workspace.inventory(data={"etcd_waivers": waivers})
    nagios = workspace.verify("--exit-style", "nagios", "--skip", "peer.mesh", "--min-severity", "critical")
    assert nagios.out.startswith("ETCD OK - verify: 2 of 3 members healthy, ")
    assert "waived: node-3 is being moved" in nagios.out
