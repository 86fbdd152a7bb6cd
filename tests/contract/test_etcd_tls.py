"""What a port shows from outside, against real etcd and against TLS servers of each kind."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.connections.tls import port_open, served_certificate
from nornir_etcd.exceptions import EtcdTlsError, EtcdUnreachable
from tests.contract.etcd_cluster import EtcdCluster, TestCa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.etcd_cluster import Files

pytestmark = pytest.mark.contract

TIMEOUT = 5.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member, healthy."""
    with EtcdCluster(tmp_path_factory.mktemp("one")) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A certificate of a server that is no etcd."""
    return TestCa(tmp_path_factory.mktemp("pki")).leaf("server", ["127.0.0.1"])


@contextmanager
def tls_server(files: Files, version: ssl.TLSVersion, *, demand: bool) -> Iterator[int]:
    """Answer one connection with TLS of one version; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    context.minimum_version = context.maximum_version = version
    if demand:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.cert)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(10)
            with connection:
                try:
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)
                except OSError:  # the client certificate is missing, or the client has seen enough
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize("port", [2379, 2380])
def test_client_and_peer_port_show_their_certificate_without_a_client_certificate(
    cluster: EtcdCluster, port: int
) -> None:
    wanted = (cluster.directory / "pki" / "m1.pem").read_bytes()
    assert served_certificate(cluster.nodes[0].address, port, timeout=TIMEOUT) == wanted


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("demand", [False, True])
def test_the_certificate_is_seen_in_each_version_of_tls(files: Files, version: ssl.TLSVersion, demand: bool) -> None:
    with tls_server(files, version, demand=demand) as port:
        assert served_certificate("127.0.0.1", port, timeout=TIMEOUT) == files.cert.read_bytes()


def test_a_renewed_certificate_is_seen_without_a_restart(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        node = cluster.nodes[0]
        old = served_certificate(node.address, 2379, timeout=TIMEOUT)
        renewed = cluster.ca.leaf("m1", [node.address, "127.0.0.1"]).cert.read_bytes()
        assert served_certificate(node.address, 2379, timeout=TIMEOUT) == renewed != old


def test_a_port_without_tls_shows_no_certificate() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(EtcdTlsError, match=rf"^port 127\.0\.0\.1:{port}: wanted a TLS server, found .+; check"):
            served_certificate("127.0.0.1", port, timeout=TIMEOUT)
        thread.join(10)


def test_a_silent_port_shows_no_certificate_and_ends_in_time() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        start = time.monotonic()
        with pytest.raises(EtcdUnreachable, match=r"found no TLS handshake within 0\.5 s"):
            served_certificate("127.0.0.1", listener.getsockname()[1], timeout=0.5)
        assert time.monotonic() - start < 1.5


def test_a_closed_port_shows_no_certificate(cluster: EtcdCluster) -> None:
    with pytest.raises(EtcdUnreachable, match="found connection refused"):
        served_certificate(cluster.nodes[0].address, 1, timeout=TIMEOUT)


def test_an_open_and_a_closed_port_are_told_apart(cluster: EtcdCluster) -> None:
    address = cluster.nodes[0].address
    assert [port_open(address, port, timeout=TIMEOUT) for port in (2379, 2380, 1)] == [True, True, False]


def test_a_port_that_drops_packets_is_neither_open_nor_closed() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        with pytest.raises(EtcdUnreachable, match=r"found no answer within 0\.5 s"):
            port_open("127.0.0.1", listener.getsockname()[1], timeout=0.5)
        for one in waiting:
            one.close()


def test_a_name_that_does_not_resolve_is_neither_open_nor_closed() -> None:
    with pytest.raises(EtcdUnreachable, match=r"^port no-such-host\.invalid:2379: wanted a connection, found "):
        port_open("no-such-host.invalid", 2379, timeout=TIMEOUT)
