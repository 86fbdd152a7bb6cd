"""An API server beside the member: it gets our files, and the former manifest again where it does not start with them.

It is a stand-in: no kube-apiserver can be had from Debian or PyPI. A script of that name, on the Python of the machine,
does what counts here. It asks etcd with the CA, certificate and key that its flags name, ends where etcd does not let
it in, and tells at /readyz whether it does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from nornir import InitNornir

from nornir_etcd import apiserver
from nornir_etcd.apiserver import TRUSTED_CA
from nornir_etcd.apiserver_edit import edited
from nornir_etcd.observe import observe_host
from nornir_etcd.pki.authority import make_authority
from nornir_etcd.pki.leaf import apiserver_request, issue
from nornir_etcd.signers.local import CertificateStore
from nornir_etcd.tasks import apiserver_pod, place_apiserver_files, replace_etcd_servers, write_apiserver_manifest
from nornir_etcd.workflows.inventory import clusters_in
from tests.lab.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nornir.core import Nornir
    from nornir.core.task import MultiResult

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.lab import Lab
    from nornir_etcd.observation import ApiServerState
    from nornir_etcd.pki.authority import Authority

pytestmark = pytest.mark.lab

NODE = "node-1"
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
PKI = "/etc/kubernetes/pki"
KEY = f"{PKI}/apiserver-etcd-client-key.pem"
FLAGS = {
    "etcd-cafile": f"{PKI}/etcd/ca.pem",
    "etcd-certfile": f"{PKI}/apiserver-etcd-client.pem",
    "etcd-keyfile": KEY,
}
OWN = "https://127.0.0.1:2379"
STAND_IN = """\
import http.server, signal, socket, ssl, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
host, port = flags["etcd-servers"].partition(",")[0].removeprefix("https://").split(":")

def is_let_in():
    context = ssl.create_default_context(cafile=flags["etcd-cafile"])
    context.load_cert_chain(flags["etcd-certfile"], flags["etcd-keyfile"])
    with socket.create_connection((host, int(port)), 3) as plain:
        with context.wrap_socket(plain, server_hostname=host) as connection:
            connection.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
            return b" 200 " in connection.recv(64)

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" and is_let_in() else 500)
        self.end_headers()

try:
    assert is_let_in()
except (OSError, AssertionError) as error:
    sys.exit(f"etcd lets the stand-in not in: {error!r}")
if flags["secure-port"] == "0":
    signal.pause()
server = http.server.HTTPServer(("127.0.0.1", int(flags["secure-port"])), Handler)
serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
serving.load_cert_chain(flags["tls-cert-file"], flags["tls-private-key-file"])
server.socket = serving.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
POD = """\
apiVersion: v1
kind: Pod
metadata:
  # of the operator's own
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - command:
    - /usr/bin/python3
    - /stand-in/kube-apiserver
    - --etcd-cafile=/etc/kubernetes/pki/former/ca.crt
    - --etcd-certfile=/etc/kubernetes/pki/former/client.crt
    - --etcd-keyfile=/etc/kubernetes/pki/former/client.key
    - --etcd-servers={servers}   # the member beside it
    - --secure-port={port}
    - --tls-cert-file=/etc/kubernetes/pki/etcd/etcd.pem
    - --tls-private-key-file=/etc/kubernetes/pki/etcd/etcd-key.pem
    image: {image}
    name: kube-apiserver
    volumeMounts:
    - {{ mountPath: /usr, name: usr, readOnly: true }}
    - {{ mountPath: /lib, name: lib, readOnly: true }}
    - {{ mountPath: /lib64, name: lib64, readOnly: true }}
    - {{ mountPath: /stand-in, name: stand-in, readOnly: true }}
    - mountPath: {pki}
      name: k8s-certs
      readOnly: true
  hostNetwork: true
  terminationGracePeriodSeconds: 5
  volumes:
  - {{ hostPath: {{ path: /usr }}, name: usr }}
  - {{ hostPath: {{ path: /lib }}, name: lib }}
  - {{ hostPath: {{ path: /lib64 }}, name: lib64 }}
  - {{ hostPath: {{ path: /etc/kubernetes/stand-in }}, name: stand-in }}
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: k8s-certs
"""
FORMER = f"""
set -eu
mkdir -p {PKI}/former /etc/kubernetes/stand-in
cp -L {PKI}/etcd/ca.pem {PKI}/former/ca.crt
cp -L {PKI}/etcd/etcd.pem {PKI}/former/client.crt
cp -L {PKI}/etcd/etcd-key.pem {PKI}/former/client.key
cat >/etc/kubernetes/stand-in/kube-apiserver <<'END'
{STAND_IN}
END
"""


