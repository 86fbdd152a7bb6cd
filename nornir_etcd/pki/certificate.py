"""What a certificate says: subject, names, dates, usages, and whether a CA signed it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import keys

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

USAGES = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
"""The extended key usages that etcd asks for, by their name in RFC 5280, 4.2.1.12."""

ANY_USAGE = "2.5.29.37.0"
"""anyExtendedKeyUsage (RFC 5280, 4.2.1.12)."""


@dataclass(frozen=True)
class CertificateInfo:
    """What one certificate says."""

    subject: str  # common name; empty where it has none
    issuer: str
    serial: str  # lower-case hex
    not_before: datetime  # aware, UTC
    not_after: datetime  # aware, UTC
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]  # in the form of `ipaddress`: IPv6 compressed
    usages: tuple[str, ...]  # serverAuth, clientAuth, else the dotted OID
    is_ca: bool
    fingerprint: str  # SHA-256 of the DER form, lower-case hex
    key_type: str  # as in keys.KeyType; other kinds by a name of the same form

    def allows(self, usage: str) -> bool:
        """Whether it may be used so: one that names no extended key usage, or any, may be used for all.

        As Go's crypto/x509 decides it, which etcd is built with (checkChainForKeyUsage in verify.go).
        """
        return not self.usages or usage in self.usages or ANY_USAGE in self.usages

    def names(self, name: str) -> bool:
        """Whether it is for a DNS name or an IP address."""
        return covers(self.dns_names, self.ip_addresses, name)


def covers(dns_names: Collection[str], ip_addresses: Collection[str], name: str) -> bool:
    """Whether a certificate with these names is for a DNS name or an IP address.

    A wildcard stands for one label, the first (RFC 6125, 6.4.3; matchHostnames in Go's crypto/x509).

    Args:
        dns_names: of the certificate.
        ip_addresses: of the certificate, in the form of `ipaddress`.
        name: as it is dialled.
    """
    try:
        return str(ipaddress.ip_address(name)) in ip_addresses
    except ValueError:
        wanted = name.lower().removesuffix(".")
    first, dot, rest = wanted.partition(".")
    forms = {wanted, f"*.{rest}"} if first and dot and rest else {wanted}
    return any(one.lower() in forms for one in dns_names)


def load_all(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM text, at least one.

    Raises:
        PkiError: where there is none or one is unreadable.
    """
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise PkiError(
            "certificate", wanted="a certificate in PEM", found=str(error).partition(" See http")[0]
        ) from error


def load(pem: bytes) -> x509.Certificate:
    """Return the first certificate of a PEM text: the leaf of a chain, the signing one of a CA bundle.

    Raises:
        PkiError: where there is none or one is unreadable.
    """
    return load_all(pem)[0]


def describe(pem: bytes) -> CertificateInfo:
    """Return what the first certificate of a PEM text says.

    Raises:
        PkiError: where there is none or it is malformed.
    """
    certificate = load(pem)
    try:
        return _describe(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm) as error:
        raise PkiError("certificate", wanted="a well-formed X.509 certificate", found=str(error)) from error


def days_left(info: CertificateInfo, now: datetime) -> int:
    """Return the whole days until it expires, rounded down: 0 on its last day, negative afterwards."""
    return (info.not_after - now) // timedelta(days=1)


def signed_by(leaf_pem: bytes, ca_pem: bytes) -> bool:
    """Return whether a certificate of `ca_pem` (which may be a bundle) signed the leaf: issuer name and signature.

    Raises:
        PkiError: where one of the two is unreadable.
    """
    leaf = load(leaf_pem)
    return any(issued_by(leaf, issuer) for issuer in load_all(ca_pem))


def signers(leaf_pem: bytes, ca_pem: bytes, between: Sequence[bytes] = ()) -> list[bytes]:
    """Return the certificates of `ca_pem` that a leaf chains to, as PEM; empty where there is none.

    Args:
        leaf_pem: the leaf; what follows it in the same PEM may be intermediate certificates.
        ca_pem: the CA, or a bundle of several.
        between: PEMs in which further intermediate certificates may stand.

    Raises:
        PkiError: where one of them is unreadable.
    """
    leaf, *rest = load_all(leaf_pem)
    trusted = load_all(ca_pem)
    pool = [one for one in [*rest, *(one for pem in between for one in load_all(pem))] if one not in trusted]
    ahead, seen = [leaf], [leaf]
    found: list[x509.Certificate] = []
    while ahead:
        issued = ahead.pop()
        found += [one for one in trusted if one not in found and issued_by(issued, one)]
        above = [one for one in pool if one not in seen and issued_by(issued, one)]
        ahead += above
        seen += above
    return [one.public_bytes(Encoding.PEM) for one in found]


def each(pem: bytes) -> list[bytes]:
    """Return the certificates of a PEM text, each as a PEM of its own.

    Raises:
        PkiError: where there is none or one is unreadable.
    """
    return [one.public_bytes(Encoding.PEM) for one in load_all(pem)]


def fingerprints(pem: bytes) -> frozenset[str]:
    """Return the SHA-256 of each certificate of a PEM text, lower-case hex.

    Raises:
        PkiError: where there is none or one is unreadable.
    """
    return frozenset(one.fingerprint(hashes.SHA256()).hex() for one in load_all(pem))


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether one certificate was issued by another: issuer name and signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _describe(certificate: x509.Certificate) -> CertificateInfo:
    dns_names: list[str] = []
    ip_addresses: list[str] = []
    usages: list[str] = []
    is_ca = False
    names = {oid: name for name, oid in USAGES.items()}
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            dns_names = value.get_values_for_type(x509.DNSName)
            ip_addresses = [str(address) for address in value.get_values_for_type(x509.IPAddress)]
        elif isinstance(value, x509.ExtendedKeyUsage):
            usages = [names.get(oid, oid.dotted_string) for oid in value]
        elif isinstance(value, x509.BasicConstraints):
            is_ca = value.ca
    return CertificateInfo(
        subject=common_name(certificate.subject),
        issuer=common_name(certificate.issuer),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        dns_names=tuple(dns_names),
        ip_addresses=tuple(ip_addresses),
        usages=tuple(usages),
        is_ca=is_ca,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        key_type=keys.type_of(certificate.public_key()),
    )


def common_name(name: x509.Name) -> str:
    """Return the first common name of a distinguished name; empty where it has none."""
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else ""
