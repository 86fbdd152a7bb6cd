"""What is asked of etcd over the client of the connection plugin `etcd`, and what each failure means.

Every function makes one call to one member and never waits for a connection that is down: polling is the caller's.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nornir_etcd.connections import messages
from nornir_etcd.connections.refusals import LEADER_CHANGED, NOT_LEADER, QUORUM, REMEDIES, said
from nornir_etcd.exceptions import EtcdError, EtcdRefused, EtcdTimeout, EtcdTlsError, EtcdUnreachable
from nornir_etcd.observation import Alarm, HashKv, MemberInfo, MemberList, MemberStatus

if TYPE_CHECKING:
    from collections.abc import Generator

    from etcd3 import MultiEndpointEtcd3Client

# AlarmRequest.AlarmAction and AlarmType of etcd's api/etcdserverpb/rpc.proto.
_ALARM_GET = 0
_ALARM_KINDS = {1: "NOSPACE", 2: "CORRUPT"}
_DOWNGRADE_ACTIONS = {"validate": 0, "enable": 1, "cancel": 2}  # DowngradeRequest.DowngradeAction, as above

_AUTH_IS_OFF = "etcdserver: authentication is not enabled"  # ErrGRPCAuthNotEnabled of api/v3rpc/rpctypes/error.go
_LOGIN_FAILED = "etcdserver: authentication failed"  # ErrGRPCAuthFailed, as above
ELECTION_PAUSE = 0.1
"""Seconds before a read is made again that an election broke off; one takes one to two seconds."""


def status(client: MultiEndpointEtcd3Client, *, timeout: float) -> MemberStatus:
    """Ask one member for its status; it answers without a quorum.

    Args:
        client: `connection` of the plugin `etcd`.
        timeout: seconds.

    Returns:
        The status; fields that an older etcd does not know are zero, false or empty.

    Raises:
        EtcdError: one of its four kinds.
    """
    answer = _call(client, "Maintenance/Status", messages.StatusRequest(), messages.StatusResponse, timeout)
    return MemberStatus(
        cluster_id=answer.header.cluster_id,
        member_id=answer.header.member_id,
        version=answer.version,
        db_size=answer.dbSize,
        db_size_in_use=answer.dbSizeInUse,
        leader=answer.leader,
        raft_term=answer.raftTerm,
        raft_index=answer.raftIndex,
        raft_applied_index=answer.raftAppliedIndex,
        is_learner=answer.isLearner,
        errors=tuple(answer.errors),
        revision=answer.header.revision,
        storage_version=answer.storageVersion,
        db_size_quota=answer.dbSizeQuota,
        downgrade=answer.downgradeInfo.targetVersion if answer.downgradeInfo.enabled else "",
    )


def member_list(client: MultiEndpointEtcd3Client, *, linearizable: bool, timeout: float) -> MemberList:
    """Ask one member for the member list.

    Args:
        client: `connection` of the plugin `etcd`.
        linearizable: the cluster's list, which takes a quorum, instead of what this member knows. From etcd 3.5 on;
            3.4 gives what the member knows either way.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.MemberListRequest(linearizable=linearizable)
    answer = _call(client, "Cluster/MemberList", request, messages.MemberListResponse, timeout)
    return MemberList(
        cluster_id=answer.header.cluster_id,
        answered_by=answer.header.member_id,
        members=tuple(
            MemberInfo(
                id=member.ID,
                name=member.name,
                peer_urls=tuple(member.peerURLs),
                client_urls=tuple(member.clientURLs),
                is_learner=member.isLearner,
            )
            for member in answer.members
        ),
    )


