"""The way from a certificate up to a root, as peers and clients look for it.

etcd is built with Go, for which every certificate of a trust bundle is an anchor, an intermediate CA too
(crypto/x509, Certificate.Verify). OpenSSL and gRPC's BoringSSL go on to a self-signed one (without
X509_V_FLAG_PARTIAL_CHAIN). What holds for both is a bundle with the whole way in it, root included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from nornir_etcd.pki.certificate import issued_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

_MAX_LENGTH = 8
"""Certificates of a way, above the leaf. PKIs in use have two or three; cross-signed ones grow many ways."""


def is_root(certificate: x509.Certificate) -> bool:
    """Return whether it names itself as its issuer."""
    return certificate.subject == certificate.issuer


def may_sign(certificate: x509.Certificate) -> bool:
    """Return whether it is a CA's and keyUsage, where it is there, holds keyCertSign (RFC 5280, 4.2.1.3)."""
    return _constraints(certificate).ca and _has_cert_sign(certificate)


def issuers(
    certificate: x509.Certificate, between: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """Return the CAs above a certificate, its own first, a trusted root last; empty where no way leads to one.

    Of several ways the one that holds longest.

    Args:
        certificate: a leaf or an intermediate CA.
        between: what is served with it.
        trusted: what peers and clients trust.
    """
    ways = [way for way in _ways(certificate, (*trusted, *between), ()) if way[-1] in trusted]
    return max(ways, key=until, default=())


def until(way: Sequence[x509.Certificate]) -> datetime:
    """Return when the first certificate of a way expires, and the way with it."""
    return min(one.not_valid_after_utc for one in way)


def _ways(
    certificate: x509.Certificate, pool: Sequence[x509.Certificate], below: tuple[x509.Certificate, ...]
) -> Iterator[tuple[x509.Certificate, ...]]:
    for issuer in pool:
        if issuer in below or len(below) == _MAX_LENGTH or not _may_stand(issuer, len(below)):
            continue
        if not issued_by(certificate, issuer):
            continue
        way = (*below, issuer)
        if is_root(issuer):
            yield way
        else:
            yield from _ways(issuer, pool, way)


def _may_stand(issuer: x509.Certificate, intermediates: int) -> bool:
    """Return whether a CA may stand above so many intermediate ones (pathLenConstraint, RFC 5280, 4.2.1.9)."""
    most = _constraints(issuer).path_length
    return may_sign(issuer) and (most is None or intermediates <= most)


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return x509.BasicConstraints(ca=False, path_length=None)


def _has_cert_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True
