"""A host's disk: the directories that are its own, and the files it is born with.

A host sees the machine's /usr, /dev and /sys; nearly all else that it may write to is its own: an overlay over what
the machine has, or, where that must not be seen, an empty directory bound in its place. So nothing a host does
touches the machine. The disk outlives a power cycle.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

OVERLAID = ("/etc", "/opt", "/root", "/usr/local", "/var/lib", "/var/log", "/var/spool")
# Empty at birth, unless the Python that the hosts run lies there: then an overlay as well.
EMPTY = ("/home", "/srv", "/tmp", "/var/tmp")  # noqa: S108 - directories to hide, not temporary files
# The runtimes' own overlays need a real file system below them.
RUNTIME_ROOTS = ("/var/lib/containerd", "/var/lib/docker")


def overlaid() -> list[str]:
    """Give the directories that are overlays in a host, of those the machine has."""
    return [place for place in (*OVERLAID, *EMPTY) if Path(place).is_dir() and place not in empty()]


def empty() -> list[str]:
    """Give the directories that are a host's alone, of those the machine has."""
    prefixes = (sys.prefix, sys.base_prefix, os.path.realpath(sys.executable))
    used = {place for place in EMPTY if any(Path(prefix).is_relative_to(place) for prefix in prefixes)}
    return [place for place in EMPTY if Path(place).is_dir() and place not in used]


def _flat(place: str) -> str:
    return place.strip("/").replace("/", "-")


@dataclass(frozen=True)
class Disk:
    """A host's disk at a directory of the machine."""

    root: Path

    def create(self) -> None:
        """Make the disk, hiding what the machine itself may have where the tested program works."""
        for place in (*overlaid(), *empty()):
            self.inside(place).mkdir(parents=True)
            shutil.copystat(place, self.inside(place))
        for _, _, work in self.overlays():
            Path(work).mkdir(parents=True)
        for place in RUNTIME_ROOTS:
            (self.root / _flat(place)).mkdir()
            self.inside(place).mkdir()
        for hidden in ("/var/lib/etcd", "/etc/crictl.yaml"):
            # A character device 0/0 in an overlay's upper layer is a whiteout (filesystems/overlayfs).
            os.mknod(self.inside(hidden), stat.S_IFCHR, os.makedev(0, 0))
        for fresh in (
            "/etc/kubernetes",
            "/etc/containerd",
            "/etc/docker",
            "/etc/cni",
            "/root/.ssh",
            "/var/lib/kubelet",
            "/var/log/pods",
        ):
            self.inside(fresh).mkdir(mode=0o755)
            os.setxattr(self.inside(fresh), "trusted.overlay.opaque", b"y")

    def inside(self, path: str) -> Path:
        """Give the place on the disk of what the host has at a path of its own."""
        for place in (*OVERLAID, *EMPTY):
            if Path(path).is_relative_to(place):
                return self.root / "upper" / _flat(place) / Path(path).relative_to(place)
        raise ValueError(path)

    def write(self, path: str, content: str, mode: int = 0o644) -> None:
        """Write a file of the host before it boots."""
        target = self.inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.touch(mode=mode)
        target.write_text(content, encoding="utf-8")
        target.chmod(mode)

    def overlays(self) -> list[tuple[str, str, str]]:
        """Give directory, upper and work directory of each overlay."""
        return [(place, str(self.inside(place)), str(self.root / "work" / _flat(place))) for place in overlaid()]

    def binds(self) -> list[tuple[str, str]]:
        """Give source and target of each bind mount."""
        own = [(str(self.inside(place)), place) for place in empty()]
        return [*own, *((str(self.root / _flat(place)), place) for place in RUNTIME_ROOTS)]