def alarms(client: MultiEndpointEtcd3Client, *, timeout: float) -> tuple[Alarm, ...]:
    """Ask for the alarms of all members, which takes a quorum.

    Args:
        client: `connection` of the plugin `etcd`.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.AlarmRequest(action=_ALARM_GET)
    answer = _call(client, "Maintenance/Alarm", request, messages.AlarmResponse, timeout)
    return tuple(Alarm(entry.memberID, _ALARM_KINDS.get(entry.alarm, str(entry.alarm))) for entry in answer.alarms)


def hash_kv(client: MultiEndpointEtcd3Client, *, revision: int, timeout: float) -> HashKv:
    """Ask one member for the hash of all its keys up to a revision; it reads the whole database for it.

    Args:
        client: `connection` of the plugin `etcd`.
        revision: up to which; 0 for the member's own newest, which is no other member's.
        timeout: seconds.

    Returns:
        The hash; an etcd before 3.6 does not tell its revision, which is then the one asked for, 0 included.

    Raises:
        EtcdError: one of its four kinds; EtcdRefused where the revision is compacted or not reached yet.
    """
    request = messages.HashKVRequest(revision=revision)
    answer = _call(client, "Maintenance/HashKV", request, messages.HashKVResponse, timeout)
    return HashKv(answer.hash, answer.hash_revision or revision, answer.compact_revision)


def move_leader(client: MultiEndpointEtcd3Client, *, to: int, timeout: float) -> bool:
    """Let another member lead. It answers when that one does.

    Args:
        client: `connection` of the plugin `etcd`, of the member that leads.
        to: ID of a voter that has caught up.
        timeout: seconds.

    Returns:
        Whether this member led, and leads no more; False where it was no leader to begin with.

    Raises:
        EtcdError: one of its four kinds.
    """
    try:
        _call(
            client,
            "Maintenance/MoveLeader",
            messages.MoveLeaderRequest(targetID=to),
            messages.MoveLeaderResponse,
            timeout,
        )
    except EtcdRefused as error:
        if said(error, NOT_LEADER):
            return False
        raise
    return True


def auth_enabled(client: MultiEndpointEtcd3Client, *, timeout: float) -> bool:
    """Ask one member whether authentication by user and role is on, which takes a quorum.

    It is asked to log nobody in. etcd refuses that either way, to whomever asks, and before anything is written; the
    refusal tells (Authenticate in server/etcdserver/v3_server.go and CheckPassword in server/auth/store.go).

    Never by AuthStatus: 3.4 does not know it, and later releases put that question into the log of all members. A 3.4
    beside them ends with "panic: not implemented", and again at every start, since the entry stays (Apply in
    etcdserver/apply.go of 3.4; seen with 3.5.16 beside 3.4.23).

    Args:
        client: `connection` of the plugin `etcd`; its user needs no role.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.AuthenticateRequest()
    try:
        _call(client, "Auth/Authenticate", request, messages.AuthenticateResponse, timeout)
    except EtcdRefused as error:
        if _AUTH_IS_OFF in error.found:
            return False
        if _LOGIN_FAILED not in error.found:
            raise
    return True


def downgrade(
    client: MultiEndpointEtcd3Client,
    *,
    action: Literal["validate", "enable", "cancel"],
    version: str = "",
    timeout: float,
) -> str:
    """Ask whether the cluster may go down to the minor before, have it made ready for it, or take that back.

    An answer to `validate` is no leave by itself: 3.5 knows the call and says yes to 3.4, but offers no way there
    (nornir_etcd.versions.DOWNGRADES names those that do: https://etcd.io/docs/v3.6/downgrades/).

    Args:
        client: `connection` of the plugin `etcd`; where authentication is on, of a user with the role root.
        action: as etcdctl names them.
        version: what to go down to, such as 3.5.0; etcd looks at major and minor. Not needed to cancel.
        timeout: seconds.

    Returns:
        The cluster's version at that moment.

    Raises:
        EtcdError: one of its four kinds; EtcdRefused where the member does not know the call, or says no.
    """
    request = messages.DowngradeRequest(action=_DOWNGRADE_ACTIONS[action], version=version)
    try:
        answer = _call(client, "Maintenance/Downgrade", request, messages.DowngradeResponse, timeout)
    except EtcdRefused as error:
        if not error.found.startswith("UNIMPLEMENTED"):
            raise
        raise EtcdRefused(
            f"{error.thing}: downgrade {action}",
            wanted="a member that offers downgrades, as 3.6 and later do",
            found="one that does not know the call",
            remedy="restore a snapshot of the release that is wanted",
        ) from error
    return str(answer.version)


