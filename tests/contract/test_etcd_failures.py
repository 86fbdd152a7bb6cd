"""What a failed call to etcd says: the right kind of error, in one line, soon."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.connections.rpc import alarms, linearizable_read, member_list, status
from nornir_etcd.exceptions import EtcdError, EtcdTimeout, EtcdTlsError, EtcdUnreachable
from tests.contract.etcd_cluster import EtcdCluster, Node, TestCa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member, healthy."""
    with EtcdCluster(tmp_path_factory.mktemp("one")) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    """A CA that has nothing to do with the cluster."""
    return TestCa(tmp_path_factory.mktemp("other"), "other")


def failure(cluster: EtcdCluster, *, timeout: float = 5, **changes: Any) -> EtcdError:
    """Return how a status call fails, twice the same: also when the channel knows of the failure already."""
    with closing(cluster.open(cluster.nodes[0], **changes)) as plugin:
        with pytest.raises(EtcdError) as first:
            status(plugin.connection, timeout=timeout)
        with pytest.raises(EtcdError) as second:
            status(plugin.connection, timeout=timeout)
    assert str(first.value) == str(second.value)
    assert "\n" not in str(first.value)
    assert len(str(first.value)) < 250
    return first.value


def test_a_wrong_ca_is_told(cluster: EtcdCluster, other_ca: TestCa) -> None:
    error = failure(cluster, cacert=str(other_ca.path))
    assert type(error) is EtcdTlsError
    assert str(error) == (
        f"etcd at {cluster.nodes[0].address}:2379: found a served certificate that cacert does not vouch for; "
        "check that cacert is the CA of the served certificate"
    )


def test_no_client_certificate_is_told(cluster: EtcdCluster) -> None:
    error = failure(cluster, cert=None, key=None)
    assert type(error) is EtcdTlsError
    assert "the client certificate refused, or none given" in str(error)


def test_an_expired_client_certificate_is_told(cluster: EtcdCluster) -> None:
    files = cluster.ca.leaf("expired", end_days=-1)
    error = failure(cluster, cert=str(files.cert), key=str(files.key))
    assert type(error) is EtcdTlsError
    assert "give a client certificate that is valid now" in str(error)


def test_a_client_certificate_of_another_ca_is_told(cluster: EtcdCluster, other_ca: TestCa) -> None:
    files = other_ca.leaf("client")
    error = failure(cluster, cert=str(files.cert), key=str(files.key))
    assert type(error) is EtcdTlsError
    assert "issued by a CA that etcd trusts" in str(error)


def test_a_served_certificate_for_other_names_is_told(cluster: EtcdCluster) -> None:
    error = failure(cluster, server_name="elsewhere")
    assert type(error) is EtcdTlsError
    assert "found a served certificate for other names" in str(error)


