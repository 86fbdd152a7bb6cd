"""A lab: hosts on this machine, each with its own network, mounts and processes, and a private registry for them.

    lab = Lab("mine", hosts=3)
    lab.up()
    lab.run("node-1", "crictl ps")
    lab.down()

A lab is known by its name: another process with the same name finds the same lab. Its state is in
/run/nornir-etcd-lab/NAME and its disks in /var/cache/nornir-etcd-lab/NAME; both go with `down`. What a killed `up` or
`down` has left is cleaned by the next.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nornir_etcd.lab import births, cache, cgroups, inventory, keys, network, processes, state
from nornir_etcd.lab.disk import Disk
from nornir_etcd.lab.error import LabError
from nornir_etcd.lab.machine import Machine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

REGISTRY = "registry"
_DELAY = re.compile(r"\d+(\.\d+)?(-\d+(\.\d+)?)?")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")


@dataclass(frozen=True)
class Node:
    """A host of a lab; address6 is empty where the kernel has no IPv6, runtime is containerd or docker."""

    name: str
    address: str
    address6: str
    runtime: str


class Lab:
    """A lab by its name; `hosts`, `delay`, `preload` and `docker` count for the next `up`.

    Args:
        name: up to 30 of a-z, 0-9 and hyphen; several labs may be up at once.
        hosts: how many hosts, node-1 and on.
        delay: seconds, or a range of them, that a kubelet takes over a changed manifest; a real one takes 7-17.
        preload: pull every etcd image on every host.
        docker: how many of the hosts, counted from the last, have Docker; the others have containerd.
    """

    def __init__(
        self, name: str = "lab", hosts: int = 3, delay: str = "0.2", *, preload: bool = False, docker: int = 0
    ) -> None:
        if not _NAME.fullmatch(name):
            raise LabError(f"lab: name {name!r}: wanted up to 30 of a-z, 0-9 and hyphen")
        if not 1 <= hosts <= network.MAX_HOSTS:
            raise LabError(f"lab {name}: hosts {hosts}: wanted 1 to {network.MAX_HOSTS}")
        if not 0 <= docker <= hosts:
            raise LabError(f"lab {name}: docker {docker}: wanted 0 to {hosts}, the number of hosts")
        self.name = name
        self._hosts = hosts
        self._docker = docker
        self._delay = _checked_delay(delay)
        self._preload = preload
        self._state = state.STATE / name
        self._disks = state.DISKS / name

    @property
    def key_file(self) -> Path:
        """The private key that logs in to every host as root."""
        return self._state / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys, by address and by name."""
        return self._state / "known_hosts"

    @property
    def registry_address(self) -> str:
        """The registry's IPv4 address; the hosts know it as registry.ikubeops.local."""
        return network.address(state.read(self.name)["index"], network.REGISTRY_HOST)

    @property
    def versions(self) -> list[str]:
        """Tags of the etcd images in the registry, oldest first."""
        return list(state.read(self.name)["versions"])

    @property
    def nodes(self) -> list[Node]:
        """The hosts, in order."""
        record, machines = state.read(self.name), self._machines()
        index, first_docker = record["index"], len(machines) - record.get("docker", 0)
        return [
            Node(
                machine.name,
                network.address(index, machine.number),
                network.address6(index, machine.number) if network.has_ipv6() else "",
                "docker" if number >= first_docker else "containerd",
            )
            for number, machine in enumerate(machines)
        ]

    def _machines(self) -> list[Machine]:
        record = state.read(self.name)
        first, index = network.FIRST_NODE, record["index"]
        return [Machine(self.name, f"node-{count + 1}", index, first + count) for count in range(record["hosts"])]

    def _registry(self) -> Machine:
        return Machine(self.name, REGISTRY, state.read(self.name)["index"], network.REGISTRY_HOST)

    def _machine(self, name: str) -> Machine:
        machines = {machine.name: machine for machine in (*self._machines(), self._registry())}
        if name not in machines:
            raise LabError(f"lab {self.name}: {name}: no such host; it has {', '.join(machines)}")
        return machines[name]

    def up(self) -> None:
        """Make the lab and wait until every host can be worked with; first clean what one of the name has left.

        Raises:
            LabError: not root, a program is missing, or a host did not come up; then nothing is left.
        """
        _need_root()
        births.check_programs(docker=self._docker > 0)
        build = cache.ready()
        with state.lock():
            self._clean()
            try:
                self._make(build)
            except BaseException:
                self._clean()
                raise

    def _make(self, build: cache.Build) -> None:
        index = network.free_index(state.taken())
        # Written before anything else is made, so that whoever finds the lab half made can clean it.
        state.write(self.name, {"index": index, "hosts": self._hosts, "docker": self._docker, "versions": build.tags})
        network.add_bridge(index)
        keys.write_registry_tls(self._state, births.REGISTRY_NAME)
        login_key = keys.write_ssh_key(self.key_file, f"nornir-etcd lab {self.name}")
        registry_disk, registry = Disk(self._disks / REGISTRY), self._registry()
        births.bear_registry(registry_disk, self._state, build.storage)
        registry.describe(births.registry_spec(self.name, REGISTRY, registry_disk))
        registry.boot()
        self._each(lambda machine: self._bear(machine, build, login_key))
        self._write_known_hosts()
        self._each(Machine.wait)
        registry.wait()
        if self._preload:
            images = [births.PAUSE_IMAGE, *(f"{births.ETCD_IMAGE}:{tag}" for tag in build.tags)]
            self._each(lambda machine: machine.pull(images))

    def _each(self, action: Callable[[Machine], None]) -> None:
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(action, self._machines()))

    def _bear(self, machine: Machine, build: cache.Build, login_key: str) -> None:
        disk = Disk(self._disks / machine.name)
        runtime = next(node.runtime for node in self.nodes if node.name == machine.name)
        seed = births.Seed(
            name=machine.name,
            docker=runtime == "docker",
            hosts=self._hosts_file(),
            delay=self._delay,
            registry_ca=(self._state / "ca.crt").read_text(encoding="ascii"),
            login_key=login_key,
            tools=build.tools,
        )
        births.bear_node(disk, seed)
        keys.write_ssh_key(disk.inside(births.HOST_KEY), machine.name)
        machine.describe(births.node_spec(self.name, machine.name, disk, docker=seed.docker))
        machine.boot()

    def _hosts_file(self) -> str:
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        lines.append(f"{self.registry_address} {births.REGISTRY_NAME}")
        lines += [f"{node.address} {node.name}" for node in self.nodes]
        lines += [f"{node.address6} {node.name}" for node in self.nodes if node.address6]
        return "\n".join(lines) + "\n"

    def _write_known_hosts(self) -> None:
        lines = []
        for node in self.nodes:
            public = Disk(self._disks / node.name).inside(f"{births.HOST_KEY}.pub").read_text(encoding="ascii")
            names = ",".join(name for name in (node.address, node.address6, node.name) if name)
            lines.append(f"{names} {' '.join(public.split()[:2])}\n")
        self.known_hosts.write_text("".join(lines), encoding="ascii")

    def down(self) -> None:
        """Remove the lab with all that belongs to it; no error if there is none.

        Raises:
            LabError: not root, or something did not go.
        """
        _need_root()
        with state.lock():
            self._clean()

    def _clean(self) -> None:
        processes.kill(self.name)
        if (self._state / "lab.json").exists():
            network.remove(state.read(self.name)["index"])
        cgroups.remove(self.name)
        # The record goes last: while it is there, a clean-up that was killed can be done again.
        for directory in (self._disks, self._state):
            if directory.is_dir():
                shutil.rmtree(directory)
            with contextlib.suppress(OSError):
                # Goes with the last lab.
                directory.parent.rmdir()

    def kill(self, node: str) -> None:
        """Switch a host, or `registry`, off, as by its power switch: everything in it is gone, its disk stays.

        Raises:
            LabError: there is no such host, or it did not go.
        """
        self._machine(node).kill()

    def start(self, node: str) -> None:
        """Switch a host, or `registry`, on again and wait until it answers.

        Raises:
            LabError: there is no such host, it runs, or it does not come up.
        """
        machine = self._machine(node)
        machine.boot()
        machine.wait()

    def is_running(self, node: str) -> bool:
        """Tell whether a host is switched on."""
        return processes.init(self.name, node) is not None

    def root(self, node: str) -> Path:
        """Give a host's file system as this machine sees it. Absolute links in it lead to the machine's own files.

        Raises:
            LabError: there is no such host, or it is switched off.
        """
        return self._machine(node).root()

    def run(
        self, node: str, command: str, *, check: bool = True, timeout: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host as root, out of band: not over SSH.

        Args:
            node: the host's name.
            command: for sh.
            check: an exit code other than 0 is an error.
            timeout: seconds; then the command is killed and its exit code is 124.

        Returns:
            What it printed and its exit code.

        Raises:
            LabError: the host is not running, or the command failed and `check` is set.
        """
        return self._machine(node).run(command, check=check, timeout=timeout)

    def wipe(self, node: str) -> None:
        """Make a host as new: no Pods, an empty manifests/ alone in /etc/kubernetes, no /var/lib/etcd. Images stay.

        Raises:
            LabError: the host is not running, or its kubelet did not obey.
        """
        self._machine(node).wipe()

    def set_delay(self, delay: str, node: str | None = None) -> None:
        """Set what a kubelet takes over a changed manifest: seconds or a range of them; of all hosts or of one.

        Raises:
            LabError: it is no delay, or a host is switched off.
        """
        for machine in [self._machine(node)] if node else self._machines():
            (machine.root() / births.DELAY_FILE[1:]).write_text(_checked_delay(delay) + "\n", encoding="ascii")

    def write_inventory(
        self,
        directory: Path,
        *,
        groups: dict[str, Any] | None = None,
        hosts: dict[str, dict[str, Any] | None] | None = None,
        defaults: dict[str, Any] | None = None,
        ipv6: bool = False,
    ) -> Path:
        """Write an inventory of this lab for Nornir's SimpleInventory.

        Args:
            directory: where to write; made if it is not there.
            groups: as groups.yaml has them; what is said of `etcd` ({"data": ...}) is added to the lab's own.
            hosts: data of single hosts, by name; a host that is mapped to None is left out.
            defaults: data of the defaults.
            ipv6: give the hosts' IPv6 addresses.

        Returns:
            The config.yaml, for InitNornir(config_file=...); its paths are absolute.
        """
        contents = inventory.contents(self, groups or {}, hosts or {}, defaults or {}, ipv6=ipv6)
        return inventory.write(directory, contents)


def _need_root() -> None:
    if os.geteuid() != 0:
        raise LabError("lab: needs root: it makes namespaces, mounts and interfaces; run it with sudo")


def _checked_delay(delay: str) -> str:
    if not _DELAY.fullmatch(delay):
        raise LabError(f"lab: delay {delay!r}: wanted seconds, such as 0.2, or a range of them, such as 7-17")
    return delay
