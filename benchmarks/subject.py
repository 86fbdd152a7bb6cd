"""The program as its users run it, in a workspace on lab hosts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cost import Cost, measured

if TYPE_CHECKING:
    from nornir_etcd.lab import Lab

PROGRAM = Path(sys.executable).with_name("nornir-etcd")
TIMEOUT = 600
MEMBERS = 3
"""Members of a cluster."""


class Subject:
    """The program with an inventory of a lab's hosts, in clusters of three.

    Args:
        lab: the hosts.
        directory: its workspace.
    """

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.directory = directory
        names = {node.name: f"cluster-{count // MEMBERS}" for count, node in enumerate(lab.nodes)}
        self.clusters = list(dict.fromkeys(names.values()))
        hosts: dict[str, dict[str, Any] | None] = {name: {"deploy_name": cluster} for name, cluster in names.items()}
        lab.write_inventory(directory, hosts=hosts)

    def forget(self) -> None:
        """Remove CA and certificates, as before a first deployment."""
        shutil.rmtree(self.directory / "certs", ignore_errors=True)

    def run(self, *words: str) -> Cost:
        """Run the program and return what it cost.

        Raises:
            RuntimeError: it did not end with exit code 0.
        """
        # Without what keeps Python from caching bytecode, which users have.
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with measured(self.lab) as cost:
            done = subprocess.run(  # noqa: S603 - the program under test
                [str(PROGRAM), *words],
                cwd=self.directory,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(
                f"nornir-etcd {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return cost
