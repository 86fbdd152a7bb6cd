"""The stand-in for an API server writes through the member beside it, and notices what a real one would."""

from __future__ import annotations

import hashlib
import http.client
import ssl
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import wait_for
from tests.lab import apiserver
from tests.lab.workspace import ETCDCTL, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODE = "node-1"
PKI = "/etc/kubernetes/pki"
FILES = {"cafile": f"{PKI}/client/ca.crt", "certfile": f"{PKI}/client/tls.crt", "keyfile": f"{PKI}/client/tls.key"}
PLACE = f"""
set -eu
mkdir -p -m 0700 {PKI}/client
cp -L {PKI}/ca.pem {FILES["cafile"]}
cp -L {PKI}/etcd.pem {FILES["certfile"]}
cp -L {PKI}/etcd-key.pem {FILES["keyfile"]}
"""


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    """One member, and certificates for an API server beside it."""
    made = Workspace(fresh_lab, tmp_path)
    made.inventory(hosts={"node-2": None, "node-3": None})
    made.deploy()
    fresh_lab.run(NODE, PLACE)
    return made


def sha256(lab: Lab, path: str) -> str:
    return hashlib.sha256((lab.root(NODE) / path[1:]).read_bytes()).hexdigest()


def is_ready(lab: Lab) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with closing(http.client.HTTPSConnection(lab.nodes[0].address, 6443, timeout=10, context=context)) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200


def start(workspace: Workspace) -> Lab:
    """Let it run, and write."""
    apiserver.place(workspace.lab, NODE, **FILES)
    wait_for(lambda: apiserver.counter(workspace.lab, NODE) >= 5, "5 writes")
    return workspace.lab


def test_it_writes_through_the_member_beside_it(workspace: Workspace) -> None:
    lab = start(workspace)
    wait_for(lambda: apiserver.counter(lab, NODE) >= 15, "15 writes")
    assert apiserver.alive(lab, NODE)
    assert apiserver.failures(lab, NODE) == []
    assert is_ready(lab)
    kept = f"{ETCDCTL} get --print-value-only /registry/stand-in/{lab.nodes[0].address}"
    first = int(lab.run(NODE, kept).stdout)
    wait_for(lambda: int(lab.run(NODE, kept).stdout) > first, "the counter in etcd grows")
    apiserver.remove(lab, NODE)
    wait_for(lambda: not lab.run(NODE, "crictl ps -q --name kube-apiserver").stdout.strip(), "it is stopped")
    wait_for(lambda: not apiserver.alive(lab, NODE), "it is alive no more")


def test_its_certificate_is_read_for_each_connection_and_its_ca_at_a_start_alone(workspace: Workspace) -> None:
    lab = start(workspace)
    (started,) = apiserver.starts(lab, NODE)
    assert started.text.endswith(sha256(lab, FILES["cafile"]))
    key = f"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {PKI}/client/stranger.key"
    lab.run(NODE, f"openssl req -x509 {key} -subj /CN=stranger -out {FILES['cafile']}")
    lab.run(NODE, f"echo '# the same again' >>{FILES['certfile']}")
    shown = sha256(lab, FILES["certfile"])
    wait_for(lambda: apiserver.connections(lab, NODE)[-1].text.endswith(shown), "the new certificate is shown")
    assert apiserver.alive(lab, NODE)
    assert apiserver.restarts(lab, NODE) == 0
    assert apiserver.failures(lab, NODE) == []

    lab.run(NODE, "pkill -KILL -x kube-apiserver")
    wait_for(lambda: apiserver.restarts(lab, NODE) == 1, "it is started again")
    wait_for(lambda: apiserver.failures(lab, NODE), "it does not trust etcd")
    assert "CERTIFICATE_VERIFY_FAILED" in apiserver.failures(lab, NODE)[0].text
    assert apiserver.counter(lab, NODE) == 0
    assert not is_ready(lab)
    wait_for(lambda: apiserver.failures(lab, NODE)[-1].text.startswith("cannot start"), "it gives up")

    lab.run(NODE, f"cp {PKI}/ca.pem {PKI}/client/other.crt")
    apiserver.place(lab, NODE, **(FILES | {"cafile": f"{PKI}/client/other.crt"}))
    wait_for(lambda: apiserver.counter(lab, NODE) >= 3, "another Pod, with a CA that it can do with, writes")


def test_it_outlives_an_etcd_that_is_away(workspace: Workspace) -> None:
    lab = start(workspace)
    folder = lab.root(NODE) / "etc/kubernetes"
    (folder / "manifests/etcd.yaml").rename(folder / "etcd.yaml")
    wait_for(lambda: len(apiserver.failures(lab, NODE)) > 3, "its writes fail")
    wait_for(lambda: not apiserver.alive(lab, NODE), "it is alive no more")
    assert not is_ready(lab)
    (folder / "etcd.yaml").rename(folder / "manifests/etcd.yaml")
    wait_for(lambda: apiserver.alive(lab, NODE), "it goes on")
    assert apiserver.restarts(lab, NODE) == 0
