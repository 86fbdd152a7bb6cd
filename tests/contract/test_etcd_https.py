"""What etcd says over HTTPS on its client port, and what becomes of answers that are none."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.connections import https
from nornir_etcd.connections.rpc import status
from nornir_etcd.connections.tls import dial
from nornir_etcd.examine import probe_paths
from nornir_etcd.exceptions import EtcdRefused, EtcdTimeout, EtcdTlsError, EtcdUnreachable, PkiError
from nornir_etcd.metrics import parse_metrics, read_metrics
from nornir_etcd.observation import Quantile, Unknown
from tests.contract.etcd_cluster import EtcdCluster, Node, TestCa, loopback_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.contract

TIMEOUT = 5.0


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members, healthy."""
    with EtcdCluster(tmp_path_factory.mktemp("three"), 3) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    """A CA for servers that are no etcd."""
    return TestCa(tmp_path_factory.mktemp("pki"))


def files(cluster: EtcdCluster) -> dict[str, str]:
    """Return the files that etcd lets in."""
    given = cluster.client_files
    return {"cacert": str(cluster.ca.path), "cert": str(given.cert), "key": str(given.key)}


def test_the_client_port_serves_metrics_and_every_probe_that_the_version_has(tmp_path: Path) -> None:
    node = Node("m1", loopback_addresses(1)[0], tmp_path)
    own_port = f"--listen-metrics-urls=http://{node.address}:2381"  # as the manifest has it
    with EtcdCluster(tmp_path, nodes=[node], flags=[own_port]) as cluster:
        cluster.wait_healthy()
        with closing(cluster.open(node)) as plugin:
            paths = probe_paths(status(plugin.connection, timeout=TIMEOUT).version)
        assert "/health" in paths
        with https.session(node.address, 2379, files(cluster), timeout=TIMEOUT) as session:
            assert {path: session.get(path).status for path in paths} == dict.fromkeys(paths, 200)
            answer = session.get("/metrics")
            assert (answer.status, session.get("/no-such-path").status) == (200, 404)
    assert 10_000 < len(answer.body) < https.LIMIT / 10


def test_the_metrics_of_a_real_etcd_hold_every_figure(three: EtcdCluster) -> None:
    deadline = time.monotonic() + 30
    while True:  # a peer is first measured some seconds after the start
        with https.session(three.nodes[0].address, 2379, files(three), timeout=TIMEOUT) as session:
            scrape = parse_metrics(session.get("/metrics").body)
        assert not isinstance(scrape, Unknown)
        read = read_metrics(scrape)
        if not isinstance(read.peer_round_trip, Unknown) and len(read.peer_round_trip) == 2:
            break
        assert time.monotonic() < deadline, read
        time.sleep(0.5)
    with closing(three.open(three.nodes[0])) as plugin:
        listed = {f"{member.id:x}" for member in plugin.connection.members}
    assert set(read.peer_round_trip) < listed
    assert all(0 < one.seconds < 5 and one.samples and not one.window for one in read.peer_round_trip.values())
    for quantile in (read.wal_fsync, read.backend_commit):
        assert isinstance(quantile, Quantile)
        assert 0 < quantile.seconds < 10
        assert quantile.samples > 0
    assert isinstance(read.leader_changes, int)
    assert read.leader_changes >= 1
    assert isinstance(read.started_at, float)
    assert time.time() - 600 < read.started_at < time.time()


