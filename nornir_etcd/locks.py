"""One operator at a time: the locks of a cluster's hosts, and one in its etcd where it has a quorum."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from nornir_etcd.etcd_lock import KEY, EtcdLock, NoWrites, take_etcd_lock
from nornir_etcd.exceptions import LocksRefused, NornirEtcdError
from nornir_etcd.holder import Holder, read_holder, this_run
from nornir_etcd.observe import separate_client
from nornir_etcd.remote.host_lock import FOLDER, HostLock, take_host_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from nornir.core import Nornir
    from nornir.core.inventory import Host

    from nornir_etcd.cluster import Cluster

logger = logging.getLogger(__name__)

ATTEMPTS = 4
"""How often the locks of all hosts are tried for where another run has some of them."""
PAUSE = (0.05, 0.3)
"""Seconds between two attempts, at least and at most, times the number of those before: two runs that got in each
other's way do not do so again."""
FREE_SECONDS = 5.0
"""Seconds for the hosts to free their locks; they do by themselves a little later."""


@dataclass(frozen=True)
class Terms:
    """How long locks live.

    Attributes:
        sign: seconds between two signs of life to a host.
        host: seconds that a host keeps its lock without one.
        lease: seconds that etcd keeps its lock without one: more than a member takes to start again.
    """

    sign: float = 10.0
    host: int = 60
    lease: int = 60


TERMS = Terms()


class _Refusal(NamedTuple):
    """A lock that was not had, and whether another run has it."""

    line: str
    by_other: bool


class ClusterLocks:
    """The locks of a cluster that are held.

    Args:
        hosts: of the hosts.
        etcd: in etcd; None where there is none.
        notes: what the operator is to know of them, each a line.
    """

    def __init__(self, hosts: Sequence[HostLock], etcd: EtcdLock | None, notes: tuple[str, ...] = ()) -> None:
        self._hosts = hosts
        self._etcd = etcd
        self.notes = notes

    def lost(self) -> str:
        """Return which locks are not held for certain and why, in one line; empty while all are.

        It may take some seconds where etcd does not answer.
        """
        held: list[HostLock | EtcdLock] = [*self._hosts, *([self._etcd] if self._etcd else [])]
        return "; ".join(why for lock in held if (why := lock.lost()))


@contextmanager
def cluster_locks(  # noqa: PLR0913 - one keyword for each thing that is locked, and for how long
    nr: Nornir,
    cluster: Cluster,
    *,
    runbook: str,
    etcd: bool,
    hosts: Collection[str] | None = None,
    terms: Terms = TERMS,
    folder: str = FOLDER,
) -> Iterator[ClusterLocks]:
    """Hold the locks of a cluster while the block runs: those of all hosts and the one in etcd, or none.

    Whoever comes second is told who has them. A run that dies frees the hosts' at once, or, where its network dies
    with it, some seconds later; the one in etcd is taken over by who has the hosts'.

    Where etcd answers that it takes no write (no permission, no space) the hosts' locks are held alone, and a note says
    so: they keep two operators of one inventory apart, and what an operator comes for may be just that alarm, or
    certificates that end today.

    Args:
        nr: Nornir with exactly the hosts of the cluster.
        cluster: the cluster.
        runbook: what is run, for who comes second.
        etcd: whether etcd has a quorum, and is to hold a lock.
        hosts: those that are locked; all of `nr` where it is None.
        terms: how long the locks live.
        folder: where they lie on a host.

    Raises:
        LocksRefused: not all locks could be had; none is held.
    """
    chosen = [host for name, host in nr.inventory.hosts.items() if hosts is None or name in hosts]
    # Where both operators begin with the same host, one of them gets on.
    chosen.sort(key=lambda host: (host.hostname or host.name, host.port or 0))
    holder = this_run(runbook, tuple(cluster.member(host.name).address for host in chosen))
    held = _take_hosts(nr, chosen, holder, terms, folder)
    lock: EtcdLock | None = None
    notes: tuple[str, ...] = ()
    stop = threading.Event()
    signs = threading.Thread(target=_send_signs, args=(held, terms.sign, stop), daemon=True, name="host-locks")
    signs.start()
    try:
        if etcd:
            try:
                lock = _take_etcd(nr, cluster, holder, terms)
            except NoWrites as error:
                notes = (_alone(cluster, error),)
        yield ClusterLocks(held, lock, notes)
    finally:
        if lock is not None:
            lock.free()
        stop.set()
        _free(held)
        signs.join(FREE_SECONDS)


