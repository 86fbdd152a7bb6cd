"""Membership on lab hosts: an inventory for each change of it, and what must hold meanwhile and afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tests.lab.workspace import ETCDCTL, MANIFEST
from tests.lab.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tests.lab.verdict import Verdict
    from tests.lab.workspace import Run, Workspace

DATA = "/var/lib/etcd"
NARROW = "--accept-no-margin"
OF_MEMBERSHIP = (
    *("add-learner", "start-learner", "promote-member", "await-member", "move-leader", "remove-member"),
    *("clear-member", "set-data-aside", "update-peer-url", "readdress-member"),
)
"""Actions that change it, or that come between two that do."""
OUTAGE = 5.0
"""Seconds: where a quorum is kept, writes wait for an election at most."""


def want(
    workspace: Workspace, *numbers: int, absent: Collection[int] = (), settings: dict[str, Any] | None = None
) -> None:
    """Let the inventory have the members on these hosts.

    Args:
        workspace: the workspace.
        numbers: of the hosts that shall be members.
        absent: of those that shall be none and are in the inventory; all others are not.
        settings: of the group etcd.
    """
    hosts: dict[str, Any] = {}
    for number, node in enumerate(workspace.lab.nodes, 1):
        if number in absent:
            hosts[node.name] = {"etcd_member": "absent"}
        elif number not in numbers:
            hosts[node.name] = None
    workspace.inventory(data=settings, hosts=hosts)


def urls(workspace: Workspace, *numbers: int) -> list[str]:
    """Client URLs of hosts."""
    return [f"https://{workspace.lab.nodes[number - 1].address}:2379" for number in numbers]


def writer(workspace: Workspace, *numbers: int, interval: float = 0.01) -> Writer:
    """A writer through the members on these hosts, with the controller's own client certificate."""
    certs = workspace.directory / "certs/example"
    identity = (certs / "ca.pem", certs / "client.pem", certs / "client-key.pem")
    return Writer(workspace.directory / "writer", urls(workspace, *numbers), [identity], interval=interval)


def apply(workspace: Workspace, *words: str, code: int = 0) -> Run:
    """Run members apply and hold it to an exit code."""
    run = workspace.run("members", "apply", *words)
    assert run.code == code, f"{run.out}\n{run.err}"
    return run


def entries(workspace: Workspace, node: str = "node-1") -> dict[str, list[str]]:
    """The fields of each entry of the live list, by member ID: name, peer URLs, whether it is a learner."""
    listed = workspace.lab.run(node, f"{ETCDCTL} member list").stdout.splitlines()
    fields = [line.split(", ") for line in listed]
    return {one[0]: [one[2], one[3], one[5]] for one in fields}


def members(workspace: Workspace, node: str = "node-1") -> dict[str, bool]:
    """Whether each member of the live list votes, by name."""
    return {name: learner == "false" for name, _, learner in entries(workspace, node).values()}


def voters(*numbers: int) -> dict[str, bool]:
    """What `members` gives for these hosts alone, when all of them vote."""
    return {f"node-{number}": True for number in numbers}


def steps(run: Run, *actions: str) -> list[tuple[str, str, str]]:
    """Host, action and status of the steps that change membership, or of some actions alone."""
    wanted = actions or OF_MEMBERSHIP
    return [(one["host"], one["action"], one["status"]) for one in run.cluster["plan"] if one["action"] in wanted]


def joined(node: str, *former: str) -> list[tuple[str, str, str]]:
    """The steps of a host that joins, all done; former ones before them."""
    actions = (*former, "add-learner", "start-learner", "promote-member", "await-member")
    return [(node, action, "done") for action in actions]


def state(workspace: Workspace, *numbers: int) -> dict[str, Any]:
    """What no change of others may touch on these hosts: every file but the data, and the container."""
    containers = workspace.containers()
    names = [f"node-{number}" for number in numbers]
    return {name: (workspace.fingerprint(name), containers[name]) for name in names}


def cleared(workspace: Workspace, node: str) -> bool:
    """Whether neither manifest nor data directory nor container of etcd is on a host."""
    lab = workspace.lab
    there = lab.run(node, f"ls -d {MANIFEST} {DATA}", check=False).stdout
    return not there and not lab.run(node, "crictl ps -q --name '^etcd$'").stdout


def gap(run: Run, verdict: Verdict, actions: Sequence[str]) -> float:
    """How long no write was acknowledged, at most, while steps of these actions ran: seconds; 0 if no gap is told."""
    longest = 0.0
    for step in run.cluster["plan"]:
        if step["action"] in actions and step["started_at"]:
            began = datetime.fromisoformat(step["started_at"]).timestamp()
            found = verdict.gaps_between(began, began + step["seconds"])
            longest = max([longest, *(one.seconds for one in found)])
    return longest


def lossless(verdict: Verdict) -> None:
    """Hold that no acknowledged write is lost or altered, and that none had to wait for a quorum."""
    assert verdict.ok, verdict.judgement
    assert verdict.longest_gap.seconds < OUTAGE, verdict.longest_gap
