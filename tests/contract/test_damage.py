"""What real members say whose data are corrupt, and what of it counts as evidence."""

from __future__ import annotations

import os
import shutil
import struct
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from etcd3 import etcdrpc

from nornir_etcd.connections.rpc import status
from nornir_etcd.observation import Alarm, Unknown
from nornir_etcd.observe import observe
from nornir_etcd.plan.damage import damages, doubts
from nornir_etcd.plan.etcdlog import damage, initial_check, last_words
from nornir_etcd.plan.state import cluster_state
from tests.contract.etcd_cluster import EtcdCluster, Node
from tests.contract.inventory import nornir
from tests.contract.releases import RELEASES, programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation

    Damage = Callable[[Path], object]

pytestmark = pytest.mark.contract

ENDS = 5.0
"""Seconds in which a member that refuses to start has ended: most take a fifth of one."""
VALUE = "v" * 500
ZAP = "--logger=zap"
"""With which 3.4 writes its log as later releases do by themselves."""


SECTOR = 512


def used(path: Path) -> int:
    """Return how much of a file, which etcd allocates ahead, is written."""
    return len(path.read_bytes().rstrip(b"\0"))


def wal(data: Path) -> Path:
    return max((data / "member/wal").glob("*.wal"))


def database(data: Path) -> Path:
    return data / "member/snap/db"


