"""Asks for the password for sudo, once a run, on a terminal."""

from __future__ import annotations

import getpass
import os
import signal
import sys
from typing import TYPE_CHECKING

from nornir.core.inventory import ConnectionOptions

from nornir_etcd.connections.ssh_options import OPTIONS_NAME
from nornir_etcd.exceptions import InventoryError

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
    if os.environ.get("CI") == "true" or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InventoryError(
            "--ask-sudo-password: wanted a terminal, found none; name an environment variable in etcd_sudo_password_env"
        )
    # A handler that ends the process at once would leave the terminal without echo.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        password = getpass.getpass("Password for sudo on the hosts: ")
    except EOFError:
        password = ""
    finally:
        signal.signal(signal.SIGINT, before)
    if not password:
        raise InventoryError("--ask-sudo-password: wanted a password, found none")
    options = nr.inventory.defaults.connection_options.setdefault(OPTIONS_NAME, ConnectionOptions())
    options.extras = (options.extras or {}) | {"secret": password}
