"""What goes wrong in an upgrade: an image that is none, a lost session, a full disk, a killed controller.

A writer through all members shows that the quorum was kept: no acknowledged write is lost, and none waits for long.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.snapshots import RESERVE
from nornir_etcd.versions import parse
from tests.faults.boundaries import Watched
from tests.faults.faults import MANIFEST, NODES, Faults, nothing_is_half, reads, told, wait_for
from tests.faults.images import EXITS, NEVER_READY, add_image, forget_image, forget_images, without_image
from tests.lab.upgrades import deploy, hand_leadership, leader, paused, upgrade, upgraded, versions, way, writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.verdict import Verdict
    from tests.lab.workspace import Run, Workspace

pytestmark = pytest.mark.lab

MAX_RUNS = 60
"""More than there are kinds of boundaries."""
PATIENCE = {"etcd_health_timeout": 6, "etcd_start_timeout": 8}
"""Seconds for what is to fail; a member that is in order takes two or three."""
OUTAGE = 5.0
"""Seconds: where a quorum is kept, writes wait for an election at most."""
BROKEN = {"exits": EXITS, "neverready": NEVER_READY}


def kept_serving(verdict: Verdict) -> None:
    assert verdict.ok, verdict.judgement
    assert verdict.longest_gap.seconds < OUTAGE, verdict.longest_gap


def statuses(run: Run, *actions: str) -> list[tuple[str, str]]:
    """Action and status of each step of a run, the others left out."""
    return [(step["action"], step["status"]) for step in run.cluster["plan"] if step["action"] in actions]


def error(run: Run, action: str) -> str:
    """The one error of the steps of an action."""
    (found,) = [step["error"] for step in run.steps(action) if step["error"]]
    return str(found)


def test_an_image_that_does_not_start_or_is_never_ready_is_rolled_back_and_a_missing_one_stops_nobody(
    workspace: Workspace,
) -> None:
    former, later = way(workspace.lab)[:2]
    release = parse(later)
    deploy(workspace, former, **PATIENCE)
    with writer(workspace) as writing:
        for name, script in BROKEN.items():
            add_image(workspace.lab, "ikubeops", script, workspace.directory, [f"{release}-{name}"])
            led = leader(workspace)
            run = upgrade(workspace, f"{release}-{name}", code=3)
            assert statuses(run, "upgrade-member", "roll-back-member") == [
                ("upgrade-member", "failed"),
                ("roll-back-member", "done"),
                ("upgrade-member", "skipped"),
                ("upgrade-member", "skipped"),
            ], run.out
            failed, back = (run.steps(action)[0] for action in ("upgrade-member", "roll-back-member"))
            assert failed["host"] == back["host"] != led
            assert error(run, "upgrade-member").startswith(f"{failed['host']}: the member does not answer: wanted ")
            assert failed["log"] == ["this is no etcd"], run.out
            assert f"{release} did not come up: back to {parse(former)}" in back["reason"]
            assert f"etcd:{former}" in back["diff"]
            assert versions(run) == {str(parse(former))}
            assert all(member["healthy"] for member in run.cluster["members"]), run.out
        before = workspace.containers()
        missing = upgrade(workspace, f"{release}-missing", code=3)
        assert {status for _, status in statuses(missing, "pull-image")} == {"failed"}
        assert {status for _, status in statuses(missing, "upgrade-member")} == {"skipped"}
        for node in NODES:
            assert told(missing, node, f"pull of registry.ikubeops.local/ikubeops/etcd:{release}-missing failed")
        assert "see that the registry has the image" in missing.out
        assert workspace.containers() == before
        assert versions(upgrade(workspace, later)) == {str(release)}
        writing.wait(10)
        verdict = writing.stop()
    kept_serving(verdict)


def test_the_last_member_of_a_minor_is_rolled_back_and_goes_on_when_its_image_is_there_again(
    workspace: Workspace,
) -> None:
    former, later = way(workspace.lab)[:2]
    deploy(workspace, former, **PATIENCE)
    led = leader(workspace)
    with writer(workspace) as writing:
        with Watched(workspace, "upgrade", "--to", later) as run, ExitStack() as stack:
            for _ in range(2):
                run.step("step-finished", "upgrade-member")
            with paused(run):
                stack.enter_context(without_image(workspace.lab, later, led))
            done = run.finish()
        assert done.code == 3, done.out
        assert statuses(done, "upgrade-member", "roll-back-member") == [
            *(("upgrade-member", "done"), ("upgrade-member", "done"), ("upgrade-member", "failed")),
            ("roll-back-member", "done"),
        ], done.out
        failed = done.steps("upgrade-member")[-1]
        assert failed["error"].startswith(f"{led}: the container etcd did not start: wanted a new container within ")
        assert failed["log"] == [], "the former container tells nothing of the new one"
        assert {member["name"]: member["version"] for member in done.cluster["members"]} == {
            node: str(parse(former if node == led else later)) for node in NODES
        }
        again = upgrade(workspace, later)
        assert upgraded(again) == [led]
        writing.wait(10)
        verdict = writing.stop()
    kept_serving(verdict)


def test_a_host_that_is_lost_in_mid_step_is_left_as_it_is_and_seen_through_by_the_same_command(
    workspace: Workspace, faults: Faults
) -> None:
    former, later = way(workspace.lab)[:2]
    deploy(workspace, former)
    with writer(workspace) as writing:
        workspace.lab.set_delay("3")  # so that it is lost between the manifest and the container
        with Watched(workspace, "upgrade", "--to", later) as run:
            host = run.step("step-started", "upgrade-member")["host"]
            manifest = workspace.lab.root(host) / MANIFEST[1:]
            wait_for(lambda: f"etcd:{later}" in manifest.read_text(), f"{host} has the manifest of {later}")
            faults.stop_server(host)
            faults.signal_sessions(host, "KILL")
            done = run.finish()
        assert done.code == 3, done.out
        assert statuses(done, "upgrade-member", "roll-back-member") == [
            *(("upgrade-member", "failed"), ("upgrade-member", "skipped"), ("upgrade-member", "skipped")),
        ], done.out
        line = error(done, "upgrade-member")
        assert line.startswith(f"{host}: wait for etcd: the SSH session broke: "), line
        assert f"; not rolled back, since another operator may be at work: {host}: the lock of the host is lost" in line
        assert line.endswith("; run the same command again"), line
        faults.undo()
        workspace.lab.set_delay("0.2")
        again = upgrade(workspace, later)
        assert versions(again) == {str(parse(later))}
        assert set(upgraded(again)) >= set(NODES) - {host}
        writing.wait(10)
        verdict = writing.stop()
    kept_serving(verdict)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder of the controller on a file system of its own, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    size = RESERVE + 32 * 1024 * 1024
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place)]
    subprocess.run(command, check=True, timeout=20)  # noqa: S603 - a folder of our own
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=20)  # noqa: S603, S607 - the same


def test_no_member_is_touched_where_a_snapshot_has_no_room(workspace: Workspace, disk: Path) -> None:
    former, later = way(workspace.lab)[:2]
    deploy(workspace, former, etcd_snapshot_dir=str(disk / "example"))
    before = workspace.containers()
    filler = disk / "filler"
    filler.write_bytes(bytes(48 * 1024 * 1024))
    refused = upgrade(workspace, later, code=3)
    assert refused.cluster["outcome"] == "refused"
    (line,) = refused.cluster["refusals"]
    assert line.startswith(f"example: {disk}/example: wanted 64.0 MiB free for a snapshot, found 48.0 MiB; free space")
    filler.unlink()

    with Watched(workspace, "upgrade", "--to", later) as run:
        run.planned()
        with paused(run):
            filler.write_bytes(bytes(RESERVE + 32 * 1024 * 1024))
        done = run.finish()
    assert done.code == 3, done.out
    (snapshot,) = done.steps("save-snapshot")
    assert snapshot["status"] == "failed", done.out
    assert "free space there, or set etcd_snapshot_dir" in snapshot["error"]
    assert {status for _, status in statuses(done, "upgrade-member", "move-leader")} == {"skipped"}
    assert workspace.containers() == before
    assert list(disk.glob("example/*.db")) == []
    filler.unlink()
    assert versions(upgrade(workspace, later)) == {str(parse(later))}
    assert len(list(disk.glob("example/*.db"))) == 1


def test_an_upgrade_whose_controller_is_killed_at_every_boundary_is_completed_by_the_same_command(
    workspace: Workspace,
) -> None:
    former, later = way(workspace.lab)[:2]
    forget_images(workspace.lab)
    deploy(workspace, former)
    workspace.lab.set_delay("15")  # of the first member: two runs find it under way
    struck: set[tuple[str, str]] = set()
    with writer(workspace, interval=0.03) as writing:
        for _ in range(MAX_RUNS):
            with Watched(workspace, "upgrade", "--to", later) as run:
                event = run.next()
                while event is not None and kind(event) in struck:
                    event = run.next()
                if event is None:
                    assert run.process.wait(timeout=30) == 0, (workspace.directory / "out").read_text()
                    break
                if kind(event) == ("step-started", "upgrade-member"):
                    manifest = workspace.lab.root(event["host"]) / MANIFEST[1:]
                    wait_for(lambda path=manifest: f"etcd:{later}" in path.read_text(), "it is written")  # type: ignore[misc]
                run.kill()
                struck.add(kind(event))
            for node in NODES:
                nothing_is_half(workspace.lab, node)
            assert reads(workspace), event
            if event["event"] == "step-started":
                take_back(workspace, event, later)
        else:
            raise AssertionError(f"no run got through: {struck}")
        writing.wait(10)
        verdict = writing.stop()
    kept_serving(verdict)
    for action in ("pull-image", "save-snapshot", "upgrade-member", "finish-upgrade", "move-leader"):
        assert {("step-started", action), ("step-finished", action)} <= struck
    done = upgrade(workspace, later)
    assert (done.cluster["outcome"], versions(done)) == ("unchanged", {str(parse(later))})


def take_back(workspace: Workspace, event: dict[str, Any], version: str) -> None:
    """Undo what a step may have come to that was killed at its start, so that its end comes as well."""
    action, host = kind(event)[1], event["host"]
    if action == "pull-image":
        workspace.lab.run(host, "while pgrep -f '[c]rictl pull' >/dev/null; do sleep 0.1; done")
        forget_image(workspace.lab, version, host)
    elif action == "save-snapshot":
        for path in (workspace.directory / "snapshots/example").glob("*.db"):
            path.unlink()
    elif action == "move-leader":
        hand_leadership(workspace, host)
    elif action == "finish-upgrade":
        workspace.lab.set_delay("0.2")


def kind(event: dict[str, Any]) -> tuple[str, str]:
    """What makes a boundary another one: its name, and the action of its step."""
    return event["event"], event["step"].rpartition("/")[2]


def test_a_controller_that_is_killed_before_it_rolls_back_is_succeeded_by_the_same_command(
    workspace: Workspace,
) -> None:
    former, later = way(workspace.lab)[:2]
    deploy(workspace, former, **PATIENCE)
    bad = f"{parse(later)}-killed"
    add_image(workspace.lab, "ikubeops", EXITS, workspace.directory, [bad])
    with Watched(workspace, "upgrade", "--to", bad) as run:
        host = run.step("step-started", "roll-back-member")["host"]
        run.kill()
    assert reads(workspace)
    again = upgrade(workspace, bad, code=3)
    assert statuses(again, "finish-upgrade", "upgrade-member", "roll-back-member")[:2] == [
        ("finish-upgrade", "failed"),
        ("roll-back-member", "done"),
    ], again.out
    assert {step["host"] for step in again.steps("roll-back-member")} == {host}
    assert all(member["healthy"] for member in again.cluster["members"]), again.out
    assert versions(again) == {str(parse(former))}
    assert upgrade(workspace, later, "--dry-run").cluster["outcome"] == "planned"
