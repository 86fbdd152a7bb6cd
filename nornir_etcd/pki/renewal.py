"""Whether a leaf must be made anew, and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.leaf import USAGES_OF, LeafRequest, expiry

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

    Returns:
        The first reason found, for a plan: "expires in 12 days, renewed below 30".

    Raises:
        PkiError: where the CA certificate is unreadable.
    """
    if certificate_pem is None or key_pem is None:
        return _missing(certificate_pem, key_pem)
    try:
        info = certificates.describe(certificate_pem)
        public_key = keys.load(key_pem).public_key()
    except PkiError as error:
        return f"unreadable ({error})"
    if certificates.load(certificate_pem).public_key() != public_key:
        return "the certificate does not match its key"
    if ca_pem is None:
        return "the CA that signed it is missing"
    if not certificates.signed_by(certificate_pem, ca_pem):
        return f"not signed by the CA '{certificates.describe(ca_pem).subject}' but by '{info.issuer}'"
    ca_not_after = certificates.describe(ca_pem).not_after
    return _differs(info, request) or _aged(info, expiry(ca_not_after, request, now=now), now, renew_days)


def _missing(certificate_pem: bytes | None, key_pem: bytes | None) -> str:
    if certificate_pem is None and key_pem is None:
        return "missing"
    return "the certificate is missing" if certificate_pem is None else "the key is missing"


def _differs(info: CertificateInfo, request: LeafRequest) -> str | None:
    """Return what the leaf lacks of the request."""
    present = {name.lower() for name in info.dns_names} | set(info.ip_addresses)
    lacking = [name for name in (*request.dns_names, *request.ip_addresses) if name.lower() not in present]
    if lacking:
        return f"lacks the name{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}"
    usages = [usage for usage in USAGES_OF[request.usage] if usage not in info.usages]
    if usages:
        return f"lacks the usage{'s' if len(usages) > 1 else ''} {', '.join(usages)}"
    if info.key_type != request.key_type:
        return f"its key is {info.key_type}, wanted {request.key_type}"
    return None


def _aged(info: CertificateInfo, renewed_until: datetime, now: datetime, renew_days: int) -> str | None:
    """Return what the dates say, given how long a new leaf would live."""
    if now < info.not_before:
        return f"not valid before {info.not_before:%Y-%m-%d %H:%M} UTC"
    if now >= info.not_after:
        return f"expired on {info.not_after:%Y-%m-%d %H:%M} UTC"
    days = certificates.days_left(info, now)
    if days < renew_days and info.not_after < renewed_until - timedelta(seconds=1):  # certificates hold whole seconds
        return f"expires in {days} day{'' if days == 1 else 's'}, renewed below {renew_days}"
    return None
