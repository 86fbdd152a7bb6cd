"""Runtime reconfiguration of real clusters: what is asked for twice is done once, what is not ripe is waited for."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from etcd3 import etcdrpc

from nornir_etcd.connections import membership_rpc
from nornir_etcd.connections.refusals import UNHEALTHY
from nornir_etcd.connections.rpc import alarms
from nornir_etcd.exceptions import EtcdError, EtcdRefused, EtcdTimeout, StepFailed
from nornir_etcd.tasks import (
    add_learner,
    disarm_corrupt_alarm,
    membership,
    promote_member,
    remove_member,
    update_peer_url,
)
from tests.contract.membership_world import (
    TIMEOUT,
    carried_out,
    cluster_of,
    ended,
    leader,
    listed,
    member_id,
)
from tests.contract.releases import OWN, RELEASES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.contract.etcd_cluster import EtcdCluster

pytestmark = pytest.mark.contract

ENDS = (RELEASES[1], RELEASES[-1]) if len(RELEASES) > 2 else RELEASES  # the oldest and the newest, where time matters
ELSEWHERE = "https://192.0.2.77:2380"  # where nobody listens


@pytest.fixture(params=RELEASES)
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdCluster]:
    """One member of a release, healthy."""
    with cluster_of(tmp_path, request.param, 1) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture(params=ENDS)
def three(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three members of a release, healthy."""
    with cluster_of(tmp_path, request.param, 3) as cluster:
        cluster.wait_healthy()
        yield cluster


@pytest.fixture
def single(tmp_path: Path) -> Iterator[EtcdCluster]:
    """One member, healthy."""
    with cluster_of(tmp_path, OWN, 1) as cluster:
        cluster.wait_healthy()
        yield cluster


def test_a_learner_is_added_once_promoted_when_it_is_in_sync_and_removed(one: EtcdCluster) -> None:
    via, node = one.nodes[0], one.joining()
    added = carried_out(one, via, add_learner, peer_url=node.peer_url)
    assert (added.changed, added.diff) == (True, f"+ learner {node.peer_url}\n")
    again = carried_out(one, via, add_learner, peer_url=node.peer_url)
    assert (again.changed, again.diff, again.result) == (False, "", added.result)
    entry = listed(one, via)[node.peer_url]
    assert (entry.id, entry.is_learner, entry.started) == (added.result, True, False)

    with pytest.raises(StepFailed) as caught:
        carried_out(one, via, promote_member, member_id=added.result, within=2)
    assert str(caught.value) == (
        f"m1: promotion of learner {added.result:x}: wanted made within 2 s, found FAILED_PRECONDITION "
        "etcdserver: can only promote a learner member which is in sync with leader; see the learner's log: it must "
        "run, and leader and learner must reach each other's peer port"
    )
    assert listed(one, via)[node.peer_url].is_learner

    starting = threading.Timer(2, one.join, [node])
    starting.start()
    promoted = carried_out(one, via, promote_member, member_id=added.result)
    starting.join()
    assert promoted.changed
    assert not listed(one, via)[node.peer_url].is_learner
    one.wait_healthy()
    assert not carried_out(one, via, promote_member, member_id=added.result).changed
    assert not carried_out(one, node, promote_member, member_id=added.result).changed

    assert carried_out(one, via, remove_member, member_id=added.result).changed
    assert ended(node)
    assert not carried_out(one, via, remove_member, member_id=added.result).changed
    assert list(listed(one, via)) == [via.peer_url]


def test_a_second_learner_is_refused_with_its_remedy(one: EtcdCluster) -> None:
    via, node = one.nodes[0], one.joining()
    carried_out(one, via, add_learner, peer_url=node.peer_url)
    with pytest.raises(EtcdRefused) as caught:
        carried_out(one, via, add_learner, peer_url=ELSEWHERE)
    assert str(caught.value) == (
        f"etcd at {via.address}:2379: member add {ELSEWHERE}: found FAILED_PRECONDITION "
        "etcdserver: too many learner members in cluster; promote or remove the learner that is there, "
        "then add this one"
    )


