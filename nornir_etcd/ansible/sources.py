"""The files of an inventory: which Ansible takes, in which order, and by which of its formats they are read."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from nornir_etcd.ansible import document, ini, yaml
from nornir_etcd.ansible.inventory import Inventory
from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# INVENTORY_IGNORE_EXTS and IGNORED_ALWAYS, https://docs.ansible.com/ansible/latest/reference_appendices/config.html
_PASSED_OVER = re.compile(
    r"^\.|^(host_vars|group_vars|vars_plugins)$|(\.(pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)|~)$"
)
_YAML = frozenset({"", ".yaml", ".yml", ".json"})
_STATIC = "save what it says: `ansible-inventory -i {path} --list --yaml > hosts.yaml`"


def read(paths: Sequence[Path]) -> Inventory:
    """Return the inventory that some sources make together.

    Args:
        paths: files, and directories of files, as for `ansible -i`; what the later says holds.

    Raises:
        InventoryError: with every fault of them, no value of a variable in it.
    """
    inventory = Inventory()
    faults: list[str] = []
    files = 0
    for path in paths:
        try:
            for file in _files(path):
                files += 1
                _read(file, inventory)
        except InventoryError as error:  # noqa: PERF203 - all faults are told at once
            faults += error.problems
        except OSError as error:
            faults.append(unreadable(error, path))
    if not faults and not files:
        faults.append(f"{', '.join(map(str, paths))}: wanted an inventory of Ansible's, found no file of one")
    if faults:
        raise InventoryError(*faults)
    return inventory


def directories(paths: Sequence[Path]) -> list[Path]:
    """Return where group_vars and host_vars of some sources are sought, in Ansible's order."""
    return list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))


def text_of(path: Path) -> str:
    """Return the text of a file.

    Raises:
        InventoryError: it cannot be read, or is no text.
    """
    return _decoded(_content(path), path)


def unreadable(error: OSError, path: Path) -> str:
    """Return the line that tells why a file or folder cannot be read."""
    return f"{error.filename or path}: wanted a file that can be read, found: {error.strerror}"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InventoryError(unreadable(error, path)) from error


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode()
    except UnicodeError as error:
        raise InventoryError(f"{path}: wanted text in UTF-8, found other bytes") from error


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for name in sorted(os.listdir(path)):  # noqa: PTH208 - Ansible's order is that of names, not of paths
        if not _PASSED_OVER.search(name):
            yield from _files(path / name)


def _read(path: Path, inventory: Inventory) -> None:
    file = str(path)
    content = _content(path)
    if content.startswith((b"#!", b"\x7fELF")):  # the mode tells nothing: on some file systems every file is executable
        raise InventoryError(
            f"{file}: wanted an INI or YAML inventory, found a program (a dynamic one); {_STATIC.format(path=path)}"
        )
    text = _decoded(content, path)
    document.refuse_vault(text, file)
    if path.suffix == ".toml":
        raise InventoryError(f"{file}: wanted an INI or YAML inventory, found TOML; {_STATIC.format(path=path)}")
    if path.suffix not in _YAML:
        ini.read(text, file, inventory)
        return
    try:
        found = document.load(text, file)
    except InventoryError as error:
        if path.suffix or "Ansible's vault" in str(error):
            raise
        found = None  # INI, as a file called hosts mostly is
    if isinstance(found, dict):
        if found.get("plugin"):
            raise InventoryError(
                f"{file}: wanted an INI or YAML inventory, found the configuration of a plugin (a dynamic one); "
                + _STATIC.format(path=path)
            )
        yaml.read(found, file, inventory)
    elif path.suffix and not _looks_like_ini(text):
        raise InventoryError(f"{file}: wanted a YAML inventory, a mapping of groups, found something else or nothing")
    else:
        _read_ini(text, file, inventory)


def _looks_like_ini(text: str) -> bool:
    return re.search(r"^\[", text, re.MULTILINE) is not None


def _read_ini(text: str, file: str, inventory: Inventory) -> None:
    """Read what may be INI: nothing tells before."""
    try:
        ini.read(text, file, inventory)
    except InventoryError as error:
        if _looks_like_ini(text):
            raise
        first = error.problems[0].removeprefix(f"{file}:")
        raise InventoryError(f"{file}: wanted an INI or YAML inventory, found neither; as INI, line {first}") from error
