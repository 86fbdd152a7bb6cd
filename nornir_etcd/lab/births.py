"""What a lab's hosts are made of: the files and services of a node, and of the host of the registry."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.lab import cache, cgroups, processes
from nornir_etcd.lab.error import LabError
from nornir_etcd.lab.host.client import CONTAINERD_SOCKET, CRI_DOCKERD_SOCKET

if TYPE_CHECKING:
    from nornir_etcd.lab.disk import Disk
    from nornir_etcd.lab.host.boot import Service, Spec

REGISTRY_NAME = "registry.ikubeops.local"
REGISTRY_DATA = "/var/lib/docker-registry"
PAUSE_IMAGE = f"{REGISTRY_NAME}/{cache.PAUSE}:{cache.PAUSE_TAG}"
ETCD_IMAGE = f"{REGISTRY_NAME}/{cache.REPOSITORY}"
HOST_KEY = "/etc/ssh/lab_host_key"
DELAY_FILE = "/var/lib/kubelet/lab-delay"
PROGRAMS = ("containerd", "runc", "sshd", "docker-registry", "ip", "nsenter", "timeout")
DOCKER_PROGRAMS = ("dockerd", "docker")
# Where a host keeps the lab's own programs; the package names lead to empty packages there, so they start quickly.
LIBRARY = "/usr/local/lib/nornir-etcd-lab"
PACKAGES = ("nornir_etcd", "nornir_etcd/lab")
CAP_SYS_RESOURCE = 24
# execve(2) reads 255 bytes of a script's first line.
MAX_INTERPRETER = 240

SSHD_CONFIG = """\
AddressFamily any
HostKey /etc/ssh/lab_host_key
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
AuthorizedKeysFile .ssh/authorized_keys
PrintMotd no
LogLevel VERBOSE
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""

CONTAINERD_CONFIG = """\
version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE no process may lower its score, and no sandbox would start.
  restrict_oom_score_adj = {restrict}
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
"""

REGISTRY_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {data}}}
  maintenance: {{readonly: {{enabled: true}}}}
http:
  addr: ":443"
  tls: {{certificate: /etc/docker/registry/tls.crt, key: /etc/docker/registry/tls.key}}
"""

# All Pods are on the host's network, and the rules of the lab's own tests stay as they are.
DOCKER_CONFIG = """\
{"bridge": "none", "iptables": false, "ip-forward": false, "ip-masq": false}
"""

KUBELET_CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: /etc/kubernetes/manifests
containerRuntimeEndpoint: unix://{endpoint}
fileCheckFrequency: 1s
"""

_SCRIPT = """\
#!{python} {flags}
import sys

sys.path.insert(0, "{library}")
from {module} import main

main()
"""


def check_programs(*, docker: bool) -> None:
    """Look for all programs before anything is made.

    Args:
        docker: a host runs Docker.

    Raises:
        LabError: some are not installed, it names all of them; or no script can name this Python as its interpreter.
    """
    if " " in sys.executable or len(sys.executable) > MAX_INTERPRETER:
        raise LabError(
            f"lab: Python at {sys.executable!r}: wanted a shorter path without spaces for the hosts' scripts"
        )
    wanted = (*PROGRAMS, *(DOCKER_PROGRAMS if docker else ()))
    missing = [name for name in wanted if not shutil.which(name, path=processes.PATH)]
    if missing:
        more = ", `.ci/packages docker.io` Docker" if docker else ""
        raise LabError(f"lab: not installed: {', '.join(missing)}; .ci/packages installs what the lab needs{more}")


def _may_lower_oom_score() -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    bounding = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:"))
    return bool(int(bounding, 16) & (1 << CAP_SYS_RESOURCE))


def install_programs(disk: Disk) -> None:
    """Put the lab's own programs on a host's disk: a copy, so that editing the source changes no running host."""
    source = Path(__file__).parent / "host"
    library = disk.inside(LIBRARY)
    shutil.copytree(source, library / "nornir_etcd/lab/host", ignore=shutil.ignore_patterns("__pycache__"))
    for package in PACKAGES:
        (library / package / "__init__.py").touch()
    compileall.compile_dir(library, quiet=2, stripdir=str(library), prependdir=LIBRARY)
    # -S spares crictl the search for installed packages: it needs none and must be quick.
    for name, flags in (("crictl", "-IS"), ("kubelet", "-I"), ("gateway", "-I")):
        module = f"nornir_etcd.lab.host.{name}"
        script = _SCRIPT.format(python=sys.executable, flags=flags, library=LIBRARY, module=module)
        place = LIBRARY if name == "gateway" else "/usr/local/bin"
        disk.write(f"{place}/{name}", script, 0o755)


@dataclass(frozen=True)
class Seed:
    """What a node is told at birth: its names, its runtime, its kubelet's delay, the registry's CA, who may log in."""

    name: str
    docker: bool
    hosts: str
    delay: str
    registry_ca: str
    login_key: str
    tools: list[Path]


