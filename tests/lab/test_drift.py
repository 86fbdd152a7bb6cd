"""What somebody changed on hosts by hand, found by verify on real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.workspace import MANIFEST, Run, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
KEY = "/etc/kubernetes/pki/etcd/etcd-key.pem"
READ_FROM_HOSTS = {
    *("host.clock", "host.space", "host.kubelet", "host.ports", "peer.mesh", "container.restarts", "image.digest"),
    *("manifest.drift", "flags.unequal", "file.mode", "manifests.leftover"),
}
KILL = """\
id=$(crictl ps -q --name '^etcd$')
for process in $(grep -ls "$id" /proc/[0-9]*/cgroup | cut -d/ -f3); do
    [ "$(cat /proc/$process/comm)" != etcd ] || kill -KILL "$process"
done
"""


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory(data={"etcd_restarts_warning": 1})
    return made


def read_from_hosts(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """The findings that only hosts can tell and that are not ok."""
    found = [one for one in run.cluster["findings"] if one["code"] in READ_FROM_HOSTS]
    assert {one["code"] for one in found} == READ_FROM_HOSTS
    return {(one["code"], one["subject"]): one for one in found if one["severity"] != "ok"}


def crash(workspace: Workspace, node: str) -> None:
    """End the member's process, and wait until its kubelet has started it again."""
    lab = workspace.lab
    before = workspace.containers()[node]
    lab.run(node, KILL)
    wait = "for n in $(seq 100); do id=$(crictl ps -q --name '^etcd$'); "
    lab.run(node, f'{wait} [ -z "$id" ] || [ "$id" = {before} ] || exit 0; sleep 0.2; done; exit 1')


def test_what_was_changed_by_hand_is_found_and_nothing_else_is(workspace: Workspace) -> None:
    workspace.deploy()
    lab = workspace.lab
    healthy = workspace.verify()
    assert read_from_hosts(healthy) == {}
    ways = {(one["source"], one["target"]): one["state"] for one in healthy.cluster["mesh"]}
    assert ways == {(a, b): "open" for a in ("controller", *NODES) for b in NODES if a != b}

    lab.run("node-1", f"chmod 0640 $(readlink -f {KEY}); chmod 0755 /etc/kubernetes/manifests")
    lab.run("node-2", f"sed -i s/heartbeat-interval=100/heartbeat-interval=150/ {MANIFEST}")
    lab.run("node-3", f"cp {MANIFEST} /etc/kubernetes/manifests/.etcd.yaml.swp; touch {MANIFEST}.orig")
    crash(workspace, "node-3")
    crash(workspace, "node-3")
    found = read_from_hosts(workspace.verify(code=1))
    assert {key: one["severity"] for key, one in found.items()} == {
        ("file.mode", "node-1"): "critical",
        ("manifest.drift", "node-2"): "warning",
        ("flags.unequal", "example"): "warning",
        ("manifests.leftover", "node-3"): "warning",
        ("container.restarts", "node-3"): "warning",
    }
    assert set(found["file.mode", "node-1"]["evidence"]) == {KEY, "/etc/kubernetes/manifests"}
    assert '-    - "--heartbeat-interval=150"' in found["manifest.drift", "node-2"]["evidence"]["diff"].splitlines()
    assert ".swp" not in found["manifests.leftover", "node-3"]["message"], "the kubelet passes over it as well"
    assert found["container.restarts", "node-3"]["evidence"] == {"restarts": "2", "borne": "1"}

    for one in found.values():
        for command in one["remedy"].split("; "):
            if command.startswith(("chmod ", "chown ")):
                lab.run(one["subject"], command)
    lab.run("node-3", f"rm {MANIFEST}.orig")
    workspace.deploy()
    assert set(read_from_hosts(workspace.verify())) == {("container.restarts", "node-3")}
