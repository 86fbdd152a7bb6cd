"""What a variable comes to for a host, by Ansible's order of precedence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nornir_etcd.ansible.inventory import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.ansible.inventory import Inventory, Value
    from nornir_etcd.ansible.vars_files import VarsFiles


@dataclass(frozen=True)
class Place:
    """Whose a variable is: everybody's, a group's, a host's, or the play's."""

    kind: Literal["all", "group", "host", "play"]
    name: str = ""


@dataclass(frozen=True)
class Placed:
    """A variable's value for a host, and whose it is."""

    value: Value
    place: Place


def layers(
    inventory: Inventory, host: str, files: VarsFiles, play: Mapping[str, Value]
) -> Iterator[tuple[Place, Mapping[str, Value]]]:
    """Yield what is set for a host, what counts more behind.

    The order is VARIABLE_PRECEDENCE's (https://docs.ansible.com/ansible/latest/reference_appendices/config.html): what
    group_vars/all says goes before what the inventory's own file says of any group.

    Args:
        inventory: all of its sources.
        host: a host of it.
        files: group_vars and host_vars.
        play: what a play sets for its hosts.
    """
    everybody, own = Place("all"), Place("host", host)
    groups = [(Place("group", group.name), group) for group in inventory.groups_of(host)]
    yield everybody, inventory.groups[ALL].variables
    for place, group in groups:
        yield place, group.variables
    for folder in (*files.inventory, *files.play):
        yield everybody, files.of(folder, "group_vars", ALL)
    for folder in (*files.inventory, *files.play):
        for place, group in groups:
            yield place, files.of(folder, "group_vars", group.name)
    yield own, inventory.hosts[host]
    for folder in (*files.inventory, *files.play):
        yield own, files.of(folder, "host_vars", host)
    yield Place("play"), play


def variables_of(
    inventory: Inventory, host: str, files: VarsFiles, play: Mapping[str, Value] | None = None
) -> dict[str, Placed]:
    """Return the value of each variable that holds for a host; Jinja in it is not rendered."""
    return {
        name: Placed(value, place)
        for place, values in layers(inventory, host, files, play or {})
        for name, value in values.items()
    }
