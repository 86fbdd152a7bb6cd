"""A cluster as the Ansible role deploys it, on lab hosts: one certificate for all members, signed by a CA of cfssl's.

The role itself is not here. Its manifest is written after its contract: names and places of files, ports, image, data
directory; the rest of it, as the kubelet runs it, is what such a role has had for long: files mounted one by one, a
liveness probe, no guard of the data. Files have the modes that Ansible's `copy` and `file` give them.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

from nornir_etcd.lab import cache
from tests.lab.workspace import ETCDCTL, MANIFEST

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

PKI = "/etc/kubernetes/pki"
FILES = ("ca.pem", "etcd.pem", "etcd-key.pem")
LIFE = "876000h"  # a hundred years, as is usual with cfssl
START_TIMEOUT = 60.0  # seconds
CFSSL_TIMEOUT = 60

CA_CONFIG: dict[str, Any] = {
    "signing": {
        "default": {"expiry": LIFE},
        "profiles": {
            "kubernetes": {
                "usages": ["signing", "key encipherment", "server auth", "client auth"],
                "expiry": LIFE,
            }
        },
    }
}
NAMES = [{"C": "CN", "ST": "BeiJing", "L": "BeiJing", "O": "k8s", "OU": "System"}]
KEY = {"algo": "rsa", "size": 2048}

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: etcd
  namespace: kube-system
  labels:
    component: etcd
    tier: control-plane
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: etcd
    image: {image}
    imagePullPolicy: IfNotPresent
    command:
    - etcd
    - --name={name}
    - --data-dir=/var/lib/etcd
    - --initial-advertise-peer-urls=https://{address}:2380
    - --listen-peer-urls=https://{address}:2380
    - --listen-client-urls=https://127.0.0.1:2379,https://{address}:2379
    - --advertise-client-urls=https://{address}:2379
    - --initial-cluster={initial_cluster}
    - --initial-cluster-state=new
    - --initial-cluster-token=etcd-cluster
    - --cert-file={pki}/etcd.pem
    - --key-file={pki}/etcd-key.pem
    - --trusted-ca-file={pki}/ca.pem
    - --client-cert-auth=true
    - --peer-cert-file={pki}/etcd.pem
    - --peer-key-file={pki}/etcd-key.pem
    - --peer-trusted-ca-file={pki}/ca.pem
    - --peer-client-cert-auth=true
    - --listen-metrics-urls=http://127.0.0.1:2381
    - --snapshot-count=10000
    livenessProbe:
      httpGet:
        host: 127.0.0.1
        path: /health
        port: 2381
        scheme: HTTP
      failureThreshold: 8
      initialDelaySeconds: 10
      periodSeconds: 10
      timeoutSeconds: 15
    resources:
      requests:
        cpu: 100m
        memory: 100Mi
    volumeMounts:
    - name: etcd-data
      mountPath: /var/lib/etcd
    - name: ca
      mountPath: {pki}/ca.pem
      readOnly: true
    - name: etcd-cert
      mountPath: {pki}/etcd.pem
      readOnly: true
    - name: etcd-key
      mountPath: {pki}/etcd-key.pem
      readOnly: true
  volumes:
  - name: etcd-data
    hostPath:
      path: /var/lib/etcd
      type: DirectoryOrCreate
  - name: ca
    hostPath:
      path: {pki}/ca.pem
      type: File
  - name: etcd-cert
    hostPath:
      path: {pki}/etcd.pem
      type: File
  - name: etcd-key
    hostPath:
      path: {pki}/etcd-key.pem
      type: File
"""


def make_certificates(folder: Path, addresses: list[str]) -> None:
    """Fill generate_certs_dir as the role does: with `cfssl gencert ... | cfssljson -bare`."""
    folder.mkdir(parents=True, mode=0o755)
    requests: dict[str, dict[str, Any]] = {
        "ca-config.json": CA_CONFIG,
        "ca-csr.json": {"CN": "kubernetes", "key": KEY, "names": NAMES, "ca": {"expiry": LIFE}},
        "etcd-csr.json": {"CN": "etcd", "hosts": ["127.0.0.1", *addresses], "key": KEY, "names": NAMES},
    }
    for name, content in requests.items():
        (folder / name).write_text(json.dumps(content, indent=2))
    _gencert(folder, "ca", "-initca")
    _gencert(folder, "etcd", "-ca=ca.pem", "-ca-key=ca-key.pem", "-config=ca-config.json", "-profile=kubernetes")


def _gencert(folder: Path, name: str, *words: str) -> None:
    """Let cfssl make a key and a certificate, and write them with the names and modes of `cfssljson -bare`."""
    argv = [str(cache.ready().cfssl), "gencert", "-loglevel=3", *words, f"{name}-csr.json"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=CFSSL_TIMEOUT, check=False)  # noqa: S603 - the real tool
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    for part, file, mode in (
        ("cert", f"{name}.pem", 0o644),
        ("key", f"{name}-key.pem", 0o600),
        ("csr", f"{name}.csr", 0o644),
    ):
        (folder / file).touch(mode=mode)
        (folder / file).write_text(made[part])


def manifest(lab: Lab, name: str, *, tag: str = "3.5.16-0") -> str:
    """Return the role's static Pod of a host."""
    addresses = {node.name: node.address for node in lab.nodes}
    return POD.format(
        image=f"registry.ikubeops.local/ikubeops/etcd:{tag}",
        name=name,
        address=addresses[name],
        initial_cluster=",".join(f"{one}=https://{address}:2380" for one, address in addresses.items()),
        pki=PKI,
    )


def deploy(lab: Lab, folder: Path) -> None:
    """Deploy etcd on all hosts of the lab as the role does, and wait until all members are healthy.

    Args:
        lab: its hosts are as new.
        folder: generate_certs_dir on the controller, which the role makes.
    """
    make_certificates(folder, [node.address for node in lab.nodes])
    for node in lab.nodes:
        root = lab.root(node.name)
        pki = root / PKI[1:]
        pki.mkdir(mode=0o755)
        for name in FILES:
            (pki / name).touch(mode=0o644)
            (pki / name).write_bytes((folder / name).read_bytes())
        (root / "var/lib/etcd").mkdir(mode=0o755)
        (root / MANIFEST[1:]).parent.chmod(0o755)
    for node in lab.nodes:
        path = lab.root(node.name) / MANIFEST[1:]
        path.touch(mode=0o644)
        path.write_text(manifest(lab, node.name))
    health, ends = f"{ETCDCTL} --command-timeout=2s endpoint health --cluster", time.monotonic() + START_TIMEOUT
    while (found := lab.run(lab.nodes[0].name, health, check=False)).returncode:
        assert time.monotonic() < ends, f"the role's cluster did not come up: {found.stdout}{found.stderr}"
        time.sleep(0.3)
