"""Asks for the password for sudo, once a run, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir.core.inventory import ConnectionOptions

from nornir_etcd import terminal
from nornir_etcd.connections.ssh_options import OPTIONS_NAME

if TYPE_CHECKING:
    from nornir.core import Nornir


def ask_sudo_password(nr: Nornir) -> None:
    """Ask, and give the answer to every host that has no `secret` of its own: it becomes netmiko's in the defaults.

    Args:
        nr: Nornir as it was just made.

    Raises:
        InventoryError: there is no terminal to ask on, or nothing was answered.
        KeyboardInterrupt: whoever was asked had enough.
    """
    instead = "name an environment variable in etcd_sudo_password_env"
    password = terminal.ask("--ask-sudo-password", "password for sudo on the hosts", instead=instead)
    options = nr.inventory.defaults.connection_options.setdefault(OPTIONS_NAME, ConnectionOptions())
    options.extras = (options.extras or {}) | {"secret": password}
