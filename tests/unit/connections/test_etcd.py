"""The connection plugin `etcd` before it connects: options, files, channel."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Defaults, Host
from nornir.core.plugins.connections import ConnectionPluginRegister

from nornir_etcd.connections.etcd import CONNECTION_NAME, EXTRAS, Etcd
from nornir_etcd.exceptions import InventoryError, PkiError
from tests.contract.etcd_cluster import TestCa

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def extras(tmp_path: Path) -> dict[str, Any]:
    """Extras that open."""
    ca = TestCa(tmp_path)
    files = ca.leaf("client")
    return {"cacert": str(ca.path), "cert": str(files.cert), "key": str(files.key)}


def netloc(hostname: str | None, extras: dict[str, Any]) -> str:
    """Return what the plugin dials."""
    plugin = Etcd()
    plugin.open(hostname, "user", "secret", 22, "linux", extras=extras)
    target = str(plugin.connection.endpoint_in_use.netloc)
    plugin.close()
    return target


def test_nornir_opens_it_by_name(extras: dict[str, Any]) -> None:
    ConnectionPluginRegister.auto_register()
    options = {CONNECTION_NAME: ConnectionOptions(extras=extras)}
    host = Host("m1", hostname="192.0.2.1", port=22, connection_options=options, defaults=Defaults())
    client = host.get_connection("etcd", Config())
    assert client.endpoint_in_use.netloc == "192.0.2.1:2379"
    assert host.get_connection("etcd", Config()) is client
    host.close_connections()
    with pytest.raises(ValueError, match="closed channel"):
        client.status()


@pytest.mark.parametrize(
    ("hostname", "changes", "wanted"),
    [
        ("192.0.2.1", {}, "192.0.2.1:2379"),
        ("2001:db8::1", {}, "[2001:db8::1]:2379"),
        ("node-1.example", {"port": 12379}, "node-1.example:12379"),
        ("192.0.2.1", {"target": "unix:/run/t.sock", "server_name": "192.0.2.1"}, "unix:/run/t.sock"),
        (None, {"target": "[::1]:2379"}, "[::1]:2379"),
    ],
)
def test_the_target_comes_from_hostname_port_and_extras(
    extras: dict[str, Any], hostname: str | None, changes: dict[str, Any], wanted: str
) -> None:
    assert netloc(hostname, {**extras, **changes}) == wanted


def test_everything_wrong_in_the_extras_is_told_at_once() -> None:
    with pytest.raises(InventoryError) as caught:
        netloc("m1", {"cert": "x", "ca_cert": "y", "port": "2379", "timeout": 0})
    assert str(caught.value).splitlines() == [
        "m1: connection_options.etcd.extras.ca_cert is not known, only " + ", ".join(EXTRAS),
        "m1: connection_options.etcd.extras.port: wanted a positive number, found '2379'",
        "m1: connection_options.etcd.extras.timeout: wanted a positive number, found 0",
        "m1: connection_options.etcd.extras.cacert is missing: the path of the CA certificate of etcd",
        "m1: connection_options.etcd.extras: cert and key go together, found only one of them",
    ]


def test_no_hostname_and_no_target_is_told(extras: dict[str, Any]) -> None:
    with pytest.raises(InventoryError, match="neither a hostname nor a target"):
        netloc(None, extras)


@pytest.mark.parametrize("which", ["cacert", "cert", "key"])
def test_a_missing_file_is_named(extras: dict[str, Any], which: str) -> None:
    with pytest.raises(PkiError) as caught:
        netloc("m1", {**extras, which: "/nonexistent/file.pem"})
    assert str(caught.value) == (
        "m1: file /nonexistent/file.pem: wanted a readable PEM file, found No such file or directory; "
        "run the runbook certs, or correct connection_options.etcd.extras"
    )


@pytest.mark.parametrize("which", ["cacert", "cert", "key"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_garbage_file_is_named(extras: dict[str, Any], tmp_path: Path, which: str, content: bytes) -> None:
    path = tmp_path / "garbage.pem"
    path.write_bytes(content)
    with pytest.raises(PkiError, match=rf"^m1: (file|private key) {path}: wanted .*PEM "):
        netloc("m1", {**extras, which: str(path)})


def test_a_directory_is_no_file(extras: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="found Is a directory"):
        netloc("m1", {**extras, "cacert": str(tmp_path)})


def test_a_key_of_another_certificate_is_told(extras: dict[str, Any], tmp_path: Path) -> None:
    other = TestCa(tmp_path, "other").leaf("other")
    with pytest.raises(PkiError, match=r"wanted the key of .*client\.pem, found the key of another certificate"):
        netloc("m1", {**extras, "key": str(other.key)})


def test_an_encrypted_key_is_told(extras: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "encrypted.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    with pytest.raises(PkiError, match="wanted an unencrypted PEM private key"):
        netloc("m1", {**extras, "key": str(path)})


def test_no_key_is_logged(extras: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = (tmp_path / "client-key.pem").read_text().splitlines()[1]
    with caplog.at_level(logging.DEBUG):
        plugin = Etcd()
        plugin.open("m1", None, None, 22, None, extras=extras)
        plugin.close()
    assert secret not in caplog.text
    assert secret not in repr(vars(plugin)) + repr(vars(plugin.connection.endpoint_in_use))


def output(code: str, env: dict[str, str]) -> str:
    """Return what a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=env)  # noqa: S603 - ours
    return done.stdout.strip()


def test_grpc_is_not_imported_before_a_connection_is_opened() -> None:
    code = (
        "import sys, nornir_etcd.connections.etcd, nornir_etcd.connections.rpc, nornir_etcd.connections.tls\n"
        "print(*{'grpc', 'etcd3'} & set(sys.modules))"
    )
    assert output(code, dict(os.environ)) == ""


def test_grpc_is_quiet_unless_the_user_wants_to_hear_it() -> None:
    code = "import os, nornir_etcd.connections.etcd; print(os.environ['GRPC_VERBOSITY'])"
    for given, wanted in (({}, "NONE"), ({"GRPC_VERBOSITY": "debug"}, "debug")):
        env = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"} | given
        assert output(code, env) == wanted
