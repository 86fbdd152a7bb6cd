"""etcd_via on hosts whose firewall really cuts the controller off from etcd's ports."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import MANIFEST, OF_ANY_LAB, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nornir_etcd.lab import Lab
    from tests.lab.workspace import Run

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
FILTER = """nft -f - <<'END'
table ip cutoff {{
    chain inbound {{
        type filter hook input priority 0;
        ip saddr {controller} tcp dport {{ {ports} }} drop
    }}
}}
END"""
SSHD_CONFIG = "/etc/ssh/lab_sshd_config"
READ_CONFIG_AGAIN = "kill -HUP $(ps --ppid 1 -o pid=,comm= | awk '$2 == \"sshd\" { print $1 }')"
CHANGE = ("--set", "etcd_snapshot_count=20000")


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


@contextmanager
def cut_off(lab: Lab, ports: str = "2379, 2380") -> Iterator[None]:
    """Drop what the controller, and nobody else, sends to these ports of every host."""
    controller = f"{lab.nodes[0].address.rpartition('.')[0]}.1"
    try:
        for node in NODES:
            lab.run(node, FILTER.format(controller=controller, ports=ports))
        yield
    finally:
        for node in NODES:
            lab.run(node, "nft delete table ip cutoff", check=False)


@contextmanager
def forwarding_forbidden(lab: Lab) -> Iterator[None]:
    """Let no sshd forward connections."""
    try:
        for node in NODES:
            lab.run(node, f"echo 'AllowTcpForwarding no' >>{SSHD_CONFIG}; {READ_CONFIG_AGAIN}")
        yield
    finally:
        for node in NODES:
            lab.run(node, f"sed -i '/^AllowTcpForwarding/d' {SSHD_CONFIG}; {READ_CONFIG_AGAIN}")


def handshakes(lab: Lab) -> list[int]:
    """How many logins each host has seen."""
    return [int(lab.run(node, "grep -c 'Accepted publickey' /var/log/sshd.log || true").stdout) for node in NODES]


def one_more(before: list[int]) -> list[int]:
    return [count + 1 for count in before]


def untouched(workspace: Workspace) -> bool:
    found = [workspace.lab.run(node, "find /etc/kubernetes /var/lib/etcd -type f 2>/dev/null; true") for node in NODES]
    return not any(one.stdout for one in found) and not (workspace.directory / "certs").exists()


def severities(run: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for finding in run.cluster["findings"]:
        if finding["code"] not in OF_ANY_LAB:
            found.setdefault(finding["code"], set()).add(finding["severity"])
    return found


def test_a_controller_that_is_cut_off_deploys_and_verifies_over_one_ssh_session_a_host(workspace: Workspace) -> None:
    with cut_off(workspace.lab):
        before = handshakes(workspace.lab)
        run = workspace.deploy()
        assert handshakes(workspace.lab) == one_more(before)
        assert [member["healthy"] for member in run.cluster["members"]] == [True, True, True]
        assert run.amiss == []
        assert any("through the host's SSH session: node-1, node-2, node-3" in note for note in run.cluster["notes"])
        assert "through the host's SSH session" in run.out

        before = handshakes(workspace.lab)
        assert workspace.deploy().cluster["outcome"] == "unchanged"
        assert handshakes(workspace.lab) == one_more(before)

        blind = workspace.verify("--set", "etcd_via=direct", code=1)
        assert len(blind.findings("client.unreachable", "critical")) == 3
        assert all("no answer within" in one["message"] for one in blind.findings("client.unreachable", "critical"))
        containers = workspace.containers()
        refused = workspace.deploy("--set", "etcd_via=direct", *CHANGE, code=3)
        assert len(refused.cluster["refusals"]) >= 3
        assert workspace.containers() == containers


def test_nothing_is_begun_where_health_could_not_be_seen(workspace: Workspace) -> None:
    with cut_off(workspace.lab):
        run = workspace.deploy("--set", "etcd_via=direct", code=3)
        assert run.cluster["outcome"] == "refused"
        assert [line.partition(":")[0] for line in run.cluster["refusals"]] == list(NODES)
        assert all("health could not be seen" in line for line in run.cluster["refusals"])
        assert untouched(workspace)
        with forwarding_forbidden(workspace.lab):
            run = workspace.deploy(code=3)
        assert all("AllowTcpForwarding" in line for line in run.cluster["refusals"])
        assert untouched(workspace)


def test_through_ssh_all_is_as_it_is_directly_and_what_sshd_forbids_is_unknown(workspace: Workspace) -> None:
    direct = workspace.deploy()
    assert not direct.cluster["notes"]
    through = workspace.verify("--set", "etcd_via=ssh")
    assert severities(through) == severities(workspace.verify())
    assert through.amiss == []
    assert {one["evidence"]["via"] for one in through.findings("client.unreachable", "ok")} == {"ssh"}

    with cut_off(workspace.lab, "2380"):
        peers = workspace.verify()
    assert peers.amiss == []
    assert {one["evidence"]["via"] for one in peers.findings("peer.unreachable", "ok")} == {"ssh"}

    before = handshakes(workspace.lab)
    rolled = workspace.deploy("--set", "etcd_via=ssh", *CHANGE)
    assert len(rolled.steps("replace-manifest")) == 3
    assert handshakes(workspace.lab) == one_more(before)

    with forwarding_forbidden(workspace.lab):
        run = workspace.verify("--set", "etcd_via=ssh", *CHANGE, code=4)
        assert len(run.findings("client.unreachable", "unknown")) == 3
        assert len(run.findings("member.unhealthy", "unknown")) == 3
        assert all("AllowTcpForwarding" in one["message"] for one in run.findings("client.unreachable", "unknown"))
        assert [member["healthy"] for member in run.cluster["members"]] == [None, None, None]
        containers = workspace.containers()
        refused = workspace.deploy("--set", "etcd_via=ssh", code=3)
        assert all("AllowTcpForwarding" in line for line in refused.cluster["refusals"])
        assert workspace.containers() == containers
        assert workspace.verify(*CHANGE).code == 0  # auto, and the ports answer


def test_ssh_that_is_away_is_unknown_where_etcd_is_asked_through_it_alone(workspace: Workspace) -> None:
    workspace.deploy()
    for node in NODES:
        workspace.lab.run(node, "mv /root/.ssh/authorized_keys /root/.ssh/away")
    try:
        run = workspace.verify("--set", "etcd_via=ssh", code=4)
    finally:
        for node in NODES:
            workspace.lab.run(node, "mv /root/.ssh/away /root/.ssh/authorized_keys")
    assert len(run.findings("client.unreachable", "unknown")) == 3
    assert all("authentication failed" in one["message"] for one in run.findings("client.unreachable", "unknown"))


def test_a_session_that_is_cut_while_a_member_starts_fails_its_step_and_the_next_run_completes(
    workspace: Workspace,
) -> None:
    workspace.lab.set_delay("3")
    process = workspace.start("deploy", "--set", "etcd_via=ssh", "--output", str(workspace.directory / "report.json"))
    ends = time.monotonic() + 60
    while workspace.lab.run("node-2", f"test -e {MANIFEST}", check=False).returncode and time.monotonic() < ends:
        time.sleep(0.1)
    workspace.lab.run(
        "node-2", "for pid in $(ps -C sshd -o pid=,ppid= | awk '$2 != 1 { print $1 }'); do kill $pid; done"
    )
    cut = workspace.finish(process)
    assert cut.code == 3, cut.out + cut.err
    failed = [step for step in cut.cluster["plan"] if step["status"] == "failed"]
    assert [step["host"] for step in failed] == ["node-2"]
    assert "the SSH session broke" in failed[0]["error"]
    again = workspace.deploy("--set", "etcd_via=ssh")
    assert [member["healthy"] for member in again.cluster["members"]] == [True, True, True]