@dataclass
class ControlPlane:
    """One host with a member and an API server."""

    workspace: Workspace
    nr: Nornir
    cluster: Cluster

    @property
    def store(self) -> CertificateStore:
        """The controller's folder."""
        return CertificateStore(self.workspace.directory / "certs" / "example")

    def issue(self, authority: Authority | None = None) -> None:
        """Issue the API server's certificate."""
        now = datetime.now(timezone.utc)
        by = authority or self.store.read().authority(now=now)
        self.store.write_apiserver(NODE, issue(by, apiserver_request(), now=now))

    def run(self, task: Callable[..., Any], **options: Any) -> MultiResult:
        """Run a task on the host."""
        self.nr.data.reset_failed_hosts()
        return self.nr.run(task=task, cluster=self.cluster, **options)[NODE]

    def start(self, port: int = 6443, pki: str = PKI, servers: str = OWN) -> str:
        """Start the API server with files of its own; return its manifest."""
        image = self.cluster.members[0].settings.etcd_image
        text = POD.format(image=image, port=port, pki=pki, servers=servers)
        self.write(text)
        ends = time.monotonic() + 30
        while self.state is None or not (self.state.container and self.state.container.running):
            assert time.monotonic() < ends, self.host("cat /var/log/kubelet.log; crictl ps -a")
            time.sleep(0.2)
        return text

    def write(self, text: str) -> None:
        """Put another manifest in place, as an operator does."""
        self.host(f"cat >/root/pod <<'END'\n{text}END\nchmod 0640 /root/pod; mv /root/pod {MANIFEST}")

    def host(self, command: str) -> str:
        """Run a command on the host and return what it printed."""
        return self.workspace.lab.run(NODE, command).stdout

    @property
    def state(self) -> ApiServerState | None:
        """What an observation says of the API server."""
        found: ApiServerState | None = self.run(observe_host)[0].result.apiserver
        return found

    @property
    def container(self) -> str:
        """ID of the newest container."""
        state = self.state
        assert state is not None
        assert state.container is not None
        return state.container.id


@pytest.fixture
def plane(fresh_lab: Lab, tmp_path: Path) -> Iterator[ControlPlane]:
    workspace = Workspace(fresh_lab, tmp_path)
    data = {"etcd_health_timeout": 20, "etcd_start_timeout": 60, "generate_certs_dir": str(tmp_path / "certs/example")}
    workspace.inventory(data=data, hosts={"node-2": None, "node-3": None})
    workspace.deploy()
    nr = InitNornir(config_file=str(tmp_path / "config.yaml"), logging={"enabled": False})
    (cluster,), _ = clusters_in(nr.inventory)
    made = ControlPlane(workspace, nr, cluster)
    made.host(FORMER)
    made.issue()
    yield made
    nr.close_connections(on_failed=True)


