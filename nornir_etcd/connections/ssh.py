"""The Nornir connection plugin `etcd_ssh`: a strict, lean SSH session on netmiko.

Hosts are configured as for nornir_netmiko (`connection_options.netmiko`). What differs is written in `connect`.
"""

from __future__ import annotations

import getpass
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import paramiko
from netmiko.linux.linux_ssh import LinuxSSH
from nornir.core.inventory import ConnectionOptions
from paramiko.hostkeys import InvalidHostKey

from nornir_etcd.connections.ssh_errors import describe, explain
from nornir_etcd.connections.ssh_options import (
    DEVICE_TYPES,
    OPTIONS_NAME,
    find_problems,
    host_key_options,
    merged_options,
)
from nornir_etcd.connections.ssh_socket import Proxy, open_socket
from nornir_etcd.connections.ssh_transport import Transport
from nornir_etcd.exceptions import (
    AuthenticationFailed,
    HostKeyUnknown,
    InventoryError,
    RemoteError,
)

if TYPE_CHECKING:
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

    from nornir_etcd.remote.privilege import Way

CONNECTION_NAME = "etcd_ssh"

_PROXY_SECONDS = 2.0  # for paramiko's thread to let go of a ProxyCommand's pipes; it looks ten times a second
_LOCKS: dict[int, threading.Lock] = {}

# Without a handler of its own paramiko's thread prints its tracebacks to stderr (logging.lastResort); they still reach
# whatever handlers the program sets up.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class RefuseUnknownKey(paramiko.MissingHostKeyPolicy):
    """Refuses a host key that is in no known_hosts file, and shows which key it was.

    Args:
        known_hosts: the file in which the key was looked for.
    """

    def __init__(self, known_hosts: str) -> None:
        self.known_hosts = known_hosts

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002 - paramiko's interface
        """Raise HostKeyUnknown with the type and fingerprint of the key that was offered."""
        raise HostKeyUnknown(
            "unknown host key",
            host=hostname,
            wanted=f"a key of {hostname} in {self.known_hosts}",
            found=describe(key),
            remedy="compare it with the host's own (ssh-keygen -lf there), then add it with `nornir-etcd hosts trust`",
        )


class LeanLinux(LinuxSSH):
    """netmiko's Linux session without its interactive shell.

    Commands run on exec channels of `remote_conn_pre` (see `nornir_etcd.remote`), so no shell is opened, no prompt is
    waited for, and netmiko's `send_command` cannot be used on it.
    """

    way: Way | RemoteError | None = None
    """How scripts become root's here, or why they do not; None until the first one runs."""
    way_lock: threading.Lock

    _proxy: Proxy | None = None

    def _open(self) -> None:
        self.establish_connection()

    def establish_connection(self, width: int = 511, height: int = 1000) -> None:  # noqa: ARG002 - netmiko's interface
        """Connect, check the host key and authenticate.

        Args:
            width: unused, there is no terminal.
            height: unused, there is no terminal.

        Raises:
            RemoteError: one of its kinds, for what went wrong.
        """
        self.way_lock = threading.Lock()
        client = self._build_ssh_client()
        self.remote_conn_pre = client
        parameters = self._connect_params_dict()
        try:
            if parameters["sock"] is None:
                parameters["sock"] = open_socket(parameters["hostname"], parameters["port"], parameters["timeout"])
            client.connect(**parameters, transport_factory=cast("Any", Transport))
        except (paramiko.SSHException, OSError, EOFError) as cause:
            transport = client.get_transport()
            key_exchanged = transport is not None and transport.initial_kex_done
            error = explain(cause, self, parameters, authenticating=key_exchanged)
            if self._proxy is not None and (words := self._proxy.last_words()):
                error.found += f" (proxy: {words})"
            self.paramiko_cleanup()
            raise error from cause
        except BaseException:
            self.paramiko_cleanup()
            raise
        transport = client.get_transport()
        if self.keepalive and transport is not None:
            transport.set_keepalive(int(self.keepalive))

    def paramiko_cleanup(self) -> None:
        """Close the transport, and end the proxy under it."""
        transport = self.remote_conn_pre.get_transport() if self.remote_conn_pre else None
        super().paramiko_cleanup()
        if self._proxy is not None:
            if transport is not None:
                transport.join(_PROXY_SECONDS)
            self._proxy.release()
            self._proxy = None

    def is_alive(self) -> bool:
        """Return whether the transport is up, as far as this side knows."""
        transport = self.remote_conn_pre.get_transport() if self.remote_conn_pre else None
        return transport is not None and transport.is_active()

    def cleanup(self, command: str = "exit") -> None:
        """Do nothing: there is no shell to leave."""

    def _key_check(self) -> bool:
        return True  # _load_key says what is wrong with the file

    def _build_ssh_client(self) -> paramiko.SSHClient:
        known_hosts = self.alt_key_file if self.alt_host_keys else str(Path("~/.ssh/known_hosts").expanduser())
        try:
            client: paramiko.SSHClient = super()._build_ssh_client()
        except (InvalidHostKey, OSError, UnicodeDecodeError) as cause:
            raise InventoryError(f"{self.host}: {known_hosts} is no readable known_hosts file") from cause
        if isinstance(self.key_policy, paramiko.RejectPolicy):
            client.set_missing_host_key_policy(RefuseUnknownKey(known_hosts))
        return client

    def _connect_params_dict(self) -> dict[str, Any]:
        try:
            parameters: dict[str, Any] = super()._connect_params_dict()
        except ValueError as cause:
            raise InventoryError(f"{self.host}: {self.ssh_config_file}: {cause}") from cause
        if isinstance(parameters["sock"], paramiko.ProxyCommand):
            parameters["sock"] = self._proxy = Proxy(parameters["sock"])
        parameters["username"] = parameters["username"] or getpass.getuser()
        if self.key_file and self.pkey is None:
            # Loaded here, not by paramiko: it tries the file as each type of key in turn and reports only its last try.
            parameters["pkey"] = _load_key(self.host, self.key_file, self.passphrase or self.password)
            parameters["key_filename"] = None
        return parameters