def linearizable_read(client: MultiEndpointEtcd3Client, *, timeout: float) -> float:
    """Read a key through a quorum, as `etcdctl endpoint health` does; the key need not exist.

    A read that an election breaks off is made again within the same time, as etcd's own client does it (a read is safe
    to repeat: isSafeRetryImmutableRPC in client/v3/retry.go). What counts is whether a quorum answers, not whether it
    had a leader at that very moment.

    Where authentication is on and the client may not read the key, "permission denied" counts as success, as with
    etcdctl (etcdctl/ctlv3/command/ep_command.go): etcd refuses only after the quorum has answered.

    Args:
        client: `connection` of the plugin `etcd`.
        timeout: seconds.

    Returns:
        Seconds that it took.

    Raises:
        EtcdError: one of its four kinds; EtcdTimeout where there is no quorum.
    """
    start = time.monotonic()
    left = timeout
    while True:
        try:
            _call(client, "KV/Range", messages.RangeRequest(key=b"health"), messages.RangeResponse, left)
        except EtcdRefused as error:
            left = start + timeout - time.monotonic() - ELECTION_PAUSE
            if said(error, LEADER_CHANGED) and left > 0:
                time.sleep(ELECTION_PAUSE)
                continue
            if not error.found.startswith("PERMISSION_DENIED"):
                raise
        return time.monotonic() - start


class Chunk(NamedTuple):
    """A piece of a snapshot."""

    blob: bytes
    remaining: int
    """Bytes of the database that are still to come; the last chunk, which has the SHA-256, does not count."""


def snapshot(client: MultiEndpointEtcd3Client, *, timeout: float) -> Generator[Chunk, None, None]:
    """Ask one member for its database as it is now, with all that it has applied, and its SHA-256.

    Nothing is collected: a caller that stops to read holds etcd back. Close the generator to end the call early.

    etcd has no word for a database that it cannot read to its end: it sends empty chunks for ever (Snapshot in
    server/etcdserver/api/v3rpc/maintenance.go, 3.4 to 3.6, takes EOF for a short read). The deadline ends that.

    Args:
        client: `connection` of the plugin `etcd`.
        timeout: seconds for the whole of it.

    Raises:
        EtcdError: one of its four kinds; it tells how much was still to come.
    """
    import grpc  # noqa: PLC0415 - see _call

    method = client.channel.unary_stream(
        "/etcdserverpb.Maintenance/Snapshot",
        request_serializer=messages.SnapshotRequest.SerializeToString,
        response_deserializer=messages.SnapshotResponse.FromString,
    )
    call, remaining = method(messages.SnapshotRequest(), timeout=timeout), None
    try:
        for answer in call:
            remaining = answer.remaining_bytes
            yield Chunk(answer.blob, remaining)
    except grpc.RpcError as error:
        cause = _explained(client, error, timeout)
        raise cause if remaining is None else _broken_off(cause, remaining, timeout) from error
    finally:
        call.cancel()


def _broken_off(cause: EtcdError, remaining: int, timeout: float) -> EtcdError:
    """Return the error of a stream that had begun."""
    slow = isinstance(cause, EtcdTimeout)
    return type(cause)(
        f"snapshot from {cause.thing}",
        wanted=f"all of it within {timeout:g} s" if slow else "all of it",
        found=f"{remaining} bytes still to come" + ("" if slow else f" when it broke off ({cause.found})"),
        remedy="raise etcd_snapshot_timeout" if slow else cause.remedy,
    )


