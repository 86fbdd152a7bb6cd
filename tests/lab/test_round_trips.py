"""How often a run turns to a host: counted in the hosts' own sshd logs, no time taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

# sshd's own words at LogLevel VERBOSE: one line a login, one line a command.
LOGIN, COMMAND = "Accepted publickey for ", "Starting session: command for "


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


def seen(lab: Lab) -> dict[str, tuple[int, int]]:
    """How many logins and commands each host has seen so far."""
    logs = {node.name: (lab.root(node.name) / "var/log/sshd.log").read_text() for node in lab.nodes}
    return {name: (log.count(LOGIN), log.count(COMMAND)) for name, log in logs.items()}


def test_a_run_logs_in_once_and_asks_at_most_three_times_where_nothing_changes(workspace: Workspace) -> None:
    before = seen(workspace.lab)
    workspace.deploy()
    for name, (logins, _) in seen(workspace.lab).items():
        assert logins - before[name][0] == 1, name
    for words in (("deploy",), ("deploy", "--dry-run"), ("verify",)):
        before = seen(workspace.lab)
        run = workspace.run(*words)
        assert run.code == 0, run.out
        for name, (logins, commands) in seen(workspace.lab).items():
            assert logins - before[name][0] == 1, (words, name)
            assert 1 <= commands - before[name][1] <= 3, (words, name)
