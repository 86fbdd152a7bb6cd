"""Upgrades on lab hosts: run, paused, and judged by what a writer saw. Versions are those that the lab has."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.versions import STEP_FLOORS, parse
from tests.lab.verdict import LONG
from tests.lab.workspace import ETCDCTL
from tests.lab.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.lab import Lab
    from tests.faults.boundaries import Watched
    from tests.lab.verdict import Verdict
    from tests.lab.workspace import Run, Workspace

MEMBERS = ("upgrade-member", "finish-upgrade", "move-leader")
"""Steps that a cluster's clients may notice."""


def way(lab: Lab) -> list[str]:
    """The versions of the lab, oldest first, as far as members of each may run beside those of the next."""
    found = lab.versions[:1]
    for former, later in pairwise(lab.versions):
        from_, to = parse(former), parse(later)
        floors = [floor.least for floor in STEP_FLOORS if floor.least.line == from_.line]
        if from_.line != to.line and any(from_ < least for least in floors):
            break
        found.append(later)
    if len(found) == 1:
        pytest.skip(f"the lab has no two versions of which one may follow the other: {lab.versions}")
    return found


def deploy(workspace: Workspace, version: str, **data: Any) -> None:
    """Deploy a version, with settings for the group etcd, which stand in the inventory from then on."""
    workspace.inventory(data={"etcd_timeout": 5, **data, "etcd_version": version})
    workspace.deploy()


def upgrade(workspace: Workspace, to: str, *words: str, code: int = 0) -> Run:
    """Run upgrade and hold it to an exit code."""
    run = workspace.run("upgrade", "--to", to, *words)
    assert run.code == code, f"{run.out}\n{run.err}"
    return run


def writer(workspace: Workspace, *, interval: float = 0.01) -> Writer:
    """A writer through every member, with the controller's own client certificate."""
    certs = workspace.directory / "certs/example"
    identity = (certs / "ca.pem", certs / "client.pem", certs / "client-key.pem")
    urls = [f"https://{node.address}:2379" for node in workspace.lab.nodes]
    return Writer(workspace.directory / "writer", urls, [identity], interval=interval)


@contextmanager
def paused(run: Watched) -> Iterator[None]:
    """Let a run stand still. The locks that it holds outlive that by far."""
    os.kill(run.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(run.process.pid, signal.SIGCONT)


def gaps(run: Run, verdict: Verdict) -> dict[str, float]:
    """The longest time without an acknowledged write in each step that clients may notice, in seconds."""
    found = {}
    for step in run.cluster["plan"]:
        if step["action"] in MEMBERS and step["started_at"]:
            began = datetime.fromisoformat(step["started_at"]).timestamp()
            seen = verdict.gaps_between(began, began + step["seconds"])
            found[f"{step['host']}/{step['action']}"] = max((gap.seconds for gap in seen), default=LONG)
    return found


def versions(run: Run) -> set[str]:
    """What the members run by a report."""
    return {member["version"] for member in run.cluster["members"]}


def upgraded(run: Run) -> list[str]:
    """The hosts whose member a run has changed, in order."""
    return [step["host"] for step in run.cluster["plan"] if step["action"] in MEMBERS[:2] and step["status"] == "done"]


def status(workspace: Workspace, node: str) -> dict[str, int]:
    """The numbers of a member's own status, by etcdctl's names; none where it does not answer."""
    told = workspace.lab.run(node, f"{ETCDCTL} endpoint status -w fields", check=False).stdout
    pairs = (line.split(" : ", 1) for line in told.splitlines() if " : " in line)
    return {name.strip('"'): int(value) for name, value in pairs if value.isdigit()}


def leader(workspace: Workspace) -> str:
    """The host that leads, by the status of every member."""
    told = {node.name: status(workspace, node.name) for node in workspace.lab.nodes}
    (found,) = [name for name, one in told.items() if one and one["MemberID"] == one["Leader"]]
    return found


def hand_leadership(workspace: Workspace, to: str) -> None:
    """Let a member lead."""
    led = leader(workspace)
    if led != to:
        workspace.lab.run(led, f"{ETCDCTL} move-leader {status(workspace, to)['MemberID']:x}")
    assert leader(workspace) == to
