"""A certificate authority: loaded as cfssl or kubeadm wrote it, or made."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import chain, keys

if TYPE_CHECKING:
    from nornir_etcd.pki.keys import KeyType, PrivateKey

CA_DAYS = 3650
"""Ten years, as kubeadm does (kubernetes cmd/kubeadm/app/constants, CACertificateValidityPeriod)."""

BACKDATE = timedelta(minutes=5)
"""How far certificates are dated back against clocks that disagree (kubeadm: CertificateBackdate)."""


@dataclass(frozen=True)
class Authority:
    """A CA that can sign.

    Attributes:
        certificate: what leaves are signed by.
        key: its private key.
        pem: the certificate as it is handed out; a bundle stays a bundle.
        issuers: of an intermediate CA, those above it, a root last.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    pem: bytes
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def not_after(self) -> datetime:
        """When it or one of its issuers expires (aware, UTC): nothing that it signs is trusted longer."""
        return chain.until((self.certificate, *self.issuers))

    @property
    def served_pem(self) -> bytes:
        """What a leaf's PEM holds after the leaf: the intermediate CAs up to the root, which is left out.

        Who trusts the root alone finds the way by them (RFC 8446, 4.4.2); empty where a root signs.
        """
        way = (self.certificate, *self.issuers)
        return b"".join(one.public_bytes(Encoding.PEM) for one in way if not chain.is_root(one))


def load_authority(
    certificate_pem: bytes, key_pem: bytes, *, now: datetime, passphrase: bytes | None = None
) -> Authority:
    """Return the CA of a certificate and its key.

    An intermediate CA needs its issuers in the same PEM, up to a self-signed root: gRPC and OpenSSL trust nothing
    without the root (see pki.chain).

    Args:
        certificate_pem: the CA certificate; of a bundle, the first one signs.
        key_pem: its private key.
        now: the time at which it must be valid, aware.
        passphrase: of the key, where it has one.

    Raises:
        PkiError: where it is unreadable, is no CA, may not sign certificates, does not match the key, is not valid, or
            is an intermediate one without its issuers.
    """
    certificate, *others = certificates.load_all(certificate_pem)
    key = keys.load(key_pem, passphrase)
    info = certificates.describe(certificate_pem)
    thing = f"CA certificate '{info.subject}'"
    if not info.is_ca:
        raise PkiError(thing, wanted="a CA (basicConstraints CA:TRUE)", found="a certificate that is none")
    if not chain.may_sign(certificate):
        raise PkiError(thing, wanted="the key usage keyCertSign", found="a key usage without it")
    if certificate.public_key() != key.public_key():
        raise PkiError(
            thing,
            wanted="the private key that belongs to it",
            found="a key of another certificate",
            remedy="put the CA's own certificate and key side by side",
        )
    _check_dates(certificate, thing, now)
    issuers = () if chain.is_root(certificate) else chain.issuers(certificate, (), others)
    if not (issuers or chain.is_root(certificate)):
        raise PkiError(
            thing,
            wanted="a self-signed CA, or an intermediate one with its issuers after it in the same file",
            found=f"one issued by '{info.issuer}' and no way from it to a root",
            remedy="append the certificates of its issuers, the root last: gRPC and OpenSSL trust nothing without it",
        )
    for issuer in issuers:
        _check_dates(issuer, f"CA certificate '{certificates.common_name(issuer.subject)}'", now)
    return Authority(certificate, key, certificate_pem, issuers)


def make_authority(
    common_name: str, *, days: int = CA_DAYS, now: datetime, key_type: KeyType = "ecdsa-p256"
) -> Authority:
    """Return a new self-signed CA.

    Args:
        common_name: subject and issuer; at most 64 characters.
        days: how long it is valid.
        now: the present time, aware; the CA is valid from 5 minutes before it.
        key_type: type of its key.

    Raises:
        PkiError: where the common name cannot stand in a certificate.
    """
    key = keys.make(key_type)
    name = subject(common_name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, signature_hash(key))
    )
    return Authority(certificate, key, certificate.public_bytes(Encoding.PEM))


def subject(common_name: str, organization: str = "") -> x509.Name:
    """Return a distinguished name.

    Raises:
        PkiError: where a part is empty or longer than 64 characters (RFC 5280, appendix A.1).
    """
    parts = [(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    try:
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in [*parts, (NameOID.COMMON_NAME, common_name)]])
    except ValueError as error:
        found = f"'{common_name}'" + (f" of '{organization}'" if organization else "")
        raise PkiError("certificate subject", wanted="1 to 64 characters", found=found) from error


def key_usage(
    *, digital_signature: bool, key_encipherment: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    """Return a key usage of the four bits that are used here."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def signature_hash(key: PrivateKey) -> hashes.SHA256 | None:
    """Return the hash to sign with: SHA-256, and none for Ed25519, which brings its own (RFC 8410)."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _check_dates(certificate: x509.Certificate, thing: str, now: datetime) -> None:
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if now >= ends:
        raise PkiError(thing, wanted="a valid CA", found=f"one that expired on {ends:%Y-%m-%d %H:%M} UTC")
    if now < begins:
        found = f"one that is valid from {begins:%Y-%m-%d %H:%M} UTC"
        raise PkiError(thing, wanted="a valid CA", found=found, remedy="check this machine's clock")
