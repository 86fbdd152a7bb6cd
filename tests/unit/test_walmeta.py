"""Whose data a WAL file holds. Files that etcd itself wrote are read in tests/contract."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.walmeta import HEAD_BYTES, identify

ids = st.integers(1, 2**64 - 1)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def frame(record: bytes) -> bytes:
    """Return a record as etcd's encoder frames it: length, record, padding to 8 bytes."""
    padding = -len(record) % 8
    length = len(record) | ((0x80 | padding) << 56 if padding else 0)
    return length.to_bytes(8, "little") + record + bytes(padding)


def record(kind: int, data: bytes | None = None, crc: int = 0) -> bytes:
    body = b"\x08" + varint(kind) + b"\x10" + varint(crc)
    return body if data is None else body + b"\x1a" + varint(len(data)) + data


def wal(node_id: int, cluster_id: int) -> bytes:
    metadata = b"\x08" + varint(node_id) + b"\x10" + varint(cluster_id)
    return frame(record(4)) + frame(record(1, metadata, crc=123456789)) + frame(record(5, b"\x08\x00"))


METADATA_END = len(wal(2**63, 2**64 - 1)) - len(frame(record(5, b"\x08\x00")))


@given(ids, ids)
def test_the_ids_of_the_metadata_record_are_found(node_id: int, cluster_id: int) -> None:
    head = wal(node_id, cluster_id)
    assert len(head) < HEAD_BYTES
    assert identify(head + bytes(HEAD_BYTES)) == (node_id, cluster_id)


@given(st.integers(0, 200))
def test_a_file_cut_short_is_refused_and_never_misread(length: int) -> None:
    head = wal(2**63, 2**64 - 1)[:length]
    try:
        found = identify(head)
    except ValueError:
        assert length < METADATA_END
    else:
        assert length >= METADATA_END
        assert found == (2**63, 2**64 - 1)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "cut short: 0 bytes"),
        (bytes(1024), "ends before its metadata"),
        (b"SQLite format 3\x00" * 64, "cut short, or none"),
        (frame(record(1, b"\x08\x01\x10\x01")), "first record is of type 1, not a checksum"),
        (frame(record(4)), "cut short: 0 bytes"),
        (frame(record(4)) + bytes(64), "ends before its metadata"),
        (frame(record(4)) + frame(record(5, b"")), "second record is of type 5, not metadata"),
        (frame(record(4)) + frame(record(1)), "not metadata"),
        (frame(record(4)) + frame(record(1, b"")), "name no member and cluster"),
        (frame(record(4)) + frame(record(1, b"\x08\x00\x10\x07")), "name no member and cluster"),
        (frame(record(4)) + frame(record(1, b"\x0a\x01x\x10\x07")), "name no member and cluster"),
        (frame(record(4)) + frame(record(1, b"\x08" + b"\xff" * 12)), "a number that does not end"),
        (frame(record(4)) + frame(record(1, b"\x0b")), "wire type 3"),
        (frame(record(4)) + frame(record(1, b"\x1a\x7f")), "field 3 runs past its end"),
    ],
)
def test_what_is_no_wal_file_is_refused_with_the_reason(head: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        identify(head)


@given(st.binary(max_size=2 * HEAD_BYTES))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(head: bytes) -> None:
    with pytest.raises(ValueError, match="WAL"):
        identify(head)


@given(st.binary(max_size=64), st.binary(max_size=128))
def test_arbitrary_records_are_refused_or_read_and_nothing_else_happens(first: bytes, second: bytes) -> None:
    head = frame(record(4)) + frame(record(1, first)) + second
    try:
        node_id, cluster_id = identify(head)
    except ValueError:
        return
    assert 0 < node_id < 2**64
    assert 0 < cluster_id < 2**64
