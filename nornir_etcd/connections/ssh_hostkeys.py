"""The keys that a host's SSH server offers, fetched without a login."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paramiko
from nornir.core.inventory import ConnectionOptions
from paramiko.ssh_exception import IncompatiblePeer

from nornir_etcd.connections.ssh import LeanLinux, open_session
from nornir_etcd.connections.ssh_options import find_problems, merged_options
from nornir_etcd.exceptions import HostUnreachable, InventoryError, RemoteError
from nornir_etcd.hostkeys import HostKey

if TYPE_CHECKING:
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

KINDS = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
"""Algorithms by kind of key. A handshake shows one key, so each kind takes one."""
_CHECKS = frozenset({"ssh_strict", "system_host_keys", "alt_host_keys", "alt_key_file"})


class _KeySeen(Exception):
    """Ends a session as soon as its key is known: nobody logs in."""

    def __init__(self, name: str, key: paramiko.PKey) -> None:
        self.name = name
        self.key = key
        super().__init__(name, key)


class _Interrupt(paramiko.MissingHostKeyPolicy):
    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002 - paramiko's interface
        raise _KeySeen(hostname, key)


class _KeyReader(LeanLinux):
    """A session that knows no host key, and so goes as far as the key and no further."""

    def _build_ssh_client(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(_Interrupt())
        return client


def fetch_keys(host: Host, config: Config) -> list[HostKey]:
    """Return every key that a host offers, under the name by which its sessions look them up in known_hosts.

    The way there is that of its sessions: address, port and jump host of the inventory and the ssh config.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.

    Raises:
        InventoryError: an option is wrong.
        RemoteError: the host could not be reached.
    """
    options = merged_options(host)
    options.extras = {name: value for name, value in (options.extras or {}).items() if name not in _CHECKS}
    if problems := find_problems(options.hostname, options.platform, options.extras):
        raise InventoryError(*(f"{host.name}: {problem}" for problem in problems))
    try:
        keys = [key for kind in KINDS if (key := _fetch(options, config, kind)) is not None]
    except RemoteError as error:
        error.host = host.name
        raise
    if not keys:
        raise HostUnreachable("no host key", host=host.name, wanted="one of type Ed25519, ECDSA or RSA", found="none")
    return keys


def _fetch(options: ConnectionOptions, config: Config, kind: tuple[str, ...]) -> HostKey | None:
    """Shake hands for one kind of key; None where the server has none of it."""
    extras = dict(options.extras or {})
    disabled = extras.get("disabled_algorithms") or {}
    others = [name for algorithms in KINDS if algorithms != kind for name in algorithms]
    extras |= {"disabled_algorithms": {**disabled, "keys": [*disabled.get("keys", ()), *others]}}
    extras |= {"key_file": None, "use_keys": False}  # what logs in need not be there yet
    try:
        open_session(ConnectionOptions(**(options.dict() | {"extras": extras})), config, _KeyReader)
    except _KeySeen as seen:
        return HostKey(seen.name, seen.key.get_name(), seen.key.get_base64())
    except HostUnreachable as error:
        if isinstance(error.__cause__, IncompatiblePeer):
            return None
        raise
    raise AssertionError("a session without a key")  # paramiko asks its policy for every unknown key
