"""Leases, and keys that live with them, over the client of the connection plugin `etcd`: one call each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nornir_etcd.connections import messages
from nornir_etcd.connections.rpc import _call, explain
from nornir_etcd.exceptions import EtcdRefused

if TYPE_CHECKING:
    from etcd3 import MultiEndpointEtcd3Client

_COMPARE_MOD = 2  # Compare.CompareTarget of etcd's api/etcdserverpb/rpc.proto; EQUAL, the result that is wanted, is 0
_LEASE_EXISTS = "lease already exists"  # etcd's api/v3rpc/rpctypes/error.go


class KeyValue(NamedTuple):
    """A key as etcd has it: its value, the revision that last wrote it, and its lease (0 for none)."""

    value: bytes
    mod_revision: int
    lease: int


def grant(client: MultiEndpointEtcd3Client, lease: int, *, ttl: int, timeout: float) -> None:
    """Grant a lease whose ID the caller has chosen, so that one that was granted unseen is granted no second time.

    Args:
        client: `connection` of the plugin `etcd`.
        lease: its ID, a positive number of 63 bits; one that exists is left as it is.
        ttl: seconds that it lives without a sign of life; etcd gives more where this is below its election time-out.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.LeaseGrantRequest(TTL=ttl, ID=lease)
    try:
        _call(client, "Lease/LeaseGrant", request, messages.LeaseGrantResponse, timeout)
    except EtcdRefused as error:
        if _LEASE_EXISTS not in error.found:
            raise


def keep_alive(client: MultiEndpointEtcd3Client, lease: int, *, timeout: float) -> int:
    """Give a lease its whole life again.

    Args:
        client: `connection` of the plugin `etcd`.
        lease: its ID.
        timeout: seconds.

    Returns:
        Seconds that it now lives; 0 where there is no such lease.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.LeaseKeepAliveRequest(ID=lease)
    return int(_ask_once(client, "Lease/LeaseKeepAlive", request, messages.LeaseKeepAliveResponse, timeout).TTL)


def revoke(client: MultiEndpointEtcd3Client, lease: int, *, timeout: float) -> None:
    """End a lease, and every key that has it.

    Args:
        client: `connection` of the plugin `etcd`.
        lease: its ID.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds; EtcdRefused where there is no such lease.
    """
    _call(client, "Lease/LeaseRevoke", messages.LeaseRevokeRequest(ID=lease), messages.LeaseRevokeResponse, timeout)


def read_key(client: MultiEndpointEtcd3Client, key: bytes, *, timeout: float) -> KeyValue | None:
    """Read a key through a quorum; None where there is none.

    Args:
        client: `connection` of the plugin `etcd`.
        key: the key.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    answer = _call(client, "KV/Range", messages.RangeRequest(key=key), messages.RangeResponse, timeout)
    return _first(answer)


def put_key(  # noqa: PLR0913 - a key, what it is to be, and what it must have been
    client: MultiEndpointEtcd3Client, key: bytes, value: bytes, *, lease: int, mod_revision: int, timeout: float
) -> KeyValue | None:
    """Write a key where nobody else has written it meanwhile.

    Args:
        client: `connection` of the plugin `etcd`.
        key: the key.
        value: its value.
        lease: ID of the lease that it lives with.
        mod_revision: the revision that last wrote it; 0 where it is not to be there yet.
        timeout: seconds.

    Returns:
        The key as it then is: written now where its lease is the one given, else another's; None where it is gone.

    Raises:
        EtcdError: one of its four kinds; after an EtcdTimeout or EtcdUnreachable it may have been written.
    """
    request = messages.TxnRequest(
        compare=[{"target": _COMPARE_MOD, "key": key, "mod_revision": mod_revision}],
        success=[{"request_put": {"key": key, "value": value, "lease": lease}}],
        failure=[{"request_range": {"key": key}}],
    )
    answer = _call(client, "KV/Txn", request, messages.TxnResponse, timeout)
    if answer.succeeded:
        return KeyValue(value, answer.header.revision, lease)
    return _first(answer.responses[0].response_range)


def _first(answer: Any) -> KeyValue | None:
    """Return the only key of a RangeResponse."""
    return next((KeyValue(one.value, one.mod_revision, one.lease) for one in answer.kvs), None)


def _ask_once(client: MultiEndpointEtcd3Client, path: str, request: Any, response: Any, timeout: float) -> Any:
    """Call a method of streams with one request, and return the first answer.

    Raises:
        EtcdError: what the failure means.
    """
    import grpc  # noqa: PLC0415 - 0.1 s of CPU, paid when a connection is opened (see connections/etcd.py)

    method = client.channel.stream_stream(
        f"/etcdserverpb.{path}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    call, endpoint = method(iter((request,)), timeout=timeout), client.endpoint_in_use.netloc
    try:
        for answer in call:
            return answer
    except grpc.RpcError as error:
        raise explain(error.code().name, error.details() or "", endpoint=endpoint, timeout=timeout) from error
    finally:
        call.cancel()
    raise explain("UNAVAILABLE", "no answer", endpoint=endpoint, timeout=timeout)
