"""Disks that are or become full or read-only where certificates, manifest and data go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.boundaries import Watched
from tests.faults.faults import MANIFEST, PKI, Faults, completes, left_behind, nothing_is_half, reads, told, wait_for

if TYPE_CHECKING:
    from tests.lab.workspace import Workspace

pytestmark = pytest.mark.lab

FULL = ("No space left on device", "no space left on device", "space")
READ_ONLY = ("Read-only file system", "read-only")
SANS = ("--set", 'etcd_extra_sans=["etcd.example.org"]')


@pytest.mark.parametrize("path", [PKI, "/etc/kubernetes", "/var/lib/etcd"])
def test_a_full_disk_is_told_and_nothing_is_left_on_it(workspace: Workspace, faults: Faults, path: str) -> None:
    faults.disk("node-2", path, "600m")
    faults.fill("node-2", path, leave=8192)
    run = workspace.deploy("--set", "etcd_health_timeout=12", code=3)
    assert told(run, "node-2", *FULL), run.out
    assert workspace.lab.run("node-2", f"find {PKI} {MANIFEST} -type f -o -type l", check=False).stdout == ""
    faults.make_room("node-2", path)
    completes(workspace)


def test_a_disk_that_fills_up_under_new_certificates_leaves_none_of_them(workspace: Workspace, faults: Faults) -> None:
    faults.disk("node-2", PKI, "32m")
    with Watched(workspace, "deploy") as run:
        run.planned()
        faults.fill("node-2", PKI, leave=8192)  # two of the four files
        done = run.finish()
    assert told(done, "node-2", *FULL), done.out
    assert workspace.lab.run("node-2", f"find {PKI} -type f -o -type l").stdout == ""
    faults.make_room("node-2", PKI)
    completes(workspace)


def test_a_disk_that_fills_up_under_certificates_in_use_leaves_those(workspace: Workspace, faults: Faults) -> None:
    faults.disk("node-2", PKI, "32m")
    workspace.deploy()
    serving = workspace.lab.run("node-2", f"sha256sum {PKI}/*.pem").stdout
    with Watched(workspace, "certs", *SANS) as run:
        run.planned()
        faults.fill("node-2", PKI)
        done = run.finish()
    assert told(done, "node-2", *FULL), done.out
    assert workspace.lab.run("node-2", f"sha256sum {PKI}/*.pem").stdout == serving
    nothing_is_half(workspace.lab, "node-2")
    assert left_behind(workspace.lab, "node-2") == []
    assert reads(workspace)
    faults.make_room("node-2", PKI)
    again = workspace.run("certs", *SANS)
    assert again.code == 0, again.out
    assert [step["host"] for step in again.steps("place-files")] == ["node-2", "node-3"], "one member after the other"
    completes(workspace, *SANS)


def test_a_disk_that_fills_up_under_the_manifest_leaves_no_part_of_it(workspace: Workspace, faults: Faults) -> None:
    faults.disk("node-2", "/etc/kubernetes", "32m")
    faults.disk("node-2", PKI, "32m")
    with Watched(workspace, "deploy") as run:
        run.planned()
        faults.fill("node-2", "/etc/kubernetes")
        done = run.finish()
    assert told(done, "node-2", *FULL), done.out
    assert workspace.lab.run("node-2", f"ls {MANIFEST}", check=False).returncode != 0
    assert left_behind(workspace.lab, "node-2") == []
    faults.make_room("node-2", "/etc/kubernetes")
    completes(workspace)


def test_a_member_whose_disk_fills_up_at_its_first_start_is_left_to_the_kubelet_until_there_is_room(
    workspace: Workspace, faults: Faults
) -> None:
    faults.disk("node-2", "/var/lib/etcd", "600m")
    with Watched(workspace, "deploy", "--set", "etcd_health_timeout=12") as run:
        run.planned()
        faults.fill("node-2", "/var/lib/etcd", leave=1 << 20)
        done = run.finish()
    assert told(done, "node-2", *FULL), done.out
    again = workspace.deploy(code=3)
    assert told(again, "node-2", "broken off"), again.out
    faults.make_room("node-2", "/var/lib/etcd")
    wal = workspace.lab.root("node-2") / "var/lib/etcd/member/wal"
    wait_for(wal.is_dir, "the kubelet tries again", 90)
    completes(workspace)


def test_a_read_only_folder_is_told_and_nothing_is_started_there(workspace: Workspace, faults: Faults) -> None:
    faults.read_only("node-2", "/etc/kubernetes")
    run = workspace.deploy(code=3)
    assert told(run, "node-2", *READ_ONLY), run.out
    assert workspace.lab.run("node-2", "find /etc/kubernetes -type f").stdout == ""
    faults.undo()
    completes(workspace)


def test_a_folder_that_becomes_read_only_stops_a_roll_and_no_member(workspace: Workspace, faults: Faults) -> None:
    first = workspace.deploy()
    follower = next(member["name"] for member in first.cluster["members"] if member["role"] == "follower")
    before = workspace.containers()
    with Watched(workspace, "deploy", "--set", "etcd_snapshot_count=20000") as run:
        run.planned()
        faults.read_only(follower, "/etc/kubernetes")
        done = run.finish()
    assert told(done, follower, *READ_ONLY), done.out
    assert workspace.containers() == before
    faults.undo()
    completes(workspace, "--set", "etcd_snapshot_count=20000")
