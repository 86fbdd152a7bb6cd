"""What etcd answers, read over the connection plugin `etcd`."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from etcd3 import etcdrpc

from nornir_etcd.connections.membership_rpc import member_add
from nornir_etcd.connections.rpc import alarms, auth_enabled, linearizable_read, member_list, status
from nornir_etcd.exceptions import EtcdError, EtcdRefused, EtcdTimeout, EtcdUnreachable
from nornir_etcd.observation import Alarm
from tests.contract.etcd_cluster import EtcdCluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etcd3 import MultiEndpointEtcd3Client

pytestmark = pytest.mark.contract

TIMEOUT = 5.0


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members, healthy."""
    with EtcdCluster(tmp_path_factory.mktemp("three"), 3) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture
def one(tmp_path: Path) -> Iterator[EtcdCluster]:
    """One member, healthy."""
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture
def client(one: EtcdCluster) -> Iterator[MultiEndpointEtcd3Client]:
    """A client of the only member."""
    plugin = one.open(one.nodes[0])
    yield plugin.connection
    plugin.close()


def test_members_of_a_cluster_agree_on_cluster_leader_and_list(three: EtcdCluster) -> None:
    plugins = [three.open(node) for node in three.nodes]
    stati = [status(plugin.connection, timeout=TIMEOUT) for plugin in plugins]
    lists = [member_list(plugin.connection, linearizable=True, timeout=TIMEOUT) for plugin in plugins]
    assert {answer.cluster_id for answer in stati} == {answer.cluster_id for answer in lists} == {stati[0].cluster_id}
    assert {answer.leader for answer in stati} < {answer.member_id for answer in stati}
    assert [answer.member_id for answer in stati] == [answer.answered_by for answer in lists]
    assert all(answer.members == lists[0].members for answer in lists)
    wanted = {(node.name, (node.peer_url,), (node.client_url,), False) for node in three.nodes}
    assert {(m.name, m.peer_urls, m.client_urls, m.is_learner) for m in lists[0].members} == wanted
    assert {m.id for m in lists[0].members} == {answer.member_id for answer in stati}
    for plugin in plugins:
        plugin.close()


def test_a_status_is_read_completely(three: EtcdCluster) -> None:
    plugin = three.open(three.nodes[0])
    answer = status(plugin.connection, timeout=TIMEOUT)
    plugin.close()
    assert answer.version.startswith("3.")
    assert answer.db_size >= answer.db_size_in_use > 0
    assert answer.raft_index >= answer.raft_applied_index > 0
    assert answer.raft_term > 0
    assert (answer.is_learner, answer.errors) == (False, ())


def test_ids_above_the_signed_range_are_exact(three: EtcdCluster) -> None:
    plugin = three.open(three.nodes[0])
    ids = {member.id for member in member_list(plugin.connection, linearizable=False, timeout=TIMEOUT).members}
    # etcd3's own messages read the same bytes, by etcd's own declarations.
    assert ids == {member.id for member in plugin.connection.members}
    assert max(ids) > 2**53
    plugin.close()


def test_a_linearizable_read_tells_its_seconds(three: EtcdCluster) -> None:
    plugin = three.open(three.nodes[0])
    assert 0 < linearizable_read(plugin.connection, timeout=TIMEOUT) < TIMEOUT
    plugin.close()


def test_a_healthy_cluster_has_no_alarms(three: EtcdCluster) -> None:
    plugin = three.open(three.nodes[0])
    assert alarms(plugin.connection, timeout=TIMEOUT) == ()
    plugin.close()