def _call(client: MultiEndpointEtcd3Client, path: str, request: Any, response: Any, timeout: float) -> Any:
    """Call one method; a channel that cannot connect fails the call at once (no wait_for_ready).

    Raises:
        EtcdError: one of its four kinds.
    """
    import grpc  # noqa: PLC0415 - 0.1 s of CPU, paid when a connection is opened (see connections/etcd.py)

    method = client.channel.unary_unary(
        f"/etcdserverpb.{path}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        raise _explained(client, error, timeout) from error


def _explained(client: MultiEndpointEtcd3Client, error: Any, timeout: float) -> EtcdError:
    # Any: grpc.RpcError does not declare code and details, which every error of a call has (grpc.Call).
    endpoint = client.endpoint_in_use.netloc
    return explain(error.code().name, error.details() or "", endpoint=endpoint, timeout=timeout)


class _Cause(NamedTuple):
    """What a piece of an error's text means."""

    text: str
    error: type[EtcdError]
    found: str  # empty: gRPC's own text, shortened
    remedy: str


_CA = "check that cacert is the CA of the served certificate"
_CLIENT_CERTIFICATE = "give a client certificate that is valid now and issued by a CA that etcd trusts"
_RENEW = "renew the certificate, or set the clock"
_NAME = "issue the member's certificate again with this address among its SANs"
_ADDRESS = "check that address and port are those of etcd's client URL"
_RUNNING = "check that etcd runs and listens there"
_NETWORK = "check address, routes and firewall"

# The first whose text occurs counts. The texts are those of gRPC's C core (seen with grpcio 1.85 against etcd 3.4.23,
# 3.5.1, 3.5.16 and 3.5.30) and of etcd's api/v3rpc/rpctypes/error.go, since etcd says UNAVAILABLE too when it answers.
_CAUSES = (
    _Cause("etcdserver: request timed out", EtcdTimeout, "", QUORUM),
    # gRPC gives the deadline to the server as well; etcd's word of it comes as UNKNOWN where it is there first.
    _Cause("context deadline exceeded", EtcdTimeout, "", QUORUM),
    _Cause("etcdserver: ", EtcdRefused, "", ""),
    _Cause("certificate has expired", EtcdTlsError, "a served certificate, or a CA, that has expired", _RENEW),
    _Cause("certificate is not yet valid", EtcdTlsError, "a served certificate that is not valid yet", _RENEW),
    _Cause("CERTIFICATE_VERIFY_FAILED", EtcdTlsError, "a served certificate that cacert does not vouch for", _CA),
    _Cause("Hostname Verification Check failed", EtcdTlsError, "a served certificate for other names", _NAME),
    # TLS 1.2: etcd's alert ends the handshake. TLS 1.3: it comes after the handshake and gRPC cannot read it.
    _Cause("_ALERT_", EtcdTlsError, "the client certificate refused, or none given", _CLIENT_CERTIFICATE),
    _Cause("TSI_DATA_CORRUPTED", EtcdTlsError, "the client certificate refused, or none given", _CLIENT_CERTIFICATE),
    _Cause("missing selected ALPN", EtcdTlsError, "a TLS server without HTTP/2, so not etcd", _ADDRESS),
    _Cause("WRONG_VERSION_NUMBER", EtcdTlsError, "a server without TLS", _ADDRESS),
    # The time for a connection attempt ran out between TCP and TLS.
    _Cause(
        "Handshake read failed (Endpoint closing)", EtcdTimeout, "TCP connected, TLS handshake not answered", _RUNNING
    ),
    _Cause("Handshake read failed", EtcdTlsError, "connection closed in the TLS handshake, so no TLS there", _ADDRESS),
    _Cause("handshake failed", EtcdTlsError, "", _ADDRESS),
    _Cause("Connection refused", EtcdUnreachable, "connection refused", _RUNNING),
    _Cause("No such file or directory", EtcdUnreachable, "no such unix socket", "check that its tunnel is open"),
    _Cause("address lookup failed", EtcdUnreachable, "the name does not resolve", "check the address"),
    _Cause("timed out", EtcdUnreachable, "no answer to the TCP connection", _NETWORK),
    _Cause("handshaker shutdown", EtcdUnreachable, "no answer to the TCP connection", _NETWORK),
    _Cause("Failed to connect to remote host", EtcdUnreachable, "", _NETWORK),
    _Cause("Failed parsing HTTP/2", EtcdUnreachable, "a server that does not speak gRPC, so not etcd", _ADDRESS),
)

_OTHER_CAUSES = {
    "DEADLINE_EXCEEDED": _Cause("", EtcdTimeout, "none", QUORUM),
    # A reset may also hide TLS 1.3's refusal of a client certificate: it discards the alert before it.
    "UNAVAILABLE": _Cause("", EtcdUnreachable, "", "see etcd's log: it stops, or refuses the client certificate"),
}
_REFUSED = _Cause("", EtcdRefused, "", "")


def explain(code: str, details: str, *, endpoint: str, timeout: float) -> EtcdError:
    """Return the error that a failed call means.

    Args:
        code: name of the gRPC status code.
        details: gRPC's or etcd's text.
        endpoint: target of the channel.
        timeout: seconds that the call was given.
    """
    cause = next((cause for cause in _CAUSES if cause.text in details), _OTHER_CAUSES.get(code, _REFUSED))
    found = cause.found or _shorten(details)
    if cause.error is EtcdRefused:
        found = f"{code} {found}"
    wanted = f"an answer within {timeout:g} s" if cause.error is EtcdTimeout else ""
    remedy = cause.remedy or REMEDIES.get(details, "")
    return cause.error(f"etcd at {endpoint}", wanted=wanted, found=found, remedy=remedy)


def _shorten(details: str) -> str:
    """Drop what gRPC puts around a cause: "failed to connect to ...; last error: CODE: ADDRESS: cause: OK"."""
    cause = details.rpartition("last error: ")[2].removesuffix(": OK")
    return re.sub(r"^[A-Z_]+: \w+:\S+: ", "", cause)
