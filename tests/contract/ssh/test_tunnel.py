"""The tunnel over a real sshd: what a port shows through it, and many calls to a real etcd over one session."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.connections import rpc, tls
from nornir_etcd.connections.ssh import connect
from nornir_etcd.exceptions import ConnectionLost, EtcdError, EtcdUnreachable, RemoteError
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.tunnel import Tunnel, open_tunnel, opened_tunnel
from nornir_etcd.snapshots import save
from tests.contract.etcd_cluster import EtcdCluster, Node
from tests.contract.ssh.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

    from nornir_etcd.connections.etcd import Etcd
    from nornir_etcd.snapshots import SavedSnapshot
    from tests.contract.ssh.conftest import Server

pytestmark = pytest.mark.contract

TIMEOUT = 5.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member, healthy."""
    with EtcdCluster(tmp_path_factory.mktemp("one")) as cluster:
        cluster.wait_healthy()
        yield cluster


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no paths


@contextmanager
def tunnelled(host: Host, config: Config) -> Iterator[Tunnel]:
    """A tunnel of a host; afterwards every thread, socket and folder of it is gone."""
    threads, descriptors = threading.active_count(), _descriptors()
    tunnel = open_tunnel(host, config)
    try:
        yield tunnel
    finally:
        host.close_connections()
    assert opened_tunnel(host) is None
    ends = time.monotonic() + 5
    while time.monotonic() < ends and any(one.name.startswith("tunnel") for one in threading.enumerate()):
        time.sleep(0.01)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("tunnel")]
    while time.monotonic() < ends and (threading.active_count() > threads or _descriptors() > descriptors):
        time.sleep(0.01)  # gRPC closes what its peer has closed in threads of its own, a little later
    assert _descriptors() <= descriptors


def etcd_through(tunnel: Tunnel, cluster: EtcdCluster) -> Etcd:
    node = cluster.nodes[0]
    return cluster.open(node, target=tunnel.listen(node.address, 2379), server_name=node.address)


def ask_until(plugin: Etcd, condition: Callable[[bool], bool]) -> None:
    """Ask until the condition holds for a call that was answered, or was not."""
    for _ in range(200):
        try:
            answered = bool(rpc.status(plugin.connection, timeout=TIMEOUT).version)
        except EtcdError:
            answered = False
        if condition(answered):
            return
        time.sleep(0.1)
    raise AssertionError("it does not come to that")


def test_an_open_a_refusing_and_a_filtered_port_are_told_apart(
    sshd: Server, config: Config, cluster: EtcdCluster, unused_port: int
) -> None:
    with tunnelled(sshd.host(), config) as tunnel:
        address = cluster.nodes[0].address
        assert tls.port_open(address, 2379, timeout=TIMEOUT, dial=tunnel.dial) is True
        assert tls.port_open("127.0.0.1", unused_port, timeout=TIMEOUT, dial=tunnel.dial) is False
        with pytest.raises(EtcdUnreachable, match="connection refused"):
            tls.served_certificate("127.0.0.1", unused_port, timeout=TIMEOUT, dial=tunnel.dial)
        with pytest.raises(RemoteError, match=r"could not be looked at through SSH.*address of the host"):
            tls.port_open("no-such-name.invalid", 2379, timeout=TIMEOUT, dial=tunnel.dial)
    assert sshd.handshakes == 1


def test_a_port_that_swallows_connections_is_unknown_in_time(sshd: Server, config: Config) -> None:
    with tunnelled(sshd.host(), config) as tunnel, socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.create_connection(("127.0.0.1", port), 1)]
        started = time.monotonic()
        with pytest.raises(RemoteError, match=r"no answer within 0\.5 s"):
            tls.port_open("127.0.0.1", port, timeout=0.5, dial=tunnel.dial)
        assert time.monotonic() - started < 3
        for one in waiting:
            one.close()


@pytest.mark.parametrize("port", [2379, 2380])
def test_the_served_certificate_is_the_one_that_is_served_directly(
    sshd: Server, config: Config, cluster: EtcdCluster, port: int
) -> None:
    address = cluster.nodes[0].address
    with tunnelled(sshd.host(), config) as tunnel:
        through = tls.served_certificate(address, port, timeout=TIMEOUT, dial=tunnel.dial)
    assert through == tls.served_certificate(address, port, timeout=TIMEOUT)


