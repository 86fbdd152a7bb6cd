from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, get_args

import pytest

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenSsl = Callable[..., str]

PASSPHRASE = b"PASS-NOT-SHOWN"
PASSOUT = {"genrsa": ("-passout", "pass:PASS-NOT-SHOWN"), "genpkey": ("-pass", "pass:PASS-NOT-SHOWN")}


@pytest.mark.parametrize("key_type", get_args(keys.KeyType))
def test_a_key_comes_back_from_its_pem_and_openssl_accepts_it(
    key_type: keys.KeyType, openssl: OpenSsl, tmp_path: Path
) -> None:
    key = keys.make(key_type)
    assert keys.type_of(key.public_key()) == key_type
    pem = keys.dump(key)
    assert keys.load(pem).public_key() == key.public_key()
    (tmp_path / "key.pem").write_bytes(pem)
    openssl("pkey", "-in", "key.pem", "-check", "-noout")


@pytest.mark.parametrize(
    ("arguments", "key_type"),
    [
        (["genrsa", "-traditional", "-out", "key.pem", "2048"], "rsa-2048"),  # kubeadm: PKCS#1
        (["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem"], "ecdsa-p256"),  # cfssl: SEC1
        (["ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem"], "ecdsa-p256"),  # EC PARAMETERS first
        (["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "key.pem"], "ecdsa-secp384r1"),
        (["genpkey", "-algorithm", "RSA", "-out", "key.pem"], "rsa-2048"),  # PKCS#8
        (["genpkey", "-algorithm", "ED25519", "-out", "key.pem"], "ed25519"),
    ],
)
def test_keys_of_other_tools_are_read(arguments: list[str], key_type: str, openssl: OpenSsl, tmp_path: Path) -> None:
    openssl(*arguments)
    assert keys.type_of(keys.load((tmp_path / "key.pem").read_bytes()).public_key()) == key_type


ENCRYPTED = [
    ("genrsa", "-traditional", "-aes128", "2048"),  # Proc-Type: 4,ENCRYPTED
    ("genrsa", "-traditional", "-des3", "2048"),
    ("genrsa", "-aes256", "2048"),  # PKCS#8
    ("genpkey", "-algorithm", "ED25519", "-aes256"),
]


@pytest.fixture(params=ENCRYPTED, ids=" ".join)
def encrypted(request: pytest.FixtureRequest, openssl: OpenSsl, tmp_path: Path) -> bytes:
    """A key of openssl's with a passphrase."""
    command, *arguments = request.param
    bits = [arguments.pop()] if command == "genrsa" else []
    openssl(command, *arguments, "-out", "key.pem", *PASSOUT[command], *bits)
    return (tmp_path / "key.pem").read_bytes()


def test_a_key_with_a_passphrase_is_read_with_it(encrypted: bytes) -> None:
    assert keys.type_of(keys.load(encrypted, PASSPHRASE).public_key()) in {"rsa-2048", "ed25519"}


def test_a_key_with_a_passphrase_and_none_given_is_told_with_what_gives_it(encrypted: bytes) -> None:
    with pytest.raises(PkiError) as caught:
        keys.load(encrypted)
    assert str(caught.value) == (
        "private key: wanted its passphrase, found none; of a CA's key name it in etcd_ca_passphrase_file or "
        "etcd_ca_passphrase_env, or give --ask-ca-passphrase; any other key has to be without one: "
        "openssl pkey -in KEY -out NEWKEY"
    )


@pytest.mark.parametrize("wrong", [b"WRONG-NOT-SHOWN", b"", b"\xff\x00", PASSPHRASE + b"\n"])
def test_a_wrong_passphrase_is_told_and_shown_nowhere(encrypted: bytes, wrong: bytes) -> None:
    with pytest.raises(PkiError) as caught:
        keys.load(encrypted, wrong)
    assert str(caught.value).startswith(
        "private key: wanted its passphrase, found another, or a damaged key; of a CA's"
    )
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__)
    assert "NOT-SHOWN" not in told
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "rsa-2048"])
def test_a_key_is_written_with_a_passphrase_and_openssl_reads_it(
    key_type: keys.KeyType, openssl: OpenSsl, tmp_path: Path
) -> None:
    key = keys.make(key_type)
    pem = keys.dump(key, PASSPHRASE)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in pem
    assert keys.load(pem, PASSPHRASE).public_key() == key.public_key()
    (tmp_path / "key.pem").write_bytes(pem)
    openssl("pkey", "-in", "key.pem", "-passin", f"pass:{PASSPHRASE.decode()}", "-check", "-noout")
    openssl("pkey", "-in", "key.pem", "-passin", "pass:wrong", "-noout", fails=True)


def test_a_key_without_a_passphrase_is_read_whatever_is_given() -> None:
    key = keys.make("ecdsa-p256")
    assert keys.load(keys.dump(key), PASSPHRASE).public_key() == key.public_key()


@pytest.mark.parametrize("form", [("-traditional",), ()])
def test_an_encryption_that_is_not_read_is_told(form: tuple[str, ...], openssl: OpenSsl, tmp_path: Path) -> None:
    openssl("genrsa", *form, "-camellia128", *PASSOUT["genrsa"], "-out", "key.pem", "2048")
    with pytest.raises(
        PkiError, match=r"wanted a key encrypted as PKCS#8 with AES, found another encryption; encrypt it"
    ):
        keys.load((tmp_path / "key.pem").read_bytes(), PASSPHRASE)


@pytest.mark.parametrize("damage", [b"", b"no key", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_an_unreadable_key_is_refused_in_one_line(damage: bytes) -> None:
    with pytest.raises(PkiError) as caught:
        keys.load(damage)
    assert str(caught.value) == "private key: wanted a key in PEM, found no readable private key"
    assert caught.value.__suppress_context__


def test_a_key_that_cannot_sign_is_refused_by_name(openssl: OpenSsl, tmp_path: Path) -> None:
    openssl("genpkey", "-algorithm", "X25519", "-out", "key.pem")
    with pytest.raises(PkiError, match="found x25519"):
        keys.load((tmp_path / "key.pem").read_bytes())


def test_a_key_never_shows_in_its_repr() -> None:
    key = keys.make("ecdsa-p256")
    assert "PRIVATE" not in repr(key)
    assert f"{key.private_numbers().private_value:x}" not in repr(key)  # type: ignore[union-attr]
