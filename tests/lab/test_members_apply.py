"""Membership changed for real, under a client that writes all the time: nothing acknowledged is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab import apiserver
from tests.lab.membership import (
    DATA,
    NARROW,
    apply,
    cleared,
    entries,
    gap,
    joined,
    lossless,
    members,
    state,
    steps,
    urls,
    voters,
    want,
    writer,
)
from tests.lab.upgrades import hand_leadership, leader
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

ELECTION = 1.0
"""Seconds: etcd's default election time-out, which every election costs at least."""


@pytest.fixture
def workspace(wiped_wide_lab: Lab, tmp_path: Path) -> Workspace:
    """Five empty hosts."""
    return Workspace(wiped_wide_lab, tmp_path)


def test_one_grows_to_three_and_five_and_shrinks_to_three(workspace: Workspace) -> None:
    want(workspace, 1)
    workspace.deploy()
    before = workspace.lab.run("node-1", f"cat {MANIFEST}").stdout
    with writer(workspace, 1) as writing:
        want(workspace, 1, 2, 3)
        refused = apply(workspace, code=3)
        assert NARROW in "".join(refused.cluster["refusals"])
        grown = apply(workspace, NARROW)
        assert steps(grown) == [*joined("node-2"), *joined("node-3")]
        assert workspace.lab.run("node-1", f"cat {MANIFEST}").stdout == before, "nobody else is rolled"
        writing.change(endpoints=urls(workspace, 1, 2, 3))
        writing.wait(5)
        want(workspace, 1, 2, 3, 4, 5)
        wider = workspace.deploy()
        assert [one["status"] for one in wider.cluster["plan"]] == ["done"] * len(wider.cluster["plan"])
        writing.change(endpoints=urls(workspace, 1, 2, 3, 4, 5))
        writing.wait(5)
        assert members(workspace) == voters(1, 2, 3, 4, 5)
        hand_leadership(workspace, "node-1")
        want(workspace, 3, 4, 5, absent=(1, 2))
        writing.change(endpoints=urls(workspace, 3, 4, 5))
        shrunk = apply(workspace)
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert ("node-1", "move-leader", "done") in steps(shrunk)
    assert gap(shrunk, verdict, ("move-leader", "remove-member", "clear-member")) < ELECTION, verdict.gaps
    assert not verdict.failed_twice
    assert members(workspace, "node-3") == voters(3, 4, 5)
    for node in ("node-1", "node-2"):
        assert cleared(workspace, node)
        assert workspace.lab.run(node, f"ls {DATA}.removed-*/member/wal").stdout
    assert apply(workspace).cluster["outcome"] == "unchanged"
    assert workspace.deploy().cluster["outcome"] == "unchanged"


def other_cluster(workspace: Workspace, node: str) -> None:
    """Leave the data of another cluster on a host, and nothing that starts it."""
    other = Workspace(workspace.lab, workspace.directory / "other")
    hosts = {one.name: None for one in workspace.lab.nodes if one.name != node}
    other.inventory(data={"deploy_name": "other"}, hosts=hosts)
    other.deploy()
    workspace.lab.run(node, f"mv {MANIFEST} /root/")
    workspace.await_stop(node)


def at_rest(workspace: Workspace, node: str) -> tuple[list[str], str]:
    """What an etcd that is started again and again leaves alone on a host: it touches its data directory."""
    files = workspace.fingerprint(node).splitlines()
    names = workspace.lab.run(node, f"ls -A {DATA} {DATA}/member").stdout
    return [line for line in files if not line.startswith(f"{DATA} ")], names


