"""Private keys: made, read from PEM, written as PEM."""

from __future__ import annotations

from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from nornir_etcd.exceptions import PkiError

KeyType = Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"]
"""What leaves and a CA of our own can be made with."""

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""What a CA may be signed with: the kinds that cfssl 1.6 and kubeadm write (ecdsa, rsa, ed25519)."""

_PUBLIC_EXPONENT = 65537  # what cryptography's documentation advises for all new keys

# cfssl writes PKCS#8 under a label of its own (csr/csr.go, ParseRequest) and reads it back (helpers/derhelpers).
_CFSSL_ED25519, _PKCS8 = b" Ed25519 PRIVATE KEY-----", b" PRIVATE KEY-----"

_GIVE = (
    "of a CA's key name it in etcd_ca_passphrase_file or etcd_ca_passphrase_env, or give --ask-ca-passphrase; "
    "any other key has to be without one: openssl pkey -in KEY -out NEWKEY"
)


def make(key_type: KeyType) -> PrivateKey:
    """Return a new private key."""
    if key_type == "ecdsa-p256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(_PUBLIC_EXPONENT, int(key_type.removeprefix("rsa-")))


def load(pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """Return the private key of a PEM text: PKCS#8, PKCS#1 (kubeadm's RSA), SEC1 or cfssl's own Ed25519.

    Args:
        pem: the key; encrypted as PKCS#8 or as OpenSSL's traditional form (RFC 1421), where it has a passphrase.
        passphrase: of a key that has one; a key without is read all the same.

    Raises:
        PkiError: where it is unreadable, has a passphrase that was not given or is another, or is of a kind that etcd
            cannot use.
    """
    pem = pem.replace(_CFSSL_ED25519, _PKCS8)
    encrypted = _is_encrypted(pem)
    if encrypted and passphrase is None:
        raise PkiError("private key", wanted="its passphrase", found="none", remedy=_GIVE)
    try:
        key = serialization.load_pem_private_key(pem, passphrase if encrypted else None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        # The cause is left out: nothing that was near key material goes into a traceback.
        raise _unreadable(error, encrypted=encrypted) from None
    if not isinstance(key, PrivateKey):
        raise PkiError("private key", wanted="an ECDSA, RSA or Ed25519 key", found=type_of(key.public_key()))
    return key


def dump(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """Return a private key as PEM (PKCS#8), encrypted where a passphrase is given."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption(),
    )


def _is_encrypted(pem: bytes) -> bool:
    return b"BEGIN ENCRYPTED PRIVATE KEY" in pem or b"Proc-Type: 4,ENCRYPTED" in pem


def _unreadable(error: Exception, *, encrypted: bool) -> PkiError:
    if not encrypted:
        return PkiError("private key", wanted="a key in PEM", found="no readable private key")
    # "Key encrypted with unknown cipher", "Unknown key encryption algorithm" are ValueErrors as well.
    if not isinstance(error, UnsupportedAlgorithm) and "unknown" not in str(error).lower():
        return PkiError("private key", wanted="its passphrase", found="another, or a damaged key", remedy=_GIVE)
    return PkiError(
        "private key",
        wanted="a key encrypted as PKCS#8 with AES",
        found="another encryption",
        remedy="encrypt it anew with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEY -out NEWKEY",
    )


def type_of(public_key: object) -> str:
    """Return the type of a public key in the words of `KeyType`, so that the two can be compared.

    Other kinds than `KeyType` knows come out alike: `ecdsa-secp384r1`, `rsa-1024`, `ed25519`.
    """
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return "ecdsa-p256" if isinstance(public_key.curve, ec.SECP256R1) else f"ecdsa-{public_key.curve.name}"
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"rsa-{public_key.key_size}"
    return type(public_key).__name__.removesuffix("PublicKey").lower()
