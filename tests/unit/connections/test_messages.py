"""The messages of the private descriptor pool, held against those of etcd3 and the numbers of etcd's rpc.proto."""

from __future__ import annotations

import pytest
from etcd3 import etcdrpc

from nornir_etcd.connections import messages

BIG = 2**64 - 1


def test_unsigned_64_bit_ids_survive() -> None:
    answer = messages.MemberListResponse(
        header={"cluster_id": BIG, "member_id": BIG - 1}, members=[{"ID": BIG - 2, "isLearner": True}]
    )
    read = messages.MemberListResponse.FromString(answer.SerializeToString())
    assert (read.header.cluster_id, read.header.member_id) == (BIG, BIG - 1)
    assert (read.members[0].ID, read.members[0].isLearner) == (BIG - 2, True)


def test_what_etcd3_writes_is_read_the_same() -> None:
    header = etcdrpc.ResponseHeader(cluster_id=BIG, member_id=7, revision=-1, raft_term=3)
    status = etcdrpc.StatusResponse(header=header, version="3.5.16", dbSize=9, leader=BIG - 1, raftIndex=11, raftTerm=3)
    read = messages.StatusResponse.FromString(status.SerializeToString())
    assert (read.header.cluster_id, read.header.revision, read.header.raft_term) == (BIG, -1, 3)
    assert (read.version, read.dbSize, read.leader, read.raftIndex, read.raftTerm) == ("3.5.16", 9, BIG - 1, 11, 3)

    member = etcdrpc.Member(ID=BIG, name="m1", peerURLs=["https://a:2380", "b"], clientURLs=["c"])
    listed = etcdrpc.MemberListResponse(header=header, members=[member, etcdrpc.Member(ID=1)])
    first, second = messages.MemberListResponse.FromString(listed.SerializeToString()).members
    assert (first.ID, first.name, list(first.peerURLs), list(first.clientURLs)) == (
        BIG,
        "m1",
        ["https://a:2380", "b"],
        ["c"],
    )
    assert (second.name, list(second.peerURLs), second.isLearner) == ("", [], False)

    alarm = etcdrpc.AlarmResponse(header=header, alarms=[etcdrpc.AlarmMember(memberID=BIG, alarm=etcdrpc.NOSPACE)])
    (entry,) = messages.AlarmResponse.FromString(alarm.SerializeToString()).alarms
    assert (entry.memberID, entry.alarm) == (BIG, 1)

    chunk = etcdrpc.SnapshotResponse(header=header, remaining_bytes=BIG, blob=b"\x00\xff")
    piece = messages.SnapshotResponse.FromString(chunk.SerializeToString())
    assert (piece.header.cluster_id, piece.remaining_bytes, piece.blob) == (BIG, BIG, b"\x00\xff")


def test_what_is_written_etcd3_reads_the_same() -> None:
    assert etcdrpc.RangeRequest.FromString(messages.RangeRequest(key=b"health").SerializeToString()).key == b"health"
    request = messages.AlarmRequest(action=1, memberID=BIG, alarm=2).SerializeToString()
    read = etcdrpc.AlarmRequest.FromString(request)
    assert (read.action, read.memberID, read.alarm) == (etcdrpc.AlarmRequest.ACTIVATE, BIG, 2)


@pytest.mark.parametrize(
    ("wire", "field", "wanted"),
    [
        (b"\x30\x0b", "raftTerm", 11),
        (b"\x38\x0b", "raftAppliedIndex", 11),
        (b"\x42\x01e\x42\x01f", "errors", ["e", "f"]),
        (b"\x48\x0b", "dbSizeInUse", 11),
        (b"\x50\x01", "isLearner", True),
        (b"\x5a\x053.6.0", "storageVersion", "3.6.0"),
        (b"\x60\x0b", "dbSizeQuota", 11),
    ],
)
def test_the_newer_fields_of_a_status_have_their_numbers(wire: bytes, field: str, wanted: object) -> None:
    assert getattr(messages.StatusResponse.FromString(wire), field) == wanted


def test_a_downgrade_in_a_status_has_its_numbers() -> None:
    found = messages.StatusResponse.FromString(b"\x6a\x09\x08\x01\x12\x053.5.0").downgradeInfo
    assert (found.enabled, found.targetVersion) == (True, "3.5.0")


@pytest.mark.parametrize(
    ("action", "wire"), [(0, b"\x12\x053.5.0"), (1, b"\x08\x01\x12\x053.5.0"), (2, b"\x08\x02\x12\x053.5.0")]
)
def test_a_downgrade_has_its_numbers(action: int, wire: bytes) -> None:
    assert messages.DowngradeRequest(action=action, version="3.5.0").SerializeToString() == wire
    answer = messages.DowngradeResponse.FromString(b"\x0a\x00\x12\x053.6.0")
    assert answer.version == "3.6.0"