def test_an_api_server_gets_our_files_and_a_second_run_changes_nothing(plane: ControlPlane) -> None:
    assert plane.state is None
    before, former = plane.start(), plane.container

    planned = plane.run(place_apiserver_files, dry_run=True)[0]
    assert planned.diff.splitlines() == [f"{KEY} is absent", f"{PKI}/apiserver-etcd-client.pem is absent"]
    assert "former" in plane.host(f"ls {PKI}")
    assert KEY not in plane.host(f"ls {PKI}/*")
    early = plane.run(write_apiserver_manifest, trust="5eed")[0]
    assert f"{KEY} is absent" in str(early.exception)

    placed = plane.run(place_apiserver_files)[0]
    assert (placed.changed, placed.failed) == (True, False)
    assert plane.host(f"stat -c %a {KEY} {PKI}/apiserver-etcd-client.pem").split() == ["600", "644"]
    assert not plane.run(place_apiserver_files)[0].changed

    planned = plane.run(write_apiserver_manifest, trust="5eed", dry_run=True)[0]
    assert planned.changed
    assert (plane.host(f"cat {MANIFEST}"), plane.container) == (before, former)

    written = plane.run(write_apiserver_manifest, trust="5eed")[0]
    assert (written.failed, written.changed, written.result) == (False, True, ""), written.exception
    assert written.diff == planned.diff
    after = plane.host(f"cat {MANIFEST}")
    assert after == edited(before, flags=FLAGS, annotations={TRUSTED_CA: "5eed"})
    assert plane.host(f"stat -c %a {MANIFEST}").strip() == "640", "as it was"
    (kept,) = plane.host("ls -d /etc/kubernetes/kube-apiserver.yaml.nornir-etcd-*").split()
    assert (plane.host(f"cat {kept}"), plane.host(f"stat -c %a {kept}").strip()) == (before, "600")
    assert plane.host("ls -A /etc/kubernetes/manifests").split() == ["etcd.yaml", "kube-apiserver.yaml"]
    state = plane.state
    assert state is not None
    assert state.container is not None
    assert state.container.running
    assert state.container.id != former
    assert state.manifest == apiserver.parse(after)

    again = plane.run(write_apiserver_manifest, trust="5eed")[0]
    assert (again.failed, again.changed, again.diff) == (False, False, "")
    assert plane.container == state.container.id
    assert plane.run(write_apiserver_manifest, trust="other")[0].changed, "another bundle is read at a start alone"
    assert plane.container != state.container.id


def test_one_that_does_not_start_with_our_files_gets_its_former_manifest_back(plane: ControlPlane) -> None:
    plane.issue(make_authority("another CA", now=datetime.now(timezone.utc)))
    before, former = plane.start(), plane.container
    assert not plane.run(place_apiserver_files)[0].failed
    failed = plane.run(write_apiserver_manifest, trust="5eed")[0]
    said = str(failed.exception)
    assert "wanted one that runs and is ready within 20 s" in said
    assert "etcd lets the stand-in not in" in said, "the last line of its log"
    assert said.endswith("the former manifest was put back and its container runs")
    assert "\n" not in said
    assert plane.host(f"cat {MANIFEST}") == before
    state = plane.state
    assert state is not None
    assert state.container is not None
    assert state.container.running
    assert state.container.id != former
    assert len(plane.host("ls -d /etc/kubernetes/kube-apiserver.yaml.nornir-etcd-*").split()) == 1


def test_one_that_serves_nowhere_is_said_not_to_have_been_asked(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apiserver_pod, "SETTLED", 3.0)
    plane.start(port=0)
    plane.run(place_apiserver_files)
    written = plane.run(write_apiserver_manifest, trust="5eed")[0]
    assert (written.failed, written.changed) == (False, True), written.exception
    assert written.result == "its readiness could not be asked: it serves on no port of the host"


def test_a_run_that_was_ended_after_it_wrote_the_manifest_is_gone_on_with(plane: ControlPlane) -> None:
    before, former = plane.start(), plane.container
    plane.run(place_apiserver_files)
    time.sleep(1.1)  # a manifest's time is in whole seconds
    plane.workspace.lab.set_delay("4")
    plane.write(edited(before, flags=FLAGS, annotations={TRUSTED_CA: "5eed"}))
    resumed = plane.run(write_apiserver_manifest, trust="5eed")[0]
    assert (resumed.failed, resumed.changed, resumed.result) == (False, False, ""), resumed.exception
    state = plane.state
    assert state is not None
    assert state.container is not None
    assert state.container.running
    assert state.container.id != former


