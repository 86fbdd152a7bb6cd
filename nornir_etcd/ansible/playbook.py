"""What a playbook sets for the members of etcd: the `vars` of its plays, their `vars_files`, and those of the role."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nornir_etcd.ansible import document, vars_files
from nornir_etcd.ansible.inventory import Value, differ
from nornir_etcd.ansible.sources import text_of
from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ROLE = "etcd"
_REMOTE_USER = "remote_user"
_OF_ROLES = frozenset({"role", "name", "vars", "tags", "when", "become", "become_user", "become_method", "delegate_to"})
_TASKS = ("pre_tasks", "tasks", "post_tasks")
_LISTS: dict[str, type | tuple[type, ...]] = {"roles": list, "vars_files": (list, str), **dict.fromkeys(_TASKS, list)}
_WAYS = ("import_role", "include_role", "ansible.builtin.import_role", "ansible.builtin.include_role")
_MAX_IMPORTS = 20


@dataclass
class Play:
    """What the plays of a playbook that are etcd's come to.

    Attributes:
        group: whose hosts they are for.
        variables: what they set.
        remote_user: who logs in where no variable says it; empty where no play says either.
        notes: what was not read, one line each.
    """

    group: str = ""
    variables: dict[str, Value] = field(default_factory=dict)
    remote_user: str = ""
    notes: list[str] = field(default_factory=list)


def read(path: Path, groups: set[str]) -> Play:
    """Return what a playbook sets for the members of etcd.

    Those plays count that have the role etcd, or where none has, those for the group etcd.

    Args:
        path: the playbook; what it imports is read too.
        groups: the inventory's groups.

    Raises:
        InventoryError: it cannot be read, no play of it is etcd's, or two of them disagree.
    """
    plays = list(_plays(path, 0))
    chosen = [(file, play) for file, play in plays if any(name == ROLE for name, _ in _roles(play))]
    chosen = chosen or [(file, play) for file, play in plays if _hosts(play) == ROLE]
    if not chosen:
        raise InventoryError(f"{path}: wanted a play with the role {ROLE} or for the group {ROLE}, found none")
    found = Play()
    faults: list[str] = []
    for file, play in chosen:
        try:
            _add(found, file, play, groups)
        except InventoryError as error:  # noqa: PERF203 - all faults are told at once
            faults += error.problems
    if faults:
        raise InventoryError(*faults)
    return found


def _plays(path: Path, depth: int) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    content = document.load(text_of(path), str(path))
    if not isinstance(content, list) or not all(isinstance(play, dict) for play in content):
        raise InventoryError(f"{path}: wanted a playbook, a list of plays, found something else or nothing")
    for play in content:
        if wrong := [key for key, kinds in _LISTS.items() if not isinstance(play.get(key) or [], kinds)]:
            raise InventoryError(*(f"{path}: {key}: wanted a list, found something else" for key in wrong))
        imported = play.get("import_playbook") or play.get("ansible.builtin.import_playbook")
        if not imported:
            yield path, play
        elif not isinstance(imported, str) or "{{" in imported or depth > _MAX_IMPORTS:
            raise InventoryError(f"{path}: import_playbook: wanted the path of a playbook, found {imported!r}")
        else:
            yield from _plays(path.parent / imported, depth + 1)


def _hosts(play: Mapping[str, Any]) -> object:
    hosts = play.get("hosts")
    return hosts[0] if isinstance(hosts, list) and len(hosts) == 1 else hosts


def _roles(play: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the roles of a play and of its tasks, by the last word of their name, each with what stands beside it."""
    for role in play.get("roles") or ():
        entry = role if isinstance(role, dict) else {"role": role}
        yield _last_word(entry.get("role") or entry.get("name")), entry
    tasks = [task for part in _TASKS for task in play.get(part) or () if isinstance(task, dict)]
    for task in tasks:
        for way in _WAYS:
            if isinstance(called := task.get(way), dict):
                yield _last_word(called.get("name")), {"vars": task.get("vars")}


def _last_word(role: object) -> str:
    return str(role).rpartition("/")[2].rpartition(".")[2]


def _add(found: Play, file: Path, play: Mapping[str, Any], groups: set[str]) -> None:
    group = _hosts(play)
    if not isinstance(group, str) or group not in groups:
        raise InventoryError(f"{file}: hosts: wanted the name of a group of the inventory, found {group!r}")
    if found.group and found.group != group:
        raise InventoryError(f"{file}: hosts: wanted one group in all plays of etcd, found {found.group} and {group}")
    found.group = group
    found.notes += _notes(file, play)
    user = str(play.get(_REMOTE_USER) or "")
    if found.remote_user and user and found.remote_user != user:
        raise InventoryError(
            f"{file}: {_REMOTE_USER}: wanted one in all plays of etcd, found {found.remote_user}, {user}"
        )
    found.remote_user = found.remote_user or user
    variables = _set_by(file, play, found.notes)
    faults = [
        f"{file}: {name}: wanted one value in all plays of etcd, found another in {found.variables[name].source}"
        for name, value in variables.items()
        if name in found.variables and differ(found.variables[name].value, value.value)
    ]
    if faults:
        raise InventoryError(*faults)
    found.variables |= variables


def _set_by(file: Path, play: Mapping[str, Any], notes: list[str]) -> dict[str, Value]:
    """Return what one play sets: its vars, its vars_files above them, and what stands beside the role above both."""
    variables = _mapping(file, "vars", play.get("vars"))
    named = play.get("vars_files") or ()
    for name in [named] if isinstance(named, str) else named:
        if isinstance(name, str) and "{{" not in name:
            variables |= vars_files.read(file.parent / name)
        else:
            notes.append(f"{file}: vars_files: {name!r} is not read: wanted the path of one file, without Jinja")
    for name, entry in _roles(play):
        if name == ROLE:
            variables |= _mapping(file, "vars of the role", entry.get("vars"))
            variables |= {key: Value(value, str(file)) for key, value in entry.items() if key not in _OF_ROLES}
    return variables


def _mapping(file: Path, what: str, content: object) -> dict[str, Value]:
    if content is not None and not isinstance(content, dict):
        raise InventoryError(f"{file}: {what}: wanted a mapping of variables, found something else")
    return {str(name): Value(value, str(file)) for name, value in (content or {}).items()}


def _notes(file: Path, play: Mapping[str, Any]) -> Iterator[str]:
    if play.get("vars_prompt"):
        yield f"{file}: vars_prompt: nothing is asked for; put the values into the inventory"
    for part in ("defaults", "vars"):
        path = file.parent / "roles" / ROLE / part
        if path.exists():
            yield f"{path}: not read; put what differs from the role as it comes into inventory/groups.yaml"
    if play.get("environment"):
        yield f"{file}: environment: commands on the hosts get no variables"
