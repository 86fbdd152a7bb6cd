"""Snapshots of real members of every release at hand: taken under writes, checked by etcd's tools, restored, read."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.connections.rpc import Chunk, snapshot
from nornir_etcd.connections.rpc import status as member_status
from nornir_etcd.etcdutl import snapshot_status
from nornir_etcd.exceptions import EtcdRefused, EtcdTimeout, EtcdUnreachable, SnapshotError
from nornir_etcd.snapshots import SavedSnapshot, kept, save, status
from nornir_etcd.tasks import save_snapshot
from tests.contract.etcd_cluster import EtcdCluster, Node
from tests.contract.inventory import nornir
from tests.contract.releases import RELEASES, programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etcd3 import MultiEndpointEtcd3Client
    from nornir.core.task import MultiResult

pytestmark = pytest.mark.contract

TIMEOUT = 20.0  # seconds for a call or a tool
VALUE = os.urandom(100_000).hex()  # 200 kB
LARGE = 120
"""Values of a database that does not fit into what gRPC and the kernel hold on the way."""
WRITES = 2000


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release's programs."""
    return programs(request.param, tmp_path_factory.mktemp("release"))


def cluster_of(directory: Path, release: Path, size: int = 1) -> EtcdCluster:
    made = EtcdCluster(directory, size)
    for node in made.nodes:
        node.binary = release / "etcd"
    return made


@pytest.fixture
def one(release: Path, tmp_path: Path) -> Iterator[EtcdCluster]:
    """One member of a release, healthy."""
    with cluster_of(tmp_path / "one", release) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member with some 25 MB of data."""
    with EtcdCluster(tmp_path_factory.mktemp("large")) as cluster:
        cluster.wait_healthy()
        with client_of(cluster) as client:
            for number in range(LARGE):
                client.put(f"large{number}", VALUE)
        yield cluster


@contextmanager
def client_of(cluster: EtcdCluster) -> Iterator[MultiEndpointEtcd3Client]:
    with closing(cluster.open(cluster.nodes[0], timeout=TIMEOUT)) as plugin:
        yield plugin.connection


class Writer:
    """Puts key after key until it is stopped, and knows which of them etcd has acknowledged."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self.acknowledged = 0
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        with client_of(self._cluster) as client:
            for number in range(WRITES):
                if self._stop.is_set():
                    return
                client.put(f"key{number}", f"value{number}")
                self.acknowledged = number + 1

    def __enter__(self) -> Writer:  # noqa: PYI034 - typing.Self comes with Python 3.11
        self._thread.start()
        deadline = time.monotonic() + TIMEOUT
        while not self.acknowledged:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)


def run(cluster: EtcdCluster, name: str, **data: Any) -> MultiResult:
    """Run the task on one member."""
    nr, found = nornir(cluster, **data)
    try:
        return nr.filter(name=name).run(task=save_snapshot, cluster=found)[name]
    finally:
        nr.close_connections(on_failed=True)


def saved(done: MultiResult) -> SavedSnapshot:
    assert not done.failed, done[0].exception
    assert isinstance(done[0].result, SavedSnapshot)
    return done[0].result


def restore(snapshot: Path, release: Path, directory: Path) -> EtcdCluster:
    """Make a data directory of a snapshot, with the release's own tool, and a cluster of one on it."""
    made = cluster_of(directory, release)
    node = made.nodes[0]
    tool = release / "etcdutl"
    command = [
        *(str(tool if tool.exists() else release / "etcdctl"), "snapshot", "restore", str(snapshot)),
        f"--name={node.name}",
        f"--initial-cluster={node.name}={node.peer_url}",
        f"--initial-advertise-peer-urls={node.peer_url}",
        f"--data-dir={directory / node.name}",
    ]
    done = subprocess.run(  # noqa: S603 - etcd's tool with arguments of our own
        command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env={"ETCDCTL_API": "3"}
    )
    assert done.returncode == 0, done.stderr
    return made


def test_a_snapshot_under_writes_is_whole_agreed_on_by_etcds_tool_and_restores_every_acknowledged_write(
    one: EtcdCluster, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(release))
    folder = tmp_path / "snapshots"
    with client_of(one) as client:
        for number in range(20):
            client.put(f"large{number}", VALUE)
    with Writer(one) as writer:
        before = writer.acknowledged
        done = run(one, "m1", etcd_snapshot_dir=str(folder))
        assert writer.acknowledged > before, "no write went on meanwhile"
    taken = saved(done)

    content = taken.path.read_bytes()
    assert len(content) == taken.bytes
    assert len(content) % 512 == 32
    assert hashlib.sha256(content[:-32]).digest() == content[-32:] == bytes.fromhex(taken.sha256)

    found = status(taken.path, timeout=TIMEOUT)
    assert found.told is not None
    assert found.told.tool == ("etcdutl" if (release / "etcdutl").exists() else "etcdctl")
    assert (found.told.size, found.sha256) == (taken.bytes - 32, taken.sha256)
    assert found.told.keys > 20 + before
    assert taken.revision == found.told.revision > before
    assert taken.checked_by == found.checked_by == f"SHA-256 trailer and {found.told.tool} snapshot status"
    assert taken.path.read_bytes() == content, "the tool only reads"

    with restore(taken.path, release, tmp_path / "again") as again:
        again.wait_healthy()
        with client_of(again) as client:
            values = {meta.key.decode(): value.decode() for value, meta in client.get_prefix("key")}
            assert {f"key{number}": f"value{number}" for number in range(before)}.items() <= values.items()
            assert {value.decode() for value, _ in client.get_prefix("large")} == {VALUE}
            assert member_status(client, timeout=TIMEOUT).revision >= taken.revision


