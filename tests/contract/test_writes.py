"""The writer that watches operations: against real etcd, and against what it must not miss."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.connections.rpc import status
from tests.contract.etcd_cluster import EtcdCluster, Files, Node, TestCa, loopback_addresses
from tests.lab.verdict import Attempt, Found, Gap, Reading, all_gaps, judge
from tests.lab.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.verdict import Verdict

pytestmark = pytest.mark.contract

FRESH = 25  # more writes through a member than any connection of it lasts


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members, healthy."""
    with EtcdCluster(tmp_path_factory.mktemp("three"), 3) as cluster:
        cluster.wait_healthy()
        yield cluster


def identity(ca: TestCa, files: Files) -> tuple[Path, Path, Path]:
    return ca.path, files.cert, files.key


def writer(cluster: EtcdCluster, directory: Path) -> Writer:
    urls = [node.client_url for node in cluster.nodes]
    return Writer(directory / "writer", urls, [identity(cluster.ca, cluster.client_files)])


def some_key(cluster: EtcdCluster) -> str:
    """The newest key of the run that goes on."""
    with closing(cluster.open(cluster.nodes[0])) as plugin:
        keys = [metadata for _, metadata in plugin.connection.get_prefix("writer/", keys_only=True)]
    return str(max(keys, key=lambda metadata: int(metadata.mod_revision)).key.decode())


def leader(cluster: EtcdCluster) -> Node:
    for node in cluster.nodes:
        with closing(cluster.open(node)) as plugin:
            answer = status(plugin.connection, timeout=5)
            if answer.leader == answer.member_id:
                return node
    raise AssertionError("no leader")


def failed_at(verdict: Verdict, node: Node) -> list[str]:
    return [failure.first.error for failure in verdict.failed if failure.first.endpoint == node.client_url]


def test_a_quiet_run_loses_nothing_and_keeps_making_new_connections(cluster: EtcdCluster, tmp_path: Path) -> None:
    with writer(cluster, tmp_path) as running:
        running.wait(3 * FRESH)
        verdict = running.stop()
    assert verdict.ok
    assert verdict.failed == []
    assert verdict.withheld == 0
    assert verdict.judgement.unacknowledged == 0
    urls = [node.client_url for node in cluster.nodes]
    assert sorted(verdict.acknowledged) == sorted(urls)
    for handshakes in verdict.handshakes:
        assert handshakes.made >= 3
        assert handshakes.failed == 0
    assert sum(verdict.acknowledged.values()) >= 3 * 3 * FRESH
    assert verdict.longest_gap.seconds < 1
    with closing(cluster.open(cluster.nodes[1])) as plugin:
        keys = list(plugin.connection.get_prefix(f"writer/{verdict.run}/", keys_only=True))
    assert len(keys) == sum(verdict.acknowledged.values())


def test_an_acknowledged_write_that_is_deleted_is_lost(cluster: EtcdCluster, tmp_path: Path) -> None:
    with writer(cluster, tmp_path) as running:
        key = some_key(cluster)
        with closing(cluster.open(cluster.nodes[0])) as plugin:
            plugin.connection.delete(key)
        verdict = running.stop()
    assert not verdict.ok
    (lost,) = verdict.judgement.lost
    assert lost.write.key == key
    assert sorted(lost.missing_on) == sorted(node.client_url for node in cluster.nodes)
    assert verdict.judgement.altered == []


def test_an_acknowledged_write_that_is_written_over_is_altered(cluster: EtcdCluster, tmp_path: Path) -> None:
    with writer(cluster, tmp_path) as running:
        key = some_key(cluster)
        with closing(cluster.open(cluster.nodes[0])) as plugin:
            plugin.connection.put(key, "something else")
        verdict = running.stop()
    assert not verdict.ok
    (altered,) = verdict.judgement.altered
    assert altered.write.key == key
    assert {found.value for found in altered.found.values()} == {"something else"}
    assert verdict.judgement.lost == []