@pytest.mark.parametrize(
    "lines",
    [["AllowTcpForwarding no"], ["DisableForwarding yes"], ["PermitOpen 127.0.0.1:1"], ["AllowTcpForwarding remote"]],
)
def test_forbidden_forwarding_is_named_with_its_remedy(
    start_sshd: Callable[..., Server], config: Config, cluster: EtcdCluster, lines: list[str]
) -> None:
    sshd = start_sshd(*lines)
    with tunnelled(sshd.host(), config) as tunnel:
        with pytest.raises(RemoteError, match=r"node-1: sshd lets nobody through.*prohibited.*AllowTcpForwarding"):
            tls.port_open(cluster.nodes[0].address, 2379, timeout=TIMEOUT, dial=tunnel.dial)
        plugin = etcd_through(tunnel, cluster)
        with pytest.raises(EtcdError):
            rpc.status(plugin.connection, timeout=TIMEOUT)
        assert "sshd lets nobody through" in str(tunnel.trouble())
        plugin.close()


def test_a_key_that_may_not_forward_is_named_too(sshd: Server, config: Config, cluster: EtcdCluster) -> None:
    keys = sshd.folder / "authorized_keys"
    keys.write_text("restrict,pty " + keys.read_text())
    with (
        tunnelled(sshd.host(), config) as tunnel,
        pytest.raises(RemoteError, match=r"sshd lets nobody through.*authorized_keys"),
    ):
        tunnel.dial(cluster.nodes[0].address, 2379, TIMEOUT)


def test_many_calls_at_once_run_over_one_session_beside_a_script_and_beyond_max_sessions(
    start_sshd: Callable[..., Server], config: Config, cluster: EtcdCluster
) -> None:
    """MaxSessions limits shells and commands: one runs here all the time, and none more would be let in."""
    sshd = start_sshd("MaxSessions 1")
    host, node = sshd.host(), cluster.nodes[0]
    with tunnelled(host, config) as tunnel:
        connect(host, config)
        with ThreadPoolExecutor(max_workers=33) as pool:
            script = pool.submit(run_script, host, config, "sleep 1", deadline=20)
            plugins = [etcd_through(tunnel, cluster) for _ in range(8)]
            calls = [
                pool.submit(rpc.linearizable_read, plugin.connection, timeout=10)
                for plugin in plugins
                for _ in range(25)
            ]
            looks = [pool.submit(tls.port_open, node.address, 2380, timeout=10, dial=tunnel.dial) for _ in range(16)]
            assert all(call.result() > 0 for call in calls)
            assert all(look.result() is True for look in looks)
            assert script.result().exit_status == 0
        for plugin in plugins:
            plugin.close()
    assert sshd.handshakes == 1


def test_large_answers_come_whole_and_a_reader_that_stops_holds_the_sender_back(sshd: Server, config: Config) -> None:
    size = 24 * 1024 * 1024
    sent = 0

    def serve() -> None:
        nonlocal sent
        connection, _ = source.accept()
        with connection:
            connection.settimeout(20)
            while sent < size:
                sent += connection.send(b"x" * min(65536, size - sent))

    with tunnelled(sshd.host(), config) as tunnel, socket.create_server(("127.0.0.1", 0)) as source:
        source.settimeout(10)
        thread = threading.Thread(target=serve)
        thread.start()
        with tunnel.dial("127.0.0.1", source.getsockname()[1], 20) as near:
            time.sleep(1)
            assert sent < size / 2  # windows are full, and nothing is collected anywhere
            received = 0
            while data := near.recv(1 << 20):
                received += len(data)
        thread.join(10)
    assert received == size


