"""Membership changed for real, under a client that writes all the time: nothing acknowledged is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.lab import Lab
from tests.lab.conftest import PREFIX, need_root
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace
from tests.lab.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.lab.verdict import Verdict

pytestmark = pytest.mark.lab

DATA = "/var/lib/etcd"
NARROW = "--accept-no-margin"


@pytest.fixture(scope="module")
def wide_lab() -> Iterator[Lab]:
    """A lab of five hosts."""
    need_root()
    made = Lab(f"{PREFIX}{os.getpid()}-apply", hosts=5)
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def workspace(wide_lab: Lab, tmp_path: Path) -> Workspace:
    """Five empty hosts."""
    for node in wide_lab.nodes:
        if not wide_lab.is_running(node.name):
            wide_lab.start(node.name)
        wide_lab.wipe(node.name)
    wide_lab.set_delay("0.2")
    return Workspace(wide_lab, tmp_path)


def want(workspace: Workspace, *numbers: int, absent: Sequence[int] = (), **data: Any) -> None:
    """Let the inventory have the members on these hosts, and those that shall be none."""
    hosts: dict[str, Any] = {}
    for number in range(1, 6):
        if number in absent:
            hosts[f"node-{number}"] = {"etcd_member": "absent"}
        elif number not in numbers:
            hosts[f"node-{number}"] = None
    workspace.inventory(data=data, hosts=hosts)


def urls(workspace: Workspace, *numbers: int) -> list[str]:
    return [f"https://{workspace.lab.nodes[number - 1].address}:2379" for number in numbers]


def writer(workspace: Workspace, *numbers: int) -> Writer:
    certs = workspace.directory / "certs/example"
    identity = (certs / "ca.pem", certs / "client.pem", certs / "client-key.pem")
    return Writer(workspace.directory / "writer", urls(workspace, *numbers), [identity])


def apply(workspace: Workspace, *words: str, code: int = 0) -> Any:
    run = workspace.run("members", "apply", *words)
    assert run.code == code, f"{run.out}\n{run.err}"
    return run


def members(workspace: Workspace, node: str = "node-1") -> dict[str, bool]:
    """Return whether each member of the live list votes, by name."""
    listed = workspace.lab.run(node, f"{ETCDCTL} member list").stdout.splitlines()
    fields = [line.split(", ") for line in listed]
    return {one[2]: one[5] == "false" for one in fields}


def lossless(verdict: Verdict) -> None:
    assert verdict.ok, verdict.judgement


def test_one_grows_to_three_and_five_and_shrinks_to_three(workspace: Workspace) -> None:
    want(workspace, 1)
    workspace.deploy()
    before = workspace.lab.run("node-1", f"cat {MANIFEST}").stdout
    with writer(workspace, 1) as writing:
        want(workspace, 1, 2, 3)
        refused = apply(workspace, code=3)
        assert "--accept-no-margin" in "".join(refused.cluster["refusals"])
        grown = apply(workspace, NARROW)
        assert grown.cluster["outcome"] == "changed"
        assert workspace.lab.run("node-1", f"cat {MANIFEST}").stdout == before, "nobody else is rolled"
        writing.change(endpoints=urls(workspace, 1, 2, 3))
        writing.wait(5)
        want(workspace, 1, 2, 3, 4, 5)
        joined = workspace.deploy()
        assert [one["status"] for one in joined.cluster["plan"]] == ["done"] * len(joined.cluster["plan"])
        writing.change(endpoints=urls(workspace, 1, 2, 3, 4, 5))
        writing.wait(5)
        assert members(workspace) == {f"node-{number}": True for number in range(1, 6)}
        want(workspace, 3, 4, 5, absent=(1, 2))
        writing.change(endpoints=urls(workspace, 3, 4, 5))
        apply(workspace)
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert members(workspace, "node-3") == {f"node-{number}": True for number in (3, 4, 5)}
    for node in ("node-1", "node-2"):
        assert workspace.lab.run(node, f"ls {MANIFEST} {DATA}", check=False).returncode
        assert workspace.lab.run(node, f"ls {DATA}.removed-*/member/wal").stdout
    assert apply(workspace).cluster["outcome"] == "unchanged"
    assert workspace.deploy().cluster["outcome"] == "unchanged"
