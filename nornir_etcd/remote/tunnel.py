"""etcd through its host's own SSH: connections carried over direct-tcpip channels of the host's one session."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, cast

import paramiko

from nornir_etcd.cluster import url_host
from nornir_etcd.connections.ssh import CONNECTION_NAME as SSH
from nornir_etcd.connections.ssh import connect
from nornir_etcd.connections.ssh_transport import Transport
from nornir_etcd.exceptions import ConnectionLost, NornirEtcdError, RemoteError
from nornir_etcd.remote.link import Link
from nornir_etcd.remote.listener import Listener

if TYPE_CHECKING:
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host
    from nornir.core.plugins.connections import ConnectionPlugin

CONNECTION_NAME = "etcd_tunnel"
"""Under this name a host keeps its tunnel, so that it is closed with the host's connections."""
DIAL_TIMEOUT = 2.0
"""Seconds to connect from the host to etcd on it; more would only outlive gRPC's own attempt."""

_CLOSE_SECONDS = 2.0
_PROHIBITED = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254, 5.1


class Tunnel:
    """A way to one host's own ports through its SSH session.

    All connections are channels of the session that scripts run on, so there is no second handshake, and sshd's
    MaxSessions, which limits shells and commands, does not count them (sshd_config(5)). What is under way is held back
    by the windows of SSH and the buffers of the sockets, nothing is collected here. Safe to use from several threads.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
    """

    def __init__(self, host: Host, config: Config) -> None:
        self._host = host
        self._config = config
        # paramiko keeps the reason of a refused channel for the transport, not for the channel: one at a time.
        self._opening = threading.Lock()
        self._links: set[Link] = set()
        self._listener: Listener | None = None
        self._closed = False

    @property
    def connection(self) -> Tunnel:
        """Itself: what Nornir calls an established connection."""
        return self

    def dial(self, address: str, port: int, timeout: float) -> socket.socket:
        """Connect from the host. The session is opened where there is none or the one there is has died.

        Args:
            address: IP address or name, as the host sees it.
            port: TCP port.
            timeout: seconds, also for each answer on the socket.

        Returns:
            A socket whose other end is the channel.

        Raises:
            ConnectionRefusedError: nothing listens there.
            RemoteError: no session, no channel, or no connection from the host: whether the port is open is unknown.
        """
        connect(self._host, self._config)
        near, own = socket.socketpair()
        try:
            self._join(own, address, port, timeout)
        except BaseException:
            near.close()
            own.close()
            raise
        near.settimeout(timeout)
        return near

    def listen(self, address: str, port: int) -> str:
        """Return a gRPC target whose connections end at that port of the host.

        It is a Unix socket that only this user can open. The session is opened now, where there is none; what arrives
        at the socket after it has died is closed again, until somebody opens the next. Further calls return the same
        target.

        Args:
            address: IP address or name, as the host sees it.
            port: TCP port.

        Raises:
            RemoteError: no session, or no folder that can hold the socket.
        """
        connect(self._host, self._config)
        if self._listener is None:
            name = f"{address}:{port}"  # so that gRPC's errors, which have the target, tell where it leads
            self._listener = Listener(name, lambda own: self._join(own, address, port, DIAL_TIMEOUT))
        return self._listener.target

    def trouble(self) -> NornirEtcdError | None:
        """Return why the last connection to the target led nowhere; None where it was made.

        gRPC itself only sees that its connection was closed. An EtcdUnreachable where nothing listens, else a
        RemoteError.
        """
        return self._listener.trouble if self._listener else None

    def close(self) -> None:
        """Close every connection and the target; the SSH session stays."""
        if self._listener is not None:
            self._listener.close()
        with self._opening:
            self._closed = True
            links = list(self._links)
        for link in links:
            link.close()
        for link in links:
            link.join(_CLOSE_SECONDS)

    def _join(self, own: socket.socket, address: str, port: int, timeout: float) -> None:
        """Carry bytes between a socket and a new channel.

        Raises:
            ConnectionRefusedError: nothing listens there.
            RemoteError: there is no channel.
        """
        with self._opening:
            if self._closed:
                raise _lost(self._host, address, port)
            far = self._channel(address, port, timeout)
            link = Link(own, far, self._links.discard)
            self._links.add(link)
        link.start()

    def _channel(self, address: str, port: int, timeout: float) -> paramiko.Channel:
        plugin = self._host.connections.get(SSH)
        transport = plugin.connection.remote_conn_pre.get_transport() if plugin is not None else None
        if transport is None or not transport.is_active():
            raise _lost(self._host, address, port)
        try:
            channel: paramiko.Channel = transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout
            )
        except paramiko.ChannelException as cause:
            said = transport.refusal if isinstance(transport, Transport) else ""
            raise _refused(self._host, address, port, cause, said) from cause
        except (paramiko.SSHException, EOFError, OSError) as cause:
            if not transport.is_active():
                raise _lost(self._host, address, port) from cause
            raise _unreachable(self._host, address, port, f"no answer within {timeout:g} s") from cause
        return channel


def open_tunnel(host: Host, config: Config) -> Tunnel:
    """Return the host's tunnel, made where there is none. It is closed with the host's connections.

    Nothing is connected yet.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
    """
    tunnel = Tunnel(host, config)
    # Put there by hand: Nornir's own open_connection makes plugins without the host that this one is a way to.
    return cast("Tunnel", host.connections.setdefault(CONNECTION_NAME, cast("ConnectionPlugin", tunnel)))


def opened_tunnel(host: Host) -> Tunnel | None:
    """Return the host's tunnel, or None where none has been made."""
    return cast("Tunnel | None", host.connections.get(CONNECTION_NAME))


def _refused(host: Host, address: str, port: int, cause: paramiko.ChannelException, said: str) -> Exception:
    if cause.code == _PROHIBITED:
        return RemoteError(
            f"sshd lets nobody through to {url_host(address)}:{port}",
            host=host.name,
            wanted="local port forwarding",
            found=cause.text.lower(),
            remedy="allow it in the host's sshd_config (AllowTcpForwarding, DisableForwarding, PermitOpen) and for the "
            "key in authorized_keys (restrict, no-port-forwarding), or let the controller reach the port and set "
            "etcd_via: direct",
        )
    if "connection refused" in said.lower():
        return ConnectionRefusedError(said)
    return _unreachable(host, address, port, (said or cause.text).lower())


def _unreachable(host: Host, address: str, port: int, found: str) -> RemoteError:
    return RemoteError(
        f"port {url_host(address)}:{port} could not be looked at through SSH",
        host=host.name,
        wanted="a connection from the host itself",
        found=found,
        remedy="check that etcd_address is an address of the host",
    )


def _lost(host: Host, address: str, port: int) -> ConnectionLost:
    return ConnectionLost(
        f"port {url_host(address)}:{port}: no SSH session to reach it through", host=host.name, found="none is open"
    )
