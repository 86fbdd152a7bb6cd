"""Ansible's connection variables (`ansible_host`, `ansible_become_password` ...) to what our sessions go by. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nornir_etcd.ansible import ssh_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Of several names for one thing Ansible takes the last that is set; see `vars` of each option in
# https://docs.ansible.com/ansible/latest/collections/ansible/builtin/ssh_connection.html and sudo_become.html.
HOST = ("ansible_host", "ansible_ssh_host")
PORT = ("ansible_port", "ansible_ssh_port")
USER = ("ansible_user", "ansible_ssh_user")
PASSWORD = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
KEY_FILE = ("ansible_private_key_file", "ansible_ssh_private_key_file")
PASSPHRASE = ("ansible_private_key_passphrase", "ansible_ssh_private_key_passphrase")
SUDO_PASSWORD = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
ARGS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_BECOME = ("ansible_become",)
_BECOME_METHOD = ("ansible_become_method",)
_BECOME_USER = ("ansible_become_user", "ansible_sudo_user")
_CONNECTION = ("ansible_connection",)
_READ = (HOST, PORT, USER, PASSWORD, KEY_FILE, PASSPHRASE, SUDO_PASSWORD, ARGS, _BECOME)
READ = frozenset(name for names in (*_READ, _BECOME_METHOD, _BECOME_USER, _CONNECTION) for name in names)
"""All variables that are read here."""
SECRETS = frozenset((*PASSWORD, *PASSPHRASE, *SUDO_PASSWORD, "ansible_private_key", "ansible_ssh_private_key"))
"""Those whose value is never told nor written."""
SUDO_PASSWORD_ENV = "etcd_sudo_password_env"  # noqa: S105 - the name of a variable
_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh", "ansible.netcommon.libssh")
_OF_NO_USE = re.compile(
    r"ansible_(python|shell_|ssh_(pipelining|retries|control_|sftp_|scp_|transfer)|pipelining|facts)"
)
"""What Ansible needs for itself: no Python is needed on the hosts."""
_LOOKUP = re.compile(
    r"""\{\{\s*lookup\(\s*(['"])(?:ansible\.builtin\.)?env\1\s*,\s*(['"])([A-Za-z_]\w*)\2\s*\)\s*\}\}"""
)


@dataclass
class Connection:
    """How a host is reached.

    Attributes:
        extras: netmiko's arguments.
        proxy: the command through which it is reached, as ssh's ProxyCommand; empty where there is none.
        sudo_password_env: the environment variable that holds the password for sudo; empty where none is named.
        faults: variable and text of what keeps the host from being worked on.
        left: variable and text of what is not taken over.
    """

    hostname: str = ""
    port: int | None = None
    username: str = ""
    password: str | None = field(default=None, repr=False)
    extras: dict[str, Any] = field(default_factory=dict, repr=False)
    proxy: str = ""
    sudo_password_env: str = ""
    faults: list[tuple[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)


def environment_variable(value: object) -> str:
    """Return the environment variable that a Jinja lookup is of, and an empty string where it is something else."""
    found = _LOOKUP.fullmatch(value.strip()) if isinstance(value, str) else None
    return found[3] if found else ""


def read(values: Mapping[str, Any], sudo_password_env: str = "") -> Connection:
    """Return how a host is reached.

    Args:
        values: its variables of those in READ, rendered; and whatever else of it begins with `ansible_`.
        sudo_password_env: the environment variable that its password for sudo is looked up in, if it is.
    """
    found = Connection(sudo_password_env=sudo_password_env)
    _sessions(found, values)
    _login(found, values)
    _arguments(found, values)
    found.left += _of_sudo(values)
    found.left += [
        (name, "the key itself is not taken over: name a file of it")
        for name in ("ansible_private_key", "ansible_ssh_private_key")
        if name in values
    ]
    if not {"key_file", "passphrase"} & found.extras.keys() and found.password is None:
        found.extras["allow_agent"] = True
    if found.proxy and "\n" in found.proxy:
        found.faults.append((ARGS[1], "wanted a ProxyCommand on one line, found several"))
    return found


def _last(values: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    """Return the name and value of the last that is set; an empty name where none is."""
    return next(((name, values[name]) for name in reversed(names) if values.get(name) not in (None, "")), ("", None))


def _sessions(found: Connection, values: Mapping[str, Any]) -> None:
    name, kind = _last(values, _CONNECTION)
    if name and kind not in _SSH:
        found.faults.append((name, f"wanted ssh, the only way to a host here, found {kind!r}"))
    name, host = _last(values, HOST)
    if name and (not isinstance(host, str) or not host.isprintable() or " " in host):
        found.faults.append((name, f"wanted an address or a name, found {host!r}"))
    elif name:
        found.hostname = host
    name, port = _last(values, PORT)
    if name:
        try:
            found.port = _port(port)
        except ValueError as error:
            found.faults.append((name, str(error)))


def _port(value: object) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,5}", value.strip()) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= 65535:  # noqa: PLR2004 - 16 bits
        raise ValueError(f"wanted a port from 1 to 65535, found {value!r}")
    return number


def _login(found: Connection, values: Mapping[str, Any]) -> None:
    def take(names: tuple[str, ...], give: Callable[[str], None]) -> None:
        name, value = _last(values, names)
        if name and isinstance(value, bool | list | dict):
            found.faults.append((name, "wanted text, found something else; put it in quotes"))
        elif name:
            give(str(value))  # Ansible makes text of a number as well

    take(USER, lambda value: setattr(found, "username", value))
    take(PASSWORD, lambda value: setattr(found, "password", value))
    take(KEY_FILE, lambda value: found.extras.update(use_keys=True, key_file=value))
    take(PASSPHRASE, lambda value: found.extras.update(passphrase=value))
    if not found.sudo_password_env:
        take(SUDO_PASSWORD, lambda value: found.extras.update(secret=value))


def _arguments(found: Connection, values: Mapping[str, Any]) -> None:
    for name in ARGS:
        text = values.get(name)
        if not text:
            continue
        if not isinstance(text, str):
            found.faults.append((name, "wanted arguments for ssh as text, found something else"))
            continue
        said = ssh_args.read(text)
        found.faults += [(name, fault) for fault in said.faults]
        found.left += [(name, left) for left in said.left]
        found.proxy = found.proxy or said.proxy
        found.port = found.port or said.port
        found.username = found.username or said.username
        if said.key_file and "key_file" not in found.extras:
            found.extras.update(use_keys=True, key_file=said.key_file)


def _of_sudo(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name, become = _last(values, _BECOME)
    if name and str(become).lower() in {"false", "no", "0", "off"}:
        yield name, "a login that is not root's works by sudo here"
    name, method = _last(values, _BECOME_METHOD)
    if name and method not in {"sudo", "ansible.builtin.sudo"}:
        yield name, f"found {method!r}; root is had by sudo alone here"
    name, user = _last(values, _BECOME_USER)
    if name and user != "root":
        yield name, f"found {user!r}; root alone is worked as here"
    known = READ | SECRETS
    for name, value in values.items():
        if name in {"ansible_host_key_checking", "ansible_ssh_host_key_checking"} and value in (
            False,
            "False",
            "false",
        ):
            yield name, "host keys are checked here, see `nornir-etcd hosts trust`"
        elif name.startswith("ansible_") and name not in known and not _OF_NO_USE.match(name):
            yield name, "nothing here goes by it"