def test_a_member_without_a_quorum_is_alive_and_not_healthy(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        cluster.nodes[1].stop()
        cluster.nodes[2].stop()
        deadline = time.monotonic() + 20
        with https.session(cluster.nodes[0].address, 2379, files(cluster), timeout=30) as session:
            while session.get("/health").status == 200:
                assert time.monotonic() < deadline
            assert session.get("/metrics").status == 200


def test_without_a_client_certificate_etcd_ends_the_connection(three: EtcdCluster) -> None:
    node = three.nodes[0]
    with (  # TLS 1.3 tells it with the first answer, TLS 1.2 in the handshake
        pytest.raises(
            (EtcdTlsError, EtcdRefused), match=rf"^https://{node.address}:2379.*: wanted .*, found .+; check "
        ),
        https.session(node.address, 2379, {"cacert": str(three.ca.path)}, timeout=TIMEOUT) as session,
    ):
        session.get("/health")


def test_a_served_certificate_must_be_of_the_ca_and_name_the_address(three: EtcdCluster, ca: TestCa) -> None:
    node = three.nodes[0]
    with (
        pytest.raises(EtcdTlsError, match="CERTIFICATE_VERIFY_FAILED"),
        https.session(node.address, 2379, files(three) | {"cacert": str(ca.path)}, timeout=TIMEOUT),
    ):
        pass
    with (
        pytest.raises(EtcdTlsError, match="CERTIFICATE_VERIFY_FAILED"),
        https.session(node.address, 2379, files(three), timeout=TIMEOUT, server_name="another.example"),
    ):
        pass


@pytest.mark.parametrize("which", ["cacert", "cert", "key"])
def test_a_file_that_cannot_be_used_is_told_in_one_line(three: EtcdCluster, tmp_path: Path, which: str) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no PEM")
    for path in (garbage, tmp_path / "absent.pem"):
        with (
            pytest.raises(PkiError, match=rf"^files .*{path.name}.*: wanted PEM .*, found .+; run the runbook certs"),
            https.session("127.0.0.1", 1, files(three) | {which: str(path)}, timeout=TIMEOUT),
        ):
            pass


def test_a_closed_port_is_told(three: EtcdCluster) -> None:
    with (
        pytest.raises(EtcdUnreachable, match="found connection refused"),
        https.session(three.nodes[0].address, 1, files(three), timeout=TIMEOUT),
    ):
        pass


def test_it_goes_by_the_road_that_is_given(three: EtcdCluster) -> None:
    roads = []

    def through(address: str, port: int, timeout: float) -> socket.socket:
        roads.append((address, port))
        return dial(three.nodes[0].address, port, timeout)

    with https.session("localhost", 2379, files(three), timeout=TIMEOUT, dial=through) as session:
        assert session.get("/health").status == 200
    assert roads == [("localhost", 2379)]


@contextmanager
def server(ca: TestCa, say: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """Serve one TLS connection; gives the port."""
    leaf = ca.leaf("server", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.cert, leaf.key)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(10)

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(10)
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(4096)
                say(tls)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(15)
        assert not thread.is_alive()


def endlessly(head: bytes, piece: bytes, pause: float = 0.0) -> Callable[[ssl.SSLSocket], None]:
    """Return what says a head and then one thing over and over, until nobody listens."""

    def say(tls: ssl.SSLSocket) -> None:
        tls.sendall(head)
        while True:
            tls.sendall(piece)
            time.sleep(pause)

    return say


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("say", "kind", "found"),
    [
        (lambda tls: tls.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), EtcdRefused, "SSH-2.0-OpenSSH_9.2"),
        (lambda _: None, EtcdRefused, "Remote end closed connection|EOF"),
        (lambda tls: tls.sendall(OK + b"Content-Length: 9\r\n\r\nabc"), EtcdRefused, "IncompleteRead|EOF"),
        (lambda tls: tls.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), EtcdRefused, "IncompleteRead|EOF"),
        (endlessly(OK + b"\r\n", b"x" * 65536), EtcdRefused, "more than is read of it"),
        (endlessly(OK, b"X-Header: x\r\n"), EtcdRefused, "got more than 100 headers"),
        (endlessly(b"", b"x" * 65536), EtcdRefused, "got more than 65536 bytes"),
        (endlessly(OK + b"Content-Length: 999\r\n\r\n", b"x", 0.05), EtcdTimeout, r"within 0\.7 s, found none"),
        (endlessly(b"", b"H", 0.05), EtcdTimeout, r"within 0\.7 s, found none"),
        (lambda tls: tls.recv(1), EtcdTimeout, r"within 0\.7 s, found none"),
    ],
)
def test_what_is_no_answer_is_told_in_one_line_and_ends_in_time(
    ca: TestCa, say: Callable[[ssl.SSLSocket], None], kind: type[Exception], found: str
) -> None:
    timeout = 0.7 if kind is EtcdTimeout else 10.0
    with server(ca, say) as port:
        start = time.monotonic()
        with (
            https.session("127.0.0.1", port, {"cacert": str(ca.path)}, timeout=timeout) as session,
            pytest.raises(kind, match=found) as caught,
        ):
            session.get("/metrics")
        assert time.monotonic() - start < timeout + 1
    assert str(caught.value).startswith(f"https://127.0.0.1:{port}/metrics: wanted ")
    assert "\n" not in str(caught.value)


def test_a_server_that_never_shakes_hands_ends_in_time(ca: TestCa) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        start = time.monotonic()
        with (
            pytest.raises(EtcdTimeout, match=r"wanted an answer within 0\.5 s, found none"),
            https.session("127.0.0.1", listener.getsockname()[1], {"cacert": str(ca.path)}, timeout=0.5),
        ):
            pass
        assert time.monotonic() - start < 1.5


def test_a_server_without_tls_is_told(ca: TestCa) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with (
            pytest.raises(EtcdTlsError, match=r"^https://127\.0\.0\.1:\d+: wanted a TLS handshake, found .+; check"),
            https.session("127.0.0.1", listener.getsockname()[1], {"cacert": str(ca.path)}, timeout=TIMEOUT),
        ):
            pass
        thread.join(10)
