"""The TCP connection below an SSH session."""

from __future__ import annotations

import socket

from nornir_etcd.connections.ssh_socket import SILENCE, open_socket


def test_a_host_that_acknowledges_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, open_socket("127.0.0.1", server.getsockname()[1], 5) as one:
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == SILENCE * 1000
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) < SILENCE
