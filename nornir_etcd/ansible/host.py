"""A host of an Ansible inventory: its variables, rendered where only Ansible could, and how it is reached. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nornir_etcd.ansible import connection
from nornir_etcd.ansible.document import Unsafe
from nornir_etcd.ansible.inventory import Value
from nornir_etcd.ansible.variables import Placed
from nornir_etcd.settings import Settings
from nornir_etcd.settings.load import ROLE_DEFAULTS
from nornir_etcd.settings.problems import Problem
from nornir_etcd.settings.variables import DEFAULTS, Variables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nornir_etcd.ansible.connection import Connection
    from nornir_etcd.ansible.inventory import Inventory

OURS = frozenset(Settings.model_fields)
"""The variables that the settings go by."""
_MAGIC = frozenset(
    {
        *("ansible_host", "inventory_hostname_short", "group_names", "groups", "hostvars"),
        *("inventory_dir", "playbook_dir"),
    }
)
"""What Ansible knows of a host and we do not: what refers to it is rendered once and for all."""
_REMEDY = "facts, lookups and filters of Ansible's are not carried over: write out what it comes to"


@dataclass
class Member:
    """A member of etcd.

    Attributes:
        groups: the groups it is in, the nearest first.
        data: the variables that are its own alone.
        needed: those of its variables that the settings go by, or that these refer to.
    """

    name: str
    connection: Connection
    groups: list[str]
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    needed: frozenset[str] = frozenset()


class HostVars(Mapping[str, Any]):
    """The variables of a host as a template of another one sees them: `hostvars[name].variable`."""

    def __init__(self, host: AnsibleHost) -> None:
        self._host = host

    def __getitem__(self, key: str) -> Any:
        if key not in self._host.variables:
            raise KeyError(key)
        return self._host.variables.value(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._host.placed)

    def __len__(self) -> int:
        return len(self._host.placed)


class AnsibleHost:
    """A host, its variables as Ansible has them, and what becomes of them.

    Args:
        inventory: all of its sources.
        name: the host's.
        placed: its variables.

    Attributes:
        problems: what keeps it from being carried over.
        left: what is not carried over.
    """

    def __init__(self, inventory: Inventory, name: str, placed: dict[str, Placed]) -> None:
        self.name = name
        self.placed = placed
        self.problems: list[Problem] = []
        self.left: list[Problem] = []
        self._inventory = inventory
        self.variables: Variables
        self._rendered: dict[str, Any] = {}

    def see(self, facts: Mapping[str, Any]) -> None:
        """Make its variables known to itself, with those of others and what Ansible knows of it."""
        layers = [(one.value.source, {name: _shielded(one.value.value)}) for name, one in self.placed.items()]
        layers.append((DEFAULTS, ROLE_DEFAULTS))
        known: dict[str, Any] = {
            "inventory_hostname": self.name,
            "inventory_hostname_short": self.name.partition(".")[0],
            "ansible_host": self.name,
            "group_names": sorted(group.name for group in self._inventory.groups_of(self.name)),
            **facts,
        }
        self.variables = Variables(layers, known)
        addresses = self.variables.resolved(connection.HOST)
        address = next((addresses[name] for name in reversed(connection.HOST) if name in addresses), self.name)
        self.variables = Variables(layers, known | {"etcd_address": address})

    def member(self, remote_user: str) -> Member:
        """Return the host as a member, and note what is wrong with it and what is left out."""
        ours = self.placed.keys() & OURS
        magic = _MAGIC - self.placed.keys()
        rendered = [name for name in sorted(ours) if self._referred({name}) & magic]
        self._rendered = self.variables.resolved(rendered)
        for name in [name for name, value in self._rendered.items() if not _is_plain(value)]:
            self._note(self.problems, name, "wanted a value, found what Ansible alone knows; write it out")
        needed = frozenset(rendered) | self._referred(ours - set(rendered))
        login = self._connection(remote_user)
        for name, text in login.faults:
            self._note(self.problems, name, text)
        for name, text in login.left:
            self._note(self.left, name, text)
        groups = [group.name for group in reversed(self._inventory.groups_of(self.name))]
        return Member(self.name, login, groups, needed=needed)

    def _referred(self, names: Iterable[str]) -> frozenset[str]:
        """Return variables and all that they refer to; those that come to nothing are among the problems then."""
        found, ahead = set[str](), set(names)
        while ahead:
            found |= ahead
            self.variables.resolved(ahead)
            ahead = {name for one in ahead for name in self.variables.references.get(one, frozenset())} - found
        return frozenset(found)

    def _connection(self, remote_user: str) -> Connection:
        ours = {name for name in self.placed if name.startswith("ansible_")}
        env = ""
        for name in connection.SUDO_PASSWORD:
            if name in ours:
                env = connection.environment_variable(self.placed[name].value.value)
        asked = [name for name in connection.READ if name in ours and not (env and name in connection.SUDO_PASSWORD)]
        values = self.variables.resolved(asked)
        secrets = self._referred(connection.SECRETS.intersection(asked))  # with what they refer to: it is part of them
        for name, text in self.variables.problems:
            told = "its Jinja cannot be resolved" if name in secrets else f"{text}; {_REMEDY}"
            self._note(self.problems, name, told)
        others = {name: self.placed[name].value.value for name in ours - connection.READ}
        found = connection.read(others | values, env)
        found.hostname = found.hostname or self.name
        found.username = found.username or remote_user
        return found

    def _note(self, notes: list[Problem], name: str, text: str) -> None:
        value = self.placed.get(name)
        note = Problem(self.name, name, text, value.value.source if value else "")
        if note not in notes:
            notes.append(note)

    def values(self) -> dict[str, Placed]:
        """Return its variables as they are carried over: Jinja as it stands, but for what only Ansible knows."""
        found = {}
        for name, one in self.placed.items():
            if name.startswith("ansible_") and name not in {*connection.HOST, *connection.PORT, *connection.USER}:
                continue
            if name in self._rendered:
                found[name] = Placed(Value(_shielded(self._rendered[name], str), ""), one.place)
            else:
                found[name] = Placed(Value(_shielded(one.value.value), one.value.file), one.place)
        return found


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    return all(_is_plain(item) for item in value) if isinstance(value, list) else not isinstance(value, Mapping)


def _shielded(value: Any, kind: type[str] = Unsafe) -> Any:
    """Return a value in which the text that is no Jinja, but looks it, is no Jinja either."""
    if isinstance(value, kind) and ("{{" in value or "{%" in value or "{#" in value):
        return f"{{% raw %}}{value}{{% endraw %}}"
    if isinstance(value, Unsafe):
        return str(value)
    if isinstance(value, dict):
        return {key: _shielded(item, kind) for key, item in value.items()}
    return [_shielded(item, kind) for item in value] if isinstance(value, list) else value
