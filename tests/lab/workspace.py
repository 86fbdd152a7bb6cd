"""A user's workspace on lab hosts: its inventory, and the program run in it as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from nornir_etcd.lab import Lab

PROGRAM = Path(sys.executable).with_name("nornir-etcd")
ROLE_PATHS = (
    "--cacert=/etc/kubernetes/pki/ca.pem --cert=/etc/kubernetes/pki/etcd.pem --key=/etc/kubernetes/pki/etcd-key.pem"
)
ETCDCTL = f"etcdctl --endpoints=https://127.0.0.1:2379 {ROLE_PATHS}"
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"


OF_ANY_LAB = {
    *("version.floor", "ca.shared"),
    *("member.disk.fsync", "member.disk.commit", "member.slow", "member.round_trip"),
}
"""Warnings that hold in a lab: Debian's etcd is old, the role has one CA; disk and cores are the machine's."""


@dataclass(frozen=True)
class Run:
    """What one run of the program left behind."""

    code: int
    out: str
    err: str
    report: dict[str, Any]

    @property
    def cluster(self) -> dict[str, Any]:
        """The only cluster of the report."""
        (cluster,) = self.report["clusters"]
        found: dict[str, Any] = cluster
        return found

    def cluster_named(self, name: str) -> dict[str, Any]:
        """The cluster of that name."""
        found: dict[str, Any] = next(one for one in self.report["clusters"] if one["name"] == name)
        return found

    def findings(self, code: str, severity: str) -> list[dict[str, Any]]:
        """The findings of one code and severity, over all clusters."""
        return [
            one
            for cluster in self.report["clusters"]
            for one in cluster["findings"]
            if (one["code"], one["severity"]) == (code, severity)
        ]

    @property
    def amiss(self) -> list[tuple[str, str, str]]:
        """Severity, code and subject of what is not ok, but for what is so in any lab."""
        return [
            (one["severity"], one["code"], one["subject"])
            for cluster in self.report["clusters"]
            for one in cluster["findings"]
            if one["severity"] != "ok" and (one["severity"], one["code"]) not in {("warning", it) for it in OF_ANY_LAB}
        ]

    def steps(self, action: str) -> list[dict[str, Any]]:
        """The steps of one action, over all clusters."""
        return [step for cluster in self.report["clusters"] for step in cluster["plan"] if step["action"] == action]


class Workspace:
    """A folder with config.yaml, inventory and certificates, for the hosts of a lab."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory

    def inventory(
        self, *, data: dict[str, Any] | None = None, hosts: dict[str, Any] | None = None, ipv6: bool = False
    ) -> None:
        """Write the inventory: `data` for the group etcd, `hosts` for single hosts (None leaves one out)."""
        self.lab.write_inventory(self.directory, groups={"etcd": {"data": data or {}}}, hosts=hosts, ipv6=ipv6)
        config = yaml.safe_load((self.directory / "config.yaml").read_text())
        log = str(self.directory / "nornir.log")
        loggers = ["nornir", "nornir_etcd", "netmiko", "paramiko.transport"]
        config["logging"] = {"enabled": True, "level": "DEBUG", "log_file": log, "loggers": loggers}
        (self.directory / "config.yaml").write_text(yaml.safe_dump(config))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start the program and return it, for tests that strike while it works."""
        return self.launch(str(PROGRAM), *words)

    def launch(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command in the workspace, in a process group of its own."""
        with (self.directory / "out").open("w") as out, (self.directory / "err").open("w") as err:
            return subprocess.Popen(  # noqa: S603 - the program under test
                argv,
                cwd=self.directory,
                stdout=out,  # a file: a pipe that nobody reads would stop the program
                stderr=err,
                stdin=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                env={**os.environ, "COLUMNS": "160"},
            )

    def run(self, *words: str, timeout: float = 240) -> Run:
        """Run the program to its end, with a report."""
        output = self.directory / "report.json"
        output.unlink(missing_ok=True)
        return self.finish(self.start(*words, "--output", str(output)), timeout=timeout)

    def finish(self, process: subprocess.Popen[str], timeout: float = 240) -> Run:
        """Wait for a started program."""
        try:
            process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"no end within {timeout} s\n{(self.directory / 'out').read_text()}") from None
        out, err = ((self.directory / name).read_text() for name in ("out", "err"))
        output = self.directory / "report.json"
        report = json.loads(output.read_text()) if output.exists() else {}
        return Run(process.returncode, out, err, report)

    def deploy(self, *words: str, code: int = 0) -> Run:
        """Run deploy and hold it to an exit code."""
        run = self.run("deploy", *words)
        assert run.code == code, f"{run.out}\n{run.err}"
        return run

    def verify(self, *words: str, code: int = 0) -> Run:
        """Run verify and hold it to an exit code."""
        run = self.run("verify", *words)
        assert run.code == code, f"{run.out}\n{run.err}"
        return run

    def containers(self) -> dict[str, str]:
        """The ID of the running etcd container of each host; empty where there is none."""
        ask = "crictl ps -q --name '^etcd$' --state Running"
        return {node.name: self.lab.run(node.name, ask).stdout.strip() for node in self.lab.nodes}

    def await_stop(self, node: str) -> None:
        """Wait until no etcd container runs on a host."""
        ends = time.monotonic() + 30
        while self.lab.run(node, "crictl ps -q --name '^etcd$'").stdout.strip():
            assert time.monotonic() < ends, f"{node}: the container did not stop"
            time.sleep(0.2)

    def created(self, node: str, container: str) -> int:
        """When a container was made, in nanoseconds since the epoch."""
        listed = json.loads(self.lab.run(node, f"crictl ps -o json --id {container}").stdout)
        return int(listed["containers"][0]["createdAt"])

    def fingerprint(self, node: str) -> str:
        """Every file of etcd's on a host with mode, inode and times: what no run without a difference may change."""
        found = "find /etc/kubernetes /var/lib/etcd -maxdepth 4 -not -path '*/member*'"
        return self.lab.run(node, f"{found} -printf '%p %m %i %T@ %C@ %l\\n' | sort").stdout

    def await_restart(self, node: str, before: str) -> None:
        """Wait until another etcd container than `before` runs on a host and answers."""
        ends = time.monotonic() + 60
        alive = f"{ETCDCTL} --command-timeout=2s get x"
        if "server.crt" in self.lab.run(node, f"cat {MANIFEST}").stdout:
            folder = "/etc/kubernetes/pki/etcd"
            files = f"--cacert={folder}/ca.crt --cert={folder}/server.crt --key={folder}/server.key"
            alive = alive.replace(ROLE_PATHS, files)
        while self.containers()[node] in {"", before} or self.lab.run(node, alive, check=False).returncode:
            assert time.monotonic() < ends, f"{node}: the member did not come back"
            time.sleep(0.2)
