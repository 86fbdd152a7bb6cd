"""The etcd messages that the program sends and reads, in a descriptor pool of their own.

Those of the etcd3 package are older than learners, and need gRPC and etcd3 imported.

What counts on the wire is the method's path and the field numbers, not the name of the message: so these have a package
name of their own and live beside the messages of etcd3 without a clash. Fields as in etcd's api/etcdserverpb/rpc.proto;
a server that does not know a field leaves it out, and it reads as zero, empty or false.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "nornir_etcd.etcdserverpb"
_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "enum": FieldDescriptorProto.TYPE_INT32,  # the same on the wire, and any number a newer etcd may send is kept
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}

# message -> field -> (number, type); a type in brackets is repeated.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ResponseHeader": {
        "cluster_id": (1, "uint64"),
        "member_id": (2, "uint64"),
        "revision": (3, "int64"),
        "raft_term": (4, "uint64"),
    },
    "StatusRequest": {},
    "StatusResponse": {
        "header": (1, "ResponseHeader"),
        "version": (2, "string"),
        "dbSize": (3, "int64"),
        "leader": (4, "uint64"),
        "raftIndex": (5, "uint64"),
        "raftTerm": (6, "uint64"),
        "raftAppliedIndex": (7, "uint64"),
        "errors": (8, "[string]"),
        "dbSizeInUse": (9, "int64"),
        "isLearner": (10, "bool"),
        "storageVersion": (11, "string"),
        "dbSizeQuota": (12, "int64"),
        "downgradeInfo": (13, "DowngradeInfo"),
    },
    "DowngradeInfo": {"enabled": (1, "bool"), "targetVersion": (2, "string")},
    "Member": {
        "ID": (1, "uint64"),
        "name": (2, "string"),
        "peerURLs": (3, "[string]"),
        "clientURLs": (4, "[string]"),
        "isLearner": (5, "bool"),
    },
    "MemberListRequest": {"linearizable": (1, "bool")},
    "MemberListResponse": {"header": (1, "ResponseHeader"), "members": (2, "[Member]")},
    "MemberAddRequest": {"peerURLs": (1, "[string]"), "isLearner": (2, "bool")},
    "MemberAddResponse": {"header": (1, "ResponseHeader"), "member": (2, "Member"), "members": (3, "[Member]")},
    "MemberRemoveRequest": {"ID": (1, "uint64")},
    "MemberRemoveResponse": {"header": (1, "ResponseHeader"), "members": (2, "[Member]")},
    "MemberUpdateRequest": {"ID": (1, "uint64"), "peerURLs": (2, "[string]")},
    "MemberUpdateResponse": {"header": (1, "ResponseHeader"), "members": (2, "[Member]")},
    "MemberPromoteRequest": {"ID": (1, "uint64")},
    "MemberPromoteResponse": {"header": (1, "ResponseHeader"), "members": (2, "[Member]")},
    "AlarmRequest": {"action": (1, "enum"), "memberID": (2, "uint64"), "alarm": (3, "enum")},
    "AlarmMember": {"memberID": (1, "uint64"), "alarm": (2, "enum")},
    "AlarmResponse": {"header": (1, "ResponseHeader"), "alarms": (2, "[AlarmMember]")},
    "HashKVRequest": {"revision": (1, "int64")},
    "HashKVResponse": {
        "header": (1, "ResponseHeader"),
        "hash": (2, "uint32"),
        "compact_revision": (3, "int64"),
        "hash_revision": (4, "int64"),
    },
    "MoveLeaderRequest": {"targetID": (1, "uint64")},
    "MoveLeaderResponse": {"header": (1, "ResponseHeader")},
    "AuthenticateRequest": {},  # by nobody: name and password are left empty
    "AuthenticateResponse": {"header": (1, "ResponseHeader")},
    "DowngradeRequest": {"action": (1, "enum"), "version": (2, "string")},
    "DowngradeResponse": {"header": (1, "ResponseHeader"), "version": (2, "string")},
    "SnapshotRequest": {},
    "SnapshotResponse": {"header": (1, "ResponseHeader"), "remaining_bytes": (2, "uint64"), "blob": (3, "bytes")},
    "RangeRequest": {"key": (1, "bytes")},
    "RangeResponse": {"header": (1, "ResponseHeader"), "kvs": (2, "[KeyValue]")},
    # mvccpb.KeyValue, of etcd's api/mvccpb/kv.proto
    "KeyValue": {
        "key": (1, "bytes"),
        "create_revision": (2, "int64"),
        "mod_revision": (3, "int64"),
        "version": (4, "int64"),
        "value": (5, "bytes"),
        "lease": (6, "int64"),
    },
    "PutRequest": {"key": (1, "bytes"), "value": (2, "bytes"), "lease": (3, "int64")},
    # Of each oneof only what is used; a zero that is left out is compared as zero (etcd's server/etcdserver/apply.go).
    "Compare": {"result": (1, "enum"), "target": (2, "enum"), "key": (3, "bytes"), "mod_revision": (6, "int64")},
    "RequestOp": {"request_range": (1, "RangeRequest"), "request_put": (2, "PutRequest")},
    "ResponseOp": {"response_range": (1, "RangeResponse")},
    "TxnRequest": {"compare": (1, "[Compare]"), "success": (2, "[RequestOp]"), "failure": (3, "[RequestOp]")},
    "TxnResponse": {"header": (1, "ResponseHeader"), "succeeded": (2, "bool"), "responses": (3, "[ResponseOp]")},
    "LeaseGrantRequest": {"TTL": (1, "int64"), "ID": (2, "int64")},
    "LeaseGrantResponse": {"header": (1, "ResponseHeader"), "ID": (2, "int64"), "TTL": (3, "int64")},
    "LeaseKeepAliveRequest": {"ID": (1, "int64")},
    "LeaseKeepAliveResponse": {"header": (1, "ResponseHeader"), "ID": (2, "int64"), "TTL": (3, "int64")},
    "LeaseRevokeRequest": {"ID": (1, "int64")},
    "LeaseRevokeResponse": {"header": (1, "ResponseHeader")},
}


def _field(name: str, number: int, kind: str) -> FieldDescriptorProto:
    """Describe one field."""
    element = kind.strip("[]")
    repeated = kind != element
    field = FieldDescriptorProto(
        name=name,
        number=number,
        label=FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL,
    )
    if element in _SCALARS:
        field.type = _SCALARS[element]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{element}"
    return field


def _pool() -> DescriptorPool:
    """Build the pool from the table above."""
    file = FileDescriptorProto(name="nornir_etcd/etcdserverpb.proto", package=_PACKAGE, syntax="proto3")
    file.message_type.extend(
        DescriptorProto(name=message, field=[_field(name, *rest) for name, rest in fields.items()])
        for message, fields in _MESSAGES.items()
    )
    pool = DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _pool()


def _message_class(name: str) -> Any:
    """Return the class of a message; its fields are known at run time only, hence Any."""
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


StatusRequest = _message_class("StatusRequest")
StatusResponse = _message_class("StatusResponse")
MemberListRequest = _message_class("MemberListRequest")
MemberListResponse = _message_class("MemberListResponse")
MemberAddRequest = _message_class("MemberAddRequest")
MemberAddResponse = _message_class("MemberAddResponse")
MemberRemoveRequest = _message_class("MemberRemoveRequest")
MemberRemoveResponse = _message_class("MemberRemoveResponse")
MemberUpdateRequest = _message_class("MemberUpdateRequest")
MemberUpdateResponse = _message_class("MemberUpdateResponse")
MemberPromoteRequest = _message_class("MemberPromoteRequest")
MemberPromoteResponse = _message_class("MemberPromoteResponse")
AlarmRequest = _message_class("AlarmRequest")
AlarmResponse = _message_class("AlarmResponse")
HashKVRequest = _message_class("HashKVRequest")
HashKVResponse = _message_class("HashKVResponse")
MoveLeaderRequest = _message_class("MoveLeaderRequest")
MoveLeaderResponse = _message_class("MoveLeaderResponse")
AuthenticateRequest = _message_class("AuthenticateRequest")
AuthenticateResponse = _message_class("AuthenticateResponse")
DowngradeRequest = _message_class("DowngradeRequest")
DowngradeResponse = _message_class("DowngradeResponse")
SnapshotRequest = _message_class("SnapshotRequest")
SnapshotResponse = _message_class("SnapshotResponse")
RangeRequest = _message_class("RangeRequest")
RangeResponse = _message_class("RangeResponse")
TxnRequest = _message_class("TxnRequest")
TxnResponse = _message_class("TxnResponse")
LeaseGrantRequest = _message_class("LeaseGrantRequest")
LeaseGrantResponse = _message_class("LeaseGrantResponse")
LeaseKeepAliveRequest = _message_class("LeaseKeepAliveRequest")
LeaseKeepAliveResponse = _message_class("LeaseKeepAliveResponse")
LeaseRevokeRequest = _message_class("LeaseRevokeRequest")
LeaseRevokeResponse = _message_class("LeaseRevokeResponse")
