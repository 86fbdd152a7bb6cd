"""Files below group_vars/ and host_vars/, as Ansible finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nornir_etcd.ansible import document
from nornir_etcd.ansible.inventory import Value
from nornir_etcd.ansible.sources import text_of, unreadable
from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Kind = Literal["group_vars", "host_vars"]

_SUFFIXES = (".yml", ".yaml", ".json")


class VarsFiles:
    """What group_vars and host_vars set, read when asked for.

    Args:
        inventory: the folders of the inventory's sources, in their order.
        play: the folder of the playbook; none where there is no playbook.

    Attributes:
        faults: what is wrong with the files that were asked for.
    """

    def __init__(self, inventory: Sequence[Path], play: Sequence[Path] = ()) -> None:
        self.inventory = tuple(inventory)
        self.play = tuple(folder for folder in play if folder.resolve() not in {one.resolve() for one in inventory})
        self.faults: list[str] = []
        self._read: dict[tuple[Path, Kind, str], Mapping[str, Value]] = {}

    def of(self, folder: Path, kind: Kind, name: str) -> Mapping[str, Value]:
        """Return what the files of a group or host set, in one of the folders."""
        key = (folder, kind, name)
        if key not in self._read:
            try:
                paths = list(_found(folder / kind, name))
            except OSError as error:
                self.faults.append(unreadable(error, folder / kind))
                paths = []
            self._read[key] = self._values(paths)
        return self._read[key]

    def _values(self, paths: Sequence[Path]) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for path in paths:
            try:
                values |= read(path)
            except InventoryError as error:  # noqa: PERF203 - all faults are told at once
                self.faults += error.problems
        return values


def read(path: Path) -> dict[str, Value]:
    """Return what a file of variables sets.

    Raises:
        InventoryError: it cannot be read, or is no mapping.
    """
    content = document.load(text_of(path), str(path))
    if not content:
        return {}
    if not isinstance(content, dict):
        raise InventoryError(f"{path}: wanted a mapping of variables, found something else")
    return {str(name): Value(value, str(path)) for name, value in content.items()}


def _found(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of a name: those in its folder, or the first with one of the suffixes. Never both."""
    if name.startswith("/") or not folder.is_dir():
        return
    for path in (folder / f"{name}{suffix}" for suffix in ("", *_SUFFIXES)):
        if path.is_dir():
            yield from _below(path)
            return
        if path.exists():
            yield path
            return


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir():
            if not path.suffix:
                yield from _below(path)
        elif path.suffix in {"", *_SUFFIXES}:
            yield path
