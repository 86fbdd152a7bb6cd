"""Leaf certificates: what is asked for, and its issue by a CA."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import authority as authorities
from nornir_etcd.pki import keys
from nornir_etcd.pki.certificate import USAGES, CertificateInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nornir_etcd.pki.authority import Authority
    from nornir_etcd.pki.keys import KeyType

Usage = Literal["member", "client"]

USAGES_OF: dict[Usage, tuple[str, ...]] = {"member": ("serverAuth", "clientAuth"), "client": ("clientAuth",)}
"""A member's one leaf serves clients and peers and dials peers, so it carries both
(https://etcd.io/docs/v3.5/op-guide/security/; the peer side is checked for clientAuth as well)."""

LEAF_DAYS = 365
"""One year, as kubeadm does (kubernetes cmd/kubeadm/app/constants, CertificateValidityPeriod)."""

# Host names as Go's crypto/x509 matches them (validHostname): underscores are let in, one leading wildcard label too.
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)(\*\.)?\w[\w-]{0,62}(\.\w[\w-]{0,62})*", re.ASCII)
_FAILED_IPV4 = re.compile(r"[0-9]+(\.[0-9]+)+")  # no top-level domain is a number


@dataclass(frozen=True)
class LeafRequest:
    """A leaf as it is wanted."""

    common_name: str
    usage: Usage
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()  # in the form of `ipaddress`: IPv6 compressed
    organization: str = ""
    days: int = LEAF_DAYS
    key_type: KeyType = "ecdsa-p256"


@dataclass(frozen=True)
class Leaf:
    """A leaf that was issued."""

    certificate_pem: bytes
    key_pem: bytes = field(repr=False)


def member_request(
    name: str,
    address: str,
    extra_sans: Iterable[str] = (),
    days: int = LEAF_DAYS,
    key_type: KeyType = "ecdsa-p256",
) -> LeafRequest:
    """Return the leaf that a member needs.

    Args:
        name: the member's name.
        address: what its peers and clients dial: an IPv4 or IPv6 address or a DNS name.
        extra_sans: further names and addresses that it is reached by.
        days: how long it is to be valid.
        key_type: type of its key.

    Returns:
        A request with the SANs name, localhost, address, 127.0.0.1, ::1 and the extra ones, each once, in this order
        (kubeadm's etcd certificates hold the same: cmd/kubeadm/app/util/pkiutil, GetEtcdAltNames).

    Raises:
        PkiError: where one of them is neither an IP address nor a DNS name.
    """
    dns_names: dict[str, str] = {}  # by what makes them equal; a dict keeps the order
    ip_addresses: dict[str, None] = {}
    for san in (name, "localhost", address, "127.0.0.1", "::1", *extra_sans):
        ip = _ip(san)
        if ip:
            ip_addresses[ip] = None
        else:
            dns_name = _dns(san)
            dns_names.setdefault(dns_name.lower(), dns_name)
    return LeafRequest(name, "member", tuple(dns_names.values()), tuple(ip_addresses), days=days, key_type=key_type)


def client_request(common_name: str, days: int = LEAF_DAYS, key_type: KeyType = "ecdsa-p256") -> LeafRequest:
    """Return the leaf of a client of etcd.

    It names no organization: under a Kubernetes CA that would be a group of the API server.

    Args:
        common_name: with etcd's auth enabled, the etcd user it acts as.
        days: how long it is to be valid.
        key_type: type of its key.
    """
    return LeafRequest(common_name, "client", days=days, key_type=key_type)


def apiserver_request(days: int = LEAF_DAYS, key_type: KeyType = "ecdsa-p256") -> LeafRequest:
    """Return the leaf by which an API server is a client of etcd, under kubeadm's name for it.

    It names no organization. kubeadm wrote O=system:masters until 1.28 and none since (kubernetes#120521,
    kubeadm#2926): etcd takes no notice of it, its user is the common name alone (AuthInfoFromTLS,
    https://github.com/etcd-io/etcd/blob/v3.5.16/server/auth/store.go), while under a Kubernetes CA the holder of the
    key would be a cluster administrator.

    Args:
        days: how long it is to be valid.
        key_type: type of its key.
    """
    return client_request("kube-apiserver-etcd-client", days=days, key_type=key_type)


