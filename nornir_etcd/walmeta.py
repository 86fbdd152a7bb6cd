"""Whose data a data directory holds: the metadata record at the head of a WAL file. Pure: no I/O.

Layout (etcd server/storage/wal: encoder.go, decoder.go, walpb/record.proto): frames of a little-endian 64-bit length
field, a walpb.Record {type = 1, crc = 2, data = 3} and up to 7 bytes of padding. The length field's low 56 bits are
the record's length; where its top bit is set, the low 3 bits of its top byte are the padding's. Every WAL file, the
first and those cut later, begins with a CRC record and a metadata record.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 1024
"""How much of a WAL file holds both records, many times over (they take about 60 bytes)."""

_METADATA_TYPE: Final = 1
_CRC_TYPE: Final = 4

_LENGTH_FIELD: Final = 8
_VARINT_BYTES: Final = 10  # the longest a 64-bit varint gets
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf wire types


def identify(wal_head: bytes) -> tuple[int, int]:
    """Return the IDs of the member and of the cluster that a WAL file belongs to.

    Args:
        wal_head: the beginning of a `*.wal` file, HEAD_BYTES of it or the whole.

    Returns:
        Node ID and cluster ID, unsigned 64-bit numbers as etcd's member list has them.

    Raises:
        ValueError: where this is no WAL file, or too little of one; says which, in one line.
    """
    crc, rest = _frame(wal_head)
    if crc.get(1) != _CRC_TYPE:
        raise ValueError(f"not a WAL file: its first record is of type {crc.get(1)!r}, not a checksum")
    record, _ = _frame(rest)
    data = record.get(3)
    if record.get(1) != _METADATA_TYPE or not isinstance(data, bytes):
        raise ValueError(f"not a WAL file of etcd: its second record is of type {record.get(1)!r}, not metadata")
    metadata = _message(data)  # etcdserverpb.Metadata {NodeID = 1, ClusterID = 2}
    node_id, cluster_id = metadata.get(1), metadata.get(2)
    if not isinstance(node_id, int) or not isinstance(cluster_id, int) or not node_id or not cluster_id:
        raise ValueError("not a WAL file of etcd: its metadata name no member and cluster")
    return node_id, cluster_id


def _frame(data: bytes) -> tuple[dict[int, int | bytes], bytes]:
    """Return the fields of the first record of `data`, and what follows it."""
    if len(data) < _LENGTH_FIELD:
        raise ValueError(f"WAL file cut short: {len(data)} bytes where a record begins")
    field = int.from_bytes(data[:_LENGTH_FIELD], "little")
    length = field & ((1 << 56) - 1)
    padding = (field >> 56) & 0x7 if field >> 63 else 0
    if not length:
        raise ValueError("WAL file ends before its metadata")
    end = _LENGTH_FIELD + length
    if end + padding > len(data):
        raise ValueError(f"WAL file cut short, or none: a record of {length} bytes in {len(data) - _LENGTH_FIELD}")
    return _message(data[_LENGTH_FIELD:end]), data[end + padding :]


def _message(data: bytes) -> dict[int, int | bytes]:
    """Return the fields of a protobuf message by number, the last of each."""
    fields: dict[int, int | bytes] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 0x7
        value: int | bytes
        if wire_type == _VARINT:
            value, at = _varint(data, at)
        elif wire_type in (_BYTES, _FIXED64, _FIXED32):
            if wire_type == _BYTES:
                size, at = _varint(data, at)
            else:
                size = 8 if wire_type == _FIXED64 else 4
            if at + size > len(data):
                raise ValueError(f"not a WAL record: field {number} runs past its end")
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"not a WAL record: field {number} has wire type {wire_type}")
        fields[number] = value
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the varint at an offset, and the offset behind it."""
    value = 0
    for index, byte in enumerate(data[at : at + _VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value & ((1 << 64) - 1), at + index + 1
    raise ValueError("not a WAL record: a number that does not end")
