"""Whether a leaf can be used: everything for which peers or clients would refuse it. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import chain, keys
from nornir_etcd.pki.leaf import USAGES_OF

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from nornir_etcd.pki.certificate import CertificateInfo
    from nornir_etcd.pki.leaf import LeafRequest

_WEAK = (hashes.MD5, hashes.SHA1)
"""Go refuses both since 1.18 (crypto/x509, InsecureAlgorithmError), OpenSSL 3 by its default security level."""


def faults(
    certificate_pem: bytes, key_pem: bytes, *, trusted_pem: bytes, request: LeafRequest, now: datetime
) -> list[str]:
    """Return why peers or clients would refuse a leaf, and what of it is not as it was asked for.

    A name that the leaf has and the request has not is no fault: it harms nothing, and other tools add their own.

    Args:
        certificate_pem: the leaf, and after it the intermediate CAs that are served with it.
        key_pem: its private key.
        trusted_pem: the CA, or the bundle, by which peers and clients trust each other.
        request: the leaf as it is wanted; its names hold the address at which peers see the member.
        now: the present time, aware.

    Returns:
        Each fault in a few words, for a plan or an error ("lacks the name 10.0.0.2"); none where all is well.

    Raises:
        PkiError: where what is trusted is unreadable.
    """
    trusted = certificates.load_all(trusted_pem)
    try:
        info = certificates.describe(certificate_pem)
        leaf, *between = certificates.load_all(certificate_pem)
        public_key = keys.load(key_pem).public_key()
    except PkiError as error:
        return [f"unreadable ({error})"]
    found = [] if leaf.public_key() == public_key else ["the certificate does not match its key"]
    way = chain.issuers(leaf, between, trusted)
    found += _of_the_way(leaf, info, way, trusted)
    return [*found, *_of_the_request(leaf, info, request), *_of_the_dates(info, way, now)]


def _of_the_way(
    leaf: x509.Certificate, info: CertificateInfo, way: tuple[x509.Certificate, ...], trusted: list[x509.Certificate]
) -> Iterator[str]:
    """Yield what keeps others from finding a trusted CA above the leaf."""
    if _is_weakly_signed(leaf):
        yield "signed with MD5 or SHA-1, which etcd refuses"
    elif not way:
        names = ", ".join(f"'{certificates.common_name(one.subject)}'" for one in trusted)
        if any(certificates.issued_by(leaf, one) for one in trusted):
            yield f"signed by '{info.issuer}', from which no way leads to a root among the CAs {names}"
        else:
            yield f"not signed by the CA {names} but by '{info.issuer}'"


def _of_the_request(leaf: x509.Certificate, info: CertificateInfo, request: LeafRequest) -> Iterator[str]:
    """Yield what the leaf lacks of the request."""
    if info.is_ca:
        yield "is a CA itself"
    present = {name.lower() for name in info.dns_names} | set(info.ip_addresses)
    lacking = [name for name in (*request.dns_names, *request.ip_addresses) if name.lower() not in present]
    if lacking:
        yield f"lacks the name{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}"
    usages = [usage for usage in USAGES_OF[request.usage] if usage not in info.usages]
    if not _may_shake_hands(leaf):
        usages.append("digitalSignature")
    if usages:
        yield f"lacks the usage{'s' if len(usages) > 1 else ''} {', '.join(usages)}"
    if info.key_type != request.key_type:
        yield f"its key is {info.key_type}, wanted {request.key_type}"


def _of_the_dates(info: CertificateInfo, way: tuple[x509.Certificate, ...], now: datetime) -> Iterator[str]:
    if now < info.not_before:
        yield f"not valid before {info.not_before:%Y-%m-%d %H:%M} UTC"
    if now >= info.not_after:
        yield f"expired on {info.not_after:%Y-%m-%d %H:%M} UTC"
    for one in way:
        name = certificates.common_name(one.subject)
        if now < one.not_valid_before_utc:
            yield f"its CA '{name}' is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        if info.not_after > one.not_valid_after_utc:
            # Whoever looks at the leaf alone is misled by its date.
            yield f"outlives its CA '{name}', which expires on {one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


def _may_shake_hands(leaf: x509.Certificate) -> bool:
    """Return whether keyUsage, where it is there, holds digitalSignature, as TLS 1.3 wants it (RFC 8446, 4.4.2.2)."""
    try:
        return leaf.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True


def _is_weakly_signed(leaf: x509.Certificate) -> bool:
    try:
        return isinstance(leaf.signature_hash_algorithm, _WEAK)
    except UnsupportedAlgorithm:
        return False
