from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory

from nornir_etcd.lab.host import cri
from nornir_etcd.lab.host.client import RuntimeCallError
from nornir_etcd.lab.host.cri import Runtime, file_descriptor

TEXT = Path(cri.__file__).with_name("cri.proto").read_text(encoding="utf-8")


def test_every_declaration_of_the_file_is_read() -> None:
    file = file_descriptor(TEXT)
    assert TEXT.count("\nmessage ") == len(file.message_type)
    assert TEXT.count("\nenum ") == len(file.enum_type)
    declared = sum(line.startswith("  ") for line in TEXT.splitlines())
    fields = sum(len(message.field) for message in file.message_type)
    assert declared == fields + sum(len(enum.value) for enum in file.enum_type)


def test_messages_carry_numbers_maps_and_enums() -> None:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file_descriptor(TEXT))
    container = message_factory.GetMessageClass(pool.FindMessageTypeByName("runtime.v1.Container"))
    data = {"id": "a", "state": "CONTAINER_EXITED", "labels": {"k": "v"}, "metadata": {"name": "etcd", "attempt": 3}}
    packed = json_format.ParseDict(data, container()).SerializeToString()
    # id 1, metadata 3 {name 1, attempt 2}, state 6, labels 8 {key 1, value 2}
    assert packed == b"\n\x01a\x1a\x08\n\x04etcd\x10\x03\x30\x02\x42\x06\n\x01k\x12\x01v"


def test_a_runtime_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(RuntimeCallError, match="code = Unavailable"):
        Runtime(str(tmp_path / "nosuch.sock")).call("Version", {}, timeout=5)
