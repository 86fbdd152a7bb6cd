"""Ansible's YAML inventories: groups with `hosts`, `children` and `vars`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nornir_etcd.ansible.inventory import Value
from nornir_etcd.ansible.ranges import expand
from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.ansible.inventory import Inventory

_PARTS = ("vars", "children", "hosts")
_MAX_DEPTH = 50


def read(content: Mapping[Any, Any], file: str, inventory: Inventory) -> None:
    """Read the content of a YAML inventory into an inventory.

    Args:
        content: groups by name.
        file: its path, as it is told.
        inventory: what it is added to.

    Raises:
        InventoryError: with every fault of it. No value is told, since it may be a password.
    """
    faults = [fault for name, group in content.items() for fault in _group(name, group, file, inventory, 0)]
    if faults:
        raise InventoryError(*(f"{file}: {fault}" for fault in faults))


def _group(name: Any, content: Any, file: str, inventory: Inventory, depth: int) -> Iterator[str]:
    """Add a group and what is in it, and yield what is wrong with it."""
    if not isinstance(name, str) or not name or depth > _MAX_DEPTH:
        yield f"wanted the name of a group, {_MAX_DEPTH} groups deep at most, found {name!r}"
        return
    if content is not None and not isinstance(content, dict):
        inventory.ignored.append(f"{file}: {name}: no group, since it is no mapping of hosts, children and vars")
        return
    inventory.add_group(name)
    for part, found in (content or {}).items():
        entries = {found: None} if part in _PARTS and isinstance(found, str) else found
        if part not in _PARTS:
            inventory.ignored.append(f"{file}: group {name}: {part}: none of {', '.join(_PARTS)}")
        elif entries is not None and not isinstance(entries, dict):
            yield f"group {name}: {part}: wanted a mapping, found something else"
        elif part == "children":
            yield from _children(name, entries or {}, file, inventory, depth)
        elif part == "hosts":
            yield from _hosts(name, entries or {}, file, inventory)
        else:
            yield from _variables(name, entries or {}, file, inventory)


def _variables(name: str, variables: Mapping[Any, Any], file: str, inventory: Inventory) -> Iterator[str]:
    for variable, value in variables.items():
        try:
            inventory.set_group(name, str(variable), Value(value, file))
        except ValueError as error:  # noqa: PERF203 - all faults are told at once
            yield f"group {name}: {error}"


def _children(name: str, children: Mapping[Any, Any], file: str, inventory: Inventory, depth: int) -> Iterator[str]:
    for child, content in children.items():
        yield from _group(child, content, file, inventory, depth + 1)
        if child in inventory.groups:
            try:
                inventory.add_child(name, child)
            except ValueError as error:
                yield str(error)


def _hosts(name: str, hosts: Mapping[Any, Any], file: str, inventory: Inventory) -> Iterator[str]:
    for pattern, variables in hosts.items():
        if not isinstance(pattern, str):
            yield f"group {name}: wanted the name of a host, found {pattern!r}; put it in quotes"
            continue
        if variables and not isinstance(variables, dict):
            yield f"group {name}: host {pattern}: wanted a mapping of variables, found something else"
            continue
        try:
            _host(name, pattern, variables or {}, file, inventory)
        except ValueError as error:
            yield f"group {name}: {error}"


def _host(name: str, pattern: str, variables: Mapping[Any, Any], file: str, inventory: Inventory) -> None:
    hosts, port = expand(pattern)
    for host in hosts:
        inventory.add_host(host, name, Value(port, file) if port else None)
        for variable, value in variables.items():
            inventory.set_host(host, str(variable), Value(value, file))
