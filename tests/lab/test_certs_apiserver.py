"""A rotation of etcd's CA under API servers that run beside members: they are given what they need, and write on.

They are stand-ins (tests/lab/kube_apiserver.py), with files of kubeadm's names that were issued by hand.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.apiserver_edit import edited
from nornir_etcd.manifest import TRUSTED_CA
from nornir_etcd.pki.authority import load_authority
from nornir_etcd.pki.leaf import apiserver_request, issue
from tests.faults.faults import wait_for
from tests.lab import apiserver
from tests.lab.workspace import Workspace

if TYPE_CHECKING:
    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

PKI = apiserver.PKI
NAMES = {
    "node-1": ("apiserver-etcd-client.pem", "apiserver-etcd-client-key.pem"),
    "node-2": ("apiserver-etcd-client.crt", "apiserver-etcd-client.key"),
}
"""What `certs` places: node-1 has cfssl's names, node-2 has etcd_apiserver_preset kubeadm."""
OWN = {name: f"{PKI}/own/{file}" for name, file in (("cafile", "ca.crt"), ("certfile", "c.crt"), ("keyfile", "c.key"))}
DEDICATED = ("--set", "etcd_ca=dedicated")
GAP = 10.0
"""Seconds without an acknowledged write: a container's stop and start, a first connection, and an election."""


def folder(workspace: Workspace) -> Path:
    return workspace.directory / "certs/example"


def start(workspace: Workspace, node: str, pki: str = PKI) -> str:
    """Let an API server run with files of its own, and write; return its manifest."""
    lab = workspace.lab
    ca = [(folder(workspace) / name).read_bytes() for name in ("ca.pem", "ca-key.pem")]
    now = datetime.now(tz=timezone.utc)
    leaf = issue(load_authority(ca[0], ca[1], now=now), apiserver_request(), now=now)
    place = lab.root(node) / pki[1:] / "own"
    place.mkdir(parents=True)
    for path, content in zip(OWN.values(), (ca[0], leaf.certificate_pem, leaf.key_pem), strict=True):
        (place / Path(path).name).write_bytes(content)
    apiserver.place(lab, node, **OWN, pki=pki)
    wait_for(lambda: apiserver.counter(lab, node) >= 5, "5 writes")
    return manifest(workspace, node)


def manifest(workspace: Workspace, node: str) -> str:
    return (workspace.lab.root(node) / apiserver.MANIFEST[1:]).read_text()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pauses(lab: Lab, node: str) -> list[float]:
    """The seconds between acknowledged writes."""
    wrote = [line.time for line in apiserver.log(lab, node) if line.text.startswith("wrote ")]
    return [later - earlier for earlier, later in pairwise(wrote)]


def test_api_servers_get_what_a_rotation_wants_and_write_on_throughout(fresh_lab: Lab, tmp_path: Path) -> None:
    workspace = Workspace(fresh_lab, tmp_path)
    workspace.inventory(hosts={"node-2": {"etcd_apiserver_preset": "kubeadm"}})
    workspace.deploy()
    before = {node: start(workspace, node) for node in NAMES}

    placed = workspace.run("certs")
    assert placed.code == 0, placed.out + placed.err
    assert {(step["host"], step["action"]) for step in placed.cluster["plan"]} == {
        (node, action) for node in NAMES for action in ("issue-apiserver", "place-apiserver-files")
    }
    for node, (certificate, key) in NAMES.items():
        root = workspace.lab.root(node) / PKI[1:]
        stored = folder(workspace) / "apiservers"
        assert (root / certificate).read_bytes() == (stored / f"{node}.pem").read_bytes()
        assert (root / key).read_bytes() == (stored / f"{node}-key.pem").read_bytes()
        assert (root / key).stat().st_mode & 0o777 == 0o600
        assert manifest(workspace, node) == before[node]
    assert workspace.run("certs").cluster["outcome"] == "unchanged"
    assert workspace.run("certs", "rotate-ca", *DEDICATED, "--dry-run").steps("add-ca")

    run = workspace.run("certs", "rotate-ca", *DEDICATED)
    assert run.code == 0, run.out + run.err
    assert (run.cluster["authority"]["kind"], run.cluster["authority"]["phase"]) == ("dedicated", "settled")
    assert [step["action"] for step in run.cluster["plan"] if not step["host"]] == [
        *("add-ca", "switch-signer", "issue-client", "retire-ca")
    ]
    old = (folder(workspace) / "ca.pem").read_bytes()
    (place,) = (folder(workspace) / "authorities").iterdir()
    new = (place / "ca.pem").read_bytes()
    for node, names in NAMES.items():
        read = [line.text.rpartition("=")[2] for line in apiserver.starts(workspace.lab, node)]
        assert (read[0], read[-1], len(read)) == (digest(old), digest(new), 3), "own, both, the new one"
        assert read[1] not in {digest(old), digest(new)}
        shown = digest((folder(workspace) / f"apiservers/{node}.pem").read_bytes())
        wait_for(lambda node=node, shown=shown: shown in apiserver.connections(workspace.lab, node)[-1].text, "shown")
        assert apiserver.alive(workspace.lab, node)
        assert max(pauses(workspace.lab, node)) < GAP
        flags = dict(zip(("etcd-certfile", "etcd-keyfile"), (f"{PKI}/{name}" for name in names), strict=True))
        flags["etcd-cafile"] = f"{PKI}/etcd/ca.pem"
        assert manifest(workspace, node) == edited(before[node], flags=flags, annotations={TRUSTED_CA: digest(new)})
    assert workspace.run("verify", *DEDICATED).amiss == []
    assert workspace.run("certs", "rotate-ca", *DEDICATED).cluster["outcome"] == "unchanged"


def test_an_api_server_that_cannot_see_our_files_makes_a_rotation_pause(fresh_lab: Lab, tmp_path: Path) -> None:
    workspace = Workspace(fresh_lab, tmp_path)
    workspace.inventory(hosts={"node-2": None, "node-3": None})
    workspace.deploy()
    before = start(workspace, "node-1", pki="/etc/kubernetes/stand-in/pki")
    assert workspace.run("certs").code == 0
    run = workspace.run("certs", "rotate-ca", *DEDICATED, "--accept-downtime")
    assert run.code == 0, run.out + run.err
    assert run.cluster["authority"]["phase"] == "trust-both"
    *left, pause = run.cluster["notes"]
    assert any(line.startswith("node-1: kube-apiserver: ") and "is not mounted" in line for line in left), left
    assert pause.startswith("pause: give every client of etcd ")
    assert "--clients-trust-new" in pause
    assert all(line in run.out for line in ("is not mounted", "pause: give"))
    assert manifest(workspace, "node-1") == before
    wait_for(lambda: apiserver.alive(workspace.lab, "node-1"), "it writes on: the former CA still signs")
    assert apiserver.restarts(workspace.lab, "node-1") == 0
