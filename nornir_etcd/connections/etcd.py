"""Nornir connection plugin `etcd`: gRPC with TLS, direct or to the near end of a tunnel.

Inventory, as for any connection plugin:

    connection_options:
      etcd:
        extras: {cacert: ca.pem, cert: client.pem, key: client-key.pem}

then `task.host.get_connection("etcd", task.nornir.config)` gives an `etcd3.Etcd3Client`, for its own methods, its raw
stubs and the functions of `nornir_etcd.connections.rpc`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from nornir_etcd.cluster import CLIENT_PORT, url_host
from nornir_etcd.exceptions import InventoryError, PkiError

if TYPE_CHECKING:
    import grpc
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from etcd3 import Etcd3Client
    from nornir.core.configuration import Config

CONNECTION_NAME = "etcd"
DEFAULT_TIMEOUT = 5.0
"""Seconds for a call of the client's own methods, as etcdctl's --command-timeout."""
CONNECT_TIMEOUT = 2.0
"""Seconds for one connection attempt, TCP and TLS, as etcdctl's --dial-timeout."""

EXTRAS = ("cacert", "cert", "connect_timeout", "key", "port", "server_name", "target", "timeout")

# gRPC writes each failed handshake to stderr, across the report. What matters of it is in the error of the call. It
# reads this once, when first used; here and not in `open`, since changing the environment is not safe among threads.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


class Etcd:
    """A gRPC channel to one member of etcd.

    The channel is lazy: `open` reads the certificate files and connects nowhere. The first call connects, and a call
    after a restart of etcd connects again within half a second.
    """

    connection: Etcd3Client

    def open(  # noqa: PLR0913, PLR0917 - Nornir's own interface
        self,
        hostname: str | None,
        username: str | None,  # noqa: ARG002 - Nornir's own interface: SSH's user means nothing to etcd
        password: str | None,  # noqa: ARG002 - as above
        port: int | None,  # noqa: ARG002 - Nornir fills it with the host's SSH port
        platform: str | None,  # noqa: ARG002 - as above
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,  # noqa: ARG002 - as above
    ) -> None:
        """Make the client.

        Args:
            hostname: address of the member; also what the served certificate must name.
            username: not used.
            password: not used.
            port: not used, since it is the port of SSH; the port of etcd stands in `extras`.
            platform: not used.
            extras:
                cacert: path of the CA certificates that the member's certificate must chain to; required.
                cert, key: paths of the client certificate and its key; both or none.
                port: client port, by default 2379.
                target: a gRPC target to dial instead of hostname and port, such as `unix:/run/tunnel.sock`.
                server_name: what the served certificate must name, instead of the host in the target.
                timeout: seconds for calls of the client's own methods, by default 5; caps the time to connect.
                connect_timeout: seconds for one connection attempt, by default 2.
            configuration: not used.

        Raises:
            InventoryError: an option is missing, unknown or of the wrong type.
            PkiError: a file is missing, unreadable, no PEM, or key and certificate do not match.
        """
        # Nornir loads every connection plugin at start: gRPC and etcd3 (0.1 s of CPU) wait until one is opened.
        from etcd3 import Endpoint, MultiEndpointEtcd3Client  # noqa: PLC0415

        host = hostname or ""
        options = extras or {}
        _check(host, options)
        timeout = float(options.get("timeout", DEFAULT_TIMEOUT))
        target = options.get("target") or f"{url_host(host)}:{options.get('port', CLIENT_PORT)}"
        # etcd3 joins host and port with a colon again, so any gRPC target survives, `unix:/path` included.
        name, _, rest = target.rpartition(":")
        endpoint = Endpoint(
            name,
            rest,
            creds=_credentials(host, options),
            time_retry=0,  # else one failure makes the client refuse the endpoint for 300 s
            opts=_channel_options(
                float(options.get("connect_timeout", min(timeout, CONNECT_TIMEOUT))), options.get("server_name")
            ),
        )
        self.connection = MultiEndpointEtcd3Client(endpoints=[endpoint], timeout=timeout)

    def close(self) -> None:
        """Close the channel and what runs on it."""
        self.connection.close()