def open_session(
    options: ConnectionOptions, configuration: Config | None, kind: type[LeanLinux] = LeanLinux
) -> LeanLinux:
    """Return an open session as the options have it.

    Args:
        options: merged and checked.
        configuration: Nornir's; names the ssh config file.
        kind: its class.

    Raises:
        InventoryError: an option is wrong.
        RemoteError: one of its kinds, for what went wrong.
    """
    extras = options.extras or {}
    parameters: dict[str, Any] = {
        "host": options.hostname,
        "username": options.username or "",
        "password": options.password,
        "port": options.port or 22,
        "device_type": options.platform or DEVICE_TYPES[0],
    }
    if configuration is not None:
        parameters["ssh_config_file"] = configuration.ssh.config_file
    try:
        return kind(**(parameters | extras | host_key_options(extras)))
    except (TypeError, ValueError) as cause:
        raise InventoryError(f"{options.hostname}: connection_options.{OPTIONS_NAME}: {cause}") from cause


class EtcdSsh:
    """Nornir connection plugin; `connection` is a `LeanLinux`, its SSHClient `connection.remote_conn_pre`."""

    connection: LeanLinux

    def open(  # noqa: PLR0913, PLR0917 - Nornir's interface
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        """Open the session; the arguments are Nornir's.

        Args:
            hostname: address or name to connect to.
            username: defaults to ssh config's, then to the local user.
            password: for authentication, and for the key file where no passphrase is given.
            port: 22 by default.
            platform: `linux` or None.
            extras: netmiko's arguments, as for nornir_netmiko.
            configuration: Nornir's; names the ssh config file.

        Raises:
            InventoryError: an option is wrong.
            RemoteError: one of its kinds, for what went wrong.
        """
        options = ConnectionOptions(hostname, port, username, password, platform, extras or {})
        if problems := find_problems(hostname, platform, options.extras or {}):
            raise InventoryError(*(f"{hostname}: {problem}" for problem in problems))
        self.connection = open_session(options, configuration)

    def close(self) -> None:
        """Close the session and its transport."""
        self.connection.disconnect()


def connect(host: Host, config: Config) -> LeanLinux:
    """Return the host's SSH session, opened where there is none or the one there is has died.

    Differs from `host.get_connection("netmiko", config)` in three things: the extras of host, groups and defaults are
    merged key by key (Nornir takes the first whole, so a host's `key_file` would drop a group's `ssh_strict`); host
    keys are checked unless `ssh_strict: false` is said; no shell is opened. Safe to call from several threads.

    Args:
        host: a host of the inventory; its address is `hostname`, or its name where it has none.
        config: Nornir's configuration.

    Returns:
        The open session, `remote_conn_pre` being its paramiko SSHClient.

    Raises:
        InventoryError: an option is wrong.
        RemoteError: one of its kinds, for what went wrong.
    """
    with _LOCKS.setdefault(id(host), threading.Lock()):
        plugin = host.connections.get(CONNECTION_NAME)
        if plugin is not None and not plugin.connection.is_alive():
            host.close_connection(CONNECTION_NAME)
            plugin = None
        if plugin is None:
            options = merged_options(host)
            if problems := find_problems(options.hostname, options.platform, options.extras or {}):
                raise InventoryError(*(f"{host.name}: {problem}" for problem in problems))
            try:
                plugin = host.open_connection(
                    CONNECTION_NAME, config, **options.dict(), default_to_host_attributes=False
                )
            except RemoteError as error:
                error.host = host.name
                raise
        return cast("LeanLinux", plugin.connection)


def _load_key(host: str, path: str, passphrase: str | None) -> paramiko.PKey:
    found = "no key of type Ed25519, ECDSA or RSA in it"
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            key = kind.from_private_key_file(path, passphrase)
        except OSError as cause:
            found = (cause.strerror or "unreadable").lower()
            break
        except paramiko.PasswordRequiredException:
            found = "it is encrypted and no passphrase is set"
            break
        except (paramiko.SSHException, ValueError):
            continue
        if Path(f"{path}-cert.pub").is_file():
            key.load_certificate(f"{path}-cert.pub")
        return key
    raise AuthenticationFailed(
        f"key file {path} cannot be used",
        host=host,
        wanted="a private key",
        found=found,
        remedy=f"correct key_file or passphrase in connection_options.{OPTIONS_NAME}.extras",
    )
