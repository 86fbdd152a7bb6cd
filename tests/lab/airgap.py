"""A controller behind an air gap: a network namespace that reaches a lab's hosts and registry, and no more."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from nornir_etcd.lab import network, state
from tests.lab.workspace import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

CONTROLLER_HOST = 3
REGISTRY = "registry.ikubeops.local"
_ENTER = 'mount --bind "$1" /etc/hosts && mount --bind /dev/null /etc/resolv.conf && shift && exec "$@"'


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20).stdout  # noqa: S603, S607 - ip(8)


class AirGap:
    """The controller's namespace: a route to each host, none by default, no DNS, names from a file. A context manager.

    Args:
        lab: whose hosts are reached.
        folder: where its file of names lies.
    """

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._index = state.read(lab.name)["index"]
        self._name = f"{lab.name}-controller"
        self._hosts = folder / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost\n{lab.registry_address} {REGISTRY}\n")
        self.reached = [lab.registry_address, *(node.address for node in lab.nodes)]

    def __enter__(self) -> AirGap:  # noqa: PYI034 - Self came with Python 3.11
        ip("netns", "add", self._name)
        near = network.veth(self._index, CONTROLLER_HOST)
        # Always the same hardware address: the hosts' neighbour tables outlive a controller.
        hardware = f"02:6e:65:{self._index:02x}:00:{CONTROLLER_HOST:02x}"
        peer = ("peer", "name", "eth0", "address", hardware, "netns", self._name)
        ip("link", "add", near, "type", "veth", *peer)
        ip("link", "set", near, "master", network.bridge(self._index), "up")
        inside = ("-n", self._name)
        ip(*inside, "address", "add", f"{self.address}/32", "dev", "eth0")
        for link in ("lo", "eth0"):
            ip(*inside, "link", "set", link, "up")
        for address in self.reached:
            ip(*inside, "route", "add", f"{address}/32", "dev", "eth0")
        return self

    def __exit__(self, *_: object) -> None:
        ip("netns", "delete", self._name)

    @property
    def address(self) -> str:
        """The controller's own address."""
        return network.address(self._index, CONTROLLER_HOST)

    def inside(self, *argv: str) -> list[str]:
        """Return the command by which another is run there."""
        enter = ["nsenter", f"--net=/run/netns/{self._name}", "unshare", "--mount", "--propagation", "private"]
        return [*enter, "sh", "-c", _ENTER, "sh", str(self._hosts), *argv]

    def program(self, *words: str) -> list[str]:
        """Return the command by which nornir-etcd is run there."""
        return self.inside(str(PROGRAM), *words)
