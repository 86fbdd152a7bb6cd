"""What a member says over plain HTTPS on its client port: /metrics, /version and a kubelet's probes.

etcd serves them beside gRPC, with the same certificates (serveClients in server/embed/etcd.go:
https://github.com/etcd-io/etcd/blob/v3.5.16/server/embed/etcd.go), also where the manifest gives them a port of their
own (--listen-metrics-urls), which only the host itself reaches.
"""

from __future__ import annotations

import io
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.cluster import url_host
from nornir_etcd.connections import tls
from nornir_etcd.exceptions import EtcdRefused, EtcdTimeout, EtcdTlsError, EtcdUnreachable, PkiError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

LIMIT = 8 * 2**20
"""Bytes that one answer may have, its headers included. /metrics of a busy etcd is a few hundred kilobytes."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes


class Session:
    """One TLS connection on which a few questions are asked, all within one deadline.

    Args:
        connection: to the member, after the TLS handshake.
        label: what errors call it.
        timeout: seconds that were given for everything, for the error.
        deadline: when they end, on the monotonic clock.
    """

    def __init__(self, connection: ssl.SSLSocket, label: str, timeout: float, deadline: float) -> None:
        self._connection = connection
        self._label = label
        self._timeout = timeout
        self._deadline = deadline

    def get(self, path: str) -> Answer:
        """Ask for a path. After an error the session is of no more use.

        Args:
            path: such as /metrics.

        Raises:
            EtcdTimeout: the session's time is over before the whole answer is there.
            EtcdRefused: the answer is no HTTP, larger than LIMIT, or broken off.
        """
        request = f"GET {path} HTTP/1.1\r\nHost: etcd\r\nUser-Agent: nornir-etcd\r\nAccept: text/plain, */*\r\n\r\n"
        bounded = _Bounded(self._connection, self._deadline)
        response = HTTPResponse(_Source(bounded), method="GET")  # type: ignore[arg-type]  # it needs makefile alone
        try:
            self._connection.settimeout(bounded.left())
            self._connection.sendall(request.encode())
            response.begin()
            return Answer(response.status, response.read())
        except TimeoutError as error:
            raise _late(f"{self._label}{path}", self._timeout) from error
        except (OSError, HTTPException, ValueError) as error:
            # ValueError: a chunk's size that is no number, in some versions of Python.
            found = "more than is read of it" if bounded.spent else _one_line(error)
            raise EtcdRefused(
                f"{self._label}{path}",
                wanted=f"an HTTP answer of at most {LIMIT} bytes",
                found=found,
                remedy="check that address and port are those of etcd's client URL",
            ) from error


@contextmanager
def session(  # noqa: PLR0913 - where, with which files, how long and by which road: each is one thing
    address: str,
    port: int,
    files: Mapping[str, str],
    *,
    timeout: float,
    server_name: str = "",
    verify: bool = True,
    dial: tls.Dial = tls.dial,
) -> Iterator[Session]:
    """Connect to a member with mutual TLS, or to whoever is asked what a kubelet's probe asks.

    Args:
        address: IP address or name.
        port: etcd's client port.
        files: paths by the names of the plugin etcd's extras: cacert, and cert and key where there are.
        timeout: seconds for the connection and all that is asked on it.
        server_name: what the served certificate must name; the address where it is empty.
        verify: whether the served certificate must be of the CA in `files`. Without it nothing is shown either, as a
            kubelet's own probes do it (InsecureSkipVerify, k8s.io/kubernetes/pkg/probe/http).
        dial: how to connect.

    Raises:
        PkiError: a file cannot be used.
        EtcdError: EtcdUnreachable, EtcdTimeout or EtcdTlsError where there is no connection.
        NornirEtcdError: what else `dial` raises.
    """
    deadline = time.monotonic() + timeout
    label = f"https://{url_host(address)}:{port}"
    context = _context(files) if verify else tls.unverified()
    try:
        plain = dial(address, port, timeout)
    except ConnectionRefusedError as error:
        raise EtcdUnreachable(
            label, wanted="a connection", found="connection refused", remedy="check that etcd runs and listens there"
        ) from error
    # The handshake as a whole has the time-out of the socket (_ssl__SSLSocket_do_handshake_impl of CPython's _ssl.c).
    plain.settimeout(max(deadline - time.monotonic(), 0.001))
    with plain:
        connection = _shake_hands(context, plain, server_name or address, label, timeout)
        with connection:
            yield Session(connection, label, timeout, deadline)


def _context(files: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    paths = {name: Path(files[name]).expanduser() for name in ("cacert", "cert", "key") if files.get(name)}
    try:
        context.load_verify_locations(paths["cacert"])
        if "cert" in paths:
            # An encrypted key must not ask at the terminal for its password.
            context.load_cert_chain(paths["cert"], paths["key"], password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        raise PkiError(
            f"files {', '.join(map(str, paths.values()))}",
            wanted="PEM certificates and the unencrypted key of the client certificate",
            found=_one_line(error),
            remedy="run the runbook certs, or correct connection_options.etcd.extras",
        ) from error
    return context


def _shake_hands(
    context: ssl.SSLContext, plain: socket.socket, server_name: str, label: str, timeout: float
) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(plain, server_hostname=server_name)
    except TimeoutError as error:
        raise _late(label, timeout) from error
    except (OSError, ValueError) as error:  # ValueError: a server name that is none
        raise EtcdTlsError(
            label,
            wanted="a TLS handshake",
            found=_one_line(error),
            remedy="check the served certificate, and that cacert is the CA of it",
        ) from error


def _late(what: str, timeout: float) -> EtcdTimeout:
    return EtcdTimeout(
        what,
        wanted=f"an answer within {timeout:g} s",
        found="none",
        remedy="check that a majority of members runs, and its load and disks",
    )


def _one_line(error: Exception) -> str:
    """Return what an error says, or its name where it says nothing."""
    said = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(said).split())[:200] or type(error).__name__


class _Source:
    """What HTTPResponse takes for a socket."""

    def __init__(self, raw: _Bounded) -> None:
        self._raw = raw

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._raw)


class _Bounded(io.RawIOBase):
    """A connection of which only so many bytes are read, and only until a deadline, however they trickle in."""

    def __init__(self, connection: ssl.SSLSocket, deadline: float) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline
        self._left = LIMIT

    @property
    def spent(self) -> bool:
        """Whether all was read that may be."""
        return self._left <= 0

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are.
        """
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what BufferedReader hands it
        if self.spent:
            raise OSError("too much")
        self._connection.settimeout(self.left())
        count = self._connection.recv_into(buffer[: self._left])
        self._left -= count
        return count
