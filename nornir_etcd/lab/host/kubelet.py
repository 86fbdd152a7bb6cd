"""A stand-in for the kubelet on lab hosts, standalone mode: no kubelet can be had from Debian or PyPI.

It runs the static Pods of the directory that its configuration names, as a kubelet 1.36 was seen to: every file whose
name does not begin with a dot is a Pod; one that says something else is another Pod (the old one is stopped, then,
after a delay, the new one started: new container, restart count 0); one rewritten with the same content is left
alone; a removed one is stopped; a crash is restarted with back-off; probes, hostPath types and pull policy hold. What
a manifest asks for beyond that is refused in the log. The delay stands for what a real kubelet takes over a changed
manifest (7 to 17 s) and is read anew each time from a file of the lab.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import threading
import time
from pathlib import Path

import yaml

from nornir_etcd.lab.host.client import LAB_RUN, RuntimeCallError, call
from nornir_etcd.lab.host.criprint import klog, quote, rfc3339
from nornir_etcd.lab.host.pod import Pod, PodError, parse
from nornir_etcd.lab.host.worker import Worker

DELAY_FILE = Path("/var/lib/kubelet/lab-delay")
# A lab that wants a host empty at once makes this file, and it goes when the host is.
WIPE_FILE = Path(LAB_RUN) / "wipe"
PERIOD = 0.25
# What belongs to no Pod any more is collected this many seconds later (the kubelet does so each minute).
COLLECT_AFTER = 60.0


def read_delay() -> float:
    """Draw a delay from the file's range: "0.2" or "7-17", in seconds."""
    low, _, high = DELAY_FILE.read_text(encoding="ascii").strip().partition("-")
    return random.uniform(float(low), float(high or low))  # noqa: S311 - a delay is no secret


class Kubelet:
    """The Pods of one directory."""

    def __init__(self, directory: Path, cgroup_parent: str) -> None:
        self._directory = directory
        self._cgroup_parent = cgroup_parent
        self._hostname = socket.gethostname()
        self._workers: dict[str, Worker] = {}
        self._replaced: set[str] = set()
        self._seen: dict[Path, tuple[bytes, Pod | None]] = {}
        self._output = threading.Lock()
        self._collected = time.monotonic()

    def log(self, source: str, message: str) -> None:
        """Write an error line; stdout is the host's kubelet log."""
        with self._output:
            sys.stdout.write(f"{klog(source, message)}\n")
            sys.stdout.flush()

    def manifests(self) -> dict[str, Pod]:
        """Read the directory: Pods by uid; a file that is no Pod is complained of once."""
        found: dict[Path, tuple[bytes, Pod | None]] = {}
        try:
            paths = sorted(path for path in self._directory.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            paths = []
        for path in paths:
            try:
                content = path.read_bytes()
            except OSError:
                # Renamed or removed meanwhile, or a directory, which the kubelet skips as well.
                continue
            known = self._seen.get(path)
            found[path] = known if known and known[0] == content else (content, self._parse(path, content))
        self._seen = found
        return {pod.uid: pod for _, pod in found.values() if pod}

    def _parse(self, path: Path, content: bytes) -> Pod | None:
        try:
            text = content.decode()
            return parse(text, str(path), self._hostname, rfc3339(time.time_ns()))
        except (PodError, UnicodeDecodeError) as error:
            self.log("file.go:108", f'"Unable to process manifest" path="{path}" err={quote(str(error))}')
            return None

    def sync(self) -> None:
        """Stop the Pods that are wanted no more and start those that are wanted, one of a name at a time."""
        wanted = self.manifests()
        for uid, worker in list(self._workers.items()):
            if not worker.is_alive():
                del self._workers[uid]
            elif uid not in wanted:
                worker.stop()
        busy = {(worker.pod.namespace, worker.pod.name) for worker in self._workers.values()}
        for uid, pod in wanted.items():
            if uid in self._workers and not self._workers[uid].stopping.is_set():
                continue
            if (pod.namespace, pod.name) in busy:
                self._replaced.add(uid)
                continue
            delay = read_delay() if uid in self._replaced else 0.0
            self._replaced.discard(uid)
            self._workers[uid] = Worker(pod, self._cgroup_parent, delay, self.log)
            self._workers[uid].start()
            busy.add((pod.namespace, pod.name))

    def collect(self, *, at_once: bool = False) -> None:
        """Remove the sandboxes, with their containers, of Pods that are no more."""
        if not at_once and time.monotonic() < self._collected + COLLECT_AFTER:
            return
        self._collected = time.monotonic()
        for sandbox in call("ListPodSandbox")["items"]:
            if sandbox["metadata"]["uid"] not in self._workers:
                call("StopPodSandbox", {"podSandboxId": sandbox["id"]}, timeout=60)
                call("RemovePodSandbox", {"podSandboxId": sandbox["id"]}, timeout=60)

    def wipe(self) -> None:
        """Take every Pod down without grace and leave no trace of it in the runtime."""
        for worker in self._workers.values():
            worker.stop(grace=0)
        for container in call("ListContainers")["containers"]:
            # A worker may be in the middle of a stop with grace.
            if container["state"] == "CONTAINER_RUNNING":
                call("StopContainer", {"containerId": container["id"], "timeout": 0})
        for worker in self._workers.values():
            worker.join(timeout=30)
        self._workers.clear()
        self._replaced.clear()
        self._seen.clear()
        self.collect(at_once=True)
        WIPE_FILE.unlink()

    def run(self) -> None:
        """Work until killed."""
        while True:
            try:
                if WIPE_FILE.exists():
                    self.wipe()
                self.sync()
                self.collect()
            except (RuntimeCallError, OSError) as error:
                self.log("kubelet.go:2500", f'"Skipping pod synchronization" err={quote(str(error))}')
                time.sleep(1)
            time.sleep(PERIOD)


def main() -> None:
    """Run with the configuration file of a kubelet, of which staticPodPath counts."""
    parser = argparse.ArgumentParser(prog="kubelet", description="stand-in for the kubelet on a lab host")
    parser.add_argument("--config", required=True, type=Path)
    parser.add_argument("--cgroup-root", required=True, help="parent of the Pods' cgroups")
    options = parser.parse_args()
    config = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    if not config.get("staticPodPath"):
        sys.exit(f"kubelet: {options.config}: staticPodPath is not set")
    Kubelet(Path(config["staticPodPath"]), options.cgroup_root).run()
