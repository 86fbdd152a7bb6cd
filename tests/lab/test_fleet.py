"""Several clusters, hosts that cannot be worked on, and the parts that a user takes one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from nornir import InitNornir

from nornir_etcd import deploy
from nornir_etcd.connections import rpc
from nornir_etcd.tasks import place_files, write_manifest
from nornir_etcd.workflows.inventory import clusters_in
from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir.core import Nornir
    from nornir.core.task import Result, Task

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    monkeypatch.chdir(tmp_path)
    return made


def nornir(workspace: Workspace) -> Nornir:
    return InitNornir(config_file=str(workspace.directory / "config.yaml"), logging={"enabled": False})


def test_a_dead_host_stops_its_own_cluster_alone(workspace: Workspace) -> None:
    workspace.inventory(
        hosts={"node-1": {"deploy_name": "alive"}, "node-2": {"deploy_name": "dead"}, "node-3": {"deploy_name": "dead"}}
    )
    workspace.lab.kill("node-3")
    try:
        run = workspace.deploy(code=3)
    finally:
        workspace.lab.start("node-3")
    alive, dead = run.cluster_named("alive"), run.cluster_named("dead")
    assert alive["outcome"] == "changed"
    assert alive["members"][0]["healthy"] is True
    assert dead["outcome"] == "refused"
    assert [member["name"] for member in dead["members"]] == ["node-2", "node-3"]
    assert any(line.startswith("node-3: ") for line in dead["refusals"]), dead
    assert dead["members"][1]["ssh"] != "ok", dead
    assert workspace.lab.run("node-2", "ls /etc/kubernetes/manifests").stdout == ""
    assert workspace.deploy().cluster_named("dead")["outcome"] == "changed"


def test_verify_tells_a_stopped_member_from_a_dead_host(workspace: Workspace) -> None:
    workspace.deploy()
    workspace.lab.run("node-1", f"mv {MANIFEST} /root/")
    workspace.await_stop("node-1")
    workspace.lab.kill("node-2")
    try:
        run = workspace.verify(code=1)
    finally:
        workspace.lab.start("node-2")
    assert [one["subject"] for one in run.findings("container.down", "critical")] == ["node-1"]
    assert [one["subject"] for one in run.findings("host.unreachable", "unknown")] == ["node-2"]
    assert {one["subject"] for one in run.findings("member.unhealthy", "critical")} == {"node-1", "node-2", "node-3"}


def test_what_only_ssh_can_tell_is_unknown_without_it_and_the_exit_code_says_so(workspace: Workspace) -> None:
    workspace.deploy()
    path = workspace.directory / "groups.yaml"
    groups = yaml.safe_load(path.read_text())
    groups["etcd"]["connection_options"]["netmiko"]["port"] = 1
    path.write_text(yaml.safe_dump(groups))
    run = workspace.verify(code=4)
    severities = {finding["code"]: finding["severity"] for finding in run.cluster["findings"]}
    assert severities["host.unreachable"] == severities["container.down"] == severities["member.data"] == "unknown"
    assert severities["member.unhealthy"] == severities["cluster.leader"] == "ok"
    assert all("refused" in one["message"] for one in run.findings("container.down", "unknown")), run.report


def test_a_host_joins_a_live_cluster_by_its_operators_word_and_none_leaves_by_deploy(workspace: Workspace) -> None:
    workspace.inventory(hosts={"node-3": None})
    workspace.deploy()
    workspace.inventory()
    run = workspace.deploy(code=3)
    assert any("node-3: add-learner" in line and "--accept-no-margin" in line for line in run.cluster["refusals"])
    assert workspace.lab.run("node-3", "find /etc/kubernetes /var/lib/etcd -type f 2>/dev/null; true").stdout == ""
    workspace.inventory(hosts={"node-2": None, "node-3": None})
    run = workspace.deploy(code=3)
    assert any("node-2" in line and "`members`" in line for line in run.cluster["refusals"])


def test_a_filtered_nornir_never_makes_a_cluster_of_one(workspace: Workspace) -> None:
    report = deploy(nornir(workspace).filter(name="node-1"))
    assert report.exit_code == 3
    assert "bootstrapped whole" in report.clusters[0].refusals[0]
    assert [member.name for member in report.clusters[0].members] == ["node-1", "node-2", "node-3"]


def test_deploy_leaves_no_connection_and_no_failed_host_behind(workspace: Workspace) -> None:
    nr = nornir(workspace)
    nr.data.failed_hosts.add("node-1")  # what an earlier task of the user's left
    report = deploy(nr)
    assert report.exit_code == 0
    assert nr.data.failed_hosts == {"node-1"}
    assert all(not host.connections for host in nr.inventory.hosts.values())


def test_one_ssh_session_serves_a_whole_run(workspace: Workspace) -> None:
    workspace.deploy()
    log = (workspace.directory / "nornir.log").read_text()
    opened = [line for line in log.splitlines() if "Connected (version 2.0" in line]
    assert len(opened) == 3


def test_tasks_work_alone_and_honour_dry_run(workspace: Workspace) -> None:
    nr = nornir(workspace)
    clusters, _ = clusters_in(nr.inventory)
    planned = nr.run(task=write_manifest, cluster=clusters[0], dry_run=True)
    assert not planned.failed
    assert all(result[0].changed and "+kind: Pod" in result[0].diff for result in planned.values())
    assert workspace.lab.run("node-1", "ls /etc/kubernetes/manifests").stdout == ""
    workspace.deploy()
    for task in (write_manifest, place_files):
        again = nr.run(task=task, cluster=clusters[0])
        assert not again.failed
        assert not any(result[0].changed for result in again.values())
    nr.close_connections()


def test_the_etcd_connection_works_by_itself(workspace: Workspace) -> None:
    workspace.deploy()

    def status(task: Task) -> Result:
        from nornir.core.task import Result  # noqa: PLC0415 - as in a user's script

        certs = workspace.directory / "certs/example"
        task.host.connection_options["etcd"].extras = {
            "cacert": str(certs / "ca.pem"),
            "cert": str(certs / "client.pem"),
            "key": str(certs / "client-key.pem"),
        }
        return Result(task.host, result=rpc.status(task.host.get_connection("etcd", task.nornir.config), timeout=5))

    nr = nornir(workspace)
    from nornir.core.inventory import ConnectionOptions  # noqa: PLC0415 - as in a user's script

    for host in nr.inventory.hosts.values():
        host.connection_options["etcd"] = ConnectionOptions(None, None, None, None, None, None)
    results = nr.run(task=status)
    nr.close_connections()
    assert not results.failed
    assert len({result[0].result.leader for result in results.values()}) == 1


def test_an_unknown_and_a_changed_host_key_are_refused_by_name(workspace: Workspace) -> None:
    known = workspace.lab.known_hosts.read_text()
    own = workspace.directory / "known_hosts"
    groups = workspace.directory / "groups.yaml"
    groups.write_text(groups.read_text().replace(str(workspace.lab.known_hosts), str(own)))
    lines = known.splitlines()
    own.write_text("\n".join(line for line in lines if workspace.lab.nodes[0].address not in line) + "\n")
    run = workspace.deploy(code=3)
    assert any(line.startswith("node-1: ") and "SHA256:" in line for line in run.cluster["refusals"])
    swapped = known.replace(workspace.lab.nodes[0].address, "0").replace(
        workspace.lab.nodes[1].address, workspace.lab.nodes[0].address
    )
    own.write_text(swapped + known.replace(workspace.lab.nodes[0].address, "0"))
    run = workspace.deploy(code=3)
    (line,) = [line for line in run.cluster["refusals"] if line.startswith("node-1: ")]
    assert line.count("SHA256:") == 2


def test_a_new_controller_without_a_client_certificate_rolls_a_live_cluster_one_by_one(workspace: Workspace) -> None:
    workspace.deploy()
    for name in ("client.pem", "client-key.pem"):
        (workspace.directory / "certs/example" / name).unlink()
    blind = workspace.verify(code=4)
    assert {one["severity"] for one in blind.cluster["findings"] if one["code"] == "member.unhealthy"} == {"unknown"}
    (workspace.directory / "certs/example/client.pem").write_text("")
    run = workspace.deploy("--set", "etcd_snapshot_count=20000")
    actions = [step["action"] for step in run.cluster["plan"]]
    assert actions == ["issue-client", *["replace-manifest"] * 2, "move-leader", "replace-manifest"]
    assert all(member["healthy"] for member in run.cluster["members"])
