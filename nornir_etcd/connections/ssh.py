"""The Nornir connection plugin `etcd_ssh`: a strict, lean SSH session on netmiko.

Hosts are configured as for nornir_netmiko (`connection_options.netmiko`). What differs is written in `connect`.
"""

from __future__ import annotations

import getpass
import logging
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import paramiko
from netmiko.linux.linux_ssh import LinuxSSH
from paramiko.hostkeys import InvalidHostKey

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
    HostKeyChanged,
    HostKeyUnknown,
    HostRefused,
    HostUnreachable,
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
            found=_describe(key),
            remedy=f"compare it with the host's own (ssh-keygen -lf on the host), then add it to {self.known_hosts}",
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
            error = _explain(cause, self, parameters, authenticating=key_exchanged)
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
        extras = extras or {}
        if problems := find_problems(hostname, platform, extras):
            raise InventoryError(*(f"{hostname}: {problem}" for problem in problems))
        parameters: dict[str, Any] = {
            "host": hostname,
            "username": username or "",
            "password": password,
            "port": port or 22,
            "device_type": platform or DEVICE_TYPES[0],
        }
        if configuration is not None:
            parameters["ssh_config_file"] = configuration.ssh.config_file
        try:
            self.connection = LeanLinux(**(parameters | extras | host_key_options(extras)))
        except (TypeError, ValueError) as cause:
            raise InventoryError(f"{hostname}: connection_options.{OPTIONS_NAME}: {cause}") from cause

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


def _describe(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _explain(cause: Exception, session: LeanLinux, parameters: dict[str, Any], *, authenticating: bool) -> RemoteError:
    """Return the error that names what `cause` means for the host."""
    host, port = parameters["hostname"], parameters["port"]
    thing, wanted = f"no SSH session with {host}:{port}", f"an answer within {parameters['timeout']:g} s"
    if isinstance(cause, paramiko.BadHostKeyException):
        return HostKeyChanged(
            "the host key has changed",
            host=session.host,
            wanted=_describe(cause.expected_key),
            found=_describe(cause.key),
            remedy="find out why before connecting (reinstalled host, wrong address, or interception), then replace "
            f"the host's line in {session.alt_key_file or '~/.ssh/known_hosts'}",
        )
    if isinstance(cause, paramiko.AuthenticationException) or authenticating:
        return _explain_authentication(cause, session, parameters)
    if isinstance(cause, ConnectionRefusedError):
        return HostRefused(
            thing,
            host=session.host,
            wanted="an SSH server on that port",
            found="connection refused",
            remedy="check that sshd runs there and that the port is right",
        )
    remedy = "check address, port, routes and firewalls"
    if isinstance(cause, socket.gaierror):
        wanted, found = "a name that resolves", f"{host}: {cause.strerror}"
        remedy = "correct hostname in the inventory, or the resolver"
    elif isinstance(cause, TimeoutError):
        found = "none"
    elif isinstance(cause, OSError):
        found = (cause.strerror or str(cause)).lower()
    else:
        found = str(cause) or "the connection was closed"
    return HostUnreachable(thing, host=session.host, wanted=wanted, found=found, remedy=remedy)


def _explain_authentication(cause: Exception, session: LeanLinux, parameters: dict[str, Any]) -> AuthenticationFailed:
    tried = [f"key {session.key_file or 'given'} ({parameters['pkey'].fingerprint})"] if parameters["pkey"] else []
    tried += ["the agent's keys"] if parameters["allow_agent"] else []
    tried += ["the keys in ~/.ssh"] if parameters["look_for_keys"] else []
    tried += ["a password"] if parameters["password"] is not None else []
    accepted = ", ".join(getattr(cause, "allowed_types", ()))
    return AuthenticationFailed(
        "authentication failed",
        host=session.host,
        wanted=f"user {parameters['username']} let in by {' or '.join(tried) or 'a key or password, but none is set'}",
        found=f"the host refused{f' (it accepts: {accepted})' if accepted else ''}",
        remedy="authorize the key on the host, or correct username, key_file or password in the inventory",
    )
