"""The registry is away, the image is missing or no etcd, a port is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import MANIFEST, NODES, Faults, completes, nothing_is_half, reads, told
from tests.faults.images import EXITS, NEVER_READY, add_image, forget_images

if TYPE_CHECKING:
    from tests.lab.workspace import Workspace

pytestmark = pytest.mark.lab

BROKEN = {"exits": EXITS, "never-ready": NEVER_READY}
LISTEN = 'import socket, time; s = socket.create_server(("", 2380), backlog=1); time.sleep(600)'


def test_a_registry_that_is_away_is_told_and_nothing_is_started(workspace: Workspace) -> None:
    forget_images(workspace.lab)
    workspace.lab.kill("registry")
    run = workspace.deploy(code=3)
    for node in NODES:
        assert told(run, node, "registry.ikubeops.local"), run.out
        assert workspace.lab.run(node, "ls /etc/kubernetes/manifests").stdout == ""
    workspace.lab.start("registry")
    completes(workspace)


def test_an_image_that_is_missing_stops_no_member_of_a_live_cluster(workspace: Workspace) -> None:
    workspace.deploy()
    before = workspace.containers()
    workspace.inventory(data={"registry_project": "nowhere"})
    run = workspace.deploy(code=3)
    for node in NODES:
        assert told(run, node, "nowhere/etcd"), run.out
    assert workspace.containers() == before
    workspace.inventory()
    assert completes(workspace) == []


@pytest.mark.parametrize("project", BROKEN)
def test_an_image_that_is_no_etcd_fails_a_bootstrap_and_the_right_one_completes_it(
    workspace: Workspace, project: str
) -> None:
    add_image(workspace.lab, project, BROKEN[project], workspace.directory)
    workspace.inventory(data={"registry_project": project, "etcd_health_timeout": 8})
    run = workspace.deploy(code=3)
    for node in NODES:
        assert told(run, node, "the member does not answer", "the container crashes"), run.out
        (step,) = [step for step in run.steps("start-member") if step["host"] == node]
        assert step["log"] == ["this is no etcd"], run.out
        nothing_is_half(workspace.lab, node)
    workspace.inventory()
    assert {step["action"] for step in completes(workspace)} - {"pull-image"} == {"start-member"}


@pytest.mark.parametrize("project", BROKEN)
def test_an_image_that_is_no_etcd_stops_a_roll_at_its_first_member(workspace: Workspace, project: str) -> None:
    add_image(workspace.lab, project, BROKEN[project], workspace.directory)
    workspace.deploy()
    workspace.inventory(data={"registry_project": project, "etcd_health_timeout": 8})
    run = workspace.deploy(code=3)
    statuses = [step["status"] for step in run.steps("replace-manifest")]
    assert statuses == ["failed", "skipped", "skipped"]
    host = run.steps("replace-manifest")[0]["host"]
    assert told(run, host, "the member does not answer", "the container crashes"), run.out
    assert reads(workspace)
    workspace.inventory()
    assert [step["host"] for step in completes(workspace)] == [host]


def test_a_port_that_is_taken_is_told_and_leaves_the_others_alone(workspace: Workspace, faults: Faults) -> None:
    taker = faults.background("node-2", f"python3 -c '{LISTEN}'")
    run = workspace.deploy("--set", "etcd_health_timeout=12", code=3)
    assert told(run, "node-2", "2380"), run.out
    assert f"{workspace.lab.run('node-2', f'ls {MANIFEST}', check=False).stdout}" in ("", f"{MANIFEST}\n")
    workspace.lab.run("node-2", f"kill {taker}")
    completes(workspace)
