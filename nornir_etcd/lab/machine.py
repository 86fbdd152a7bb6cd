"""One host of a lab, worked on from outside: switched on and off, entered, wiped."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.lab import cgroups, disk, network, processes
from nornir_etcd.lab.error import LabError
from nornir_etcd.lab.host.client import GATEWAY_SOCKET, LAB_RUN, RuntimeCallError, call
from nornir_etcd.lab.state import STATE

if TYPE_CHECKING:
    from nornir_etcd.lab.host.boot import Spec

READY_TIMEOUT = 60
WIPE_TIMEOUT = 60
SSH, HTTPS = 22, 443
PULL_TIMEOUT = 120


@dataclass(frozen=True)
class Machine:
    """A host by the name of its lab and its own, the lab's network index and its number there."""

    lab: str
    name: str
    index: int
    number: int

    def _error(self, text: str) -> LabError:
        return LabError(f"lab {self.lab}: {self.name}: {text}")

    def init(self) -> int:
        """Give the process ID of its init, as the machine numbers it.

        Raises:
            LabError: it is switched off.
        """
        pid = processes.init(self.lab, self.name)
        if pid is None:
            log = STATE / self.lab / f"{self.name}.log"
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
            raise self._error(f"not running; {' '.join(last) or 'start it first'}")
        return pid

    def root(self) -> Path:
        """Give its file system as the machine sees it. Absolute links in it lead to the machine's own files."""
        return Path(f"/proc/{self.init()}/root")

    def describe(self, spec: Spec) -> None:
        """Keep what `boot` starts, now and after a power cycle."""
        (STATE / self.lab / f"{self.name}.json").write_text(json.dumps(spec), encoding="utf-8")

    def boot(self) -> None:
        """Switch it on; it holds none of the caller's files or streams.

        Raises:
            LabError: it runs already, or its namespaces could not be made.
        """
        if processes.init(self.lab, self.name) is not None:
            raise self._error("runs already; kill it first")
        program = Path(__file__).parent / "host/boot.py"
        log_file = STATE / self.lab / f"{self.name}.log"
        with log_file.open("ab") as log:
            launcher = subprocess.Popen(
                [sys.executable, "-I", str(program), str(STATE / self.lab / f"{self.name}.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=processes.environment(self.lab, self.name),
                cwd="/",
                start_new_session=True,
            )
            code = launcher.wait(timeout=READY_TIMEOUT)
        if code != 0:
            last = log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise self._error(f"boot: exit code {code}: {'; '.join(last)}")
        network.plug(self.index, self.number, self.init())

    def wait(self) -> None:
        """Wait until it serves: the registry its port, a node sshd and its runtime's CRI.

        Raises:
            LabError: it does not in time.
        """
        deadline = time.monotonic() + READY_TIMEOUT
        while True:
            try:
                self._knock()
            except (OSError, RuntimeCallError) as error:  # noqa: PERF203 - a retry
                if time.monotonic() > deadline:
                    raise self._error(f"wanted its services within {READY_TIMEOUT} s, found {error}") from None
                time.sleep(0.03)
            else:
                return

    def _knock(self) -> None:
        registry = self.number == network.REGISTRY_HOST
        place = (network.address(self.index, self.number), HTTPS if registry else SSH)
        with socket.create_connection(place, timeout=2) as connection:
            if registry:
                return
            connection.recv(1)
        call("Version", path=self._gateway(), timeout=5)

    def _gateway(self) -> str:
        return f"{self.root()}{GATEWAY_SOCKET}"

    def kill(self) -> None:
        """Switch it off, as by its power switch: everything in it is gone, its disk stays.

        Raises:
            LabError: it did not go.
        """
        processes.kill(self.lab, self.name)
        network.unplug(self.index, self.number)
        cgroups.remove(self.lab, self.name)

    def pull(self, images: list[str]) -> None:
        """Let its runtime pull images.

        Raises:
            LabError: it could not.
        """
        for image in images:
            try:
                call("PullImage", {"image": {"image": image}}, path=self._gateway(), timeout=PULL_TIMEOUT)
            except RuntimeCallError as error:  # noqa: PERF203 - each image has its own error
                raise self._error(f"image {image}: {error}") from None

    def run(self, command: str, *, check: bool, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a shell command on it as root, out of band.

        Raises:
            LabError: it is not running, or `check` is set and the command failed or took too long.
        """
        argv = ["nsenter", f"--target={self.init()}", "--mount", "--uts", "--ipc", "--net", "--pid"]
        # The limit is kept inside: killing nsenter would leave the command running in the host.
        argv += ["timeout", "--kill-after=2", str(timeout), "sh", "-c", command]
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=processes.environment(self.lab, self.name),
            timeout=timeout + 10,
            check=False,
        )
        if check and done.returncode != 0:
            last = "; ".join(done.stderr.strip().splitlines()[-3:])
            raise self._error(f"{command!r}: exit code {done.returncode}: {last}")
        return done

    def wipe(self) -> None:
        """Make it as new: no Pods, an empty manifests/ alone in /etc/kubernetes, no /var/lib/etcd. Images stay.

        Raises:
            LabError: it is not running, or its kubelet did not obey.
        """
        root = self.root()
        manifests = root / "etc/kubernetes/manifests"
        if manifests.is_dir():
            _empty(manifests)
        request = root / LAB_RUN[1:] / "wipe"
        request.touch()
        deadline = time.monotonic() + WIPE_TIMEOUT
        while request.exists():
            if time.monotonic() > deadline:
                raise self._error(f"wipe: its kubelet did not take its Pods down within {WIPE_TIMEOUT} s")
            time.sleep(0.02)
        for left in [*root.glob("var/lib/etcd*"), *root.glob("var/backups/etcd*"), root / "var/lib/kubelet/pods"]:
            if left.is_dir():
                shutil.rmtree(left)
        for directory in ("/etc/kubernetes", "/var/log/pods", "/run/lock", *disk.empty()):
            _empty(root / directory[1:])
        manifests.mkdir(mode=0o700)


def _empty(directory: Path) -> None:
    for child in directory.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
