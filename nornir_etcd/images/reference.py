"""References of images: what an inventory asks for, and what an archive calls what it holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A full reference, as the inventory's `etcd_image` is one.

    Args:
        registry: host or host:port.
        repository: path in the registry.
        tag: name of the version.
        digest: `sha256:...` that the image must have; empty where any will do.
    """

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @property
    def tagged(self) -> str:
        """The reference without a digest, by which a runtime lists it."""
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def short(self) -> str:
        """Last part of the repository, and tag."""
        return short(self.tagged)

    def __str__(self) -> str:
        return f"{self.tagged}@{self.digest}" if self.digest else self.tagged


def parse(text: str) -> Reference:
    """Return the reference that settings have let through: registry/repository:tag, optionally with a digest."""
    rest, _, digest = text.partition("@")
    registry, _, rest = rest.partition("/")
    repository, _, tag = rest.rpartition(":")
    return Reference(registry, repository, tag, digest)


def short(name: str) -> str:
    """Return the last part of a name, its tag included: of registry.k8s.io/etcd:3.5.16-0 that is etcd:3.5.16-0.

    Sites rename registry and project when they take an image in; name and tag stay.
    """
    return name.partition("@")[0].rpartition("/")[2]