def patch(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def flip(path: Path, at: int, count: int = 1) -> None:
    patch(path, at, bytes(byte ^ 0xFF for byte in path.read_bytes()[at : at + count]))


def flip_entry(data: Path) -> None:
    """Flip a byte of the value that was written last."""
    flip(wal(data), wal(data).read_bytes().rindex(VALUE.encode()))


def tear(data: Path) -> None:
    """Leave a record behind the last one of which the first sector alone was written, as a power failure does.

    etcd tells it from a damaged one by a sector of zeros (isTornEntry in server/storage/wal/decoder.go).
    """
    path = wal(data)
    at = -(-used(path) // 8) * 8
    record = struct.pack("<Q", 700) + b"\x08\x02\x10\x01\x1a" + b"x" * 700
    patch(path, at, record[: SECTOR - at % SECTOR])


def change(data: Path) -> None:
    """Change all values in the database, as no etcd does."""
    content = database(data).read_bytes()
    assert VALUE.encode() in content
    database(data).write_bytes(content.replace(VALUE.encode(), b"w" + VALUE.encode()[1:]))


DAMAGED: dict[str, tuple[Damage, str]] = {
    "an entry flipped": (flip_entry, "checksum it was written with"),
    "entries overwritten with zeros": (
        lambda data: patch(wal(data), wal(data).read_bytes().rindex(VALUE.encode()), bytes(200)),
        "checksum it was written with",
    ),
    "WAL cut in the middle": (
        lambda data: os.truncate(wal(data), used(wal(data)) // 2),
        "acknowledged are missing from its WAL",
    ),
    "WAL emptied": (lambda data: os.truncate(wal(data), 0), "does not tell whose it is"),
    "database overwritten with zeros": (
        lambda data: patch(database(data), 0, bytes(database(data).stat().st_size)),
        "neither head of its database is valid",
    ),
    "heads of the database flipped": (
        lambda data: [flip(database(data), page * 4096 + 16, 16) for page in (0, 1)],
        "neither head of its database is valid",
    ),
    "checksums of the database's heads flipped": (
        lambda data: [flip(database(data), page * 4096 + 16 + 48) for page in (0, 1)],
        "neither head of its database is valid",
    ),
    "database cut to less than its head": (
        lambda data: os.truncate(database(data), 100),
        "neither head of its database is valid",
    ),
    "database emptied": (lambda data: os.truncate(database(data), 0), "database is missing, or older"),
    "database missing": (lambda data: database(data).unlink(), "database is missing, or older"),
    "pages overwritten": (
        lambda data: patch(database(data), 8192, b"\xa5" * (database(data).stat().st_size - 8192)),
        "pages of its database are overwritten",
    ),
}
ELSE: dict[str, Damage] = {
    "WAL missing": lambda data: shutil.rmtree(data / "member/wal"),  # as with a wrong --data-dir
    "database cut": lambda data: os.truncate(database(data), 16384),  # SIGBUS, as of a disk that cannot be read
}
MENDED: dict[str, Damage] = {
    "nothing": lambda _: None,
    "WAL torn at its tail": tear,
    "newest snapshot flipped": lambda data: flip(max((data / "member/snap").glob("*.snap")), 40),
    "snapshots missing": lambda data: [path.unlink() for path in (data / "member/snap").glob("*.snap")],
}


@dataclass
class Stopped:
    """A member that was stopped, beside two that run, and the data that it had."""

    cluster: EtcdCluster
    node: Node
    kept: Path

    def says(self, damage: Damage, *flags: str, seconds: float = ENDS) -> tuple[bool, list[str]]:
        """Start it with damaged data; return whether it has ended by itself, and its log."""
        data, arguments = self.cluster.directory / self.node.name, self.node.arguments
        shutil.rmtree(data)
        shutil.copytree(self.kept, data)
        damage(data)
        self.node.log.unlink()
        self.node.arguments = [*arguments, *flags]
        self.node.start()
        process = self.node.process
        assert process is not None
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        ended = process.poll() is not None
        self.node.stop()
        self.node.arguments = arguments
        return ended, self.node.log.read_text(encoding="utf-8", errors="replace").splitlines()


def with_data(cluster: EtcdCluster) -> Stopped:
    """Write to a cluster, so that it has snapshots, and stop its last member."""
    cluster.wait_healthy()
    with closing(cluster.open(cluster.nodes[0])) as plugin:
        for number in range(200):
            plugin.connection.put(f"key{number % 40}", VALUE)
    node = cluster.nodes[-1]
    cluster.wait_healthy([node])
    node.stop()
    shutil.copytree(cluster.directory / node.name, cluster.directory / "kept")
    return Stopped(cluster, node, cluster.directory / "kept")


@pytest.fixture(scope="module", params=RELEASES)
def stopped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """A stopped member of every release at hand."""
    folder = tmp_path_factory.mktemp("damage")
    cluster = EtcdCluster(folder / "etcd", 3, flags=["--snapshot-count=20"])
    for node in cluster.nodes:
        node.binary = programs(request.param, folder) / "etcd"
    with cluster:
        yield with_data(cluster)


def test_words_of_damaged_data_are_found_in_the_logs_of_real_members(stopped: Stopped) -> None:
    for name, (harm, means) in DAMAGED.items():
        ended, lines = stopped.says(harm)
        assert ended, (name, lines[-3:])
        assert means in str(damage(lines)), (name, last_words(lines), lines[-3:])


def test_words_of_damaged_data_are_the_same_with_zap(stopped: Stopped) -> None:
    for name, (harm, means) in DAMAGED.items():
        ended, lines = stopped.says(harm, ZAP)
        assert ended, (name, lines[-3:])
        assert means in str(damage(lines)), (name, last_words(lines), lines[-3:])


def test_what_may_be_something_else_is_no_damage(stopped: Stopped) -> None:
    for name, harm in ELSE.items():
        ended, lines = stopped.says(harm)
        assert ended, (name, lines[-3:])
        assert damage(lines) is None, name
    ended, lines = stopped.says(lambda _: None, "--no-such-flag=1")
    assert ended
    assert (damage(lines), initial_check(lines)) == (None, None)
    ended, lines = stopped.says(lambda _: None, f"--listen-peer-urls={stopped.cluster.nodes[0].peer_url}")
    assert ended, lines[-3:]
    assert damage(lines) is None, lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_data_that_may_not_be_read_are_no_damage(stopped: Stopped, tmp_path: Path) -> None:
    binary, wrapper = stopped.node.binary, tmp_path / "etcd"
    # Nobody may read the directory; the binary is handed over open, since its folder is root's as well.
    wrapper.write_text(f'#!/bin/sh\nexec 9<{binary}\nexec setpriv --reuid=65534 --clear-groups /proc/self/fd/9 "$@"\n')
    wrapper.chmod(0o755)
    stopped.node.binary = wrapper
    try:
        ended, lines = stopped.says(lambda data: (data / "member").chmod(0o700))
    finally:
        stopped.node.binary = binary
    assert ended, lines[-3:]
    # 3.4 does not say why.
    assert any("permission denied" in line or "error listing data dir" in line for line in lines), lines
    assert damage(lines) is None


def test_the_initial_check_names_the_hashes_of_the_others(stopped: Stopped) -> None:
    ended, lines = stopped.says(change, "--experimental-initial-corrupt-check=true", ZAP)
    assert ended, lines[-3:]
    assert damage(lines) is None
    found = initial_check(lines)
    assert found is not None, lines[-5:]
    assert found.release.startswith("3.")
    assert list(found.peers.values()) == [frozenset(node.peer_url for node in stopped.cluster.nodes[:2])]


@pytest.mark.parametrize("name", MENDED)
def test_what_etcd_mends_is_no_damage(name: str, tmp_path: Path) -> None:
    # A cluster for each: what such a member has acknowledged since, an older copy of its data would lack.
    with EtcdCluster(tmp_path / "etcd", 3, flags=["--snapshot-count=20"]) as cluster:
        member = with_data(cluster)
        ended, lines = member.says(MENDED[name], seconds=2)
        assert not ended, lines[-5:]
        assert damage(lines) is None
        member.node.start()
        cluster.wait_healthy()


def seen(cluster: EtcdCluster) -> tuple[Cluster, ClusterObservation]:
    """Return what a deep look at a cluster finds."""
    nr, found = nornir(cluster)
    try:
        return found, observe(nr, found, ssh=False, deep=True)
    finally:
        for host in nr.inventory.hosts.values():
            host.close_connections()


def test_a_member_whose_database_was_changed_is_found_by_its_hash(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        member = with_data(cluster)
        change(tmp_path / member.node.name)
        member.node.start()
        cluster.wait_healthy()
        found, observation = seen(cluster)
        assert set(damages(found, observation)) == {member.node.name}, observation.endpoints
        assert doubts(found, observation) == []


@pytest.mark.parametrize("release", RELEASES)
def test_a_corrupt_alarm_refuses_writes_and_neither_reads_nor_the_list(release: str, tmp_path: Path) -> None:
    cluster = EtcdCluster(tmp_path / "etcd", 3)
    for node in cluster.nodes:
        node.binary = programs(release, tmp_path) / "etcd"
    with cluster:
        cluster.wait_healthy()
        with closing(cluster.open(cluster.nodes[0])) as plugin:
            number = status(plugin.connection, timeout=5).member_id
            activate = etcdrpc.AlarmRequest(action=etcdrpc.AlarmRequest.ACTIVATE, memberID=number, alarm=2)
            plugin.connection.maintenancestub.Alarm(activate, timeout=5)
            for restarted in (False, True):
                with pytest.raises(grpc.RpcError, match="corrupt cluster"):
                    plugin.connection.kvstub.Put(etcdrpc.PutRequest(key=b"a", value=b"b"), timeout=5)
                found, observation = seen(cluster)
                state = cluster_state(found, observation)
                assert (state.life, state.healthy) == ("live", frozenset(node.name for node in cluster.nodes))
                assert {one.alarms for one in observation.endpoints.values()} == {(Alarm(number, "CORRUPT"),)}
                assert not any(isinstance(one.hash, Unknown) for one in observation.endpoints.values())
                # It is not known to be right: these releases name whomever the leader contradicts.
                assert damages(found, observation) == {}
                assert "releases before 3.6" in "".join(doubts(found, observation))
                if not restarted:
                    for node in cluster.nodes:
                        node.stop()
                        node.start()
                    cluster.wait_healthy()
