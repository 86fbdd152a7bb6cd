"""verify on a cluster that another tool has built: kubeadm's names and places, and nothing of ours on the hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
PKI = "/etc/kubernetes/pki"
AS_KUBEADM = f"""
set -eu
mkdir /root/pki
cp -L {PKI}/etcd/etcd.pem /root/pki/server.crt
cp -L {PKI}/etcd/etcd-key.pem /root/pki/server.key
cp -L {PKI}/etcd/etcd.pem /root/pki/peer.crt
cp -L {PKI}/etcd/etcd-key.pem /root/pki/peer.key
cp -L {PKI}/etcd/ca.pem /root/pki/ca.crt
rm -r {PKI}
mkdir -p {PKI}
mv /root/pki {PKI}/etcd
chmod 0700 {PKI}/etcd
chmod 0600 {PKI}/etcd/*.key
sed -e 's|etcd/etcd.pem|etcd/server.crt|; s|etcd/etcd-key.pem|etcd/server.key|; s|etcd/ca.pem|etcd/ca.crt|' \\
    -e '/--peer-cert-file/s|server.crt|peer.crt|; /--peer-key-file/s|server.key|peer.key|' \\
    {MANIFEST} >/root/etcd.yaml
chmod 0600 /root/etcd.yaml
mv /root/etcd.yaml {MANIFEST}
"""


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


def test_a_cluster_with_kubeadms_files_is_verified_and_never_touched(workspace: Workspace) -> None:
    workspace.deploy()
    before = workspace.containers()
    for node in NODES:
        workspace.lab.run(node, AS_KUBEADM)
        workspace.await_restart(node, before[node])
    workspace.inventory(data={"etcd_preset": "kubeadm"})
    run = workspace.run("verify")
    critical = [(one["code"], one["subject"]) for one in run.cluster["findings"] if one["severity"] == "critical"]
    unknown = [(one["code"], one["subject"]) for one in run.cluster["findings"] if one["severity"] == "unknown"]
    assert (critical, unknown, run.code) == ([], [], 0), run.out
    assert all(member["healthy"] for member in run.cluster["members"])
    served = {found["place"] for found in run.cluster["members"][0]["certificates"]}
    assert {f"{PKI}/etcd/server.crt", f"{PKI}/etcd/peer.crt", f"{PKI}/etcd/ca.crt"} <= served
    containers = workspace.containers()
    for command in ("deploy", "certs"):
        refused = workspace.run(command)
        assert refused.code == 3
        assert "kubeadm" in " ".join(refused.cluster["refusals"])
    assert workspace.containers() == containers
    assert workspace.lab.run("node-1", f"ls {PKI} {PKI}/etcd").stdout.split() == [
        *(f"{PKI}:", "etcd", f"{PKI}/etcd:", "ca.crt", "peer.crt", "peer.key", "server.crt", "server.key"),
    ]