def _check(host: str, options: dict[str, Any]) -> None:
    """Find everything wrong in the extras at once."""
    label = f"{host or 'host'}: connection_options.etcd.extras"
    problems = [f"{label}.{key} is not known, only {', '.join(EXTRAS)}" for key in options if key not in EXTRAS]
    problems += [
        f"{label}.{key}: wanted a positive number, found {options[key]!r}"
        for key, kinds in (("port", int), ("timeout", (int, float)), ("connect_timeout", (int, float)))
        if key in options and not (isinstance(options[key], kinds) and options[key] > 0)
    ]
    if not options.get("cacert"):
        problems.append(f"{label}.cacert is missing: the path of the CA certificate of etcd")
    if bool(options.get("cert")) != bool(options.get("key")):
        problems.append(f"{label}: cert and key go together, found only one of them")
    if not host and not options.get("target"):
        problems.append(f"{label}: neither a hostname nor a target to connect to")
    if problems:
        raise InventoryError(*problems)


def _channel_options(connect_timeout: float, server_name: str | None) -> list[tuple[str, int | str]]:
    """Return the gRPC channel arguments (names in grpc's include/grpc/impl/channel_arg_names.h)."""
    options: list[tuple[str, int | str]] = [
        ("grpc.enable_http_proxy", 0),  # https_proxy of the environment would take the calls elsewhere
        ("grpc.use_local_subchannel_pool", 1),  # a failed or outdated connection is not shared with a new channel
        ("grpc.initial_reconnect_backoff_ms", 100),  # a restarted etcd is to be seen soon
        ("grpc.max_reconnect_backoff_ms", 500),
        # Its name misleads: it is the time that a connection attempt may take (MIN_CONNECT_TIMEOUT in grpc's
        # doc/connection-backoff.md). 100 ms here would break off TLS handshakes with a busy member.
        ("grpc.min_reconnect_backoff_ms", int(connect_timeout * 1000)),
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return options


def _credentials(host: str, options: dict[str, Any]) -> grpc.ChannelCredentials:
    """Read and check the files; gRPC itself would only say "lame client channel", and later.

    Raises:
        PkiError: a file is missing, unreadable, no PEM, or key and certificate do not match.
    """
    import grpc  # noqa: PLC0415 - see Etcd.open

    cacert = _read(host, options["cacert"])
    _public_key(host, options["cacert"], cacert)
    if not options.get("cert"):
        return grpc.ssl_channel_credentials(cacert)
    cert, key = _read(host, options["cert"]), _read(host, options["key"])
    try:
        public_of_key = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise PkiError(
            f"private key {options['key']}",
            host=host,
            wanted="an unencrypted PEM private key",
            found="something else",
            remedy="issue the client certificate again",
        ) from error
    if _der(public_of_key) != _der(_public_key(host, options["cert"], cert)):
        raise PkiError(
            f"private key {options['key']}",
            host=host,
            wanted=f"the key of {options['cert']}",
            found="the key of another certificate",
            remedy="issue the client certificate again",
        )
    return grpc.ssl_channel_credentials(cacert, key, cert)


def _read(host: str, path: str) -> bytes:
    """Read a file that the connection needs."""
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise PkiError(
            f"file {path}",
            host=host,
            wanted="a readable PEM file",
            found=error.strerror or str(error),
            remedy="run the runbook certs, or correct connection_options.etcd.extras",
        ) from error


def _public_key(host: str, path: str, pem: bytes) -> PublicKeyTypes:
    """Return the public key of the first certificate of a file, all of whose certificates must be readable."""
    try:
        return x509.load_pem_x509_certificates(pem)[0].public_key()
    except ValueError as error:
        raise PkiError(
            f"file {path}",
            host=host,
            wanted="PEM certificates",
            found="something else",
            remedy="run the runbook certs, or correct connection_options.etcd.extras",
        ) from error


def _der(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