def test_a_killed_member_is_replaced_and_neither_its_data_nor_those_of_another_cluster_ever_join(
    workspace: Workspace,
) -> None:
    lab = workspace.lab
    want(workspace, 1, 2, 3)
    workspace.deploy()
    other_cluster(workspace, "node-5")
    with writer(workspace, 1, 2, 3) as writing:
        lab.kill("node-3")
        writing.change(endpoints=urls(workspace, 1, 2))
        want(workspace, 1, 2, 4)
        refused = apply(workspace, code=3)
        assert NARROW in "".join(refused.cluster["refusals"])
        replaced = apply(workspace, NARROW)
        assert steps(replaced) == [("node-3", "remove-member", "done"), *joined("node-4")]
        assert members(workspace) == voters(1, 2, 4)
        writing.change(endpoints=urls(workspace, 1, 2, 4))

        lab.start("node-3")  # with its manifest and its data
        before, listed = state(workspace, 1, 2, 4, 5), entries(workspace)
        held = at_rest(workspace, "node-3")
        want(workspace, 1, 2, 3, 4, 5)
        refused = apply(workspace, NARROW, "--yes", code=3)
        told = refused.cluster["refusals"]
        assert not refused.cluster["plan"]
        assert any("node-3: wanted an empty data directory, found member " in line for line in told), told
        assert any("node-5: wanted an empty data directory, found member " in line for line in told), told
        assert (state(workspace, 1, 2, 4, 5), entries(workspace)) == (before, listed)
        assert at_rest(workspace, "node-3") == held

        want(workspace, 1, 2, 4, absent=[3])
        assert steps(apply(workspace)) == [("node-3", "clear-member", "done")]
        assert cleared(workspace, "node-3")
        assert lab.run("node-3", f"ls {DATA}.removed-*/member/wal").stdout

        hand_leadership(workspace, "node-4")
        writing.change(endpoints=urls(workspace, 1, 2))
        want(workspace, 1, 2)
        shrunk = apply(workspace, NARROW)
        assert steps(shrunk) == [("node-4", "move-leader", "done"), ("node-4", "remove-member", "done")]
        assert "its host is left as it is" in shrunk.steps("remove-member")[0]["reason"]
        assert lab.run("node-4", f"ls {DATA}/member/wal {MANIFEST}").stdout, "its host is not in the inventory"
        want(workspace, 1, 2, absent=[4])
        assert steps(apply(workspace, "--purge")) == [("node-4", "clear-member", "done")]
        assert cleared(workspace, "node-4")
        assert not lab.run("node-4", f"ls -d {DATA}.removed-*", check=False).stdout
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert gap(shrunk, verdict, ("move-leader", "remove-member")) < ELECTION, verdict.gaps
    assert members(workspace) == voters(1, 2)
    assert leader(workspace) in {"node-1", "node-2"}
    assert workspace.deploy().cluster["outcome"] == "unchanged"


def lose_data(workspace: Workspace, node: str) -> None:
    """Let a member crash and its disk be empty, the guard `member` included."""
    workspace.lab.run(node, f"find {DATA} -mindepth 1 -delete; kill -KILL $(pgrep -x etcd)")
    workspace.await_stop(node)
    workspace.lab.run(node, f"find {DATA} -mindepth 1 -delete")


def damage_data(workspace: Workspace, node: str) -> None:
    """Overwrite both heads of a member's database, and let it find that."""
    overwrite = f"dd if=/dev/zero of={DATA}/member/snap/db bs=4096 count=2 conv=notrunc,fsync"
    workspace.lab.run(node, f"{overwrite} && kill -KILL $(pgrep -x etcd); {overwrite}")
    log = "crictl logs $(crictl ps -aq --name '^etcd$' | head -1) 2>&1 | grep 'invalid database'"
    ends = time.monotonic() + 30
    while workspace.lab.run(node, log, check=False).returncode:
        assert time.monotonic() < ends, f"{node}: etcd has started on a damaged database"
        time.sleep(0.2)


def add_learner(workspace: Workspace, url: str) -> None:
    """Add a learner that is none of the inventory's, as soon as the members have been connected for 5 s."""
    ends = time.monotonic() + 20
    while workspace.lab.run("node-1", f"{ETCDCTL} member add it --learner --peer-urls={url}", check=False).returncode:
        assert time.monotonic() < ends, "etcd takes no learner"
        time.sleep(0.5)


def test_lost_and_damaged_data_are_repaired_and_a_foreign_learner_is_left_alone(workspace: Workspace) -> None:
    lab = workspace.lab
    want(workspace, 1, 2, 3)
    workspace.deploy()
    nowhere = lab.nodes[0].address.rpartition(".")[0] + ".250"
    with writer(workspace, 1, 2, 3) as writing:
        add_learner(workspace, f"https://{nowhere}:2380")
        before, listed = state(workspace, 1, 2, 3), entries(workspace)
        left = apply(workspace, code=1)
        assert left.cluster["outcome"] == "unchanged"
        assert any(f"https://{nowhere}:2380" in note and "left alone" in note for note in left.cluster["notes"])
        want(workspace, 1, 2, 3, 4)
        refused = apply(workspace, code=3)
        assert any("etcd takes one learner at a time" in line for line in refused.cluster["refusals"])
        assert (state(workspace, 1, 2, 3), entries(workspace)) == (before, listed)
        (foreign,) = (number for number, (_, url, _) in listed.items() if nowhere in url)
        lab.run("node-1", f"{ETCDCTL} member remove {foreign}")

        want(workspace, 1, 2, 3)
        writing.change(endpoints=urls(workspace, 1, 3))
        lose_data(workspace, "node-2")
        before, listed = state(workspace, 1, 2, 3), entries(workspace)
        refused = apply(workspace, NARROW, code=3)
        assert any("--yes" in line and "node-2" in line for line in refused.cluster["refusals"])
        assert (state(workspace, 1, 2, 3), entries(workspace)) == (before, listed)
        repaired = apply(workspace, NARROW, "--yes")
        assert steps(repaired) == joined("node-2", "set-data-aside", "remove-member")
        assert not listed.keys() >= entries(workspace).keys(), "it has another ID"
        assert state(workspace, 1, 3) == {name: before[name] for name in ("node-1", "node-3")}

        writing.change(endpoints=urls(workspace, 1, 2))
        damage_data(workspace, "node-3")
        before, listed = state(workspace, 1, 2), entries(workspace)
        refused = apply(workspace, NARROW, code=3)
        told = refused.cluster["refusals"]
        assert any("--yes" in line and "are corrupt (" in line and "invalid database" in line for line in told), told
        assert (state(workspace, 1, 2), entries(workspace)) == (before, listed)
        mended = apply(workspace, NARROW, "--yes")
        assert steps(mended) == joined("node-3", "set-data-aside", "remove-member")
        assert lab.run("node-3", f"ls {DATA}.removed-*/member/snap/db").stdout, "what is left of the data is kept"
        writing.change(endpoints=urls(workspace, 1, 2, 3))
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert members(workspace) == voters(1, 2, 3)
    assert state(workspace, 1, 2) == before
    assert workspace.deploy().cluster["outcome"] == "unchanged"


