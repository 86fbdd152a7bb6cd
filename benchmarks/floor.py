"""The floor: the same pushes and the same questions with nothing around them.

One OpenSSH connection a host (curve25519), which all its commands share, all hosts side by side; one tar a host;
etcdctl on the host until it says healthy. It plans nothing, checks nothing, issues no certificate, writes no report.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cost import Cost, measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.lab import Lab
    from nornir_etcd.lab.lab import Node

PKI = "/etc/kubernetes/pki"
MANIFEST = "etc/kubernetes/manifests/etcd.yaml"
STAGED = "etc/kubernetes/etcd.yaml"
ETCDCTL = (
    "etcdctl --dial-timeout=30s --command-timeout=60s --endpoints=https://127.0.0.1:2379 "
    f"--cacert={PKI}/ca.pem --cert={PKI}/etcd.pem --key={PKI}/etcd-key.pem"
)
COMPARE = "tar -df - -C / >/dev/null 2>&1; true"
PLACE = f"umask 077 && tar -xpf - -C / && mv /{STAGED} /{MANIFEST}"
AWAIT = f"n=0; until {ETCDCTL} --command-timeout=1s endpoint health; do sleep 0.1; n=$((n+1)); [ $n -lt 600 ]; done"
# What the program reads of a host as well, with the same commands of the host's.
LOOK = (
    f"{ETCDCTL} endpoint health && {ETCDCTL} endpoint status -w json && {ETCDCTL} member list -w json && "
    f"sha256sum {PKI}/ca.pem {PKI}/etcd.pem {PKI}/etcd-key.pem /{MANIFEST} && "
    "crictl ps -a -o json && crictl images -o json"
)
SECONDS = 120


class Floor:
    """Plain OpenSSH to a lab's hosts.

    Args:
        lab: the hosts.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._files: dict[str, bytes] = {}
        self._options = [
            *("-F", "none", "-i", str(lab.key_file), "-l", "root"),
            *("-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "StrictHostKeyChecking=yes"),
            *("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "KexAlgorithms=curve25519-sha256"),
        ]

    def keep_files(self) -> None:
        """Keep what is on the hosts now, for `deploy` to push."""
        for node in self.lab.nodes:
            found = self._ssh(
                node.address, "tar -cf - -C / --exclude='var/lib/etcd/member/*' etc/kubernetes var/lib/etcd"
            )
            self._files[node.name] = _staged(found)

    def deploy(self) -> Cost:
        """Push the files to empty hosts and wait until every member is healthy."""
        return self._everywhere(PLACE, AWAIT)

    def deploy_again(self) -> Cost:
        """Push the files to hosts that have them, compare, and look at the members."""
        return self._everywhere(COMPARE, LOOK)

    def verify(self) -> Cost:
        """Look at the members."""
        return self._everywhere(LOOK)

    def _everywhere(self, *commands: str) -> Cost:
        """Run commands on all hosts side by side; those that take the files get them on stdin."""
        with (
            tempfile.TemporaryDirectory(prefix="floor-") as sockets,
            measured(self.lab) as cost,
            ThreadPoolExecutor(max_workers=len(self.lab.nodes)) as pool,
        ):
            started = time.monotonic()
            list(pool.map(lambda node: self._on_one(node, f"{sockets}/{node.name}", commands), self.lab.nodes))
            cost.wall = time.monotonic() - started
        return cost

    def _on_one(self, node: Node, socket: str, commands: Sequence[str]) -> None:
        argv = ["ssh", *self._options, "-M", "-N", "-S", socket, node.address]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as master:  # noqa: S603 - as above
            try:
                ends = time.monotonic() + SECONDS
                while not Path(socket).exists():
                    if master.poll() is not None or time.monotonic() > ends:
                        raise RuntimeError(f"floor: {node.name}: no SSH connection")
                    time.sleep(0.005)
                for command in commands:
                    files = self._files[node.name] if command in {PLACE, COMPARE} else b""
                    self._ssh(node.address, command, "-S", socket, stdin=files)
            finally:
                master.kill()  # after SIGTERM it may wait for the next packet

    def _ssh(self, address: str, command: str, *options: str, stdin: bytes = b"") -> bytes:
        argv = ["ssh", *self._options, *options, address, command]
        done = subprocess.run(argv, input=stdin, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603 - as above
        if done.returncode:
            raise RuntimeError(f"floor: {address}: exit code {done.returncode}: {done.stderr.decode()}")
        return done.stdout


def _staged(archive: bytes) -> bytes:
    """Return an archive with the manifest beside its folder: a kubelet must not see half of it."""
    written = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as source, tarfile.open(fileobj=written, mode="w") as target:
        for entry in source:
            content = source.extractfile(entry) if entry.isfile() else None
            entry.name = STAGED if entry.name == MANIFEST else entry.name
            target.addfile(entry, content)
    return written.getvalue()