def test_a_hash_has_its_numbers() -> None:
    assert messages.HashKVRequest(revision=7).SerializeToString() == b"\x08\x07"
    # An etcd that was never compacted says -1.
    read = messages.HashKVResponse.FromString(b"\x10\xff\xff\xff\xff\x0f\x18" + b"\xff" * 9 + b"\x01\x20\x09")
    assert (read.hash, read.compact_revision, read.hash_revision) == (2**32 - 1, -1, 9)
    theirs = etcdrpc.HashKVResponse(hash=BIG & 2**32 - 1, compact_revision=3)
    ours = messages.HashKVResponse.FromString(theirs.SerializeToString())
    assert (ours.hash, ours.compact_revision, ours.hash_revision) == (2**32 - 1, 3, 0)


def test_a_downgrade_is_read() -> None:
    read = messages.StatusResponse.FromString(b"\x6a\x09\x08\x01\x12\x053.5.0").downgradeInfo
    assert (read.enabled, read.targetVersion) == (True, "3.5.0")


def test_a_kind_of_alarm_that_is_not_known_yet_keeps_its_number() -> None:
    (entry,) = messages.AlarmResponse.FromString(b"\x12\x04\x08\x05\x10\x63").alarms
    assert (entry.memberID, entry.alarm) == (5, 99)


def test_a_linearizable_member_list_is_asked_for_in_field_one() -> None:
    assert messages.MemberListRequest(linearizable=True).SerializeToString() == b"\x08\x01"
    assert messages.MemberListRequest(linearizable=False).SerializeToString() == b""


def test_a_transaction_is_what_etcd3_reads() -> None:
    ours = messages.TxnRequest(
        compare=[{"target": 2, "key": b"k", "mod_revision": 7}],
        success=[{"request_put": {"key": b"k", "value": b"v", "lease": 2**62}}],
        failure=[{"request_range": {"key": b"k"}}],
    )
    read = etcdrpc.TxnRequest.FromString(ours.SerializeToString())
    (compare,), (put,), (get,) = read.compare, read.success, read.failure
    assert (compare.result, compare.target, compare.key) == (etcdrpc.Compare.EQUAL, etcdrpc.Compare.MOD, b"k")
    assert (compare.WhichOneof("target_union"), compare.mod_revision) == ("mod_revision", 7)
    assert (put.request_put.key, put.request_put.value, put.request_put.lease) == (b"k", b"v", 2**62)
    assert (get.WhichOneof("request"), get.request_range.key) == ("request_range", b"k")


def test_the_answer_to_a_transaction_is_read_as_etcd3_writes_it() -> None:
    key = {"key": b"k", "create_revision": 3, "mod_revision": 9, "version": 2, "value": b"v", "lease": 2**62}
    theirs = etcdrpc.TxnResponse(
        header=etcdrpc.ResponseHeader(revision=11),
        succeeded=True,
        responses=[etcdrpc.ResponseOp(response_range=etcdrpc.RangeResponse(kvs=[key], count=1))],
    )
    ours = messages.TxnResponse.FromString(theirs.SerializeToString())
    (found,) = ours.responses[0].response_range.kvs
    assert (ours.succeeded, ours.header.revision) == (True, 11)
    assert (found.key, found.mod_revision, found.value, found.lease) == (b"k", 9, b"v", 2**62)
    assert (found.create_revision, found.version) == (3, 2)


def test_leases_are_what_etcd3_reads_and_writes() -> None:
    grant = etcdrpc.LeaseGrantRequest.FromString(messages.LeaseGrantRequest(TTL=60, ID=2**62).SerializeToString())
    assert (grant.TTL, grant.ID) == (60, 2**62)
    for ours, theirs in (
        (messages.LeaseKeepAliveRequest, etcdrpc.LeaseKeepAliveRequest),
        (messages.LeaseRevokeRequest, etcdrpc.LeaseRevokeRequest),
    ):
        assert theirs.FromString(ours(ID=2**62).SerializeToString()).ID == 2**62
    for ours, theirs in (
        (messages.LeaseGrantResponse, etcdrpc.LeaseGrantResponse),
        (messages.LeaseKeepAliveResponse, etcdrpc.LeaseKeepAliveResponse),
    ):
        read = ours.FromString(theirs(ID=2**62, TTL=60).SerializeToString())
        assert (read.ID, read.TTL) == (2**62, 60)


@pytest.mark.parametrize("name", ["Add", "Remove", "Update", "Promote"])
def test_changes_of_membership_have_their_numbers(name: str) -> None:
    url = b"https://192.0.2.1:2380"
    wire = {
        "Add": b"\x0a\x16" + url + b"\x10\x01",
        "Remove": b"\x08\x07",
        "Update": b"\x08\x07\x12\x16" + url,
        "Promote": b"\x08\x07",
    }
    fields = {"ID": 7, "peerURLs": [url.decode()], "isLearner": True}
    request = getattr(messages, f"Member{name}Request")
    known = {field.name: fields[field.name] for field in request.DESCRIPTOR.fields}
    assert request(**known).SerializeToString() == wire[name]


def test_the_answer_to_an_addition_is_read_as_etcd3_writes_it() -> None:
    theirs = etcdrpc.MemberAddResponse(member=etcdrpc.Member(ID=BIG), members=[etcdrpc.Member(ID=1)])
    ours = messages.MemberAddResponse.FromString(theirs.SerializeToString())
    assert (ours.member.ID, [one.ID for one in ours.members]) == (BIG, [1])