def test_the_revision_is_true_though_a_compaction_has_taken_the_newest_key_away(
    one: EtcdCluster, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(release))
    with client_of(one) as client:
        for number in range(5):
            client.put(f"key{number}", "value")
        client.delete("key4")
        newest = member_status(client, timeout=TIMEOUT).revision
        client.compact(newest, physical=True)
        done = run(one, "m1", etcd_snapshot_dir=str(tmp_path / "snapshots"))
    told = snapshot_status(saved(done).path, timeout=TIMEOUT)
    assert told is not None
    assert told.revision <= newest  # 3.4 takes the mark of the deletion away as well
    assert saved(done).revision == newest
    assert saved(done).path.name.endswith(f"-rev{newest}.db")


@pytest.mark.parametrize("damage", ["cut", "pages", "text"])
def test_a_damaged_file_is_told_by_us_and_by_etcds_tool(
    one: EtcdCluster, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setenv("PATH", str(release))
    path = saved(run(one, "m1", etcd_snapshot_dir=str(tmp_path / "snapshots"))).path
    content = path.read_bytes()
    size = len(content) - 32
    damaged = {
        "cut": content[: size // 2],
        "pages": content[:8192] + bytes(byte ^ 0xFF for byte in content[8192:size]),
        "text": b"no database\n" * 4000,
    }[damage]
    path.write_bytes(damaged)
    with pytest.raises(SnapshotError, match="wanted a database and its SHA-256 in the last 32 bytes"):
        status(path, timeout=TIMEOUT)
    # The same with a SHA-256 that fits, as of a member whose own database is damaged.
    whole = damaged[: len(damaged) // 512 * 512]
    path.write_bytes(whole + hashlib.sha256(whole).digest())
    with pytest.raises(SnapshotError) as caught:
        status(path, timeout=TIMEOUT)
    line = str(caught.value)
    assert line.startswith((f"snapshot {path}: wanted a database that {release}/etcd", f"snapshot {path}: wanted the "))
    assert line.endswith("damaged: take another one")
    assert "\n" not in line
    assert len(line) < 500


def test_the_task_takes_it_from_any_voter_and_keeps_what_it_is_told_to(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    folder = tmp_path / "snapshots"
    settings = {"etcd_snapshot_dir": str(folder), "etcd_snapshot_keep": 1}
    with cluster_of(tmp_path / "three", release, 3) as cluster:
        cluster.wait_healthy()
        with client_of(cluster) as client:
            client.put("key", "value")
        first = run(cluster, "m1", **settings)
        time.sleep(1.1)  # names tell seconds
        second = run(cluster, "m2", **settings)
    assert saved(second).removed == (saved(first).path,)
    assert [one.path for one in kept(folder, "example")] == [saved(second).path]
    assert saved(second).checked_by == "SHA-256 trailer alone: no etcdutl or etcdctl for it in PATH"
    path, size = saved(second).path, saved(second).bytes
    assert second[0].changed
    assert second[0].diff.startswith(f"+ {path} (")
    assert second[0].diff.endswith(f"\n- {saved(first).path}\n")
    assert path.stat().st_size == size


def test_a_dry_run_looks_at_room_and_member_and_writes_nothing(large: EtcdCluster, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    nr, found = nornir(large, etcd_snapshot_dir=str(folder))
    nr.data.dry_run = True
    done = nr.run(task=save_snapshot, cluster=found)["m1"]
    nr.close_connections()
    assert (done[0].changed, done[0].diff, done[0].result) == (True, f"+ {folder}: a snapshot\n", None)
    assert not folder.exists()


def test_without_a_quorum_no_snapshot_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    with EtcdCluster(tmp_path / "three", 3) as cluster:
        cluster.wait_healthy()
        for node in cluster.nodes[1:]:
            node.stop(signal.SIGKILL)
        done = run(cluster, "m1", etcd_snapshot_dir=str(folder), etcd_timeout=1)
    assert isinstance(done[0].exception, EtcdTimeout)
    assert not folder.exists()


def test_a_member_that_is_down_is_told(tmp_path: Path) -> None:
    cluster = EtcdCluster(tmp_path / "one")
    done = run(cluster, "m1", etcd_snapshot_dir=str(tmp_path / "snapshots"))
    assert isinstance(done[0].exception, EtcdUnreachable)
    assert not (tmp_path / "snapshots").exists()


def test_chunks_come_with_what_is_left_and_the_checksum_last(large: EtcdCluster) -> None:
    with client_of(large) as client, closing(snapshot(client, timeout=TIMEOUT)) as stream:
        chunks = list(stream)
    total = sum(len(chunk.blob) for chunk in chunks)
    assert [chunk.remaining for chunk in chunks[:-1]] == [
        total - 32 - sent for sent in itertools.accumulate(len(chunk.blob) for chunk in chunks[:-1])
    ]
    assert (len(chunks[-1].blob), chunks[-1].remaining, chunks[-2].remaining) == (32, 0, 0)
    assert total > LARGE * 200_000


def _then(stream: Iterator[Chunk], action: Any) -> Iterator[bytes]:
    """Hand a stream on, and do something once it has begun."""
    yield next(stream).blob
    action()
    for chunk in stream:
        yield chunk.blob


def _save(chunks: Iterator[bytes], folder: Path) -> SavedSnapshot:
    now = datetime.now(tz=timezone.utc)
    return save(chunks, folder, "one", database=1, revision=1, keep=1, now=now, timeout=TIMEOUT)


def _fill(cluster: EtcdCluster) -> Node:
    cluster.wait_healthy()
    with client_of(cluster) as client:
        for number in range(LARGE):
            client.put(f"large{number}", VALUE)
    return cluster.nodes[0]


def test_a_member_that_is_killed_under_its_snapshot_leaves_none(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path / "one") as cluster:
        node = _fill(cluster)
        with (
            client_of(cluster) as client,
            closing(snapshot(client, timeout=TIMEOUT)) as stream,
            pytest.raises(EtcdUnreachable) as caught,
        ):
            _save(_then(stream, lambda: node.stop(signal.SIGKILL)), tmp_path / "snapshots")
    line = str(caught.value)
    assert line.startswith(f"snapshot from etcd at {node.address}:2379: wanted all of it, found ")
    assert " bytes still to come when it broke off (" in line
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == [".lock"]


def test_a_member_that_hangs_under_its_snapshot_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path / "one") as cluster:
        node = _fill(cluster)
        process = node.process
        assert process is not None
        began = time.monotonic()
        with (
            client_of(cluster) as client,
            closing(snapshot(client, timeout=2)) as stream,
            pytest.raises(EtcdTimeout) as caught,
        ):
            _save(_then(stream, lambda: process.send_signal(signal.SIGSTOP)), tmp_path / "snapshots")
        process.send_signal(signal.SIGCONT)
    assert time.monotonic() - began < 10
    line = str(caught.value)
    assert line.startswith(f"snapshot from etcd at {node.address}:2379: wanted all of it within 2 s, found ")
    assert line.endswith(" bytes still to come; raise etcd_snapshot_timeout")
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == [".lock"]


def test_a_stream_that_nobody_reads_on_is_ended_at_the_member(large: EtcdCluster) -> None:
    with client_of(large) as client:
        for _ in range(20):
            with closing(snapshot(client, timeout=TIMEOUT)) as stream:
                next(stream)
        assert member_status(client, timeout=TIMEOUT).db_size > LARGE * 200_000


def test_a_client_that_may_not_read_all_gets_no_snapshot(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    with EtcdCluster(tmp_path / "one") as cluster:
        cluster.wait_healthy()
        tool = programs(RELEASES[0], tmp_path) / "etcdctl"
        files, node = cluster.client_files, cluster.nodes[0]
        for words in ("user add root --new-user-password=secret", "user grant-role root root", "auth enable"):
            tls = (f"--cacert={cluster.ca.path}", f"--cert={files.cert}", f"--key={files.key}")
            command = [str(tool), f"--endpoints={node.client_url}", *tls, *words.split()]
            subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)  # noqa: S603 - as above
        done = run(cluster, "m1", etcd_snapshot_dir=str(folder))
    assert isinstance(done[0].exception, EtcdRefused)
    assert not kept(folder, "example")


def test_memory_does_not_grow_with_the_database(large: EtcdCluster, tmp_path: Path) -> None:
    def memory(field: str) -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

    saved(run(large, "m1", etcd_snapshot_dir=str(tmp_path / "first")))  # what is imported on the way is not counted
    before = memory("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM is what it is now: proc(5)
    taken = saved(run(large, "m1", etcd_snapshot_dir=str(tmp_path / "second")))
    assert taken.bytes > LARGE * 200_000
    assert memory("VmHWM:") - before < taken.bytes / 2
