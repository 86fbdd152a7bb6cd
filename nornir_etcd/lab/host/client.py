"""A call of the runtime's CRI through the host's gateway (gateway.py), with nothing but the standard library."""

from __future__ import annotations

import json
import socket

TYPE_CHECKING = False  # importing typing costs a quick program 4 ms
if TYPE_CHECKING:
    from typing import Any

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CRI_DOCKERD_SOCKET = "/run/cri-dockerd.sock"
LAB_RUN = "/run/nornir-etcd-lab"
GATEWAY_SOCKET = f"{LAB_RUN}/cri.sock"


class RuntimeCallError(Exception):
    """The runtime refused a call; the text is as crictl and the kubelet print a gRPC error."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {description}")
        self.code = code
        self.description = description


def call(method: str, request: dict[str, Any] | None = None, *, timeout: float = 10, path: str = GATEWAY_SOCKET) -> Any:
    """Call a CRI method through the gateway.

    Args:
        method: name of the rpc, e.g. ListContainers.
        request: its request in protobuf's JSON form.
        timeout: seconds.
        path: the gateway's socket.

    Returns:
        The response in protobuf's JSON form.

    Raises:
        RuntimeCallError: the runtime refused, or it or the gateway is not there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout + 5)
        try:
            connection.connect(path)
            line = json.dumps({"method": method, "request": request or {}, "timeout": timeout})
            connection.sendall(line.encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = json.loads(stream.readline() or b"{}")
        except OSError as error:
            raise RuntimeCallError("Unavailable", f"gateway {path}: {error.strerror or error}") from None
    if "response" not in reply:
        raise RuntimeCallError(reply.get("code", "Unavailable"), reply.get("description", "the gateway gave no answer"))
    return reply["response"]
