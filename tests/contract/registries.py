"""Real registries on loopback (Debian's docker-registry): with TLS of a private CA, a login, tokens, or plain HTTP."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import bcrypt
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from nornir_etcd.lab import keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = shutil.which("docker-registry")
LIFETIME = 120
"""Seconds after which timeout(1) ends a registry that a killed test left behind."""
USER, PASSWORD = "pusher", "PASSWORD-NOT-SHOWN"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A registry that runs."""

    folder: Path
    port: int
    argv: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log)  # noqa: S603 - the registry
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=10)
            self.process = None

    @property
    def sent(self) -> set[str]:
        """Digests of the blobs that it has."""
        found = (self.folder / "data/docker/registry/v2/blobs/sha256").glob("*/*/data")
        return {f"sha256:{path.parent.name}" for path in found}


@contextlib.contextmanager
def registry(folder: Path, *, tls: bool = True, auth: dict[str, Any] | None = None) -> Iterator[Server]:
    """Run a registry; `auth` is that section of its configuration."""
    if PROGRAM is None:
        pytest.skip("needs docker-registry (Debian: docker-registry)")
    folder.mkdir()
    port = free_port()
    http: dict[str, Any] = {"addr": f"127.0.0.1:{port}", "secret": "kept over a restart"}
    if tls:
        keys.write_registry_tls(folder, "localhost")
        http["tls"] = {"certificate": str(folder / "tls.crt"), "key": str(folder / "tls.key")}
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": http,
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    argv = ["/usr/bin/timeout", "-k", "1", str(LIFETIME), PROGRAM, "serve", str(folder / "config.yml")]
    server = Server(folder, port, argv)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def htpasswd(path: Path, user: str = USER, password: str = PASSWORD) -> dict[str, Any]:
    """Write a file of one user and return the section auth that goes by it."""
    path.write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n")
    return {"htpasswd": {"realm": "test", "path": str(path)}}


class Tokens:
    """A token service as https://distribution.github.io/distribution/spec/auth/jwt/ tells it, for one user.

    A fake: of such services none is in Debian. That its tokens are right is judged by the registry.
    """

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
        now = dt.datetime.now(dt.timezone.utc)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._bundle = folder / "tokens.crt"
        self._bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, content = service.answer(self.path, self.headers.get("Authorization", ""))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def auth(self) -> dict[str, Any]:
        """The registry's section auth."""
        realm = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        return {
            "token": {"realm": realm, "service": "test", "issuer": "tokens", "rootcertbundle": str(self._bundle)},
        }

    def __enter__(self) -> Tokens:  # noqa: PYI034 - Self came with Python 3.11
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, target: str, authorization: str) -> tuple[int, dict[str, str]]:
        if authorization != f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}":
            return 401, {"details": "wrong"}
        asked = parse_qs(urlsplit(target).query)
        scopes = asked.get("scope", [])
        self.asked += scopes
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        return 200, {"token": self._token(asked["service"][0], access)}

    def _token(self, service: str, access: list[dict[str, Any]]) -> str:
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        now = int(time.time())
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": "tokens",
            "sub": USER,
            "aud": service,
            "exp": now + 60,
            "nbf": now - 10,
            "iat": now,
            "jti": "1",
            "access": access,
        }
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Cutter:
    """A way to a port that breaks: each of the first connections after so many bytes towards it.

    Args:
        port: where to.
        after: bytes, one number for each connection that is to break.
    """

    def __init__(self, port: int, *after: int) -> None:
        self._target = port
        self._after = list(after)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.cut = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Cutter:  # noqa: PYI034 - Self came with Python 3.11
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                limit = self._after.pop(0) if self._after else None
                thread = threading.Thread(target=self._carry, args=(connection, limit))
                self._threads.append(thread)
                thread.start()

    def _carry(self, near: socket.socket, limit: int | None) -> None:
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            back = threading.Thread(target=self._pump, args=(far, near, None))
            back.start()
            if self._pump(near, far, limit):
                self.cut += 1
            for one in (near, far):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            back.join(10)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> bool:
        """Carry bytes until an end comes; return whether the limit was reached."""
        source.settimeout(0.2)
        carried = 0
        while not self._ended.is_set():
            try:
                piece = source.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return False
            carried += len(piece)
            if not piece:
                return False
            if limit is not None and carried >= limit:
                return True
            with contextlib.suppress(OSError):
                target.sendall(piece)
        return False


class Pages:
    """A web server that answers everything with a page for people, as a captive portal or a wrong port does."""

    def __init__(self, status: int = 200) -> None:
        class Handler(BaseHTTPRequestHandler):
            def _page(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"<!DOCTYPE html><html><title>Sign\n in</title></html>")

            do_GET = do_HEAD = do_POST = _page  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Pages:  # noqa: PYI034 - Self came with Python 3.11
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
