"""The host's gateway to containerd: CRI calls as lines of JSON on a unix socket, for programs that must start quickly.

Importing gRPC costs 0.2 s of CPU; one process a host pays it, and the stand-ins for crictl and the kubelet ask that
one. A line {"method", "request", "timeout"} is answered by {"response"} or {"code", "description"}.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
from typing import Any

from nornir_etcd.lab.host.client import CONTAINERD_SOCKET, GATEWAY_SOCKET
from nornir_etcd.lab.host.cri import CallError, Runtime


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        for line in self.rfile:
            call = json.loads(line)
            reply: dict[str, Any]
            try:
                reply = {"response": self.server.runtime.call(call["method"], call["request"], call["timeout"])}
            except CallError as error:
                reply = {"code": error.code, "description": error.description}
            self.wfile.write(json.dumps(reply).encode() + b"\n")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, runtime: Runtime) -> None:
        self.runtime = runtime
        super().__init__(path, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; report the rest on stderr, which is the service's log."""
        if not isinstance(sys.exc_info()[1], BrokenPipeError | ConnectionResetError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve until killed."""
    os.umask(0o177)
    with _Server(GATEWAY_SOCKET, Runtime(CONTAINERD_SOCKET)) as server:
        server.serve_forever()
