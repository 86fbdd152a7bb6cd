"""Certificates that the program itself does not make: intermediate CAs, and leaves with one thing wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nornir_etcd.pki import authority as authorities
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority
from nornir_etcd.pki.certificate import USAGES
from nornir_etcd.pki.leaf import USAGES_OF, Leaf, LeafRequest, alternative_names

if TYPE_CHECKING:
    from nornir_etcd.pki.keys import PrivateKey


def intermediate(  # noqa: PLR0913 - each is what a test is about
    parent: Authority,
    name: str,
    *,
    now: datetime,
    days: float = 1825,
    path_length: int | None = None,
    key: PrivateKey | None = None,
    may_sign: bool = True,
) -> Authority:
    """Return a CA that another one has signed; its PEM holds those above it."""
    key = key or keys.make("ecdsa-p256")
    certificate = (
        x509.CertificateBuilder(parent.certificate.subject, authorities.subject(name), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(authorities.key_usage(digital_signature=True, key_cert_sign=may_sign), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(parent.certificate.public_key()),  # type: ignore[arg-type]  # a CA's
            critical=False,
        )
        .sign(parent.key, authorities.signature_hash(parent.key))
    )
    pem = certificate.public_bytes(Encoding.PEM) + parent.pem
    return Authority(certificate, key, pem, (parent.certificate, *parent.issuers))


@dataclass(frozen=True)
class Recipe:
    """What a leaf is made of; a test replaces one part."""

    authority: Authority
    request: LeafRequest
    key: PrivateKey  # whose public half is in the certificate
    not_before: datetime
    not_after: datetime
    usages: tuple[str, ...]
    key_usage: bool | None = True  # digitalSignature; None: no key usage at all
    is_ca: bool = False

    @classmethod
    def of(cls, authority: Authority, request: LeafRequest, now: datetime) -> Recipe:
        """Return how `issue` makes it."""
        ends = min(now + timedelta(days=request.days), authority.not_after)
        key = keys.make(request.key_type)
        return cls(authority, request, key, now - timedelta(minutes=5), ends, USAGES_OF[request.usage])

    def but(self, **changes: object) -> Recipe:
        """Return it with parts replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]  # as replace itself takes them

    def leaf(self, key: PrivateKey | None = None) -> Leaf:
        """Return the leaf, with another key beside it where one is given."""
        builder = (
            x509.CertificateBuilder(
                self.authority.certificate.subject,
                authorities.subject(self.request.common_name),
                self.key.public_key(),
            )
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(ca=self.is_ca, path_length=None), critical=True)
        )
        if self.key_usage is not None:
            usage = authorities.key_usage(digital_signature=self.key_usage, key_encipherment=True)
            builder = builder.add_extension(usage, critical=True)
        if self.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage([USAGES[one] for one in self.usages]), critical=False)
        if names := alternative_names(self.request):
            builder = builder.add_extension(names, critical=False)
        signer = self.authority.key
        certificate = builder.sign(signer, authorities.signature_hash(signer))
        pem = certificate.public_bytes(Encoding.PEM) + self.authority.served_pem
        return Leaf(pem, keys.dump(key or self.key))
