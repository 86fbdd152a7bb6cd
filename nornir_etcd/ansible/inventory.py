"""An inventory as its sources make it: groups, hosts, who is in which, and what they set. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL, UNGROUPED = "all", "ungrouped"
PRIORITY = "ansible_group_priority"


@dataclass(frozen=True)
class Value:
    """A variable's value and where it stands.

    Args:
        value: as it was read; Jinja is not rendered. Not in the repr, since it may be a password.
        file: the file that sets it.
        line: its line there; 0 where that is not known.
    """

    value: Any = field(repr=False)
    file: str
    line: int = 0

    @property
    def source(self) -> str:
        """Where it stands, as it is told."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Group:
    """A group: its hosts and groups, and what the inventory's sources set for it (not group_vars)."""

    name: str
    variables: dict[str, Value] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    priority: int = 1


@dataclass(frozen=True)
class Overruled:
    """A variable that two files set to different values for the same group or host; the second one holds."""

    what: str
    name: str
    first: Value
    second: Value


def differ(one: object, other: object) -> bool:
    """Tell whether two values are different, or of different types: `1` is not `true`."""
    return repr(one) != repr(other)


@dataclass
class Inventory:
    """What the sources of an inventory have come to so far, in the order in which they are read.

    Attributes:
        hosts: what the sources set for each host, in the order of their first mention.
        ignored: what Ansible passes over with a warning, one line each.
        overruled: variables that one source sets and a later one sets otherwise.
    """

    groups: dict[str, Group] = field(default_factory=lambda: {name: Group(name) for name in (ALL, UNGROUPED)})
    hosts: dict[str, dict[str, Value]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    overruled: list[Overruled] = field(default_factory=list)

    def add_group(self, name: str) -> None:
        """Add a group where there is none of that name."""
        self.groups.setdefault(name, Group(name))

    def add_host(self, name: str, group: str, port: Value | None = None) -> None:
        """Add a host to a group.

        Args:
            name: the host.
            group: the group, which is there.
            port: what stands behind its name. As Ansible has it, it counts where the host is first mentioned alone.
        """
        if name not in self.hosts:
            self.hosts[name] = {"ansible_port": port} if port else {}
        self.groups[group].hosts[name] = None

    def add_child(self, parent: str, child: str) -> None:
        """Add a group to a group; both are there.

        Raises:
            ValueError: it would be in itself.
        """
        if child in {parent, ALL} or parent in self._below(child):  # whatever there is, is in `all`
            raise ValueError(f"wanted no circle, found that the group {child!r} is in itself")
        if child not in self.groups[parent].children:
            self.groups[parent].children.append(child)

    def set_group(self, name: str, variable: str, value: Value) -> None:
        """Set a variable of a group.

        Raises:
            ValueError: it is the group's priority, and no number.
        """
        if variable == PRIORITY:
            try:
                self.groups[name].priority = int(value.value)
            except (TypeError, ValueError):
                raise ValueError(f"{PRIORITY}: wanted a whole number, found {value.value!r}") from None
            return
        self._set(f"group {name}", self.groups[name].variables, variable, value)

    def set_host(self, name: str, variable: str, value: Value) -> None:
        """Set a variable of a host; as Ansible has it, of the group where there is one of that name.

        Raises:
            ValueError: it is that group's priority, and no number.
        """
        if name in self.groups:
            self.set_group(name, variable, value)
        else:
            self._set(f"host {name}", self.hosts[name], variable, value)

    def _set(self, what: str, variables: dict[str, Value], variable: str, value: Value) -> None:
        former = variables.get(variable)
        if former and former.file != value.file and differ(former.value, value.value):
            self.overruled.append(Overruled(what, variable, former, value))
        variables[variable] = value

    def _below(self, name: str) -> set[str]:
        found, ahead = set[str](), [name]
        while ahead:
            children = [child for child in self.groups[ahead.pop()].children if child not in found]
            found.update(children)
            ahead += children
        return found

    def members(self, name: str) -> list[str]:
        """Return the hosts of a group and of all groups in it, in the order of the inventory.

        Raises:
            InventoryError: there is no such group.
        """
        if name == ALL:
            return list(self.hosts)
        if name not in self.groups:
            known = ", ".join(sorted(self.groups.keys() - {ALL, UNGROUPED})) or "none"
            raise InventoryError(
                f"wanted the group {name}, whose hosts are the members of etcd, found none; has {known}; "
                f"put theirs into [{name}:children]"
            )
        found = {host for group in (name, *self._below(name)) for host in self.groups[group].hosts}
        return [host for host in self.hosts if host in found]

    def groups_of(self, host: str) -> list[Group]:
        """Return the groups that a host is in, by itself or through others, those that count more behind.

        Ansible goes by depth, then priority, then name. A group's depth is that of its longest way from `all`, which
        is not among them; `ungrouped` is where there is no other.
        """
        own = {name for name, group in self.groups.items() if host in group.hosts}
        above = {name for name in self.groups if own & self._below(name)}
        found = (own | above) - {ALL, UNGROUPED} or {UNGROUPED}
        named = [self.groups[name] for name in found]
        return sorted(named, key=lambda group: (self._depths[group.name], group.priority, group.name))

    @cached_property
    def _depths(self) -> dict[str, int]:
        depths: dict[str, int] = {}

        def deepen(name: str, depth: int) -> None:
            if depths.get(name, -1) < depth:
                depths[name] = depth
                for child in self.groups[name].children:
                    deepen(child, depth + 1)

        for name in self.groups:
            deepen(name, 0 if name == ALL else 1)
        return depths

    def empty_groups(self) -> Iterator[str]:
        """Yield the groups without any host."""
        yield from (name for name in self.groups if not self.members(name))
