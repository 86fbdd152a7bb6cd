from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenSsl = Callable[..., str]


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


@pytest.mark.parametrize("form", ["-traditional", None])
def test_a_key_with_a_passphrase_is_refused_with_the_remedy(form: str | None, openssl: OpenSsl, tmp_path: Path) -> None:
    openssl("genrsa", *([form] if form else []), "-aes128", "-passout", "pass:secret", "-out", "key.pem", "2048")
    with pytest.raises(PkiError, match="found one with a passphrase; remove it with: openssl pkey"):
        keys.load((tmp_path / "key.pem").read_bytes())


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
