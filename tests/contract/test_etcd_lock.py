"""The lock in a real etcd: who comes second, what ends a lease and what does not, and an etcd that takes no write."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

import pytest
from etcd3 import etcdrpc

from nornir_etcd.connections import lease
from nornir_etcd.etcd_lock import KEY, EtcdLock, NoWrites, take_etcd_lock
from nornir_etcd.exceptions import EtcdRefused, EtcdUnreachable
from nornir_etcd.holder import Holder
from tests.contract.etcd_cluster import EtcdCluster
from tests.contract.test_etcd_rpc import fill_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etcd3 import MultiEndpointEtcd3Client

    from tests.contract.etcd_cluster import Node

pytestmark = pytest.mark.contract

TIMEOUT = 5.0
SECONDS = 3
SOON = 10.0  # seconds that a busy machine may take

HERE = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
ELSEWHERE = ("10.0.0.1", "10.0.0.4")


def holder(run: str, hosts: tuple[str, ...] = HERE) -> Holder:
    return Holder(f"root@{run}", 123, "deploy", datetime.now(tz=timezone.utc).replace(microsecond=0), hosts, run)


@contextmanager
def opened(cluster: EtcdCluster, node: Node) -> Iterator[MultiEndpointEtcd3Client]:
    plugin = cluster.open(node)
    try:
        yield plugin.connection
    finally:
        plugin.close()


def take(
    cluster: EtcdCluster, run: str = "me", hosts: tuple[str, ...] = HERE, seconds: int = SECONDS
) -> EtcdLock | Holder | str:
    members = {node.name: partial(opened, cluster, node) for node in cluster.nodes}
    return take_etcd_lock(members, holder(run, hosts), cluster="example", seconds=seconds, timeout=TIMEOUT)


def had(found: EtcdLock | Holder | str) -> EtcdLock:
    assert isinstance(found, EtcdLock), found
    return found


def is_lost(lock: EtcdLock, within: float = SOON) -> str:
    """Wait until a lock is lost, and return why."""
    ends = time.monotonic() + within
    while not (why := lock.lost()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return why


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """One member that no test harms."""
    with EtcdCluster(tmp_path_factory.mktemp("shared")) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture
def client(shared: EtcdCluster) -> Iterator[MultiEndpointEtcd3Client]:
    with opened(shared, shared.nodes[0]) as made:
        yield made


def test_who_comes_second_is_told_who_has_it_and_gets_it_after_its_end(
    shared: EtcdCluster, client: MultiEndpointEtcd3Client
) -> None:
    first = had(take(shared, "first"))
    second = take(shared, "second", ELSEWHERE)
    assert isinstance(second, Holder)
    assert (second.who, second.pid, second.runbook) == ("root@first", 123, "deploy")
    first.free()
    assert lease.read_key(client, KEY, timeout=TIMEOUT) is None
    assert first.lost().startswith("example: the lock in etcd is lost, last held for certain at ")
    second = had(take(shared, "second", ELSEWHERE))
    second.free()
    leases = client.channel.unary_unary(
        "/etcdserverpb.Lease/LeaseLeases", response_deserializer=etcdrpc.LeaseGrantResponse.FromString
    )
    assert leases(b"", timeout=TIMEOUT).ID == 0, "no lease is left behind"


def test_a_lease_is_kept_alive_far_past_its_time(shared: EtcdCluster) -> None:
    lock = had(take(shared))
    time.sleep(3 * SECONDS)
    assert lock.lost() == ""
    assert isinstance(take(shared, "other", ELSEWHERE), Holder)
    lock.free()


def test_a_dead_holders_lock_ends_with_its_lease(shared: EtcdCluster) -> None:
    dead = had(take(shared, "dead"))
    dead._stop.set()
    dead._thread.join()  # what a killed process does: nothing
    dead._stop.clear()
    started = time.monotonic()
    while not isinstance(lock := take(shared, "other", ELSEWHERE), EtcdLock):
        assert time.monotonic() - started < SECONDS + SOON
        time.sleep(0.1)
    assert time.monotonic() - started > SECONDS - 1.5
    assert "now root@other (pid 123, deploy) since " in is_lost(dead)
    lock.free()


def test_a_holder_that_has_lost_all_its_hosts_is_succeeded_at_once_and_no_other(shared: EtcdCluster) -> None:
    first = had(take(shared, "first", HERE[:2]))
    assert isinstance(take(shared, "second", HERE[:1]), Holder)
    assert isinstance(take(shared, "second", ELSEWHERE), Holder)
    second = had(take(shared, "second", HERE))
    assert second.lost() == ""
    assert "now root@second (pid 123, deploy) since " in is_lost(first)
    first.free()
    assert second.lost() == ""
    second._sign()
    assert second.lost() == "", "the end of the first one's lease takes nothing from the second"
    second.free()


def test_a_lease_that_is_revoked_behind_its_back_is_a_lost_lock(
    shared: EtcdCluster, client: MultiEndpointEtcd3Client
) -> None:
    lock = had(take(shared))
    found = lease.read_key(client, KEY, timeout=TIMEOUT)
    assert found is not None
    lease.revoke(client, found.lease, timeout=TIMEOUT)
    assert is_lost(lock).endswith(": its key is gone: somebody deleted it, or its lease ended")
    lock.free()
    with pytest.raises(EtcdRefused, match="lease not found"):
        lease.revoke(client, found.lease, timeout=TIMEOUT)
    assert lease.keep_alive(client, found.lease, timeout=TIMEOUT) == 0


def test_a_key_that_is_deleted_behind_its_back_is_a_lost_lock(
    shared: EtcdCluster, client: MultiEndpointEtcd3Client
) -> None:
    lock = had(take(shared))
    client.kvstub.DeleteRange(etcdrpc.DeleteRangeRequest(key=KEY), timeout=TIMEOUT)
    assert "its key is gone" in is_lost(lock)
    lock.free()


def test_a_key_that_somebody_wrote_by_hand_is_shown_and_left(
    shared: EtcdCluster, client: MultiEndpointEtcd3Client
) -> None:
    client.kvstub.Put(etcdrpc.PutRequest(key=KEY, value=b"hands off"), timeout=TIMEOUT)
    assert take(shared) == "somebody who has left the note 'hands off'"
    client.kvstub.DeleteRange(etcdrpc.DeleteRangeRequest(key=KEY), timeout=TIMEOUT)


def test_a_write_whose_answer_was_lost_is_known_again(
    shared: EtcdCluster, client: MultiEndpointEtcd3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is dropped here, after etcd has given it: no network can be told to lose just this one."""
    real = lease.put_key
    lost: list[object] = []

    def lossy(*arguments: object, **options: object) -> object:
        answer = real(*arguments, **options)  # type: ignore[arg-type]  # handed on as they came
        if not lost:
            lost.append(answer)
            raise EtcdUnreachable("etcd", found="connection reset")
        return answer

    monkeypatch.setattr(lease, "put_key", lossy)
    node = shared.nodes[0]
    members = {name: partial(opened, shared, node) for name in ("m1", "m1-by-another-road")}
    lock = had(take_etcd_lock(members, holder("me"), cluster="example", seconds=SECONDS, timeout=TIMEOUT))
    assert lost
    assert lock._sign()
    assert lock.lost() == ""
    lock.free()
    assert lease.read_key(client, KEY, timeout=TIMEOUT) is None


