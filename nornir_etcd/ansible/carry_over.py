"""From an inventory of Ansible's to members of etcd as Nornir has them: addresses, logins, variables by group. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nornir_etcd.ansible import connection
from nornir_etcd.ansible.document import Unsafe
from nornir_etcd.ansible.inventory import ALL, Value, differ
from nornir_etcd.ansible.playbook import Play
from nornir_etcd.ansible.variables import Placed, variables_of
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import Settings
from nornir_etcd.settings.load import ROLE_DEFAULTS
from nornir_etcd.settings.problems import Problem, problem_lines, shown
from nornir_etcd.settings.variables import DEFAULTS, Variables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nornir_etcd.ansible.connection import Connection
    from nornir_etcd.ansible.inventory import Inventory
    from nornir_etcd.ansible.vars_files import Kind, VarsFiles

GROUP = "etcd"
"""The group whose hosts are members, here."""
OURS = frozenset(Settings.model_fields)
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


@dataclass
class Carried:
    """The members of an inventory and their variables, each where Nornir resolves it to what Ansible does.

    Attributes:
        groups: variables by group.
        defaults: variables of everybody.
        others: the hosts that are no members.
        left: what else is not carried over, one line each.
    """

    members: dict[str, Member] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def carry_over(
    inventory: Inventory,
    files: VarsFiles,
    group: str = GROUP,
    play: Play | None = None,
    facts: Mapping[str, str] | None = None,
) -> Carried:
    """Return the members of an inventory of Ansible's.

    Args:
        inventory: all of its sources.
        files: group_vars and host_vars.
        group: the group whose hosts are the members; they are in the group `etcd` then.
        play: what a playbook sets for them.
        facts: variables that Ansible sets by itself for all hosts, such as `playbook_dir`.

    Raises:
        InventoryError: with every fault of it.
    """
    play = play or Play()
    hosts = inventory.members(group)
    if not hosts:
        raise InventoryError(f"wanted hosts in the group {group}, the members of etcd, found none")
    if group != GROUP and GROUP in inventory.groups and set(inventory.members(GROUP)) != set(hosts):
        raise InventoryError(
            f"wanted the hosts of {group} to be those of {GROUP} too, since both are there, found others"
        )
    resolved = {host: _Host(inventory, host, variables_of(inventory, host, files, play.variables)) for host in hosts}
    if files.faults:
        raise InventoryError(*dict.fromkeys(files.faults))
    disagreements = [*_disagreements(inventory, files, resolved)]
    if disagreements:
        raise InventoryError(*disagreements)
    known: dict[str, Any] = {
        "groups": {name: inventory.members(name) for name in inventory.groups},
        "hostvars": {name: _HostVars(host) for name, host in resolved.items()},
        **(facts or {}),
    }
    for host in resolved.values():
        host.see(known)
    found = Carried({name: host.member(play.remote_user) for name, host in resolved.items()})
    problems = [problem for host in resolved.values() for problem in host.problems]
    if problems:
        raise InventoryError(*problem_lines(problems))
    for member in found.members.values():
        member.groups = list(dict.fromkeys([*(GROUP if one == group else one for one in member.groups), GROUP]))
    place(found, {name: host.values() for name, host in resolved.items()}, group)
    notes = problem_lines(problem for host in resolved.values() for problem in host.left)
    found.left = (*inventory.ignored, *play.notes, *notes)
    found.others = tuple(name for name in inventory.hosts if name not in resolved)
    return found


class _HostVars(Mapping[str, Any]):
    """The variables of a host as a template of another one sees them: `hostvars[name].variable`."""

    def __init__(self, host: _Host) -> None:
        self._host = host

    def __getitem__(self, key: str) -> Any:
        if key not in self._host.variables:
            raise KeyError(key)
        return self._host.variables.value(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._host.placed)

    def __len__(self) -> int:
        return len(self._host.placed)


class _Host:
    """A host, its variables as Ansible has them, and what becomes of them."""

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
        for name, text in self.variables.problems:
            secret = name in connection.SECRETS
            self._note(self.problems, name, "its Jinja cannot be resolved" if secret else f"{text}; {_REMEDY}")
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


def place(found: Carried, values: Mapping[str, Mapping[str, Placed]], group: str = GROUP) -> None:
    """Put variables where they were set, and where Nornir would then resolve another value, to the host itself.

    Ansible goes by more than nearness: what group_vars/all says goes before what the inventory's own file says of a
    group, and of two files of one group the later holds.

    Args:
        found: the members; their data, the groups and the defaults are filled.
        values: the variables of each member, with whose they are.
        group: the group whose hosts are the members, as Ansible has it.
    """
    for name, variables in values.items():
        member = found.members[name]
        for variable, placed in variables.items():
            if placed.place.kind == "all":
                target = found.defaults
            elif placed.place.kind == "host":
                target = member.data
            else:
                theirs = group if placed.place.kind == "play" else placed.place.name
                target = found.groups.setdefault(GROUP if theirs == group else theirs, {})
            target.setdefault(variable, placed.value.value)
    for name, variables in values.items():
        member = found.members[name]
        layers = (member.data, *(found.groups.get(one, {}) for one in member.groups), found.defaults)
        for variable, placed in variables.items():
            nearest = next(layer for layer in layers if variable in layer)
            if differ(nearest[variable], placed.value.value):
                member.data[variable] = placed.value.value


def _disagreements(inventory: Inventory, files: VarsFiles, hosts: Mapping[str, _Host]) -> Iterator[str]:
    """Yield what two sources say differently of the members: of two clusters one would have the other's variables."""
    groups = {ALL, *(group.name for host in hosts for group in inventory.groups_of(host))}
    known = OURS | connection.READ
    concerned = {*(f"group {name}" for name in groups), *(f"host {name}" for name in hosts)}
    for one in inventory.overruled:
        if one.what in concerned and one.name in known:
            yield _disagreement(one.what, one.name, one.first, one.second)
    entities: list[tuple[Kind, str, str]] = [("group_vars", "group", name) for name in sorted(groups)]
    entities += [("host_vars", "host", name) for name in hosts]
    for kind, what, name in entities:
        said: dict[str, Value] = {}
        for folder in files.inventory:
            for variable, value in files.of(folder, kind, name).items():
                former = said.setdefault(variable, value)
                if variable in known and differ(former.value, value.value):
                    yield _disagreement(f"{what} {name}", variable, former, value)


def _disagreement(what: str, name: str, first: Value, second: Value) -> str:
    values = "" if name in connection.SECRETS else f" ({shown(first.value)}, {shown(second.value)})"
    return (
        f"{what}: {name}: wanted one value in all inventories, found two{values}, in {first.source} and "
        f"{second.source}; correct one, or take one inventory at a time"
    )
