"""Inventories and a playbook of Ansible's, from their files to the members of etcd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.ansible import playbook as playbooks
from nornir_etcd.ansible import sources
from nornir_etcd.ansible.carry_over import GROUP, carry_over
from nornir_etcd.ansible.vars_files import VarsFiles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nornir_etcd.ansible.carry_over import Carried


def load(inventories: Sequence[Path], playbook: Path | None = None, group: str = GROUP) -> Carried:
    """Return the members of etcd.

    Args:
        inventories: INI or YAML inventories, or folders of several, as for `ansible -i`.
        playbook: a playbook whose variables count too, and group_vars and host_vars beside it.
        group: the group whose hosts are the members; with a playbook it is that of its plays.

    Raises:
        InventoryError: with every fault of them.
    """
    inventory = sources.read(inventories)
    folders = sources.directories(inventories)
    facts = (
        {"inventory_dir": str(folders[0].absolute())} if len(folders) == 1 else {}
    )  # else it is another for each host
    if playbook is None:
        return carry_over(inventory, VarsFiles(folders), group, facts=facts)
    play = playbooks.read(playbook, set(inventory.groups))
    facts["playbook_dir"] = str(playbook.parent.absolute())
    return carry_over(inventory, VarsFiles(folders, [playbook.parent]), play.group, play, facts)