def test_a_member_whose_data_are_not_the_others_is_named(cluster: EtcdCluster, tmp_path: Path) -> None:
    other = EtcdCluster(tmp_path, nodes=[Node("other", loopback_addresses(1)[0], tmp_path)])
    other.ca, other.client_files = cluster.ca, cluster.client_files
    other.configure(other.nodes[0], [f"--initial-cluster=other={other.nodes[0].peer_url}"])
    urls = [node.client_url for node in (*cluster.nodes[:2], *other.nodes)]
    with other:
        other.wait_healthy()
        with Writer(tmp_path / "writer", urls, [identity(cluster.ca, cluster.client_files)]) as running:
            running.wait(5)
            verdict = running.stop()
    assert not verdict.ok
    assert list(verdict.judgement.differing) == [other.nodes[0].client_url]
    missing = {(lost.write.endpoint == urls[2], tuple(lost.missing_on)) for lost in verdict.judgement.lost}
    assert missing == {(False, (urls[2],)), (True, (urls[0], urls[1]))}


def test_a_member_that_is_gone_at_the_end_makes_the_verdict_bad_unless_it_is_left_out(
    cluster: EtcdCluster, tmp_path: Path
) -> None:
    urls = [node.client_url for node in cluster.nodes]
    gone = f"https://{loopback_addresses(1)[0]}:2379"
    for ends_with, ok in ((urls, True), ([*urls, gone], False)):
        with writer(cluster, tmp_path) as running:
            running.change(endpoints=[*urls, gone])
            time.sleep(1)
            running.change(endpoints=ends_with)
            verdict = running.stop()
        assert verdict.ok is ok
        assert list(verdict.unread) == ([] if ok else [gone])
        assert {failure.first.stage for failure in verdict.failed} == {"connect"}
        assert verdict.failed_twice == []
        assert gone not in verdict.acknowledged


