"""A client of containerd's CRI whose messages are declared at run time, from cri.proto beside this file."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from nornir_etcd.lab.host.client import RuntimeCallError

PACKAGE = "runtime.v1"
IMAGE_METHODS = frozenset({"ListImages", "ImageStatus", "PullImage", "RemoveImage"})
# ExecSync may return 16 MB of each stream (its own cap).
MAX_MESSAGE = 40 * 2**20

_BLOCK = re.compile(r"(message|enum) (\w+) \{\n(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"(repeated )?(map<string, string>|\w+) (\w+) = (\d+);")
_VALUE = re.compile(r"(\w+) = (\d+);")
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def file_descriptor(text: str) -> descriptor_pb2.FileDescriptorProto:
    """Translate the proto text of this package (messages, enums, scalar and string-map fields) into a descriptor."""
    file = descriptor_pb2.FileDescriptorProto(name="cri.proto", package=PACKAGE, syntax="proto3")
    blocks = _BLOCK.findall(text)
    enums = {name for kind, name, _ in blocks if kind == "enum"}
    for kind, name, body in blocks:
        if kind == "enum":
            enum = file.enum_type.add(name=name)
            for value, number in _VALUE.findall(body):
                enum.value.add(name=value, number=int(number))
            continue
        message = file.message_type.add(name=name)
        for repeated, type_name, field_name, number in _FIELD.findall(body):
            field = message.field.add(name=field_name, number=int(number), label=_Field.LABEL_OPTIONAL)
            if repeated or type_name.startswith("map"):
                field.label = _Field.LABEL_REPEATED
            if type_name in _SCALARS:
                field.type = _SCALARS[type_name]
            elif type_name.startswith("map"):
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{PACKAGE}.{name}.{_add_map_entry(message, field_name)}"
            else:
                field.type = _Field.TYPE_ENUM if type_name in enums else _Field.TYPE_MESSAGE
                field.type_name = f".{PACKAGE}.{type_name}"
    return file


def _add_map_entry(message: descriptor_pb2.DescriptorProto, field_name: str) -> str:
    entry_name = "".join(part.capitalize() for part in field_name.split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    for number, name in ((1, "key"), (2, "value")):
        entry.field.add(name=name, number=number, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    return entry_name


class Runtime:
    """containerd's CRI at a unix socket; requests and responses are JSON-like dicts in protobuf's JSON form."""

    def __init__(self, socket: str) -> None:
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file_descriptor(Path(__file__).with_name("cri.proto").read_text(encoding="utf-8")))
        self._pool = pool
        options = [
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=options)

    def _message(self, name: str) -> Any:
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    @functools.cache  # noqa: B019 - one Runtime lives as long as its process
    def _stub(self, method: str) -> tuple[Any, Any]:
        request, response = self._message(f"{method}Request"), self._message(f"{method}Response")
        service = "ImageService" if method in IMAGE_METHODS else "RuntimeService"
        call = self._channel.unary_unary(
            f"/{PACKAGE}.{service}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return request, call

    def call(self, method: str, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Call a CRI method.

        Args:
            method: name of the rpc, e.g. ListContainers.
            request: its request in protobuf's JSON form.
            timeout: seconds.

        Returns:
            The response in protobuf's JSON form, fields without a value included, as crictl prints it.

        Raises:
            RuntimeCallError: the runtime refused, did not answer in time or is not there.
        """
        request_class, call = self._stub(method)
        try:
            response = call(json_format.ParseDict(request, request_class()), timeout=timeout)
        except grpc.RpcError as error:
            code = "".join(part.capitalize() for part in error.code().name.split("_"))
            raise RuntimeCallError(code, error.details() or "") from None
        return json_format.MessageToDict(response, always_print_fields_with_no_presence=True)