def bear_node(disk: Disk, seed: Seed) -> None:
    """Make a node's disk and write the files that it is born with."""
    disk.create()
    (_bear_docker if seed.docker else _bear_containerd)(disk, seed.registry_ca)
    endpoint = CRI_DOCKERD_SOCKET if seed.docker else CONTAINERD_SOCKET
    disk.write("/etc/hostname", seed.name + "\n")
    disk.write("/etc/hosts", seed.hosts)
    disk.write("/etc/resolv.conf", "")
    disk.write("/etc/ssh/lab_sshd_config", SSHD_CONFIG)
    disk.write("/etc/crictl.yaml", f"runtime-endpoint: unix://{endpoint}\n")
    for name in (".bashrc", ".bash_profile", ".bash_login", ".profile", ".bash_history"):
        disk.write(f"/root/{name}", "")
    disk.write("/root/.ssh/authorized_keys", seed.login_key + "\n", 0o600)
    disk.inside("/root/.ssh").chmod(0o700)
    disk.write("/var/lib/kubelet/config.yaml", KUBELET_CONFIG.format(endpoint=endpoint))
    disk.write(DELAY_FILE, seed.delay + "\n")
    disk.inside("/etc/kubernetes/manifests").mkdir(mode=0o700)
    unlock_root(disk)
    install_programs(disk)
    for tool in seed.tools:
        shutil.copy2(tool, disk.inside(f"/usr/local/bin/{tool.name}"))


def _bear_containerd(disk: Disk, registry_ca: str) -> None:
    restrict = "false" if _may_lower_oom_score() else "true"
    certificates = f"/etc/containerd/certs.d/{REGISTRY_NAME}"
    disk.write("/etc/containerd/config.toml", CONTAINERD_CONFIG.format(pause=PAUSE_IMAGE, restrict=restrict))
    disk.write(f"{certificates}/ca.crt", registry_ca)
    server = f'server = "https://{REGISTRY_NAME}"\nca = "{certificates}/ca.crt"\n'
    disk.write(f"{certificates}/hosts.toml", server)


def _bear_docker(disk: Disk, registry_ca: str) -> None:
    disk.write("/etc/docker/daemon.json", DOCKER_CONFIG)
    disk.write(f"/etc/docker/certs.d/{REGISTRY_NAME}/ca.crt", registry_ca)


def unlock_root(disk: Disk) -> None:
    """Let root log in by key: without PAM sshd refuses an account whose password begins with an exclamation mark."""
    shadow = Path("/etc/shadow").read_text(encoding="utf-8", errors="surrogateescape")
    lines = [
        "root:*" + line[line.index(":", 5) :] if line.startswith("root:!") else line for line in shadow.splitlines()
    ]
    target = disk.inside("/etc/shadow")
    target.touch(mode=0o600)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")


def _runtime_services(*, docker: bool) -> list[Service]:
    """Give a node's runtime and the gateway to it; dockerd starts a containerd of its own."""
    gateway, log = [f"{LIBRARY}/gateway"], "/var/log/nornir-etcd-lab-gateway.log"
    if not docker:
        return [{"argv": ["containerd"], "log": "/var/log/containerd.log"}, {"argv": gateway, "log": log}]
    gateway += [f"--docker-pause-image={PAUSE_IMAGE}", *([] if _may_lower_oom_score() else ["--oom-floor=0"])]
    return [{"argv": ["dockerd"], "log": "/var/log/dockerd.log"}, {"argv": gateway, "log": log}]


def node_spec(lab: str, name: str, disk: Disk, *, docker: bool) -> Spec:
    """Describe a node to its init."""
    services: list[Service] = [
        *_runtime_services(docker=docker),
        {"argv": ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/lab_sshd_config"], "log": "/var/log/sshd.log"},
        {
            "argv": [
                "/usr/local/bin/kubelet",
                "--config=/var/lib/kubelet/config.yaml",
                f"--cgroup-root={cgroups.parent(lab, name)}",
            ],
            "log": "/var/log/kubelet.log",
        },
    ]
    return {
        "hostname": name,
        "overlays": disk.overlays(),
        "binds": disk.binds(),
        "directories": {
            "/run/sshd": 0o755,
            "/run/lock": 0o1777,
            "/run/containerd": 0o711,
            "/run/nornir-etcd-lab": 0o700,
        },
        "environment": processes.environment(lab, name),
        "services": services,
    }


def bear_registry(disk: Disk, keys: Path, storage: Path) -> None:
    """Make the disk of the registry's host and write its files.

    Its storage is linked to, or copied where it lies on another file system.
    """
    disk.create()
    disk.write("/etc/docker/registry/config.yml", REGISTRY_CONFIG.format(data=REGISTRY_DATA))
    for name in ("tls.crt", "tls.key"):
        disk.write(f"/etc/docker/registry/{name}", (keys / name).read_text(encoding="ascii"), 0o600)
    shutil.copytree(storage, disk.inside(REGISTRY_DATA), copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def registry_spec(lab: str, name: str, disk: Disk) -> Spec:
    """Describe the registry's host to its init."""
    argv = ["docker-registry", "serve", "/etc/docker/registry/config.yml"]
    return {
        "hostname": name,
        "overlays": disk.overlays(),
        "binds": disk.binds(),
        "directories": {},
        "environment": processes.environment(lab, name),
        "services": [{"argv": argv, "log": "/var/log/registry.log"}],
    }