def test_the_leader_is_removed_through_another_and_the_next_one_through_itself(three: EtcdCluster) -> None:
    first = leader(three)
    via = next(node for node in three.nodes if node is not first)
    number = member_id(three, first)
    assert carried_out(three, via, remove_member, member_id=number).changed
    assert ended(first)
    three.nodes.remove(first)
    three.wait_healthy()
    assert not carried_out(three, via, remove_member, member_id=number).changed

    second = leader(three)
    last = next(node for node in three.nodes if node is not second)
    assert carried_out(three, second, remove_member, member_id=member_id(three, second)).changed
    assert ended(second)
    three.nodes.remove(second)
    three.wait_healthy()
    assert list(listed(three, last)) == [last.peer_url]


def test_a_peer_url_is_changed_once_and_taken_from_nobody(three: EtcdCluster) -> None:
    via, node, other = three.nodes
    number = member_id(three, node)
    assert carried_out(three, via, update_peer_url, member_id=number, peer_url=ELSEWHERE).changed
    assert listed(three, via)[ELSEWHERE].id == number
    assert not carried_out(three, via, update_peer_url, member_id=number, peer_url=ELSEWHERE).changed
    with pytest.raises(StepFailed, match=r"is taken: wanted free for member m2 .*, found member m3 \(\w+\) has it"):
        carried_out(three, via, update_peer_url, member_id=number, peer_url=other.peer_url)
    with pytest.raises(StepFailed, match="is taken: wanted no member, or a learner that has it alone, found member m3"):
        carried_out(three, via, add_learner, peer_url=other.peer_url)
    assert carried_out(three, via, update_peer_url, member_id=number, peer_url=node.peer_url).changed
    three.wait_healthy()


def test_a_learner_keeps_its_peer_url_since_etcd_would_list_it_as_a_voter(one: EtcdCluster) -> None:
    via, another = one.nodes[0], "https://192.0.2.78:2380"
    added = carried_out(one, via, add_learner, peer_url=ELSEWHERE)
    with pytest.raises(StepFailed, match="found a learner; promote it first, or remove it and add a learner at https"):
        carried_out(one, via, update_peer_url, member_id=added.result, peer_url=another)
    assert not carried_out(one, via, update_peer_url, member_id=added.result, peer_url=ELSEWHERE).changed
    assert listed(one, via)[ELSEWHERE].is_learner
    with closing(one.open(via)) as plugin:
        membership_rpc.member_update(plugin.connection, member_id=added.result, peer_url=another, timeout=TIMEOUT)
    assert not listed(one, via)[another].is_learner, "etcd does so no more: update_peer_url need not refuse"


def test_a_member_without_a_quorum_tells_no_list_that_may_be_old(three: EtcdCluster) -> None:
    alone, *others = three.nodes
    with closing(three.open(alone)) as plugin:
        assert len(membership_rpc.live_members(plugin.connection, timeout=TIMEOUT).members) == 3
        signalled(others, signal.SIGSTOP)
        with pytest.raises(EtcdTimeout):
            membership_rpc.live_members(plugin.connection, timeout=1)
        with pytest.raises(EtcdTimeout):
            carried_out(three, alone, remove_member, member_id=7, within=1)  # in no list, and yet not "unchanged"


def test_what_etcd_calls_unhealthy_after_a_start_is_waited_for_and_a_dead_voter_is_removed_first(
    three: EtcdCluster,
) -> None:
    via, dead, _ = three.nodes
    with closing(three.open(via)) as plugin, pytest.raises(EtcdRefused, match=UNHEALTHY):
        membership_rpc.member_add(plugin.connection, peer_url=ELSEWHERE, timeout=TIMEOUT)
    added = carried_out(three, via, add_learner, peer_url=ELSEWHERE)
    assert carried_out(three, via, remove_member, member_id=added.result).changed

    number = member_id(three, dead)
    dead.stop(signal.SIGKILL)
    three.wait_healthy([node for node in three.nodes if node is not dead])
    with pytest.raises(StepFailed, match=f"wanted made within 3 s, found UNAVAILABLE {UNHEALTHY}; bring back, or rem"):
        carried_out(three, via, add_learner, peer_url=ELSEWHERE, within=3)
    assert carried_out(three, via, remove_member, member_id=number).changed
    assert carried_out(three, via, add_learner, peer_url=ELSEWHERE).changed


