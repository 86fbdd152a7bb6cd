"""Verify without an inventory: endpoints of a real etcd, and of what is none."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd import verify
from nornir_etcd.endpoints import nornir_for
from nornir_etcd.report.model import Finding, Severity
from tests.contract.etcd_cluster import EtcdCluster, Node, TestCa, loopback_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nornir_etcd.report.model import ClusterReport

pytestmark = pytest.mark.contract

OURS = (
    *("member.missing", "member.unstarted", "member.learner", "member.client_urls", "member.unlisted"),
    *("cluster.size", "cluster.quorum", "client.unreachable", "member.unhealthy"),
    *("cert.chain", "cert.usages", "cert.sans"),
)
"""What is judged here; the releases of the test's etcd and its certificates of one day are rightly found elsewhere."""
OK, WARNING, CRITICAL, UNKNOWN = Severity.OK, Severity.WARNING, Severity.CRITICAL, Severity.UNKNOWN


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members at one address, at ports of their own."""
    folder = tmp_path_factory.mktemp("endpoints")
    (address,) = loopback_addresses(1)
    nodes = [
        Node(f"m{number}", address, folder, client_port=12379 + number, peer_port=12389 + number)
        for number in (1, 2, 3)
    ]
    with EtcdCluster(folder, nodes=nodes) as cluster:
        cluster.wait_healthy()
        yield cluster


def verified(cluster: EtcdCluster, *endpoints: str) -> ClusterReport:
    """Return what verify reports of endpoints, asked with the cluster's own client certificate."""
    files = cluster.client_files
    nr = nornir_for(endpoints, cacert=cluster.ca.path, cert=files.cert, key=files.key)
    (report,) = verify(nr, ssh=False).clusters
    assert not report.error
    return report


def bad(report: ClusterReport, subject: str = "") -> dict[tuple[str, str], Finding]:
    """Return what is found and not ok, of what is judged here."""
    found = [one for one in report.findings if one.code in OURS and one.severity is not OK]
    return {(one.code, one.subject): one for one in found if subject in ("", one.subject)}


def test_members_at_other_ports_are_found_by_their_endpoints_alone(cluster: EtcdCluster) -> None:
    report = verified(cluster, *(node.client_url for node in cluster.nodes))
    assert bad(report) == {}
    names = [f"{node.address}:{node.client_port}" for node in cluster.nodes]
    assert [member.name for member in report.members] == names
    assert all(member.healthy for member in report.members)
    assert {one.subject for one in report.findings if one.code == "member.missing"} == set(names)
    assert not {one.code for one in report.findings} & {"cert.placed", "member.unexpected", "container.image"}


def test_who_is_live_and_no_endpoint_is_a_warning_and_leaves_the_margin_unknown(cluster: EtcdCluster) -> None:
    first, *others = cluster.nodes
    report = verified(cluster, first.client_url)
    unlisted = [one for one in report.findings if one.code == "member.unlisted"]
    assert [one.severity for one in unlisted] == [WARNING, WARNING]
    assert sorted(one.evidence["client_urls"] for one in unlisted) == [node.client_url for node in others]
    assert bad(report)["cluster.quorum", "endpoints"].severity is UNKNOWN


def test_a_member_of_another_cluster_is_named(cluster: EtcdCluster, tmp_path: Path) -> None:
    (address,) = loopback_addresses(1)
    node = Node("other", address, tmp_path, client_port=12479, peer_port=12480)
    with EtcdCluster(tmp_path, nodes=[node]) as other:
        files = cluster.ca.leaf("other", ["other", "localhost", address, "127.0.0.1"])
        other.ca, other.client_files = cluster.ca, cluster.client_files
        node.stop()
        for name, path in (("cert-file", files.cert), ("key-file", files.key), ("trusted-ca-file", cluster.ca.path)):
            node.arguments = [one for one in node.arguments if not one.startswith(f"--{name}=")] + [f"--{name}={path}"]
        node.start()
        other.wait_healthy()
        report = verified(cluster, *(one.client_url for one in cluster.nodes), node.client_url)
    one = bad(report)["member.missing", f"{address}:12479"]
    assert one.severity is CRITICAL
    assert one.message.startswith("answers as member ")


@contextmanager
def server(address: str, serve: Callable[[socket.socket], Any]) -> Iterator[int]:
    """Answer every connection in its own way; gives the port."""
    with closing(socket.create_server((address, 0))) as listener:

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test has ended
                    return
                connection.settimeout(5)
                with connection, suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def echo(connection: socket.socket) -> None:
    while heard := connection.recv(4096):
        connection.sendall(heard)


def greet(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    connection.recv(4096)


def hang_up(connection: socket.socket) -> None:
    connection.recv(1)


def https(ca: TestCa, *sans: str) -> Callable[[socket.socket], None]:
    """Return a web server that has a certificate of that CA."""
    files = ca.leaf("web", sans)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    return serve


@pytest.mark.parametrize("kind", ["echo", "ssh", "hangs up", "https", "https of another CA"])
def test_what_is_no_etcd_is_one_clear_finding(cluster: EtcdCluster, tmp_path: Path, kind: str) -> None:
    address = cluster.nodes[0].address
    kinds: dict[str, Callable[[], Callable[[socket.socket], None]]] = {
        "echo": lambda: echo,
        "ssh": lambda: greet,
        "hangs up": lambda: hang_up,
        "https": lambda: https(cluster.ca, address),
        "https of another CA": lambda: https(TestCa(tmp_path, "stranger"), address),
    }
    with server(address, kinds[kind]()) as port:
        report = verified(cluster, *(node.client_url for node in cluster.nodes), f"{address}:{port}")
    found = bad(report, f"{address}:{port}")
    (worst,) = [one for one in found.values() if one.severity is CRITICAL]
    assert worst.code == ("cert.chain" if kind == "https of another CA" else "member.missing")
    assert "\n" not in worst.message
    assert worst.remedy
    assert ("'stranger'" if worst.code == "cert.chain" else "is no etcd") in worst.message
    assert {one.severity for one in found.values()} <= {CRITICAL, UNKNOWN}
    others = [name for (_, name), one in bad(report).items() if one.severity is not OK and not name.endswith(str(port))]
    assert others == [], "the members beside it are judged as ever"


def test_where_nothing_listens_is_told(cluster: EtcdCluster) -> None:
    report = verified(cluster, f"{cluster.nodes[0].address}:9")
    assert bad(report)["client.unreachable", f"{cluster.nodes[0].address}:9"].severity is CRITICAL


def test_without_a_client_certificate_nothing_is_ok_that_was_not_told(cluster: EtcdCluster) -> None:
    urls = [node.client_url for node in cluster.nodes]
    (report,) = verify(nornir_for(urls, cacert=cluster.ca.path, cert=None, key=None), ssh=False).clusters
    assert not report.error
    assert {one.severity for one in report.findings if one.code in {"member.missing", "member.unhealthy"}} == {UNKNOWN}
    assert {one.severity for one in report.findings if one.code == "cert.chain"} == {OK}
