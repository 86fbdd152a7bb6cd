"""The lock of a cluster in its own etcd: a key that lives with a lease, kept alive through any member that answers.

A key of its own, not the lock service of etcd (Lock in v3lock.proto): that one queues whoever comes second and tells
nobody who holds it.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import EtcdRefused, NornirEtcdError
from nornir_etcd.hold import Hold, now
from nornir_etcd.holder import Holder, read_holder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager

    from etcd3 import MultiEndpointEtcd3Client

    from nornir_etcd.connections.lease import KeyValue

    Open = Callable[[], AbstractContextManager[MultiEndpointEtcd3Client]]
    """Opens a connection to one member."""

KEY = b"nornir-etcd/lock"

_SIGNS = 3
"""Signs of life in the life of a lease: two may be lost."""
_RETRIES = 30
"""How many tries the life of a lease has room for, where none succeeds."""
_NO_WRITES = ("PERMISSION_DENIED", "user name is empty", "database space exceeded", "corrupt cluster")
"""With what etcd answers that it takes no write (texts of its api/v3rpc/rpctypes/error.go): authentication is on and
the user of the client certificate may not write the key, or an alarm is raised."""

_NO_LEASE = "requested lease not found"  # of the same file


class NoWrites(NornirEtcdError):
    """Etcd answers that it takes no write, so that it can hold no lock."""


class EtcdLock:
    """The lock of a cluster that is held; a thread keeps it alive until it is freed.

    A restart of etcd does not end it: a lease outlives it, and then has its whole life before it again.

    Args:
        members: how to reach each, by name; a fresh connection each time, since certificates may change meanwhile.
        lease: ID of its lease.
        revision: that wrote its key.
        hold: how surely it is held.
        timeout: seconds for a call.
    """

    def __init__(self, members: Mapping[str, Open], lease: int, revision: int, hold: Hold, timeout: float) -> None:
        self._members = dict(members)
        self._lease = lease
        self._revision = revision
        self._hold = hold
        self._timeout = timeout
        self._asking = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True, name="etcd-lock")
        self._thread.start()

    def lost(self) -> str:
        """Return why the lock is not held for certain, in one line; empty while it is.

        Where its last sign of life is too long ago it sends one more: etcd may only just have come back.
        """
        if not self._hold.ended and self._hold.lost():
            self._sign()
        return self._hold.lost()

    def free(self) -> None:
        """End the lease, as far as etcd answers; else it ends by itself."""
        self._stop.set()
        self._thread.join(2 * self._timeout)
        self._hold.end("it was freed")
        _revoke(self._members, self._lease, self._timeout)

    def _keep_alive(self) -> None:
        pause = self._hold.seconds / _SIGNS
        while not self._stop.wait(pause) and not self._hold.ended:
            pause = self._hold.seconds / (_SIGNS if self._sign() else _RETRIES)

    def _sign(self) -> bool:
        """Send a sign of life, and see whose the lock is, by the first member that answers; return whether one did."""
        from nornir_etcd.connections import lease  # noqa: PLC0415 - gRPC costs 0.1 s of CPU

        with self._asking:
            for name, connect in list(self._members.items()):
                if self._stop.is_set():
                    break
                sent = now()
                try:
                    with connect() as client:
                        left = lease.keep_alive(client, self._lease, timeout=self._timeout)
                        found = lease.read_key(client, KEY, timeout=self._timeout)
                except NornirEtcdError:
                    continue
                self._members = {name: connect} | self._members  # who answered is asked first the next time
                if found is None:
                    self._hold.end("its key is gone: somebody deleted it, or its lease ended")
                elif found.mod_revision != self._revision:
                    self._hold.end(f"now {_holder_of(found)} has it")
                elif left > 0:
                    self._hold.confirm(sent)
                # A leader that is new may not know a lease yet that it will: the key, read by a quorum, decides.
                return left > 0 or self._hold.ended
        return False


def take_etcd_lock(
    members: Mapping[str, Open], holder: Holder, *, cluster: str, seconds: int, timeout: float
) -> EtcdLock | Holder | str:
    """Take a cluster's lock, or say who has it. Does not wait for it.

    A lock of a run that has lost the locks of all its hosts to this one is taken over: that run is dead, or begins
    nothing more. So what was killed is resumed at once, and not only after its lease has ended.

    Args:
        members: how to reach each, by name.
        holder: this run, which holds the locks of its hosts already.
        cluster: the cluster's name, for who reads of the lock.
        seconds: life of the lease without a sign of life.
        timeout: seconds for a call.

    Returns:
        The lock; or who holds it.

    Raises:
        NoWrites: etcd answers that it takes none.
        NornirEtcdError: no member answers.
    """
    lease, sent = secrets.randbits(62) | 1, now()
    reasons: list[NornirEtcdError] = []
    for name, connect in members.items():
        try:
            found = _take(connect, holder, lease, seconds, timeout)
        except NornirEtcdError as error:
            reasons.append(error)
            if isinstance(error, EtcdRefused) and any(word in error.found for word in _NO_WRITES):
                break
            continue
        if isinstance(found, (Holder, str)):
            _revoke(members, lease, timeout)
            return found
        hold = Hold(f"{cluster}: the lock in etcd", seconds, sent)
        return EtcdLock({name: connect} | dict(members), lease, found.mod_revision, hold, timeout)
    _revoke(members, lease, timeout)
    raise _unlockable(reasons[-1])


def _take(connect: Open, holder: Holder, lease: int, seconds: int, timeout: float) -> KeyValue | Holder | str:
    """Write the key by way of one member.

    Raises:
        NornirEtcdError: it did not answer, or refused; the key may have been written. It is then found to be ours.
    """
    from nornir_etcd.connections.lease import grant, put_key  # noqa: PLC0415 - gRPC costs 0.1 s of CPU

    value = holder.text().encode()
    with connect() as client:
        grant(client, lease, ttl=seconds, timeout=timeout)
        found, revision = put_key(client, KEY, value, lease=lease, mod_revision=0, timeout=timeout), 0
        if found and found.lease != lease and _has_lost(_holder_of(found), holder.hosts):
            revision = found.mod_revision
        if found is None or revision:
            found = put_key(client, KEY, value, lease=lease, mod_revision=revision, timeout=timeout)
    if found is None:
        return "somebody who has just ended"
    return found if found.lease == lease else _holder_of(found)


def _has_lost(other: Holder | str, hosts: Collection[str]) -> bool:
    """Whether a run has lost the locks of its hosts to the one that holds those of `hosts`."""
    return isinstance(other, Holder) and bool(other.hosts) and set(other.hosts) <= set(hosts)


def _holder_of(found: KeyValue) -> Holder | str:
    return read_holder(found.value.decode(errors="replace"))


def _revoke(members: Mapping[str, Open], lease: int, timeout: float) -> None:
    """End a lease by way of the first member that answers."""
    from nornir_etcd.connections.lease import revoke  # noqa: PLC0415 - gRPC costs 0.1 s of CPU

    for connect in members.values():
        try:
            with connect() as client:
                revoke(client, lease, timeout=timeout)
        except NornirEtcdError as error:
            if isinstance(error, EtcdRefused) and _NO_LEASE in error.found:
                return
            continue
        return


def _unlockable(error: NornirEtcdError) -> NornirEtcdError:
    if isinstance(error, EtcdRefused) and any(word in error.found for word in _NO_WRITES):
        return NoWrites("the lock in etcd", found=error.found)
    return error
