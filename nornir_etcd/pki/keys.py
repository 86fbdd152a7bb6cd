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


def make(key_type: KeyType) -> PrivateKey:
    """Return a new private key."""
    if key_type == "ecdsa-p256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(_PUBLIC_EXPONENT, int(key_type.removeprefix("rsa-")))


def load(pem: bytes) -> PrivateKey:
    """Return the private key of a PEM text: PKCS#8, PKCS#1 (kubeadm's RSA) or SEC1 (cfssl's ECDSA).

    Raises:
        PkiError: where it is unreadable, has a passphrase, or is of a kind that etcd cannot use.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:  # what cryptography raises for a key that needs a password
        raise PkiError(
            "private key",
            wanted="a key without a passphrase",
            found="one with a passphrase",
            remedy="remove it with: openssl pkey -in KEY -out NEWKEY",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        # The cause is left out: nothing that was near key material goes into a traceback.
        raise PkiError("private key", wanted="a key in PEM", found="no readable private key") from None
    if not isinstance(key, PrivateKey):
        raise PkiError("private key", wanted="an ECDSA, RSA or Ed25519 key", found=type_of(key.public_key()))
    return key


def dump(key: PrivateKey) -> bytes:
    """Return a private key as PEM (PKCS#8, no passphrase)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
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
