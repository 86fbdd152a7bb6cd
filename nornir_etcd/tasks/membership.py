"""Changes the membership of a running cluster, asked of the member on the task's host: it stays and serves.

Each task reads the cluster's member list, decides by it, and asks for one change. One whose outcome is not known is not
simply asked for again: the list is read anew, and decides anew. What etcd carries out late is harmless: every change is
held against the list of its moment (ValidateConfigurationChange in server/etcdserver/api/membership/cluster.go), so of
two that are alike it refuses the later one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nornir.core.task import Result

from nornir_etcd.exceptions import EtcdError, StepFailed
from nornir_etcd.observe import etcd_client
from nornir_etcd.plan.identity import hexadecimal

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import MemberInfo, MemberList

S = TypeVar("S")

RPC_TIMEOUT = 10.0
"""Seconds for a call: etcd itself gives up after 5 s and two election time-outs (Config.ReqTimeout), 7 s by default."""
RETRY_PAUSE = 0.5
"""Seconds before etcd is asked again, as kubeadm waits between promotions (cmd/kubeadm/app/util/etcd/etcd.go)."""


def add_learner(task: Task, cluster: Cluster, *, peer_url: str, dry_run: bool | None = None) -> Result:
    """Add a member as a learner, unless the list has a learner of exactly that peer URL.

    Args:
        task: Nornir's, on the host of a voter.
        cluster: the host's cluster.
        peer_url: of the new member.
        dry_run: overrides Nornir's own.

    Returns:
        As result the learner's ID; None in a dry run that would add it.

    Raises:
        StepFailed: a voter, or a member with other peer URLs as well, has it; or etcd refuses until the time is over.
        EtcdError: etcd refuses it, or cannot be asked.
    """
    from nornir_etcd.connections import membership_rpc as rpc  # noqa: PLC0415 - as in tasks/leader.py

    def found(live: MemberList) -> int | None:
        info = next((info for info in live.members if peer_url in info.peer_urls), None)
        if info is None:
            return None
        if info.is_learner and info.peer_urls == (peer_url,):
            return info.id
        raise StepFailed(
            f"the peer URL {peer_url} is taken",
            host=task.host.name,
            wanted="no member, or a learner that has it alone",
            found=f"{_named(info)}, {'a learner' if info.is_learner else 'a voter'} at {', '.join(info.peer_urls)}",
            remedy="remove that member first, or give the new one another peer URL",
        )

    return _carry_out(
        task,
        cluster,
        _Change(
            f"learner {peer_url}",
            f"+ learner {peer_url}\n",
            read=rpc.live_members,
            found=found,
            write=lambda client, timeout: rpc.member_add(client, peer_url=peer_url, timeout=timeout),
        ),
        dry_run=dry_run,
    )


def promote_member(task: Task, cluster: Cluster, *, member_id: int, dry_run: bool | None = None) -> Result:
    """Make a learner a voter as soon as it is in sync with the leader, unless it is one.

    Args:
        task: Nornir's, on the host of a voter; etcd has no learner promoted through itself.
        cluster: the host's cluster.
        member_id: ID of the learner.
        dry_run: overrides Nornir's own.

    Returns:
        changed where it was promoted.

    Raises:
        StepFailed: the list does not have it, or it was not in sync within etcd_health_timeout.
        EtcdError: etcd refuses it, or cannot be asked.
    """
    from nornir_etcd.connections import membership_rpc as rpc  # noqa: PLC0415 - as in tasks/leader.py

    def found(live: MemberList) -> int | None:
        return None if _entry(task, live, member_id).is_learner else member_id

    return _carry_out(
        task,
        cluster,
        _Change(
            f"promotion of learner {hexadecimal(member_id)}",
            f"- learner {hexadecimal(member_id)}\n+ voter {hexadecimal(member_id)}\n",
            read=rpc.live_members,
            found=found,
            write=lambda client, timeout: rpc.member_promote(client, member_id=member_id, timeout=timeout),
        ),
        dry_run=dry_run,
    )


def remove_member(task: Task, cluster: Cluster, *, member_id: int, dry_run: bool | None = None) -> Result:
    """Remove a member from the list, unless the list does not have it. Its data is left where it is.

    Args:
        task: Nornir's, on the host of a voter; the member on it may be the one, but cannot be asked again then.
        cluster: the host's cluster.
        member_id: its ID.
        dry_run: overrides Nornir's own.

    Returns:
        changed where it was removed.

    Raises:
        StepFailed: etcd refuses until the time is over.
        EtcdError: etcd refuses it, or cannot be asked.
    """
    from nornir_etcd.connections import membership_rpc as rpc  # noqa: PLC0415 - as in tasks/leader.py

    def found(live: MemberList) -> int | None:
        return None if any(info.id == member_id for info in live.members) else member_id

    return _carry_out(
        task,
        cluster,
        _Change(
            f"removal of member {hexadecimal(member_id)}",
            f"- member {hexadecimal(member_id)}\n",
            read=rpc.live_members,
            found=found,
            write=lambda client, timeout: rpc.member_remove(client, member_id=member_id, timeout=timeout),
        ),
        dry_run=dry_run,
    )


def update_peer_url(
    task: Task, cluster: Cluster, *, member_id: int, peer_url: str, dry_run: bool | None = None
) -> Result:
    """Give a voter another peer URL in the list, unless it has that one and no other.

    Not a learner: etcd replaces the entry's attributes, isLearner among them, and not the configuration of raft
    (UpdateMember in server/etcdserver/api/v3rpc/member.go; seen with 3.4.23, 3.5.1, 3.5.16 and 3.5.30).

    Args:
        task: Nornir's, on the host of a voter.
        cluster: the host's cluster.
        member_id: its ID.
        peer_url: the only peer URL that it is to have.
        dry_run: overrides Nornir's own.

    Returns:
        changed where the list was.

    Raises:
        StepFailed: the list does not have the member, it is a learner, or another one has the peer URL.
        EtcdError: etcd refuses it, or cannot be asked.
    """
    from nornir_etcd.connections import membership_rpc as rpc  # noqa: PLC0415 - as in tasks/leader.py

    def found(live: MemberList) -> int | None:
        info = _entry(task, live, member_id)
        other = next((one for one in live.members if one.id != member_id and peer_url in one.peer_urls), None)
        if other is not None:
            raise StepFailed(
                f"the peer URL {peer_url} is taken",
                host=task.host.name,
                wanted=f"free for {_named(info)}",
                found=f"{_named(other)} has it",
                remedy="give that member another peer URL first, or remove it",
            )
        if info.peer_urls == (peer_url,):
            return member_id
        if info.is_learner:
            raise StepFailed(
                f"the peer URL of {_named(info)}",
                host=task.host.name,
                wanted="a voter: etcd lists a learner as a voter when its peer URL is changed, and never promotes it",
                found="a learner",
                remedy=f"promote it first, or remove it and add a learner at {peer_url}",
            )
        return None

    return _carry_out(
        task,
        cluster,
        _Change(
            f"peer URL {peer_url} of member {hexadecimal(member_id)}",
            f"+ member {hexadecimal(member_id)} at {peer_url}\n",
            read=rpc.live_members,
            found=found,
            write=lambda client, timeout: rpc.member_update(
                client, member_id=member_id, peer_url=peer_url, timeout=timeout
            ),
        ),
        dry_run=dry_run,
    )


def disarm_corrupt_alarm(task: Task, cluster: Cluster, *, member_id: int, dry_run: bool | None = None) -> Result:
    """Disarm the alarm CORRUPT of a member that has been removed: etcd keeps it, and refuses writes for as long.

    That of a member that is in the list stays: nothing says that its data is sound.

    Args:
        task: Nornir's, on the host of a voter.
        cluster: the host's cluster.
        member_id: ID of the member that the alarm is about.
        dry_run: overrides Nornir's own.

    Returns:
        changed where there was one.

    Raises:
        StepFailed: the member is in the list.
        EtcdError: etcd refuses it, or cannot be asked.
    """
    from nornir_etcd.connections import membership_rpc  # noqa: PLC0415 - as in tasks/leader.py
    from nornir_etcd.connections.rpc import alarms  # noqa: PLC0415 - as above

    def read(client: Any, *, timeout: float) -> tuple[bool, MemberList]:
        live, raised = membership_rpc.live_members(client, timeout=timeout), alarms(client, timeout=timeout)
        return any((one.member_id, one.kind) == (member_id, "CORRUPT") for one in raised), live

    def found(seen: tuple[bool, MemberList]) -> int | None:
        armed, live = seen
        info = next((info for info in live.members if info.id == member_id), None)
        if armed and info is not None:
            raise StepFailed(
                f"the alarm CORRUPT of {_named(info)}",
                host=task.host.name,
                wanted="a member that has been removed",
                found="one that is in the member list",
                remedy="remove it, and let it join again without data",
            )
        return None if armed else member_id

    return _carry_out(
        task,
        cluster,
        _Change(
            f"alarm CORRUPT of member {hexadecimal(member_id)}",
            f"- alarm CORRUPT of {hexadecimal(member_id)}\n",
            read=read,
            found=found,
            write=lambda client, timeout: membership_rpc.disarm_alarm(
                client, member_id=member_id, kind="CORRUPT", timeout=timeout
            ),
        ),
        dry_run=dry_run,
    )


@dataclass(frozen=True)
class _Change(Generic[S]):
    """A change, and how to see whether it is made.

    Attributes:
        thing: what it is about, for the operator.
        diff: what it changes.
        read: asks the cluster, within a timeout in seconds.
        found: what the cluster has of it already, a member's ID; None where it is to be made.
        write: makes it, within a timeout in seconds, and may return a member's ID.
    """

    thing: str
    diff: str
    read: Callable[..., S]
    found: Callable[[S], int | None]
    write: Callable[[Any, float], int | None]


def _carry_out(task: Task, cluster: Cluster, change: _Change[S], *, dry_run: bool | None) -> Result:
    """Make a change unless it is made already.

    What ends by itself is waited for within etcd_health_timeout: an election, a learner that is not in sync, and
    "unhealthy cluster", which etcd says while the member that is asked has been connected to the other voters for less
    than 5 s (HealthInterval in server/etcdserver/server.go). So is, once a change was asked for, whatever keeps the
    cluster from being read.

    Raises:
        StepFailed: the time is over, or the change cannot be made.
        EtcdError: etcd refuses it, or cannot be asked.
    """
    from nornir_etcd.connections.refusals import is_doubtful, passes  # noqa: PLC0415 - as in tasks/leader.py

    member = cluster.member(task.host.name)
    client = etcd_client(task.host, task.nornir.config, member)
    within, asked, doubtful = member.settings.etcd_health_timeout, False, False
    ends = time.monotonic() + within
    while True:
        try:
            number = change.found(change.read(client, timeout=_left(ends)))
            doubtful = False
            if number is not None or task.is_dry_run(dry_run):
                changed = asked or number is None
                return Result(task.host, changed=changed, diff=change.diff if changed else "", result=number)
        except EtcdError as error:
            if not asked and not passes(error):
                raise
            failed = error
        else:
            asked = True
            try:
                return Result(task.host, changed=True, diff=change.diff, result=change.write(client, _left(ends)))
            except EtcdError as error:
                doubtful, failed = is_doubtful(error), error
                if not doubtful and not passes(error) and not _is_overtaken(error):
                    raise
        if time.monotonic() + RETRY_PAUSE >= ends:
            raise _too_late(task, change.thing, within, failed, doubtful=doubtful)
        time.sleep(RETRY_PAUSE)


def _left(ends: float) -> float:
    """Return the seconds for a call that begins now."""
    return min(RPC_TIMEOUT, max(ends - time.monotonic(), 1.0))


def _is_overtaken(error: EtcdError) -> bool:
    """Return whether another change has come before: an earlier attempt that etcd applied late, or somebody else's."""
    from nornir_etcd.connections import refusals  # noqa: PLC0415 - as in tasks/leader.py

    return refusals.said(error, refusals.PEER_URL_EXISTS, refusals.MEMBER_NOT_FOUND, refusals.NOT_A_LEARNER)


def _too_late(task: Task, thing: str, within: int, failed: EtcdError, *, doubtful: bool) -> StepFailed:
    """Return what to say at the end of the time; the last failure is its cause."""
    error = StepFailed(
        f"{thing}: whether it was made is not known" if doubtful else thing,
        host=task.host.name,
        wanted=f"made within {within} s",
        found=failed.found,
        remedy=f"{failed.remedy}; then run the same again, which looks first" if doubtful else failed.remedy,
    )
    error.__cause__ = failed
    return error


def _entry(task: Task, live: MemberList, member_id: int) -> MemberInfo:
    """Return a member's entry.

    Raises:
        StepFailed: there is none.
    """
    info = next((info for info in live.members if info.id == member_id), None)
    if info is None:
        raise StepFailed(
            f"member {hexadecimal(member_id)}",
            host=task.host.name,
            wanted="an entry in the member list",
            found=f"those of {', '.join(_named(info) for info in live.members)}",
            remedy="look at the members again; one that was removed comes back with another ID only",
        )
    return info


def _named(info: MemberInfo) -> str:
    return f"member {info.name} ({hexadecimal(info.id)})" if info.name else f"member {hexadecimal(info.id)}"
