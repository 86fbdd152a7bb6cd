"""The host's gateway to its runtime: CRI calls as lines of JSON on a unix socket, for programs that must start quickly.

Importing gRPC costs 0.2 s of CPU; one process a host pays it, and the stand-ins for crictl and the kubelet ask that
one. A line {"method", "request", "timeout"} is answered by {"response"} or {"code", "description"}. On a host with
Docker it is the stand-in for cri-dockerd as well, and its socket is there under that name too.
"""

from __future__ import annotations

import argparse
import json
import os
import socketserver
import sys
from pathlib import Path
from typing import Any, Protocol

from nornir_etcd.lab.host.client import CONTAINERD_SOCKET, CRI_DOCKERD_SOCKET, GATEWAY_SOCKET, RuntimeCallError


class Cri(Protocol):
    """What answers CRI calls."""

    def call(self, method: str, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Call a CRI method; requests and responses are in protobuf's JSON form."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        for line in self.rfile:
            call = json.loads(line)
            reply: dict[str, Any]
            try:
                reply = {"response": self.server.cri.call(call["method"], call["request"], call["timeout"])}
            except RuntimeCallError as error:
                reply = {"code": error.code, "description": error.description}
            self.wfile.write(json.dumps(reply).encode() + b"\n")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, cri: Cri) -> None:
        self.cri = cri
        super().__init__(path, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; report the rest on stderr, which is the service's log."""
        if not isinstance(sys.exc_info()[1], BrokenPipeError | ConnectionResetError):
            super().handle_error(request, client_address)


def _containerd() -> Cri:
    from nornir_etcd.lab.host.cri import Runtime  # noqa: PLC0415 - gRPC: a host with Docker needs none

    return Runtime(CONTAINERD_SOCKET)


def _docker(pause_image: str, oom_floor: int) -> Cri:
    from nornir_etcd.lab.host.cridockerd import CriDockerd  # noqa: PLC0415 - a host with containerd needs none
    from nornir_etcd.lab.host.docker import Docker  # noqa: PLC0415 - as above

    Path(CRI_DOCKERD_SOCKET).symlink_to(GATEWAY_SOCKET)
    return CriDockerd(Docker(), pause_image, oom_floor)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="gateway", description="the lab's way to a host's container runtime")
    parser.add_argument("--docker-pause-image", help="the host has Docker, and this is a sandbox's image")
    parser.add_argument("--oom-floor", type=int, default=-1000, help="the lowest OOM score that may be set")
    options = parser.parse_args()
    os.umask(0o177)
    pause = options.docker_pause_image
    with _Server(GATEWAY_SOCKET, _docker(pause, options.oom_floor) if pause else _containerd()) as server:
        server.serve_forever()
