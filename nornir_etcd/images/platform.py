"""Platforms of images and of hosts, in the words of images. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_MACHINES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""`uname -m` by Go's GOARCH, which images go by (normalizeArch, https://github.com/containerd/platforms)."""


@dataclass(frozen=True)
class Platform:
    """What an image was made for, as its configuration says it."""

    system: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.system}/{self.architecture}"

    @property
    def known(self) -> bool:
        """Whether it is a platform at all: what a builder attests to an image has `unknown/unknown`."""
        return "unknown" not in {self.system, self.architecture}


def of_machine(machine: str) -> Platform:
    """Return the platform of a host of Linux by its `uname -m`; one that is not known is called by its own name."""
    return Platform("linux", _MACHINES.get(machine, machine))