def test_the_target_is_open_to_its_user_alone_and_goes_with_the_tunnel(
    sshd: Server, config: Config, cluster: EtcdCluster
) -> None:
    with tunnelled(sshd.host(), config) as tunnel:
        path = Path(tunnel.listen(cluster.nodes[0].address, 2379).removeprefix("unix:"))
        assert tunnel.listen(cluster.nodes[0].address, 2379) == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_a_member_with_an_ipv6_address_is_asked_like_any_other(sshd: Server, config: Config, tmp_path: Path) -> None:
    node = Node("m1", "::1", tmp_path, client_port=free_port(), peer_port=free_port())
    with EtcdCluster(tmp_path, nodes=[node]) as one, tunnelled(sshd.host(), config) as tunnel:
        one.wait_healthy()
        target = tunnel.listen(node.address, node.client_port)
        plugin = one.open(node, target=target, server_name=node.address)
        assert rpc.linearizable_read(plugin.connection, timeout=TIMEOUT) > 0
        assert tls.port_open(node.address, node.peer_port, timeout=TIMEOUT, dial=tunnel.dial) is True
        plugin.close()


def test_a_cut_session_ends_the_calls_and_the_next_session_carries_them_again(
    sshd: Server, config: Config, cluster: EtcdCluster
) -> None:
    host = sshd.host()
    with tunnelled(host, config) as tunnel:
        session = connect(host, config)
        plugin = etcd_through(tunnel, cluster)
        assert rpc.status(plugin.connection, timeout=TIMEOUT).version
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)
        transport = session.remote_conn_pre.get_transport() if session.remote_conn_pre else None
        assert transport is not None
        transport.join(5)
        ask_until(plugin, lambda answered: not answered and isinstance(tunnel.trouble(), ConnectionLost))
        assert tls.port_open(cluster.nodes[0].address, 2379, timeout=TIMEOUT, dial=tunnel.dial) is True
        ask_until(plugin, lambda answered: answered and tunnel.trouble() is None)
        plugin.close()
    assert sshd.handshakes == 2


def test_a_tunnel_is_closed_while_calls_are_under_way(sshd: Server, config: Config, silent_port: int) -> None:
    with tunnelled(sshd.host(), config) as tunnel:
        near = tunnel.dial("127.0.0.1", silent_port, TIMEOUT)
        reader = threading.Thread(target=lambda: near.recv(1))
        reader.start()
        tunnel.close()
        reader.join(5)
        assert not reader.is_alive()
        near.close()


def test_a_closed_tunnel_carries_nothing(sshd: Server, config: Config, cluster: EtcdCluster) -> None:
    with tunnelled(sshd.host(), config) as tunnel:
        tunnel.close()
        with pytest.raises(ConnectionLost):
            tunnel.dial(cluster.nodes[0].address, 2379, TIMEOUT)


def test_a_folder_for_temporary_files_that_cannot_hold_the_socket_is_said_to_be_one(
    sshd: Server, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with (
        tunnelled(sshd.host(), config) as tunnel,
        pytest.raises(RemoteError, match=r"AF_UNIX path too long; set TMPDIR"),
    ):
        tunnel.listen("127.0.0.1", 2379)
    assert list(long.iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with tunnelled(sshd.host(), config) as tunnel, pytest.raises(RemoteError, match=r"No such file.*set TMPDIR"):
        tunnel.listen("127.0.0.1", 2379)


def test_a_snapshot_comes_whole_through_the_tunnel_and_leaves_nothing_where_the_session_is_cut(
    sshd: Server, config: Config, cluster: EtcdCluster, tmp_path: Path
) -> None:
    def take(cut: Callable[[], object]) -> SavedSnapshot:
        with closing(rpc.snapshot(plugin.connection, timeout=60)) as stream:
            first = next(stream).blob
            cut()
            blobs = itertools.chain([first], (chunk.blob for chunk in stream))
            now = datetime.now(tz=timezone.utc)
            return save(blobs, tmp_path / "kept", "one", database=1, revision=1, keep=1, now=now, timeout=60)

    with tunnelled(sshd.host(), config) as tunnel:
        plugin = etcd_through(tunnel, cluster)
        for number in range(60):
            plugin.connection.put(f"large{number}", os.urandom(200_000).hex())
        taken = take(lambda: None)
        assert taken.bytes > 60 * 400_000
        with pytest.raises(EtcdUnreachable, match=r"wanted all of it, found \d+ bytes still to come when it broke off"):
            take(lambda: [os.kill(pid, signal.SIGKILL) for pid in sshd.sessions()])
        assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [".lock", taken.path.name]
        plugin.close()
