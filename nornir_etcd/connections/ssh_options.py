"""How the inventory's options for a host's SSH session are merged and checked: `connection_options.netmiko`."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netmiko.base_connection import BaseConnection
from nornir.core.inventory import ConnectionOptions

if TYPE_CHECKING:
    from nornir.core.inventory import Defaults, Host

OPTIONS_NAME = "netmiko"
DEVICE_TYPES = ("linux", "linux_ssh")

_KNOWN_OPTIONS = frozenset(inspect.signature(BaseConnection).parameters)


def merged_options(host: Host) -> ConnectionOptions:
    """Return the host's SSH options, the nearest value of each winning: host, groups in Nornir's order, defaults.

    Args:
        host: a host of the inventory.

    Returns:
        Options that need no further look-up.
    """
    levels: list[Host | Defaults] = [host, *host.extended_groups(), host.defaults]
    options = [level.connection_options[OPTIONS_NAME] for level in levels if OPTIONS_NAME in level.connection_options]
    nearest: dict[str, Any] = {"extras": {}}
    for option in reversed(options):
        values = option.dict()
        nearest["extras"] = nearest["extras"] | (values.pop("extras") or {})
        nearest |= {name: value for name, value in values.items() if value is not None}
    for name in ("hostname", "port", "username", "password", "platform"):
        nearest.setdefault(name, getattr(host, name))
    nearest["hostname"] = nearest["hostname"] or host.name
    return ConnectionOptions(**nearest)


def find_problems(hostname: str | None, platform: str | None, extras: dict[str, Any]) -> list[str]:
    """Return what is wrong with a host's SSH options, one line each, no value of a secret in them.

    Args:
        hostname: address or name to connect to.
        platform: the host's platform.
        extras: netmiko's arguments.

    Returns:
        Problems without the host's name; empty where all is well.
    """
    where = f"connection_options.{OPTIONS_NAME}.extras"
    problems = [] if hostname else ["no hostname"]
    problems += [
        f"{source} is {value!r}, only 'linux' is supported"
        for source, value in (("platform", platform), (f"{where}.device_type", extras.get("device_type")))
        if value is not None and value not in DEVICE_TYPES
    ]
    for name in sorted(set(extras) - _KNOWN_OPTIONS):
        near = difflib.get_close_matches(name, _KNOWN_OPTIONS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problems.append(f"{where}.{name} is no option of netmiko{hint}")
    if not isinstance(extras.get("ssh_strict", True), bool):
        problems.append(f"{where}.ssh_strict is {extras['ssh_strict']!r}, must be true or false")
    problems += [
        f"{where}.{name} is no text: put it in quotes"  # and is not shown
        for name in ("secret", "passphrase")
        if not isinstance(extras.get(name) or "", str)
    ]
    alternative = extras.get("alt_key_file")
    if extras.get("alt_host_keys") and not alternative:
        problems.append(f"{where}.alt_host_keys is set without alt_key_file")
    if alternative and not Path(alternative).expanduser().is_file():
        remedy = "make it with `nornir-etcd hosts trust`, or correct the path"
        problems.append(f"{where}.alt_key_file {alternative} does not exist; {remedy}")
    if extras.get("use_keys") and not extras.get("key_file"):
        problems.append(f"{where}.use_keys is set without key_file")
    return problems


def host_key_options(extras: dict[str, Any]) -> dict[str, Any]:
    """Return netmiko's options that decide how host keys are checked.

    Args:
        extras: netmiko's arguments as the inventory has them.

    Returns:
        `ssh_strict` true unless it is false in so many words; the file in `alt_key_file`, or else the user's own
        known_hosts.
    """
    strict = extras.get("ssh_strict") is not False
    if alternative := extras.get("alt_key_file"):
        path = str(Path(alternative).expanduser())
        return {"ssh_strict": strict, "alt_host_keys": True, "alt_key_file": path}
    return {"ssh_strict": strict, "system_host_keys": strict or bool(extras.get("system_host_keys"))}