def test_a_learner_is_promoted_though_the_leader_dies_while_it_is_asked(
    three: EtcdCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, lost = three.joining(), leader(three)
    via = next(one for one in three.nodes if one is not lost)
    added = carried_out(three, via, add_learner, peer_url=node.peer_url)
    three.join(node)
    monkeypatch.setattr(membership, "RPC_TIMEOUT", 0.3)  # seconds: less than an election, which etcd itself waits for
    failures = before_the_first(monkeypatch, "member_promote", lambda: lost.stop(signal.SIGKILL))
    assert carried_out(three, via, promote_member, member_id=added.result).changed
    assert failures, "the first one should not have got through"
    assert not listed(three, via)[node.peer_url].is_learner


def test_a_change_that_no_quorum_took_in_time_is_looked_for_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An election takes longer than the members stand still, so that the leader keeps what it was asked for.
    with cluster_of(tmp_path, OWN, 3, "--heartbeat-interval=100", "--election-timeout=4000") as cluster:
        cluster.wait_healthy()
        via = leader(cluster)
        added = carried_out(cluster, via, add_learner, peer_url=ELSEWHERE)  # waits until etcd lets members be added
        carried_out(cluster, via, remove_member, member_id=added.result)
        others = [node for node in cluster.nodes if node is not via]

        def stand_still() -> None:
            signalled(others, signal.SIGSTOP)
            threading.Timer(2, signalled, [others, signal.SIGCONT]).start()

        monkeypatch.setattr(membership, "RPC_TIMEOUT", 1.0)
        failures = before_the_first(monkeypatch, "member_add", stand_still)
        again = carried_out(cluster, via, add_learner, peer_url=ELSEWHERE)
        assert isinstance(failures[0], EtcdTimeout)
        live = listed(cluster, via)
        assert (again.changed, again.result, len(live)) == (True, live[ELSEWHERE].id, 4)
        assert again.result != added.result


def before_the_first(monkeypatch: pytest.MonkeyPatch, name: str, fault: Callable[[], None]) -> list[EtcdError]:
    """Make a fault after the list was read and before the first call is made; return the errors of all calls."""
    faults, failures = [fault], list[EtcdError]()
    real: Callable[..., Any] = getattr(membership_rpc, name)

    def called(*args: Any, **arguments: Any) -> Any:
        if faults:
            faults.pop()()
        try:
            return real(*args, **arguments)
        except EtcdError as error:
            failures.append(error)
            raise

    monkeypatch.setattr(membership_rpc, name, called)
    return failures


def signalled(nodes: list[Any], sig: signal.Signals) -> None:
    for node in nodes:
        node.process.send_signal(sig)


def answer_lost(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Let every answer by which etcd makes a change get lost, and return the list of those answers.

    A fake: etcd does what it is asked, and the error is made here. What an expired deadline leaves behind is chance.
    """
    calls: list[str] = []
    real: Callable[..., Any] = getattr(membership_rpc, name)

    def lost(*args: Any, **arguments: Any) -> Any:
        real(*args, **arguments)
        calls.append(name)
        raise EtcdTimeout("etcd", found="none", remedy="look at it")

    monkeypatch.setattr(membership_rpc, name, lost)
    return calls


def test_a_lost_answer_makes_nothing_twice(single: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    via, node = single.nodes[0], single.joining()
    calls = answer_lost(monkeypatch, "member_add")
    added = carried_out(single, via, add_learner, peer_url=node.peer_url)
    assert (added.changed, added.result, calls) == (True, listed(single, via)[node.peer_url].id, ["member_add"])

    single.join(node)
    calls = answer_lost(monkeypatch, "member_promote")
    assert carried_out(single, via, promote_member, member_id=added.result).changed
    assert calls == ["member_promote"]
    single.wait_healthy()
    assert not listed(single, via)[node.peer_url].is_learner

    calls = answer_lost(monkeypatch, "member_remove")
    assert carried_out(single, via, remove_member, member_id=added.result).changed
    assert calls == ["member_remove"]
    assert list(listed(single, via)) == [via.peer_url]

    calls = answer_lost(monkeypatch, "member_update")
    number = member_id(single, via)
    assert carried_out(single, via, update_peer_url, member_id=number, peer_url=ELSEWHERE).changed
    assert (list(listed(single, via)), calls) == ([ELSEWHERE], ["member_update"])


def test_an_outcome_that_stays_unknown_is_told_so(single: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    via = single.nodes[0]
    added = carried_out(single, via, add_learner, peer_url=ELSEWHERE)
    before_the_first(monkeypatch, "member_remove", lambda: via.stop(signal.SIGKILL))
    with pytest.raises(StepFailed) as caught:
        carried_out(single, via, remove_member, member_id=added.result, within=2)
    assert str(caught.value) == (
        f"m1: removal of member {added.result:x}: whether it was made is not known: wanted made within 2 s, "
        "found connection refused; check that etcd runs and listens there; then run the same again, which looks first"
    )
    monkeypatch.undo()
    via.start()
    single.wait_healthy()
    assert carried_out(single, via, remove_member, member_id=added.result).changed


def test_a_dry_run_changes_nothing_and_says_what_would_change(single: EtcdCluster) -> None:
    via = single.nodes[0]
    added = carried_out(single, via, add_learner, peer_url=ELSEWHERE)
    before, own = listed(single, via), member_id(single, via)
    for task, arguments, changed in (
        (add_learner, {"peer_url": ELSEWHERE}, False),
        (add_learner, {"peer_url": "https://192.0.2.78:2380"}, True),
        (promote_member, {"member_id": added.result}, True),
        (promote_member, {"member_id": own}, False),
        (remove_member, {"member_id": added.result}, True),
        (remove_member, {"member_id": 7}, False),
        (update_peer_url, {"member_id": own, "peer_url": "https://192.0.2.78:2380"}, True),
        (update_peer_url, {"member_id": own, "peer_url": via.peer_url}, False),
        (disarm_corrupt_alarm, {"member_id": 7}, False),
    ):
        done = carried_out(single, via, task, dry_run=True, **arguments)
        assert (done.changed, bool(done.diff)) == (changed, changed)
    assert listed(single, via) == before


def test_what_the_list_does_not_have_is_neither_promoted_nor_updated(single: EtcdCluster) -> None:
    for task, more in ((promote_member, {}), (update_peer_url, {"peer_url": ELSEWHERE})):
        with pytest.raises(StepFailed, match=r"m1: member 7: wanted an entry in the member list, found those of .* m1"):
            carried_out(single, single.nodes[0], task, member_id=7, **more)


def test_the_only_member_stays(one: EtcdCluster) -> None:
    via = one.nodes[0]
    with pytest.raises(EtcdRefused, match="not enough started members; start the members that have never started, or"):
        carried_out(one, via, remove_member, member_id=member_id(one, via))


def test_a_learner_is_not_the_one_to_be_asked(single: EtcdCluster) -> None:
    node = single.joining()
    added = carried_out(single, single.nodes[0], add_learner, peer_url=node.peer_url)
    single.join(node)
    for _ in range(100):
        if listed(single, single.nodes[0])[node.peer_url].started:
            break
        time.sleep(0.1)
    with pytest.raises(EtcdRefused, match="rpc not supported for learner; ask a member that votes"):
        carried_out(single, node, promote_member, member_id=added.result)


def test_a_member_that_is_down_is_told_at_once(single: EtcdCluster) -> None:
    single.nodes[0].stop()
    start = time.monotonic()
    with pytest.raises(EtcdError, match="connection refused; check that etcd runs"):
        carried_out(single, single.nodes[0], add_learner, peer_url=ELSEWHERE)
    assert time.monotonic() - start < 5


def test_the_corruption_alarm_of_a_removed_member_is_disarmed_and_no_other(
    one: EtcdCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    via = one.nodes[0]
    own, gone = member_id(one, via), 0xDEAD
    with closing(one.open(via)) as plugin:
        for number in (own, gone):
            activate = etcdrpc.AlarmRequest(action=etcdrpc.AlarmRequest.ACTIVATE, memberID=number, alarm=2)
            plugin.connection.maintenancestub.Alarm(activate, timeout=TIMEOUT)
        with pytest.raises(StepFailed, match=r"the alarm CORRUPT of member m1 .*: wanted a member that has been remov"):
            carried_out(one, via, disarm_corrupt_alarm, member_id=own)
        calls = answer_lost(monkeypatch, "disarm_alarm")
        assert carried_out(one, via, disarm_corrupt_alarm, member_id=gone).changed
        assert not carried_out(one, via, disarm_corrupt_alarm, member_id=gone).changed
        assert calls == ["disarm_alarm"]
        assert [alarm.member_id for alarm in alarms(plugin.connection, timeout=TIMEOUT)] == [own]