def _take_hosts(nr: Nornir, hosts: Sequence[Host], holder: Holder, terms: Terms, folder: str) -> list[HostLock]:
    """Take the locks of all hosts or none.

    All are tried for at once. Where some were had and some not, two runs may have got in each other's way: from then
    on the first host comes first, and who does not get it holds none.

    Raises:
        LocksRefused: with a line for each lock that was not had.
    """
    taken: list[HostLock] = []

    def take(host: Host) -> _Refusal | None:
        try:
            found = take_host_lock(host, nr.config, holder.text(), seconds=terms.host, folder=folder)
        except NornirEtcdError as error:
            return _Refusal(str(error), by_other=False)
        if isinstance(found, str):
            return _Refusal(_held("the host is locked", read_holder(found), terms.host, host.name), by_other=True)
        taken.append(found)
        return None

    try:
        for attempt in range(ATTEMPTS):
            refusals = _side_by_side(take, hosts[:1] if attempt else hosts)
            if attempt and not refusals:
                refusals = _side_by_side(take, hosts[1:])
            if not refusals:
                return taken
            had, others = bool(taken), all(refusal.by_other for refusal in refusals)
            _free(taken)
            taken.clear()
            if not others or not (had or attempt) or attempt == ATTEMPTS - 1:
                break
            time.sleep(random.uniform(*PAUSE) * (attempt + 1))  # noqa: S311 - no secret
    except BaseException:
        _free(taken)
        raise
    raise LocksRefused(*(refusal.line for refusal in refusals))


def _side_by_side(take: Callable[[Host], _Refusal | None], hosts: Sequence[Host]) -> list[_Refusal]:
    with ThreadPoolExecutor(max_workers=max(1, len(hosts)), thread_name_prefix="lock") as pool:
        return [refusal for refusal in pool.map(take, hosts) if refusal]


def _take_etcd(nr: Nornir, cluster: Cluster, holder: Holder, terms: Terms) -> EtcdLock:
    """Take the lock in etcd.

    Raises:
        LocksRefused: another run has it, or no member answers.
        NoWrites: etcd can hold none.
    """
    members = {
        member.name: partial(separate_client, nr.inventory.hosts[member.name], nr.config, member)
        for member in cluster.members
        if member.name in nr.inventory.hosts
    }
    timeout = float(max(member.settings.etcd_timeout for member in cluster.members))
    try:
        found = take_etcd_lock(
            members, holder, cluster=cluster.name, seconds=terms.lease, timeout=min(timeout, terms.lease / 4)
        )
    except NoWrites:
        raise
    except NornirEtcdError as error:
        raise LocksRefused(f"{cluster.name}: the lock in etcd could not be had: {error}") from error
    if isinstance(found, EtcdLock):
        return found
    raise LocksRefused(_held(f"etcd is locked (key {KEY.decode()})", found, terms.lease, cluster.name))


def _held(thing: str, holder: Holder | str, seconds: int, subject: str) -> str:
    remedy = f"wait until it has ended; where it is dead the lock is free within {seconds} s"
    return str(NornirEtcdError(f"{thing}: held by {holder}", host=subject, remedy=remedy))


def _alone(cluster: Cluster, error: NoWrites) -> str:
    granted = f"grant the user of the client certificate readwrite on the key {KEY.decode()}"
    remedy = granted if "PERMISSION" in error.found or "user name" in error.found else "end the alarm"
    thing = "the hosts' locks are held alone, etcd takes no lock"
    return str(NornirEtcdError(thing, host=cluster.name, found=error.found, remedy=remedy))


def _send_signs(held: Sequence[HostLock], pause: float, stop: threading.Event) -> None:
    while not stop.wait(pause):
        for lock in held:
            lock.sign()


def _free(held: Sequence[HostLock]) -> None:
    """Free locks side by side, and wait until they are free."""
    for lock in held:
        lock.free()
    ends = time.monotonic() + FREE_SECONDS
    for lock in held:
        lock.close(max(0.0, ends - time.monotonic()))
