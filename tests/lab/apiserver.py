"""An API server's stand-in on a lab host (kube_apiserver.py beside this file says what it is) as tests use it.

It runs as a static Pod of kubeadm's shape. Its container sees the machine's Python, read-only, beside what kubeadm
mounts; its log, which outlives its containers and Pods, tells all that the functions here return.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from nornir_etcd.lab.births import PAUSE_IMAGE

if TYPE_CHECKING:
    from nornir_etcd.lab import Lab

PROGRAM = Path(__file__).with_name("kube_apiserver.py")
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
FOLDER = "/etc/kubernetes/stand-in"  # goes with a wipe
PKI = "/etc/kubernetes/pki"
OWN = "https://127.0.0.1:2379"  # the host's own member
ALIVE = 2.0  # seconds; a write is due every 0.2

_LINE = re.compile(r"(\S+) stderr F (.*)")
_LOGS = "/var/log/pods/kube-system_kube-apiserver-{node}_*/kube-apiserver/*.log"


@dataclass(frozen=True)
class Line:
    """A line of its log; the time in seconds since the epoch."""

    time: float
    text: str


def place(  # noqa: PLR0913 - what its manifest says
    lab: Lab, node: str, *, cafile: str, certfile: str, keyfile: str, pki: str = PKI, servers: str = OWN
) -> None:
    """Let an API server run on a host, or run with other files: its manifest is replaced by a rename.

    Args:
        lab: the lab.
        node: the host.
        cafile: of etcd, on the host below /etc/kubernetes/pki, as is each file.
        certfile: with which it is a client of etcd.
        keyfile: of that.
        pki: the host's folder that its container sees as /etc/kubernetes/pki.
        servers: its endpoints; it uses the first of them.
    """
    root = lab.root(node)
    folder = root / FOLDER[1:]
    folder.mkdir(exist_ok=True)
    (folder / "kube-apiserver").write_text(f"#!{sys.executable} -I\n{PROGRAM.read_text(encoding='utf-8')}")
    (folder / "kube-apiserver").chmod(0o755)
    (address,) = (one.address for one in lab.nodes if one.name == node)
    flags = {
        "advertise-address": address,
        "etcd-cafile": cafile,
        "etcd-certfile": certfile,
        "etcd-keyfile": keyfile,
        "etcd-servers": servers,
        "secure-port": "6443",
    }
    staged = folder / "manifest"
    staged.write_text(yaml.safe_dump(_pod(address, flags, pki), sort_keys=False))
    staged.chmod(0o600)
    staged.replace(root / MANIFEST[1:])


def remove(lab: Lab, node: str) -> None:
    """Let no API server run on a host any more."""
    (lab.root(node) / MANIFEST[1:]).unlink(missing_ok=True)


def _pod(address: str, flags: dict[str, str], pki: str) -> dict[str, object]:
    """Give the manifest as `kubeadm init` writes it, as far as the lab's kubelet and the stand-in have use for it."""
    python = {Path(prefix).resolve() for prefix in ("/usr", "/lib", "/lib64", sys.base_prefix, sys.prefix)}
    mounts = {str(path): str(path) for path in python if not any(path.is_relative_to(it) for it in python - {path})}
    # The links of a merged /usr: the container has none.
    mounts |= {link: link for link in ("/lib", "/lib64")} | {FOLDER: FOLDER}
    volumes = [{"hostPath": {"path": pki, "type": "DirectoryOrCreate"}, "name": "k8s-certs"}]
    volume_mounts = [{"mountPath": PKI, "name": "k8s-certs", "readOnly": True}]
    for number, (target, source) in enumerate(sorted(mounts.items())):
        volumes.append({"hostPath": {"path": source, "type": "Directory"}, "name": f"stand-in-{number}"})
        volume_mounts.append({"mountPath": target, "name": f"stand-in-{number}", "readOnly": True})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "annotations": {"kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": f"{address}:6443"},
            "labels": {"component": "kube-apiserver", "tier": "control-plane"},
            "name": "kube-apiserver",
            "namespace": "kube-system",
        },
        "spec": {
            "containers": [
                {
                    "command": ["kube-apiserver", *(f"--{name}={value}" for name, value in flags.items())],
                    "env": [{"name": "PATH", "value": f"{FOLDER}:/usr/bin"}],
                    "image": PAUSE_IMAGE,  # every host has it
                    "imagePullPolicy": "IfNotPresent",
                    "name": "kube-apiserver",
                    "volumeMounts": volume_mounts,
                }
            ],
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "volumes": volumes,
        },
    }


def log(lab: Lab, node: str) -> list[Line]:
    """Give what it has logged since the host was wiped, restarts included."""
    found = []
    for path in lab.root(node).glob(_LOGS.format(node=node)[1:]):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := _LINE.fullmatch(line):
                # CRI writes nanoseconds, Python 3.10 reads microseconds.
                stamp = re.sub(r"\.(\d{6})\d*", r".\1", match[1]).replace("Z", "+00:00")
                found.append(Line(datetime.fromisoformat(stamp).timestamp(), match[2]))
    return sorted(found, key=lambda line: line.time)


def starts(lab: Lab, node: str) -> list[Line]:
    """Give its starts; each tells the SHA-256 of the CA file that it has read."""
    return [line for line in log(lab, node) if line.text.startswith("started ")]


def restarts(lab: Lab, node: str) -> int:
    """Count how often it was started anew, for a changed manifest or after its end."""
    return max(0, len(starts(lab, node)) - 1)


def connections(lab: Lab, node: str) -> list[Line]:
    """Give its new connections to etcd; each tells the SHA-256 of the certificate file that it has shown."""
    return [line for line in log(lab, node) if line.text.startswith("connected ")]


def failures(lab: Lab, node: str) -> list[Line]:
    """Give its writes that failed, and why it could not start."""
    return [line for line in log(lab, node) if line.text.startswith(("failed ", "cannot start"))]


def counter(lab: Lab, node: str) -> int:
    """Give the number of the last acknowledged write since its last start; 0 where there is none."""
    number = 0
    for line in log(lab, node):
        word, _, rest = line.text.partition(" ")
        number = 0 if word == "started" else int(rest.split()[0]) if word == "wrote" else number
    return number


def alive(lab: Lab, node: str) -> bool:
    """Whether etcd has acknowledged a write of its in the last two seconds."""
    wrote = [line.time for line in log(lab, node) if line.text.startswith("wrote ")]
    return bool(wrote) and time.time() - wrote[-1] < ALIVE
