"""The Nornir inventory plugin `EtcdAnsibleInventory`: the members of etcd out of an inventory of Ansible's."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nornir.core.inventory import (
    ConnectionOptions,
    Defaults,
    Group,
    Groups,
    Host,
    Hosts,
    Inventory,
    ParentGroups,
)

from nornir_etcd.ansible.carry_over import GROUP
from nornir_etcd.ansible.connection import SUDO_PASSWORD_ENV
from nornir_etcd.ansible.inventory_files import SSH_CONFIG, ssh_config
from nornir_etcd.ansible.load import load
from nornir_etcd.connections.ssh_options import OPTIONS_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.ansible.carry_over import Carried
    from nornir_etcd.ansible.host import Member

PLUGIN_NAME = "EtcdAnsibleInventory"

_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")

logger = logging.getLogger(__name__)


class AnsibleInventory:
    """Nornir inventory plugin; its hosts are the members of etcd alone.

    Args:
        inventory: an INI or YAML inventory, a folder of several, or a list of these, as for `ansible -i`.
        group: the group whose hosts are the members.
        playbook: a playbook whose variables count too; the group is its plays'.
    """

    def __init__(self, inventory: str | Sequence[str], group: str = GROUP, playbook: str | None = None) -> None:
        self._sources = [Path(one).expanduser() for one in ([inventory] if isinstance(inventory, str) else inventory)]
        self._group = group
        self._playbook = Path(playbook).expanduser() if playbook else None

    def load(self) -> Inventory:
        """Return the inventory.

        Raises:
            InventoryError: with every fault of it.
        """
        carried = load(self._sources, self._playbook, self._group)
        for line in carried.left:
            logger.warning("not taken from Ansible's inventory: %s", line)
        return _inventory(carried)


def _inventory(carried: Carried) -> Inventory:
    defaults = Defaults(data=dict(carried.defaults))
    names = dict.fromkeys([GROUP, *(name for member in carried.members.values() for name in member.groups)])
    groups = Groups({name: Group(name, data=carried.groups.get(name, {}), defaults=defaults) for name in names})
    config = _ssh_config(carried)
    hosts = {name: _host(member, groups, defaults, config) for name, member in carried.members.items()}
    return Inventory(hosts=Hosts(hosts), groups=groups, defaults=defaults)


def _host(member: Member, groups: Groups, defaults: Defaults, config: str) -> Host:
    login = member.connection
    extras = dict(login.extras)
    if login.proxy:
        extras["ssh_config_file"] = config
    if extras.get("allow_agent") and not os.environ.get("SSH_AUTH_SOCK") and (key := _default_key()):
        extras |= {"use_keys": True, "key_file": key}
    data = dict(member.data)
    if login.sudo_password_env:
        data.setdefault(SUDO_PASSWORD_ENV, login.sudo_password_env)
    return Host(
        name=member.name,
        hostname=login.hostname,
        port=login.port,
        username=login.username or None,
        password=login.password,
        platform="linux",
        groups=ParentGroups(groups[name] for name in member.groups),
        data=data,
        connection_options={OPTIONS_NAME: ConnectionOptions(extras=extras)},
        defaults=defaults,
    )


def _default_key() -> str:
    """Return the first of ssh's own keys (ssh_config(5), IdentityFile) that is there; empty where none is."""
    paths = (Path("~/.ssh", name).expanduser() for name in _KEYS)
    return next((str(path) for path in paths if path.is_file()), "")


def _ssh_config(carried: Carried) -> str:
    """Return the path of an ssh config with the ways over other hosts, which is there until the program ends.

    netmiko knows no other word for a jump host. It holds no secret, and is its owner's alone.
    """
    text = ssh_config(carried.members.values())
    if not text:
        return ""
    folder = tempfile.mkdtemp(prefix="nornir-etcd-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, SSH_CONFIG)
    path.write_text(text, encoding="utf-8")
    return str(path)