def test_a_leader_that_is_killed_costs_no_acknowledged_write_and_its_gap_is_told(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        victim = leader(cluster)
        with writer(cluster, tmp_path) as running:
            running.wait(FRESH)
            killed = time.time()
            victim.stop(signal.SIGKILL)
            time.sleep(3)
            victim.start()
            cluster.wait_healthy()
            back = time.time()
            running.wait(FRESH)
            verdict = running.stop()
    assert verdict.ok
    assert failed_at(verdict, victim)
    for failure in verdict.failed:
        assert failure.retry.key != failure.first.key
        assert failure.retry.endpoint != failure.first.endpoint
    # An election takes 0.5 s here; a client that waits for its lost write would see 5 s.
    gaps = verdict.gaps_between(killed, back)
    assert verdict.longest_gap in gaps
    assert 0.3 < verdict.longest_gap.seconds < 4
    assert verdict.gaps_between(verdict.started - 2, verdict.started - 1) == []
    (handshakes,) = [it for it in verdict.handshakes if it.endpoint == victim.client_url]
    assert handshakes.failed > 0


def test_an_outage_that_lasts_to_the_end_is_a_gap(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        with writer(cluster, tmp_path) as running:
            cluster.nodes[0].stop(signal.SIGKILL)
            time.sleep(2)
            verdict = running.stop()
    assert not verdict.ok
    assert verdict.failed_twice
    assert "connection refused" in verdict.unread[cluster.nodes[0].client_url]
    assert verdict.longest_gap.seconds > 1
    assert verdict.longest_gap.end == verdict.stopped


def test_a_new_leaf_costs_at_most_one_retry(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        with writer(cluster, tmp_path) as running:
            for _ in range(3):
                for node in cluster.nodes:
                    cluster.ca.leaf(node.name, [node.name, "localhost", node.address, "127.0.0.1", "::1"])
                running.wait(FRESH)
            verdict = running.stop()
    assert verdict.ok
    assert verdict.failed_twice == []
    assert all(handshakes.made >= 3 for handshakes in verdict.handshakes)


def test_a_leaf_that_the_client_cannot_trust_is_noticed_by_the_next_new_connection(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        node = cluster.nodes[0]
        with writer(cluster, tmp_path) as running:
            own = [(tmp_path / "pki" / f"m1{end}.pem").read_bytes() for end in ("", "-key")]
            stranger = TestCa(tmp_path / "stranger", "stranger").leaf("m1", [node.address])
            (tmp_path / "pki/m1.pem").write_bytes(stranger.cert.read_bytes())
            (tmp_path / "pki/m1-key.pem").write_bytes(stranger.key.read_bytes())
            time.sleep(2)
            for end, content in zip(("", "-key"), own, strict=True):
                (tmp_path / "pki" / f"m1{end}.pem").write_bytes(content)
            running.wait(1)
            verdict = running.stop()
    assert verdict.ok
    assert any("a served certificate that cacert does not vouch for" in error for error in failed_at(verdict, node))
    assert verdict.failed_twice == []
    assert {failure.first.endpoint for failure in verdict.failed} == {node.client_url}


def test_an_identity_is_used_as_soon_as_its_files_are_there(cluster: EtcdCluster, tmp_path: Path) -> None:
    later = TestCa(tmp_path / "later", "later")  # etcd does not know it
    paths = (cluster.ca.path, tmp_path / "later/client.pem", tmp_path / "later/client-key.pem")
    urls = [node.client_url for node in cluster.nodes]
    own = identity(cluster.ca, cluster.client_files)
    with Writer(tmp_path / "writer", urls, [own, paths]) as running:
        running.wait(FRESH)
        later.leaf("client")
        running.wait(2 * FRESH)
        verdict = running.stop()
    assert verdict.ok
    by_identity = {name: [it for it in verdict.handshakes if it.identity == str(name)] for name in (own[1], paths[1])}
    assert all(it.made and not it.failed for it in by_identity[own[1]])
    assert all(it.failed and not it.made for it in by_identity[paths[1]])
    assert by_identity[paths[1]]


def test_a_writer_without_a_cluster_ends_with_its_reason(tmp_path: Path) -> None:
    ca = TestCa(tmp_path)
    silent = Writer(tmp_path, [f"https://{loopback_addresses(1)[0]}:2379"], [identity(ca, ca.leaf("x"))], seconds=0.5)
    with pytest.raises(AssertionError, match="the writer has ended"), silent:
        pass


def attempt(number: int, *, revision: int = 0, at: float = 0.0) -> Attempt:
    return Attempt(f"writer/x/{number}", f"v{number}", "m1", "cert", at, 0.0, "write", "", revision or number)


def test_each_acknowledged_write_is_compared_with_every_member() -> None:
    whole = {f"writer/x/{n}": Found(f"v{n}", n, 1) for n in (1, 2, 3)}
    assert judge([attempt(n) for n in (1, 2, 3)], {"m1": Reading(3, whole), "m2": Reading(3, whole)}).differing == {}
    spoilt = {**whole, "writer/x/2": Found("v2", 2, 2)}
    del spoilt["writer/x/3"]
    judged = judge([attempt(n) for n in (1, 2, 3)], {"m1": Reading(3, whole), "m2": Reading(3, spoilt)})
    assert [(one.write.key, one.missing_on) for one in judged.lost] == [("writer/x/3", ["m2"])]
    assert [(one.write.key, list(one.found)) for one in judged.altered] == [("writer/x/2", ["m2"])]
    assert judged.differing == {"m2": ["writer/x/2", "writer/x/3"]}


def test_a_write_that_appears_late_without_an_acknowledgement_is_no_difference() -> None:
    early, late = {"writer/x/1": Found("v1", 1, 1)}, {"writer/x/9": Found("v9", 7, 1)}
    judged = judge([attempt(1)], {"m1": Reading(6, early), "m2": Reading(7, early | late)})
    assert (judged.lost, judged.altered, judged.differing, judged.unacknowledged) == ([], [], {}, 1)
    judged = judge([attempt(1)], {"m1": Reading(7, early), "m2": Reading(7, early | late)})
    assert judged.differing == {"m2": ["writer/x/9"]}


def test_a_gap_is_the_time_between_two_acknowledgements_or_to_the_end() -> None:
    assert all_gaps([attempt(2, at=3.0), attempt(1, at=1.0)], 7.0) == [Gap(1.0, 3.0), Gap(3.0, 7.0)]
    assert all_gaps([attempt(1, at=1.0), attempt(2, at=8.0)], 7.0) == [Gap(1.0, 7.0)]
    assert all_gaps([], 7.0) == []
