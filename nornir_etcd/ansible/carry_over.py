"""From an inventory of Ansible's to members of etcd as Nornir has them: addresses, logins, variables by group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nornir_etcd.ansible import connection
from nornir_etcd.ansible.host import OURS, AnsibleHost, HostVars, Member
from nornir_etcd.ansible.inventory import ALL, Value, differ
from nornir_etcd.ansible.playbook import Play
from nornir_etcd.ansible.variables import Placed, variables_of
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings.problems import problem_lines, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.ansible.inventory import Inventory
    from nornir_etcd.ansible.vars_files import Kind, VarsFiles

GROUP = "etcd"
"""The group whose hosts are members, here."""


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
    resolved = {
        host: AnsibleHost(inventory, host, variables_of(inventory, host, files, play.variables)) for host in hosts
    }
    if files.faults:
        raise InventoryError(*dict.fromkeys(files.faults))
    disagreements = [*_disagreements(inventory, files, resolved)]
    if disagreements:
        raise InventoryError(*disagreements)
    known: dict[str, Any] = {
        "groups": {name: inventory.members(name) for name in inventory.groups},
        "hostvars": {name: HostVars(host) for name, host in resolved.items()},
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


def _disagreements(inventory: Inventory, files: VarsFiles, hosts: Mapping[str, AnsibleHost]) -> Iterator[str]:
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