def readdress(workspace: Workspace, node: str, address: str) -> None:
    """Let the inventory, and who knows the host's key, have a host at another address."""
    path = workspace.directory / "hosts.yaml"
    hosts = yaml.safe_load(path.read_text())
    former, hosts[node]["hostname"] = hosts[node]["hostname"], address
    path.write_text(yaml.safe_dump(hosts))
    known = workspace.lab.known_hosts
    lines = known.read_text().splitlines()
    (own,) = (line for line in lines if former in line.partition(" ")[0].split(","))
    known.write_text("\n".join([*lines, f"{address} {own.partition(' ')[2]}"]) + "\n")


def test_an_api_server_follows_a_replacement_and_a_host_that_moves_keeps_its_member(workspace: Workspace) -> None:
    lab = workspace.lab
    want(workspace, 1, 2, 3)
    workspace.deploy()
    pki = "/etc/kubernetes/pki"
    files = {"cafile": f"{pki}/ca.pem", "certfile": f"{pki}/etcd.pem", "keyfile": f"{pki}/etcd-key.pem"}
    apiserver.place(lab, "node-1", **files, servers=",".join(urls(workspace, 1, 2, 3)))
    with writer(workspace, 1, 2, 3) as writing:
        want(workspace, 1, 2, 4)
        writing.change(endpoints=urls(workspace, 1, 2))
        replaced = apply(workspace, "--update-apiserver")
        assert steps(replaced, "remove-member", "promote-member", "replace-etcd-servers") == [
            ("node-4", "promote-member", "done"),
            ("node-3", "remove-member", "done"),
            ("node-1", "replace-etcd-servers", "done"),
        ]
        servers = f"--etcd-servers={','.join(urls(workspace, 1, 2, 4))}\n"
        assert servers in lab.run("node-1", f"cat {apiserver.MANIFEST}").stdout
        assert apiserver.restarts(lab, "node-1") == 1
        apiserver.remove(lab, "node-1")

        former, moved = (lab.nodes[3].address.rpartition(".")[0] + end for end in (".14", ".154"))
        assert former == lab.nodes[3].address
        lab.run("node-4", f"ip addr add {moved}/24 dev eth0")
        readdress(workspace, "node-4", moved)
        before = state(workspace, 1, 2)
        changed = apply(workspace, NARROW)
        names = [(host, action) for host, action, status in steps(changed) if status == "done"]
        assert names[-2:] == [("node-4", "update-peer-url"), ("node-4", "readdress-member")], names
        assert any(one[:2] == ["node-4", f"https://{moved}:2380"] for one in entries(workspace).values())
        sans = lab.run("node-4", f"openssl x509 -in {pki}/etcd.pem -noout -ext subjectAltName").stdout
        assert moved in sans
        assert workspace.deploy().cluster["outcome"] == "unchanged"

        # Back, and now as a host really moves: its former address is gone before anybody is told.
        lab.run("node-4", f"ip addr del {moved}/24 dev eth0")
        want(workspace, 1, 2, 4)
        back = apply(workspace, NARROW)
        assert steps(back, "update-peer-url", "readdress-member") == [
            ("node-4", "update-peer-url", "done"),
            ("node-4", "readdress-member", "done"),
        ]
        assert state(workspace, 1, 2) == before
        writing.change(endpoints=urls(workspace, 1, 2, 4))
        writing.wait(5)
        verdict = writing.stop()
    lossless(verdict)
    assert members(workspace) == voters(1, 2, 4)
    assert workspace.deploy().cluster["outcome"] == "unchanged"
