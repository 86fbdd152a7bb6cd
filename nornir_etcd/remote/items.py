"""What can be pushed to a host. Pure: no I/O."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WriteFile:
    """A regular file, put in place by one rename.

    Args:
        path: absolute; a link there is replaced, not followed.
        content: may be secret, so it is not in the repr.
        mode: permission bits.
        staging: folder on the same file system in which it is written first; by default the target's own, under a
            name that starts with a dot.
    """

    path: str
    content: bytes = field(repr=False)
    mode: int
    staging: str | None = None

    def __post_init__(self) -> None:
        check_path(self.path)
        check_mode(self.mode)
        if self.staging is not None:
            check_path(self.staging)

    @property
    def staged_in(self) -> str:
        """The folder in which it is written first."""
        return self.staging or posixpath.dirname(self.path)


@dataclass(frozen=True)
class MakeDirectory:
    """A directory; parents that are missing get mode 0755. Nothing in it is touched.

    Args:
        path: absolute.
        mode: permission bits, set where the directory is made or has others.
    """

    path: str
    mode: int

    def __post_init__(self) -> None:
        check_path(self.path)
        check_mode(self.mode)


@dataclass(frozen=True)
class SwitchDirectory:
    """Files that change together, in the kubelet's way (its AtomicWriter): `..data` is a link to a folder that holds
    them, switched by one rename; `NAME` is a link to `..data/NAME`. Folders that are no longer used are removed.

    Args:
        path: absolute; a directory that exists or that the same push makes earlier.
        files: name, content and mode of every file.
    """  # noqa: D205 - one sentence

    path: str
    files: tuple[tuple[str, bytes, int], ...] = field(repr=False)

    def __post_init__(self) -> None:
        check_path(self.path)
        for name, _, mode in self.files:
            check_path(f"{self.path}/{name}")
            check_mode(mode)
            if "/" in name or name.startswith("."):
                raise ValueError(f"{self.path}: {name!r} is no plain file name")


@dataclass(frozen=True)
class MakeLink:
    """A symbolic link, put in place by one rename.

    Args:
        path: absolute; absent or a link, or a regular file where `replace_file` is set.
        target: what the link says.
        replace_file: keep a copy of a regular file as `path.nornir-etcd-TIMESTAMP`, which only root can read, and put
            the link in its place.
    """

    path: str
    target: str
    replace_file: bool = False

    def __post_init__(self) -> None:
        check_path(self.path)
        if not self.target or self.target.startswith("-") or not self.target.isprintable():
            raise ValueError(f"{self.path}: {self.target!r} is no target of a link")


Item = WriteFile | MakeDirectory | SwitchDirectory | MakeLink


def check_path(path: str) -> None:
    """Refuse a path that is not absolute, not in normal form, or has control characters.

    Args:
        path: a path on a host.

    Raises:
        ValueError: naming the path.
    """
    if not path.startswith("/") or path.startswith("//") or posixpath.normpath(path) != path or path == "/":
        raise ValueError(f"{path!r} is no absolute path in normal form")
    if not path.isprintable():
        raise ValueError(f"{path!r} has control characters in it")


def check_mode(mode: int) -> None:
    """Refuse what is no permission bits.

    Args:
        mode: permission bits.

    Raises:
        ValueError: naming the mode.
    """
    if not 0 <= mode <= 0o7777:  # noqa: PLR2004 - all bits that chmod knows
        raise ValueError(f"mode {mode!r} is not within 0 to 0o7777")
