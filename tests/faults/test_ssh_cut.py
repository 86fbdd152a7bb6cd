"""SSH is cut before, during and after a push, and hosts lose their power in the middle of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.boundaries import Watched
from tests.faults.faults import MANIFEST, NODES, PKI, Faults, completes, nothing_is_half, reads, told

if TYPE_CHECKING:
    from tests.lab.workspace import Workspace

pytestmark = pytest.mark.lab

STAGING = ("sha256sum", "*")  # called once a staged file is written, to check it
RENAMES = {
    "the certificates": ("mv", "*/..data"),
    "the manifest": ("mv", f"*{MANIFEST}"),
}


@pytest.mark.parametrize("boundary", ["planned", "step-started", "step-finished"])
def test_a_session_that_is_cut_between_two_commands_is_opened_again_or_told(
    workspace: Workspace, faults: Faults, boundary: str
) -> None:
    with Watched(workspace, "deploy") as run:
        if boundary == "planned":
            run.planned()
        else:
            run.step(boundary, "prepare-member", "node-2")
        faults.signal_sessions("node-2", "KILL")
        done = run.finish()
    # The lock of the host goes with the session: nothing more is begun.
    assert done.code == 0 or told(done, "node-2", "the SSH session broke", "the SSH session under it"), done.out
    for node in NODES:
        nothing_is_half(workspace.lab, node)
    completes(workspace)


def test_a_session_that_is_cut_while_files_are_staged_leaves_what_was_there(
    workspace: Workspace, faults: Faults
) -> None:
    with Watched(workspace, "deploy") as run:
        run.planned()
        faults.hold("node-2", *STAGING)
        faults.held("node-2", "sha256sum")
        faults.signal_sessions("node-2", "KILL")
        done = run.finish()
    assert told(done, "node-2", "the SSH session broke"), done.out
    assert workspace.lab.run("node-2", f"ls {PKI}/etcd.pem {MANIFEST} 2>/dev/null", check=False).stdout == ""
    faults.release("node-2", "sha256sum")
    completes(workspace)


@pytest.mark.parametrize("what", RENAMES)
@pytest.mark.parametrize("fate", ["the script goes on", "the script dies", "the power goes"])
def test_a_push_that_is_struck_between_stage_and_rename_is_completed(
    workspace: Workspace, faults: Faults, what: str, fate: str
) -> None:
    tool, arguments = RENAMES[what]
    with Watched(workspace, "deploy") as run:
        run.planned()
        faults.hold("node-2", tool, arguments)
        script = faults.held("node-2", tool)
        if fate == "the power goes":
            workspace.lab.kill("node-2")
        else:
            if fate == "the script dies":
                workspace.lab.run("node-2", f"kill -KILL {script}")
            faults.signal_sessions("node-2", "KILL")
        done = run.finish()
    assert told(done, "node-2", "the SSH session broke", "no SSH session", "killed by a signal"), done.out
    if fate == "the power goes":
        workspace.lab.start("node-2")
    faults.release("node-2", tool)
    nothing_is_half(workspace.lab, "node-2")
    completes(workspace)


def test_a_roll_whose_session_is_cut_in_the_middle_of_a_push_keeps_the_quorum(
    workspace: Workspace, faults: Faults
) -> None:
    first = workspace.deploy()
    follower = next(member["name"] for member in first.cluster["members"] if member["role"] == "follower")
    change = ("--set", "etcd_snapshot_count=20000")
    with Watched(workspace, "deploy", *change) as run:
        run.step("step-started", "replace-manifest", follower)
        faults.hold(follower, "mv", f"*{MANIFEST}")
        faults.held(follower, "mv")
        faults.signal_sessions(follower, "KILL")
        done = run.finish()
    assert told(done, follower, "the SSH session broke"), done.out
    assert [step["status"] for step in done.cluster["plan"]] == ["failed", "skipped", "skipped", "skipped"]
    assert reads(workspace)
    faults.release(follower, "mv")
    completes(workspace, *change)
