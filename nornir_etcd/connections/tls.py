"""What a port shows from outside: whether it is open, and which certificate it serves."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from nornir_etcd.cluster import url_host
from nornir_etcd.exceptions import EtcdTlsError, EtcdUnreachable

Dial = Callable[[str, int, float], socket.socket]
"""Connects to an address and port within some seconds: `dial` from here, or a tunnel's from a host."""


def dial(address: str, port: int, timeout: float) -> socket.socket:
    """Connect from here.

    Args:
        address: IP address or name.
        port: TCP port.
        timeout: seconds, also for each answer on the socket.

    Raises:
        ConnectionRefusedError: nothing listens there.
        EtcdUnreachable: no answer in time, no route, or the name does not resolve.
    """
    try:
        return socket.create_connection((address, port), timeout)
    except ConnectionRefusedError:
        raise
    except TimeoutError as error:
        raise _unreachable(address, port, f"no answer within {timeout:g} s") from error
    except OSError as error:
        raise _unreachable(address, port, error.strerror or str(error)) from error


def port_open(address: str, port: int, *, timeout: float, dial: Dial = dial) -> bool:
    """Return whether a TCP connection succeeds; False where it is refused.

    Args:
        address: IP address or name.
        port: TCP port.
        timeout: seconds.
        dial: how to connect.

    Raises:
        EtcdUnreachable: no answer in time, no route, or the name does not resolve: whether it is open is unknown.
        NornirEtcdError: what else `dial` raises where that is unknown.
    """
    try:
        dial(address, port, timeout).close()
    except ConnectionRefusedError:
        return False
    return True


def served_certificate(address: str, port: int, *, timeout: float, dial: Dial = dial) -> bytes:
    """Return the certificate that a port serves, whoever issued it and whatever it names.

    No client certificate is shown, so it works as well where ours has expired. A server that demands one ends the
    handshake (TLS 1.2) or the connection (TLS 1.3), but not before it has sent its own.

    Args:
        address: IP address or name.
        port: TCP port; etcd's client and peer port both serve TLS.
        timeout: seconds, for the connection and for each answer in the handshake.
        dial: how to connect.

    Returns:
        The leaf certificate as PEM.

    Raises:
        EtcdUnreachable: nothing listens there, or nothing answers in time.
        EtcdTlsError: what listens there serves no certificate.
        NornirEtcdError: what else `dial` raises.
    """
    context = unverified()
    try:
        plain = dial(address, port, timeout)
    except ConnectionRefusedError as error:
        raise _unreachable(address, port, "connection refused") from error
    with context.wrap_socket(plain, do_handshake_on_connect=False) as tls:
        failure = ""
        try:
            tls.do_handshake()
        except TimeoutError as error:
            raise _unreachable(address, port, f"no TLS handshake within {timeout:g} s") from error
        except OSError as error:
            failure = getattr(error, "reason", None) or error.strerror or str(error)
        pem = _leaf(tls)
    if not pem:
        raise EtcdTlsError(
            f"port {url_host(address)}:{port}",
            wanted="a TLS server",
            found=failure,
            remedy="check that etcd serves TLS there",
        )
    return pem


def unverified() -> ssl.SSLContext:
    """Return how to speak TLS with a server whose certificate is not to be trusted, or not yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _leaf(tls: ssl.SSLSocket) -> bytes:
    """Return the peer's certificate as PEM, also where the peer ended the handshake; empty where it sent none."""
    # getpeercert() refuses after a failed handshake. SSLSocket.get_unverified_chain() does not, but is public only from
    # Python 3.13 on; what it calls is the same in all versions since 3.10.
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined] # noqa: SLF001 - see above
    return chain[0].public_bytes().encode() if chain else b""


def _unreachable(address: str, port: int, found: str) -> EtcdUnreachable:
    return EtcdUnreachable(
        f"port {url_host(address)}:{port}", wanted="a connection", found=found, remedy="check address and firewall"
    )