def test_a_served_certificate_that_has_expired_is_told(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        # etcd reads its certificate again for every connection.
        cluster.ca.leaf("m1", [cluster.nodes[0].address, "127.0.0.1"], end_days=-1)
        error = failure(cluster)
    assert type(error) is EtcdTlsError
    assert "found a served certificate, or a CA, that has expired" in str(error)


def test_a_refused_connection_fails_fast(cluster: EtcdCluster) -> None:
    start = time.monotonic()
    error = failure(cluster, port=1)
    assert time.monotonic() - start < 0.5
    assert type(error) is EtcdUnreachable
    assert str(error) == (
        f"etcd at {cluster.nodes[0].address}:1: found connection refused; check that etcd runs and listens there"
    )


def test_a_name_that_does_not_resolve_is_told(cluster: EtcdCluster) -> None:
    error = failure(cluster, target="no-such-host.invalid:2379")
    assert type(error) is EtcdUnreachable
    assert str(error) == "etcd at no-such-host.invalid:2379: found the name does not resolve; check the address"


def test_a_missing_unix_socket_is_told(cluster: EtcdCluster, tmp_path: Path) -> None:
    error = failure(cluster, target=f"unix:{tmp_path}/none.sock", server_name="localhost")
    assert type(error) is EtcdUnreachable
    assert "found no such unix socket; check that its tunnel is open" in str(error)


def test_a_port_that_drops_packets_is_told(cluster: EtcdCluster) -> None:
    # A full backlog: the kernel drops further SYNs, as a firewall would.
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as server:
        target = f"127.0.0.1:{server.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        error = failure(cluster, target=target)
        for one in waiting:
            one.close()
    assert type(error) is EtcdUnreachable
    assert str(error) == f"etcd at {target}: found no answer to the TCP connection; check address, routes and firewall"


def test_a_listener_that_says_nothing_times_out(cluster: EtcdCluster) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        target = f"127.0.0.1:{server.getsockname()[1]}"
        start = time.monotonic()
        with (
            closing(cluster.open(cluster.nodes[0], target=target)) as plugin,
            pytest.raises(EtcdTimeout, match="wanted an answer within 1 s"),
        ):
            status(plugin.connection, timeout=1)
        assert time.monotonic() - start < 1.5
        # With more time the attempt to connect ends first, and says how far it came.
        error = failure(cluster, target=target)
    assert type(error) is EtcdTimeout
    assert "TCP connected, TLS handshake not answered" in str(error)


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """Hand each connection to a function; gives the target."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(10)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # closed, or nobody came
                    return
                with connection:
                    handle(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_listener_that_hangs_up_is_told(cluster: EtcdCluster) -> None:
    with serving(lambda _: None) as target:
        error = failure(cluster, target=target)
    assert type(error) is EtcdTlsError
    assert "connection closed in the TLS handshake, so no TLS there" in str(error)


def test_a_listener_that_speaks_something_else_is_told(cluster: EtcdCluster) -> None:
    with serving(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")) as target:
        error = failure(cluster, target=target)
    assert type(error) is EtcdTlsError
    assert "a server without TLS" in str(error)


@pytest.mark.parametrize(
    ("protocols", "kind", "found"),
    [
        ([], EtcdTlsError, "a TLS server without HTTP/2, so not etcd"),
        (["h2"], EtcdUnreachable, "a server that does not speak gRPC, so not etcd"),
    ],
)
def test_an_https_server_that_is_no_etcd_is_told(
    cluster: EtcdCluster, protocols: list[str], kind: type[EtcdError], found: str
) -> None:
    files = cluster.ca.leaf("https", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    if protocols:
        context.set_alpn_protocols(protocols)

    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # gRPC hangs up on it, by design of the test
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        error = failure(cluster, target=f"127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join(10)
    assert type(error) is kind
    assert found in str(error)


def test_an_etcd_without_tls_is_told(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, tls=False) as plain:
        deadline = time.monotonic() + 30
        while True:  # until it listens at all
            with closing(plain.open(plain.nodes[0])) as plugin, pytest.raises(EtcdError) as caught:
                status(plugin.connection, timeout=5)
            if "refused" not in str(caught.value):
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        error = failure(plain)
    assert type(error) is EtcdTlsError
    assert "check that address and port are those of etcd's client URL" in str(error)


def test_a_stopped_process_times_out(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        process = cluster.nodes[0].process
        assert process is not None
        with closing(cluster.open(cluster.nodes[0])) as plugin:
            status(plugin.connection, timeout=5)
            process.send_signal(signal.SIGSTOP)
            for call in (
                lambda: status(plugin.connection, timeout=0.5),
                lambda: member_list(plugin.connection, linearizable=False, timeout=0.5),
                lambda: alarms(plugin.connection, timeout=0.5),
                lambda: linearizable_read(plugin.connection, timeout=0.5),
            ):
                with pytest.raises(EtcdTimeout, match=r"wanted an answer within 0\.5 s"):
                    call()
            process.send_signal(signal.SIGCONT)
            assert status(plugin.connection, timeout=5).version


def test_a_proxy_in_the_environment_does_not_take_the_call(
    cluster: EtcdCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with closing(cluster.open(cluster.nodes[0])) as plugin:
        assert status(plugin.connection, timeout=5).version


def test_a_name_a_unix_socket_and_ipv6_are_dialled(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_INET6)) as probe, closing(socket.socket(socket.AF_INET6)) as other:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no ::1 on loopback")
        other.bind(("::1", 0))
        ports = probe.getsockname()[1], other.getsockname()[1]
    node = Node("m1", "::1", tmp_path, client_port=ports[0], peer_port=ports[1])
    with EtcdCluster(tmp_path, nodes=[node]) as cluster:
        cluster.wait_healthy()
        with closing(cluster.open(node)) as plugin:
            listed = member_list(plugin.connection, linearizable=True, timeout=5)
        assert listed.members[0].peer_urls == (f"https://[::1]:{ports[1]}",)
        with closing(cluster.open(node, target=f"localhost:{ports[0]}")) as plugin:
            assert status(plugin.connection, timeout=5).version
        path = str(tmp_path / "s")
        with (
            forwarding(path, ("::1", ports[0])),
            closing(cluster.open(node, target=f"unix:{path}", server_name="localhost")) as plugin,
        ):
            assert status(plugin.connection, timeout=5).version


@contextmanager
def forwarding(path: str, target: tuple[str, int]) -> Iterator[None]:
    """Forward one connection to a unix socket, both ways, as a tunnel's near end does."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(10)

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with suppress(OSError):  # either end may be gone first
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        def serve() -> None:
            near, _ = listener.accept()
            with near, socket.create_connection(target, 10) as far:
                near.settimeout(10)
                back = threading.Thread(target=pump, args=(far, near))
                back.start()
                pump(near, far)
                back.join(10)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)