def issue(authority: Authority, request: LeafRequest, *, now: datetime) -> Leaf:
    """Return a new key and its certificate, signed by the CA.

    It is valid from 5 minutes before `now`, and never outside the validity of its CA. Its PEM holds the intermediate
    CAs that it hangs on, where there are any.

    Args:
        authority: the CA that signs.
        request: what is wanted.
        now: the present time, aware.

    Raises:
        PkiError: where the CA has expired or a name cannot stand in a certificate.
    """
    not_before, not_after = validity(authority, request, now=now)
    key = keys.make(request.key_type)
    builder = (
        x509.CertificateBuilder()
        .subject_name(authorities.subject(request.common_name, request.organization))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            authorities.key_usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPrivateKey)),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([USAGES[usage] for usage in USAGES_OF[request.usage]]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(authority), critical=False)
    )
    names = alternative_names(request)
    if names:
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(authority.key, authorities.signature_hash(authority.key))
    return Leaf(certificate.public_bytes(Encoding.PEM) + authority.served_pem, keys.dump(key))


def validity(authority: Authority, request: LeafRequest, *, now: datetime) -> tuple[datetime, datetime]:
    """Return from when and until when a leaf made now is valid.

    Args:
        authority: the CA that signs.
        request: what is wanted.
        now: the present time, aware.

    Raises:
        PkiError: where the CA has expired.
    """
    if now >= authority.not_after:
        found = f"one that expired on {authority.not_after:%Y-%m-%d %H:%M} UTC"
        raise PkiError(f"leaf for '{request.common_name}'", wanted="a valid CA", found=found)
    not_before = max(now - authorities.BACKDATE, authority.certificate.not_valid_before_utc)
    return not_before, expiry(authority.not_after, request, now=now)


def alternative_names(request: LeafRequest) -> x509.SubjectAlternativeName | None:
    """Return the names and addresses of a request as they stand in a certificate; None where it has none.

    Raises:
        PkiError: where one of them cannot.
    """
    try:
        addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in request.ip_addresses]
        names = [*(x509.DNSName(name) for name in request.dns_names), *addresses]
    except ValueError as error:
        raise PkiError(
            f"leaf for '{request.common_name}'", wanted="DNS names and IP addresses", found=str(error)
        ) from error
    return x509.SubjectAlternativeName(names) if names else None


def expiry(ca_not_after: datetime, request: LeafRequest, *, now: datetime) -> datetime:
    """Return when a leaf made now expires: after the days asked for, or with its CA where that comes first."""
    return min(now + timedelta(days=request.days), ca_not_after)


def shortfall(ca: CertificateInfo, request: LeafRequest, *, now: datetime) -> str | None:
    """Return a sentence where the CA expires before a leaf made now would, else None."""
    if expiry(ca.not_after, request, now=now) < ca.not_after:
        return None
    days = (ca.not_after - now) // timedelta(days=1)
    return f"valid for {days} instead of {request.days} days: its CA '{ca.subject}' expires on {ca.not_after:%Y-%m-%d}"


def _ip(text: str) -> str | None:
    """Return an IP address in the form of `ipaddress`, or None where the text is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if "%" in text:
        raise PkiError(f"address '{text}'", wanted="an address without a zone", found="a link-local one")
    return str(address)


def _dns(text: str) -> str:
    """Return a DNS name without the dot of the root, which a SAN must not have (Go: validHostnamePattern)."""
    name = text.removesuffix(".")
    if not _DNS_NAME.fullmatch(name) or _FAILED_IPV4.fullmatch(name):
        raise PkiError("certificate name", wanted="an IP address or a DNS name in ASCII", found=f"'{text}'")
    return name


def _authority_key_identifier(authority: Authority) -> x509.AuthorityKeyIdentifier:
    """Return the CA's own key identifier, or one from its key where it carries none (RFC 5280, 4.2.1.1)."""
    try:
        identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
