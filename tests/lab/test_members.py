"""Membership: what the inventory says beside what is live, on lab hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.membership import joined, steps
from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab
    from tests.lab.workspace import Run

pytestmark = pytest.mark.lab

FIRST = ("node-1", "node-2", "node-3")


@pytest.fixture
def workspace(wiped_wide_lab: Lab, tmp_path: Path) -> Workspace:
    """A cluster on the first three hosts; the other two are empty."""
    made = Workspace(wiped_wide_lab, tmp_path)
    made.inventory(hosts={"node-4": None, "node-5": None})
    made.deploy()
    return made


def of_membership(run: Run) -> list[tuple[str, str]]:
    return [(host, action) for host, action, _ in steps(run)]


def joins(node: str) -> list[tuple[str, str]]:
    return [(host, action) for host, action, _ in joined(node)]


def state(workspace: Workspace) -> dict[str, str]:
    """What no run without a difference may change."""
    return {name: workspace.fingerprint(name) for name in FIRST} | workspace.containers()


def test_a_host_more_in_the_inventory_is_missing_and_no_drift_of_the_others(workspace: Workspace) -> None:
    before = state(workspace)
    path = workspace.directory / "hosts.yaml"
    hosts = yaml.safe_load(path.read_text())
    nowhere = hosts["node-3"]["hostname"].rpartition(".")[0] + ".250"
    hosts["node-4"] = hosts["node-3"] | {"hostname": nowhere}
    path.write_text(yaml.safe_dump(hosts))

    verified = workspace.verify(code=1)
    assert [one["subject"] for one in verified.findings("member.missing", "critical")] == ["node-4"]
    assert {one["subject"] for one in verified.findings("manifest.drift", "ok")} == set(FIRST)
    assert not verified.findings("manifest.drift", "warning")

    refused = workspace.deploy("--hosts", ",".join(FIRST), code=3)
    assert any("node-4" in line and "the runbook `members`" in line for line in refused.cluster["refusals"])
    assert not refused.cluster["plan"]
    assert workspace.run("certs").cluster["plan"] == []

    workspace.inventory(hosts={"node-3": None, "node-4": None, "node-5": None})
    assert not workspace.verify(code=1).findings("manifest.drift", "warning")
    assert state(workspace) == before


def test_the_plan_grows_first_and_shrinks_at_the_end(workspace: Workspace) -> None:
    before = state(workspace)
    workspace.inventory(hosts={"node-3": None})
    planned = workspace.run("members", "plan")
    assert planned.code == 0, f"{planned.out}\n{planned.err}"
    assert {one["status"] for one in planned.cluster["plan"]} == {"planned"}
    sequence = of_membership(planned)
    moves = [one for one in sequence if one[1] == "move-leader"]
    assert moves in ([], [("node-3", "move-leader")])
    assert [one for one in sequence if one not in moves] == [
        *joins("node-4"),
        *joins("node-5"),
        ("node-3", "remove-member"),
    ]
    assert planned.cluster["plan"][-1]["margin"] == "4 of 4 voters stay, quorum 3: survives 1 more failure"
    assert not any("acknowledged" in note for note in planned.cluster["notes"])
    assert "node-4" in planned.out

    told = workspace.run("members", "status")
    notes = told.cluster["notes"]
    assert any(note.startswith("live: node-3 (") and "healthy" in note for note in notes)
    assert "wanted: node-4, " in "\n".join(notes)
    assert notes[-1] == "differs: add node-4, add node-5, remove node-3"
    assert told.code == 1, "members that are missing are critical"

    workspace.lab.run("node-3", f"rm {MANIFEST}")
    workspace.await_stop("node-3")
    replaced = workspace.run("members", "plan")
    assert of_membership(replaced) == [("node-3", "remove-member"), *joins("node-4"), *joins("node-5")]
    assert replaced.steps("remove-member")[0]["reason"].startswith("replace node-3 by node-4 (member ")
    assert any("to be acknowledged" in note for note in replaced.cluster["notes"])
    after = state(workspace)
    assert {name: after[name] for name in ("node-1", "node-2")} == {name: before[name] for name in ("node-1", "node-2")}
