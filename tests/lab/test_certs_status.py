"""`certs status` on lab hosts: every certificate, where it lies, and who serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

ETCD = "/etc/kubernetes/pki/etcd"


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


def test_every_certificate_is_told_with_its_ports_and_nothing_is_changed(workspace: Workspace) -> None:
    workspace.deploy()
    before = workspace.containers()
    run = workspace.run("certs", "status")
    assert (run.code, run.cluster["outcome"]) == (0, "checked"), run.out
    own = {one["place"]: one for one in run.cluster["certificates"]}
    assert {place.rpartition("/")[2]: one["usages"] for place, one in own.items()} == {
        "client.pem": ["clientAuth"],
        "ca.pem": [],
    }
    for member in run.cluster["members"]:
        places = {one["place"]: one for one in member["certificates"]}
        disk = places[f"{ETCD}/etcd.pem"]
        assert disk["served"] == [2379, 2380]
        assert {member["name"], member["address"], "localhost"} <= set(disk["sans"])
        assert disk["usages"] == ["serverAuth", "clientAuth"]
        assert disk["serial"] in run.out
        assert places[f"{ETCD}/ca.pem"]["is_ca"]
    assert workspace.containers() == before


def test_a_certificate_on_the_host_that_no_port_serves_is_told_apart(workspace: Workspace) -> None:
    workspace.deploy()
    workspace.lab.run(
        "node-1",
        f"cp -L {ETCD}/ca.pem {ETCD}/..data/etcd.pem.new && mv {ETCD}/..data/etcd.pem.new {ETCD}/..data/etcd.pem",
    )
    run = workspace.run("certs", "status")
    (first, *_) = run.cluster["members"]
    disk = next(one for one in first["certificates"] if one["place"] == f"{ETCD}/etcd.pem")
    assert (disk["served"], disk["is_ca"]) == ([], True)
    assert run.code == 1
