"""Ansible's INI inventories: hosts with ranges, `:children`, `:vars`, and what their values are. Pure."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nornir_etcd.ansible.inventory import Value
from nornir_etcd.ansible.ranges import expand
from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from nornir_etcd.ansible.inventory import Inventory

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_KINDS = ("hosts", "children", "vars")


def value_of(text: str) -> Any:
    """Return what a value of an INI inventory means: a Python literal where it is one, else the text itself.

    So `3` is a number, `True` a truth value, `true`, `3.5.16-0` and `007` are text. Tuples and sets become lists, and
    what YAML has no word for becomes text.

    Raises:
        ValueError: it is a literal that cannot be, such as a mapping by lists.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    except (TypeError, MemoryError, RecursionError):
        raise ValueError("wanted a value, found a Python literal that cannot be") from None
    try:
        return _plain(value)
    except UnicodeDecodeError:
        raise ValueError("wanted a value, found bytes that are no text") from None


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if value is ...:
        return "..."
    if isinstance(value, complex):
        return str(value)
    return value.decode() if isinstance(value, bytes) else value


@dataclass
class _Reader:
    """Reads one file into an inventory.

    Attributes:
        undeclared: groups that are only spoken of so far: by `[NAME:vars]` or as a child, and in which line.
        children: parent, child and line of each entry of a `:children` section.
    """

    inventory: Inventory
    file: str
    group: str = "ungrouped"
    kind: str = "hosts"
    number: int = 0
    undeclared: dict[str, tuple[int, str]] = field(default_factory=dict)
    children: list[tuple[str, str, int]] = field(default_factory=list)

    def line(self, text: str) -> None:
        """Read one line.

        Raises:
            ValueError: it is none of an inventory.
        """
        if section := _SECTION.fullmatch(text):
            self._section(section[1], section[2] or "hosts")
        elif text.startswith("[") and text.endswith("]"):
            raise ValueError(f"wanted [GROUP], [GROUP:children] or [GROUP:vars], found {text!r}")
        elif self.kind == "hosts":
            self._hosts(text)
        elif self.kind == "vars":
            name, sign, value = text.partition("=")
            if not sign:
                raise ValueError(f"wanted NAME=VALUE in [{self.group}:vars], found no =")
            self.inventory.set_group(self.group, name.strip(), self._value(value.strip()))
        else:
            child = _GROUP.fullmatch(text)
            if child is None:
                raise ValueError(f"wanted the name of a group in [{self.group}:children], found {text!r}")
            self.children.append((self.group, child[1], self.number))

    def _section(self, group: str, kind: str) -> None:
        if kind not in _KINDS:
            raise ValueError(f"wanted [{group}], [{group}:children] or [{group}:vars], found [{group}:{kind}]")
        if kind != "vars":
            self.undeclared.pop(group, None)
        elif group not in self.inventory.groups:
            self.undeclared[group] = (self.number, f"[{group}:vars]")
        self.inventory.add_group(group)
        self.group, self.kind = group, kind

    def _hosts(self, text: str) -> None:
        try:
            pattern, *assignments = shlex.split(text, comments=True)
        except ValueError as error:
            raise ValueError(f"wanted a host and NAME=VALUE of it, found {str(error).lower()}") from None
        hosts, port = expand(pattern)
        variables = {}
        for assignment in assignments:
            name, sign, value = assignment.partition("=")
            if not sign:
                raise ValueError(f"wanted NAME=VALUE behind the host {pattern}, found a word without =")
            variables[name] = self._value(value)
        for host in hosts:
            self.inventory.add_host(host, self.group, self._here(port) if port else None)
            for name, written in variables.items():
                self.inventory.set_host(host, name, written)

    def _value(self, text: str) -> Value:
        return self._here(value_of(text))

    def _here(self, value: Any) -> Value:
        return Value(value, self.file, self.number)

    def end(self) -> list[str]:
        """Put the children in their groups, and return what is wrong with them."""
        faults = []
        for parent, child, number in self.children:
            if child not in self.inventory.groups:
                self.undeclared.setdefault(child, (number, f"[{parent}:children]"))
                continue
            try:
                self.inventory.add_child(parent, child)
            except ValueError as error:
                faults.append(f"{self.file}:{number}: {error}")
        return faults + [
            f"{self.file}:{number}: wanted a group that is there, found none named {group!r} for {where}; add [{group}]"
            for group, (number, where) in sorted(self.undeclared.items(), key=lambda one: one[1])
        ]


def read(text: str, file: str, inventory: Inventory) -> None:
    """Read an INI inventory into an inventory.

    Args:
        text: the file's content.
        file: its path, as it is told.
        inventory: what it is added to.

    Raises:
        InventoryError: with every fault of it, each with its line. No value is told, since it may be a password.
    """
    reader = _Reader(inventory, file)
    faults = []
    for line in text.splitlines():
        reader.number += 1
        content = line.strip()
        if not content or content[0] in ";#":
            continue
        try:
            reader.line(content)
        except ValueError as error:
            faults.append(f"{file}:{reader.number}: {error}")
    faults += reader.end()
    if faults:
        raise InventoryError(*faults)
