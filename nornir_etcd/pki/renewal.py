"""Whether a leaf must be made anew, and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import chain
from nornir_etcd.pki.acceptance import faults
from nornir_etcd.pki.leaf import LeafRequest, expiry

if TYPE_CHECKING:
    from nornir_etcd.pki.certificate import CertificateInfo


def due(  # noqa: PLR0913 - all that the decision hangs on, and nothing read on the side
    certificate_pem: bytes | None,
    key_pem: bytes | None,
    *,
    ca_pem: bytes | None,
    request: LeafRequest,
    now: datetime,
    renew_days: int,
    force: bool = False,
) -> str | None:
    """Return why a leaf must be made anew, or None where it can stay.

    A name that the leaf has and the request has not is no reason: it harms nothing, and other tools add their own.
    A leaf that ends with its CA is left alone, since a new one would not live longer.

    Args:
        certificate_pem: the leaf; None where it is missing.
        key_pem: its private key; None where it is missing.
        ca_pem: the certificate of the cluster's CA; None where there is none yet.
        request: the leaf as it is wanted.
        now: the present time, aware.
        renew_days: a leaf that has fewer whole days left is made anew.
        force: it was asked for, whatever its state.

    Returns:
        The first reason found, for a plan: "expires in 12 days, renewed below 30".

    Raises:
        PkiError: where the CA certificate is unreadable.
    """
    if certificate_pem is None or key_pem is None:
        return _missing(certificate_pem, key_pem)
    if ca_pem is None:
        return "the CA that signed it is missing"
    for fault in faults(certificate_pem, key_pem, trusted_pem=ca_pem, request=request, now=now):
        return fault
    ends = expiry(_ends(ca_pem), request, now=now)
    aged = _aged(certificates.describe(certificate_pem), ends, now, renew_days)
    return aged or ("renewal was asked for" if force else None)


def _missing(certificate_pem: bytes | None, key_pem: bytes | None) -> str:
    if certificate_pem is None and key_pem is None:
        return "missing"
    return "the certificate is missing" if certificate_pem is None else "the key is missing"


def _ends(ca_pem: bytes) -> datetime:
    """Return when the CA that signs, the first of a bundle, ends, or one above it."""
    certificate, *others = certificates.load_all(ca_pem)
    return chain.until((certificate, *chain.issuers(certificate, (), others)))


def _aged(info: CertificateInfo, renewed_until: datetime, now: datetime, renew_days: int) -> str | None:
    """Return what the days left say, given how long a new leaf would live."""
    days = certificates.days_left(info, now)
    if days < renew_days and info.not_after < renewed_until - timedelta(seconds=1):  # certificates hold whole seconds
        return f"expires in {days} day{'' if days == 1 else 's'}, renewed below {renew_days}"
    return None
