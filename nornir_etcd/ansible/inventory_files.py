"""The members of an inventory of Ansible's as files of a workspace. No password is written. Pure but for `~`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from nornir_etcd.ansible import connection
from nornir_etcd.ansible.carry_over import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nornir_etcd.ansible.carry_over import Carried
    from nornir_etcd.ansible.host import Member

SSH_CONFIG = "ssh_config"
_STRICT = {"ssh_strict": True, "alt_host_keys": True, "alt_key_file": "known_hosts"}
_SECRETS = {
    "password": "the SSH password is not written: use a key, in connection_options.netmiko.extras.key_file",
    "secret": "the password for sudo is not written: name a variable in etcd_sudo_password_env, or say -K",
    "passphrase": "the passphrase of the SSH key is not written: give the key to ssh-agent (allow_agent)",
}
_HEADS = {
    "hosts": "# The members of your etcd clusters, from an inventory of Ansible's.\n",
    "groups": "# Variables by group, from an inventory of Ansible's. Every host of the group etcd is a member.\n",
    "defaults": "# Variables of all hosts, from an inventory of Ansible's.\n",
}


def files_of(carried: Carried) -> dict[str, str]:
    """Return the files of a workspace, by their path in it: the inventory, and an ssh config where one is needed.

    Args:
        carried: the members.
    """
    members = carried.members.values()
    logins = {member.name: _login(member) for member in members}
    common = _common(logins.values())
    hosts = {member.name: _host(member, logins[member.name], common) for member in members}
    needed = frozenset[str]().union(*(member.needed for member in members))
    groups: dict[str, Any] = {GROUP: _nested(common)}
    groups[GROUP]["connection_options"]["netmiko"]["platform"] = "linux"
    for name in dict.fromkeys([GROUP, *(one for member in members for one in member.groups)]):
        data = _only(carried.groups.get(name, {}), needed)
        group = groups.setdefault(name, {})
        if data:
            group["data"] = group.get("data", {}) | data
    files = {
        "inventory/hosts.yaml": _text("hosts", hosts),
        "inventory/groups.yaml": _text("groups", groups),
        "inventory/defaults.yaml": _text("defaults", {"data": _only(carried.defaults, needed)}),
    }
    if any(member.connection.proxy for member in members):
        files[SSH_CONFIG] = ssh_config(members)
    return files


def left_out(carried: Carried) -> list[str]:
    """Return what the files do not have of an inventory, one line each."""
    members = carried.members.values()
    lines = list(carried.left)
    if carried.others:
        lines.append(f"hosts that are no members of etcd ({len(carried.others)}): {', '.join(carried.others)}")
    for name, text in _SECRETS.items():
        holders = [member.name for member in members if _secret(member, name)]
        if holders:
            lines.append(f"{', '.join(holders)}: {text}")
    if keyless := [member.name for member in members if member.connection.extras.get("allow_agent")]:
        lines.append(f"{', '.join(keyless)}: no SSH key is named, so that of ssh-agent is taken; name one in key_file")
    layers = [carried.defaults, *carried.groups.values(), *(member.data for member in members)]
    needed = frozenset[str]().union(*(member.needed for member in members))
    others = sorted({name for layer in layers for name in layer} - needed - connection.READ)
    if others:
        lines.append(f"variables that nothing here goes by ({len(others)}): {', '.join(others)}")
    return lines


def ssh_config(members: Iterable[Member]) -> str:
    """Return the ssh config that says through which hosts members are reached."""
    ways: dict[tuple[int, str], list[str]] = {}
    for member in members:
        login = member.connection
        if login.proxy:
            ways.setdefault((login.port or 22, login.proxy), []).append(login.hostname)
    blocks = [
        f"Host {' '.join(dict.fromkeys(addresses))}\n  Port {port}\n  ProxyCommand {proxy}\n"
        for (port, proxy), addresses in ways.items()
    ]
    return "\n".join(blocks)


def _secret(member: Member, name: str) -> object:
    return member.connection.password if name == "password" else member.connection.extras.get(name)


def _login(member: Member) -> dict[tuple[str, ...], Any]:
    """Return how a host is reached, by the path of each key in the inventory; what is secret is not in it."""
    login = member.connection
    found: dict[tuple[str, ...], Any] = {}
    if login.port:
        found["port",] = login.port
    if login.username:
        found["username",] = login.username
    extras: dict[str, Any] = {name: value for name, value in login.extras.items() if name not in _SECRETS} | _STRICT
    if "key_file" in extras:
        extras["key_file"] = _absolute(str(extras["key_file"]))
    if login.proxy:
        extras["ssh_config_file"] = SSH_CONFIG
    found |= {("connection_options", "netmiko", "extras", name): value for name, value in extras.items()}
    if login.sudo_password_env:
        found["data", connection.SUDO_PASSWORD_ENV] = login.sudo_password_env
    return found


def _absolute(path: str) -> str:
    return path if path.startswith("~") else str(Path(path).absolute())


def _common(logins: Iterable[Mapping[tuple[str, ...], Any]]) -> dict[tuple[str, ...], Any]:
    first, *others = logins
    return {key: value for key, value in first.items() if all(key in one and one[key] == value for one in others)}


def _host(
    member: Member, login: Mapping[tuple[str, ...], Any], common: Mapping[tuple[str, ...], Any]
) -> dict[str, Any]:
    own = _nested({key: value for key, value in login.items() if key not in common})
    data = own.pop("data", {}) | _only(member.data, member.needed)
    return {"hostname": member.connection.hostname, **own, "groups": member.groups} | ({"data": data} if data else {})


def _nested(flat: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for (*above, last), value in flat.items():
        place = found
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return found


def _only(data: Mapping[str, Any], needed: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name in needed}


def _text(kind: str, content: Mapping[str, Any]) -> str:
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)  # what reads it again
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared as None alone
    yaml.width = 120
    yaml.dump(dict(content), stream)
    return f"---\n{_HEADS[kind]}{stream.getvalue()}"
