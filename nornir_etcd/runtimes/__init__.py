"""What differs between container runtimes: one module each behind one small interface, found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nornir_etcd.runtimes.containerd import Containerd
from nornir_etcd.runtimes.docker import Docker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.observation import Container


class Runtime(Protocol):
    """How a runtime is asked: each script is POSIX sh, each parser takes what its script printed."""

    client: str  # what an operator calls on the host: version, images, logs, rmi and stop are subcommands of each
    tools: tuple[str, ...]  # commands that the scripts need

    def ask_name(self) -> str:
        """Return a command that asks the runtime what it is."""

    def list_containers(self) -> str:
        """Return a command that lists the containers of etcd and of an API server, dead ones included."""

    def list_images(self) -> str:
        """Return a command that lists the images on the host."""

    def pull(self, image: str) -> str:
        """Return a command that pulls an image and then lists the images on the host."""

    def load(self, path: str) -> str:
        """Return a command that takes in an archive of an image, which names it, from a file on the host."""

    def await_container(self, known: Sequence[str], seconds: int, name: str = "etcd") -> str:
        """Return a script that waits on the host until there is a container, even a dead one, that is not `known`."""

    def await_stop(self, seconds: int, name: str = "etcd") -> str:
        """Return a script that waits on the host until no container of that name runs, nor can be started again."""

    def last_lines(self, container: str, lines: int) -> str:
        """Return a command that prints the last lines of a container's log."""

    def parse_containers(self, text: str, name: str = "etcd") -> tuple[Container, ...]:
        """Return the containers of that name, newest first. Raises ValueError on what is no such list."""

    def parse_name(self, text: str) -> str:
        """Return the runtime's own name for itself. Raises ValueError where it says none."""

    def parse_images(self, text: str) -> dict[str, str]:
        """Return image IDs by tag. Raises ValueError on what is no such list."""

    def parse_digests(self, text: str) -> dict[str, frozenset[str]]:
        """Return, by tag, the image's ID and its digests in registries. Raises ValueError on what is no such list."""


_RUNTIMES: dict[str, Runtime] = {"containerd": Containerd(), "docker": Docker()}


def runtime(name: str) -> Runtime:
    """Return the runtime that container_runtime names (settings let no other name through)."""
    return _RUNTIMES[name]