def test_one_that_could_not_see_our_files_is_left_alone_and_all_is_told_at_once(plane: ControlPlane) -> None:
    plane.run(place_apiserver_files)
    pod = yaml.safe_load(POD.format(image="none", port=6443, pki="/elsewhere", servers=OWN))
    text = yaml.safe_dump(pod)
    plane.write(text)
    refused = str(plane.run(write_apiserver_manifest, trust="5eed")[0].exception)
    assert all(f"{path} is not mounted into its container" in refused for path in FLAGS.values())
    assert plane.host(f"cat {MANIFEST}") == text
    assert "kube-apiserver.yaml" not in plane.host("ls /etc/kubernetes"), "there is no former one to be kept"


def test_its_endpoints_become_the_members_and_a_second_run_changes_nothing(plane: ControlPlane) -> None:
    gone, wanted = f"https://{plane.workspace.lab.nodes[1].address}:2379", plane.cluster.members[0].client_url
    before, former = plane.start(servers=f"{OWN},{gone}"), plane.container

    planned = plane.run(replace_etcd_servers, dry_run=True)[0]
    assert (planned.failed, planned.changed) == (False, True), planned.exception
    assert (plane.host(f"cat {MANIFEST}"), plane.container) == (before, former)

    written = plane.run(replace_etcd_servers)[0]
    assert (written.failed, written.changed, written.result) == (False, True, ""), written.exception
    assert written.diff == planned.diff
    assert plane.host(f"cat {MANIFEST}") == before.replace(f"{OWN},{gone}", wanted)
    (kept,) = plane.host("ls -d /etc/kubernetes/kube-apiserver.yaml.nornir-etcd-*").split()
    assert plane.host(f"cat {kept}") == before
    assert plane.host("ls -A /etc/kubernetes/manifests").split() == ["etcd.yaml", "kube-apiserver.yaml"]
    after = plane.container
    assert after != former
    words = plane.host("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'").splitlines()
    assert [word for word in words if word.startswith("--etcd-servers=")] == [f"--etcd-servers={wanted}"]

    again = plane.run(replace_etcd_servers)[0]
    assert (again.failed, again.changed, again.diff, again.result) == (False, False, "", ""), again.exception
    assert plane.container == after


def test_its_endpoints_stay_where_its_member_tells_no_member_list(plane: ControlPlane) -> None:
    before = plane.start(servers=f"{OWN},https://192.0.2.99:2379")
    plane.host("mv /etc/kubernetes/manifests/etcd.yaml /root/")
    plane.workspace.await_stop(NODE)
    refused = str(plane.run(replace_etcd_servers)[0].exception)
    assert "wanted the member list from a member that answers a linearizable read, found " in refused
    assert "refuse" in refused, "why it does not answer"
    assert "\n" not in refused
    assert plane.host(f"cat {MANIFEST}") == before


def test_its_endpoints_stay_while_a_member_of_the_inventory_is_still_to_come(plane: ControlPlane) -> None:
    before = plane.start(servers=f"{OWN},https://192.0.2.99:2379")
    plane.workspace.inventory(data={"generate_certs_dir": str(plane.store.directory)}, hosts={"node-3": None})
    nr = InitNornir(config_file=str(plane.workspace.directory / "config.yaml"), logging={"enabled": False})
    (wider,), _ = clusters_in(nr.inventory)
    assert [member.name for member in wider.members] == [NODE, "node-2"]
    refused = str(plane.nr.run(task=replace_etcd_servers, cluster=wider)[NODE].exception)
    assert "wanted every member of the inventory as a live voter, found none for node-2" in refused
    assert "\n" not in refused
    assert plane.host(f"cat {MANIFEST}") == before


def test_the_files_of_another_tool_are_only_read(plane: ControlPlane) -> None:
    plane.workspace.inventory(data={"etcd_preset": "kubeadm"}, hosts={"node-2": None, "node-3": None})
    nr = InitNornir(config_file=str(plane.workspace.directory / "config.yaml"), logging={"enabled": False})
    (cluster,), _ = clusters_in(nr.inventory)
    for task in (place_apiserver_files, write_apiserver_manifest, replace_etcd_servers):
        refused = nr.run(task=task, cluster=cluster)[NODE][0]
        nr.data.reset_failed_hosts()
        assert "wanted etcd_preset cfssl, found kubeadm" in str(refused.exception)