def test_of_many_that_race_one_gets_it(shared: EtcdCluster) -> None:
    for _ in range(3):
        with ThreadPoolExecutor(max_workers=6) as pool:
            found = list(pool.map(lambda run: take(shared, str(run), (f"10.0.0.{run}",)), range(6)))
        locks = [one for one in found if isinstance(one, EtcdLock)]
        assert len(locks) == 1
        locks[0].free()


def test_a_restart_of_the_only_member_ends_no_lock(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        (node,) = cluster.nodes
        lock = had(take(cluster))
        node.stop()
        time.sleep(SECONDS + 1)
        assert "no sign of life has reached it" in lock.lost(), "nobody can know what has become of it"
        node.start()
        cluster.wait_healthy()
        assert lock.lost() == "", "it outlived the restart, and is asked for at once"
        assert isinstance(take(cluster, "other", ELSEWHERE), Holder)
        time.sleep(2 * SECONDS)
        assert lock.lost() == ""
        lock.free()


def test_a_member_that_goes_is_replaced_by_another(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        lock = had(take(cluster))
        cluster.nodes[0].stop()
        ends = time.monotonic() + 3 * SECONDS
        while time.monotonic() < ends:
            assert lock.lost() == ""
            time.sleep(0.1)
        cluster.nodes[1].stop()
        assert "no sign of life" in is_lost(lock, 2 * SECONDS + SOON), "there is no quorum"
        with pytest.raises(EtcdUnreachable):
            take(EtcdCluster(tmp_path / "none"))
        lock.free()


def test_an_etcd_without_space_takes_no_lock(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, flags=["--quota-backend-bytes=65536"]) as cluster:
        cluster.wait_healthy()
        lock = had(take(cluster))
        with opened(cluster, cluster.nodes[0]) as client:
            fill_up(client)
        time.sleep(SECONDS)
        assert lock.lost() == "", "one that is there is kept"
        lock.free()
        with pytest.raises(NoWrites, match="database space exceeded"):
            take(cluster)


def enable_auth(cluster: EtcdCluster, *permissions: dict[str, object]) -> None:
    """Turn authentication on; the client certificate's common name, "client", is the user (--client-cert-auth)."""
    rpc = etcdrpc
    password = "x"  # noqa: S105 - a test's own
    with opened(cluster, cluster.nodes[0]) as client:
        stub = client.authstub
        for user, role in (("root", "root"), ("client", "locker")):
            stub.UserAdd(rpc.AuthUserAddRequest(name=user, password=password), timeout=TIMEOUT)
            stub.RoleAdd(rpc.AuthRoleAddRequest(name=role), timeout=TIMEOUT)
            stub.UserGrantRole(rpc.AuthUserGrantRoleRequest(user=user, role=role), timeout=TIMEOUT)
        for permission in permissions:
            request = rpc.AuthRoleGrantPermissionRequest(name="locker", perm=permission)
            stub.RoleGrantPermission(request, timeout=TIMEOUT)
        stub.AuthEnable(rpc.AuthEnableRequest(), timeout=TIMEOUT)


def test_an_etcd_that_gives_no_permission_takes_no_lock(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        enable_auth(cluster)
        with pytest.raises(NoWrites, match="PERMISSION_DENIED"):
            take(cluster)


def test_a_user_with_permission_for_the_key_alone_may_lock(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path) as cluster:
        cluster.wait_healthy()
        enable_auth(cluster, {"key": KEY, "permType": 2})  # READWRITE of etcd's api/authpb/auth.proto
        lock = had(take(cluster))
        time.sleep(SECONDS + 1)
        assert lock.lost() == ""
        lock.free()
        had(take(cluster, "other", ELSEWHERE)).free()
