"""A stand-in for kube-apiserver in a container of a lab host: none can be had from Debian or PyPI.

It behaves as the real one where a change of etcd or of its certificates is felt (k8s.io/apiserver,
pkg/storage/storagebackend/factory/etcd3.go, and TLSInfo of etcd's client/pkg/transport):
- the CAs of --etcd-cafile are read once, when it starts; without that file it does not start;
- certificate and key are read for each new connection; one that lasts is kept, here for 2 s;
- it ends where it has not reached etcd 20 s after its start; later it goes on trying.
- /readyz on --secure-port (HTTPS) tells whether etcd answers it.
Every 200 ms it writes a counter to /registry/stand-in/ADVERTISE-ADDRESS. What it does stands on its standard error, as
`apiserver.py` beside this file reads it. Other flags are taken and not looked at; there is no API.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import http.server
import itertools
import signal
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from etcd3.etcdrpc import rpc_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 0.2  # seconds between two writes
KEPT = 2.0  # seconds that a connection is kept
TIMEOUT = 5.0  # seconds for a write
DIAL_TIMEOUT = 20.0  # seconds in which etcd must have answered first
CERT_DIRECTORY = Path("/var/run/kubernetes")  # default of --cert-dir


def say(text: str) -> None:
    """Write a line of the log."""
    sys.stderr.write(f"{' '.join(text.split())}\n")
    sys.stderr.flush()


def digest(content: bytes) -> str:
    """Tell contents apart in the log."""
    return hashlib.sha256(content).hexdigest()


class Storage:
    """Its client of etcd."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._cas = Path(options.etcd_cafile).read_bytes()
        self._channel: grpc.Channel | None = None
        self._made = 0.0
        self.answered = 0.0
        say(f"started cafile={options.etcd_cafile} sha256={digest(self._cas)}")

    def write(self, key: str, value: str) -> int:
        """Put a key; return the revision."""
        fresh = self._channel is None or time.monotonic() - self._made > KEPT
        if fresh:
            self._connect()
        assert self._channel is not None
        put = self._channel.unary_unary(
            "/etcdserverpb.KV/Put",
            request_serializer=rpc_pb2.PutRequest.SerializeToString,
            response_deserializer=rpc_pb2.PutResponse.FromString,
        )
        answer = put(rpc_pb2.PutRequest(key=key.encode(), value=value.encode()), timeout=TIMEOUT)
        if fresh:
            say(f"connected certificate sha256={self._certificate}")
        self.answered = time.monotonic()
        return int(answer.header.revision)

    def _connect(self) -> None:
        self.disconnect()
        key, certificate = (Path(self._options.etcd_keyfile), Path(self._options.etcd_certfile))
        shown = certificate.read_bytes()
        self._certificate = digest(shown)
        target = self._options.etcd_servers.partition(",")[0].removeprefix("https://")
        credentials = grpc.ssl_channel_credentials(self._cas, key.read_bytes(), shown)
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.secure_channel(target, credentials, options)
        self._made = time.monotonic()

    def disconnect(self) -> None:
        """Let the connection go."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None


def serve(port: int, is_ready: Callable[[], bool]) -> None:
    """Answer /readyz in a thread of its own, with a certificate of its own as the real one makes where it has none."""

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/readyz" and is_ready() else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    now = dt.datetime.now(dt.timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    certificate = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    CERT_DIRECTORY.mkdir(parents=True, exist_ok=True)
    own = CERT_DIRECTORY / "apiserver.pem"
    own.touch(mode=0o600)
    own.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server = http.server.ThreadingHTTPServer(("", port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    """Write until told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # PID 1 would not notice
    parser = argparse.ArgumentParser(prog="kube-apiserver", allow_abbrev=False)
    for name in ("advertise-address", "etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-servers"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--secure-port", type=int, default=6443)
    options, _ = parser.parse_known_args()
    try:
        storage = Storage(options)
    except OSError as error:
        sys.exit(f"cannot start: {error}")
    serve(options.secure_port, lambda: 0 < time.monotonic() - storage.answered < KEPT)
    began = time.monotonic()
    for number in itertools.count(1):
        try:
            revision = storage.write(f"/registry/stand-in/{options.advertise_address}", str(number))
            say(f"wrote {number} revision={revision}")
        except (grpc.RpcError, OSError) as error:
            storage.disconnect()
            reason = f"{error.code().name} {error.details()}" if isinstance(error, grpc.RpcError) else str(error)
            say(f"failed {number}: {reason}")
            if not storage.answered and time.monotonic() - began > DIAL_TIMEOUT:
                sys.exit(f"cannot start: etcd did not answer within {DIAL_TIMEOUT:g} s: {reason}")
        time.sleep(INTERVAL)


if __name__ == "__main__":
    main()