def test_one_member_down_and_then_no_quorum(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        survivor, second, third = cluster.nodes
        down, up = cluster.open(third), cluster.open(survivor)
        third.stop(signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(EtcdUnreachable, match="connection refused; check that etcd runs"):
            status(down.connection, timeout=TIMEOUT)
        assert time.monotonic() - start < 0.5
        cluster.wait_healthy([survivor, second])

        second.stop(signal.SIGKILL)
        with pytest.raises(EtcdTimeout, match="wanted an answer within 1 s"):
            linearizable_read(up.connection, timeout=1)
        assert status(up.connection, timeout=TIMEOUT).version
        assert len(member_list(up.connection, linearizable=False, timeout=TIMEOUT).members) == 3
        # etcd itself gives up after 5 s and two election time-outs, and says "unavailable" like a dead endpoint.
        with pytest.raises(EtcdError) as caught:
            linearizable_read(up.connection, timeout=30)
        assert isinstance(caught.value, EtcdTimeout)
        assert "etcdserver: request timed out" in str(caught.value)
        down.close()
        up.close()


def test_a_read_that_an_election_breaks_off_is_made_again(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        plugins = {node.name: cluster.open(node) for node in cluster.nodes}
        (leader,) = {status(plugin.connection, timeout=TIMEOUT).leader for plugin in plugins.values()}
        names = {
            info.id: info.name for info in member_list(plugins["m1"].connection, linearizable=True, timeout=5).members
        }
        lost = next(node for node in cluster.nodes if node.name == names[leader])
        lost.stop(signal.SIGKILL)
        # etcd refuses what waited for the former leader: "etcdserver: leader changed".
        for name in plugins.keys() - {lost.name}:
            assert linearizable_read(plugins[name].connection, timeout=10) < 10
        for plugin in plugins.values():
            plugin.close()


def test_a_restarted_member_is_seen_within_a_second(one: EtcdCluster, client: MultiEndpointEtcd3Client) -> None:
    node = one.nodes[0]
    status(client, timeout=TIMEOUT)
    node.stop()
    with pytest.raises(EtcdUnreachable):
        status(client, timeout=TIMEOUT)
    node.start()
    one.wait_healthy()
    deadline = time.monotonic() + 1
    while True:
        try:
            status(client, timeout=TIMEOUT)
            break
        except EtcdUnreachable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_unstarted_learner_has_no_name_and_a_started_one_says_what_it_is(
    one: EtcdCluster, client: MultiEndpointEtcd3Client
) -> None:
    node = one.joining()
    number = member_add(client, peer_url=node.peer_url, timeout=TIMEOUT)
    (added,) = (m for m in member_list(client, linearizable=True, timeout=TIMEOUT).members if m.is_learner)
    assert (added.name, added.started, added.peer_urls, added.client_urls) == ("", False, (node.peer_url,), ())

    one.join(node)
    plugin = one.open(node)
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = status(plugin.connection, timeout=TIMEOUT)
            break
        except EtcdUnreachable:
            assert time.monotonic() < deadline, node.log.read_text()[-3000:]
            time.sleep(0.1)
    assert (answer.is_learner, answer.member_id) == (True, added.id) == (True, number)
    # A learner serves no linearizable read: it answers, and it refuses.
    with pytest.raises(EtcdRefused, match="rpc not supported for learner"):
        linearizable_read(plugin.connection, timeout=TIMEOUT)
    with pytest.raises(EtcdRefused, match="rpc not supported for learner"):
        auth_enabled(plugin.connection, timeout=TIMEOUT)
    plugin.close()


def test_an_exhausted_quota_is_seen_as_an_alarm_and_in_the_status(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, flags=["--quota-backend-bytes=65536"]) as cluster:
        cluster.wait_healthy()
        plugin = cluster.open(cluster.nodes[0])
        client = plugin.connection
        fill_up(client)
        answer = status(client, timeout=TIMEOUT)
        assert alarms(client, timeout=TIMEOUT) == (Alarm(answer.member_id, "NOSPACE"),)
        assert any("NOSPACE" in error for error in answer.errors)
        # Reads still work: 3.4's etcdctl calls such a member healthy, 3.5's does not. The alarm tells.
        assert linearizable_read(client, timeout=TIMEOUT) < TIMEOUT
        plugin.close()


def fill_up(client: MultiEndpointEtcd3Client) -> None:
    """Write until etcd refuses for want of space."""
    for number in range(100):
        try:
            client.put(f"key{number}", "x" * 4096)
        except grpc.RpcError as error:  # noqa: PERF203 - it ends the loop
            assert "database space exceeded" in str(error)  # noqa: PT017 - which put is refused is etcd's to say
            return
    pytest.fail("the quota holds no one back")


def test_a_corruption_alarm_is_named(one: EtcdCluster, client: MultiEndpointEtcd3Client) -> None:
    member_id = status(client, timeout=TIMEOUT).member_id
    activate = etcdrpc.AlarmRequest(action=etcdrpc.AlarmRequest.ACTIVATE, memberID=member_id, alarm=2)
    client.maintenancestub.Alarm(activate, timeout=TIMEOUT)
    assert alarms(client, timeout=TIMEOUT) == (Alarm(member_id, "CORRUPT"),)
    assert one.nodes[0].process is not None


def test_permission_denied_counts_as_healthy(client: MultiEndpointEtcd3Client) -> None:
    # The client certificate's common name, "client", is the user (--client-cert-auth); it has no role.
    stub = client.authstub
    stub.UserAdd(etcdrpc.AuthUserAddRequest(name="root", password="x"), timeout=TIMEOUT)  # noqa: S106 - a test's own
    stub.RoleAdd(etcdrpc.AuthRoleAddRequest(name="root"), timeout=TIMEOUT)
    stub.UserGrantRole(etcdrpc.AuthUserGrantRoleRequest(user="root", role="root"), timeout=TIMEOUT)
    stub.UserAdd(etcdrpc.AuthUserAddRequest(name="client", password="x"), timeout=TIMEOUT)  # noqa: S106 - as above
    stub.AuthEnable(etcdrpc.AuthEnableRequest(), timeout=TIMEOUT)
    assert linearizable_read(client, timeout=TIMEOUT) < TIMEOUT
    assert status(client, timeout=TIMEOUT).version
    with pytest.raises(Exception, match="permission denied"):
        client.kvstub.Range(etcdrpc.RangeRequest(key=b"health"), timeout=TIMEOUT)
