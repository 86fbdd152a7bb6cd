"""A whole cluster observed in depth, against real members: what is asked, and at which revision it is compared."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.connections.rpc import hash_kv, status
from nornir_etcd.exceptions import EtcdRefused
from nornir_etcd.observation import NOT_READ, EndpointObservation, HashKv, Metrics, Probes, Quantile, Unknown
from nornir_etcd.observe import observe, observe_endpoint
from nornir_etcd.versions import parse
from tests.contract.etcd_cluster import EtcdCluster
from tests.contract.inventory import nornir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nornir_etcd.observation import ClusterObservation

pytestmark = pytest.mark.contract

TIMEOUT = 5.0


@pytest.fixture
def three(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three members, healthy, with some keys."""
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        write(cluster, 5)
        yield cluster


def write(cluster: EtcdCluster, count: int) -> None:
    """Put some keys."""
    with closing(cluster.open(cluster.nodes[0])) as plugin:
        for number in range(count):
            plugin.connection.put(f"key{number}", "value")


def observed(cluster: EtcdCluster, **data: Any) -> ClusterObservation:
    """Return what a deep look at the cluster finds."""
    nr, found = nornir(cluster, **data)
    try:
        return observe(nr, found, ssh=False, deep=True)
    finally:
        for host in nr.inventory.hosts.values():
            host.close_connections()


def test_a_deep_look_asks_every_member_for_its_hash_at_one_revision_its_metrics_and_probes(three: EtcdCluster) -> None:
    seen = observed(three).endpoints
    hashes = [one.hash for one in seen.values()]
    assert all(isinstance(one, HashKv) for one in hashes)
    assert len(set(hashes)) == 1
    stati = [one.status for one in seen.values() if not isinstance(one.status, Unknown)]
    assert {one.revision for one in stati} == {6} == {one.revision for one in hashes if isinstance(one, HashKv)}
    for one in seen.values():
        assert isinstance(one.metrics, Metrics)
        assert isinstance(one.metrics.wal_fsync, Quantile)
        assert isinstance(one.probes, Probes)
        assert set(one.probes.answers.values()) == {200}
        assert not isinstance(one.read_seconds, Unknown)
        assert not isinstance(one.status, Unknown)
        minor = parse(one.status.version).minor
        assert (one.cluster_version, one.auth) == (f"3.{minor}.0", False)


def test_a_look_that_is_not_deep_asks_for_none_of_it(three: EtcdCluster) -> None:
    nr, cluster = nornir(three)
    for one in observe(nr, cluster, ssh=False).endpoints.values():
        assert (one.hash, one.metrics, one.probes) == (NOT_READ, NOT_READ, NOT_READ)
        assert (one.cluster_version, one.auth) == (NOT_READ, NOT_READ)
        assert not isinstance(one.status, Unknown)
    for host in nr.inventory.hosts.values():
        host.close_connections()


def test_one_endpoint_alone_has_metrics_and_probes_and_no_hash(three: EtcdCluster) -> None:
    nr, cluster = nornir(three)
    seen = nr.run(task=observe_endpoint, cluster=cluster, deep=True)["m2"][0].result
    assert isinstance(seen, EndpointObservation)
    assert isinstance(seen.metrics, Metrics)
    assert isinstance(seen.probes, Probes)
    assert isinstance(seen.cluster_version, str)
    assert seen.auth is False
    assert isinstance(seen.hash, Unknown)
    for host in nr.inventory.hosts.values():
        host.close_connections()


def test_a_member_that_is_down_leaves_the_hashes_of_the_others(three: EtcdCluster) -> None:
    three.nodes[2].stop(signal.SIGKILL)
    seen = observed(three).endpoints
    for found in (seen["m3"].hash, seen["m3"].metrics, seen["m3"].probes, seen["m3"].cluster_version, seen["m3"].auth):
        assert isinstance(found, Unknown)
        assert found.reason == "not asked, since the client port refuses connections"
    assert seen["m1"].hash == seen["m2"].hash
    assert isinstance(seen["m1"].hash, HashKv)
    assert seen["m1"].auth is seen["m2"].auth is False


def test_without_a_quorum_the_cluster_version_is_told_and_authentication_is_not_asked_again(three: EtcdCluster) -> None:
    for node in three.nodes[1:]:
        node.stop(signal.SIGKILL)
    seen = observed(three).endpoints["m1"]
    assert isinstance(seen.cluster_version, str)
    assert seen.cluster_version.startswith("3.")
    assert isinstance(seen.read_seconds, Unknown)
    assert seen.auth is seen.read_seconds


def test_a_window_measures_what_came_in_it_or_all_where_nothing_came(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        metrics = observed(cluster, etcd_metrics_window=1).endpoints["m1"].metrics
    assert isinstance(metrics, Metrics)
    assert isinstance(metrics.wal_fsync, Quantile)
    assert metrics.wal_fsync.window in {0.0, 1.0}
    assert metrics.wal_fsync.samples > 0
    assert metrics.peer_round_trip == {}


def test_hashes_at_one_revision_agree_also_where_members_are_written_to_and_a_compacted_one_is_told(
    three: EtcdCluster,
) -> None:
    with closing(three.open(three.nodes[0])) as first, closing(three.open(three.nodes[1])) as second:
        revision = status(first.connection, timeout=TIMEOUT).revision
        before = hash_kv(first.connection, revision=revision, timeout=TIMEOUT)
        write(three, 3)
        assert hash_kv(second.connection, revision=revision, timeout=TIMEOUT) == before
        newest = hash_kv(first.connection, revision=0, timeout=TIMEOUT)
        assert newest.hash != before.hash
        first.connection.compact(revision + 2)
        with pytest.raises(EtcdRefused, match="required revision has been compacted"):
            hash_kv(first.connection, revision=revision, timeout=TIMEOUT)
        with pytest.raises(EtcdRefused, match="required revision is a future revision"):
            hash_kv(first.connection, revision=revision + 1000, timeout=TIMEOUT)


def test_certificate_files_that_are_not_there_are_told_and_nothing_is_asked(three: EtcdCluster, tmp_path: Path) -> None:
    nr, cluster = nornir(three, generate_certs_dir=str(tmp_path / "nothing"))
    for host in nr.inventory.hosts.values():
        host.connection_options.clear()
    for one in observe(nr, cluster, ssh=False, deep=True).endpoints.values():
        assert one.blind is not None
        assert one.hash == one.metrics == one.probes == one.cluster_version == one.auth == one.blind
