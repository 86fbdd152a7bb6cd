"""A certificate signing request: what a signer gets instead of the private key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from nornir_etcd.pki import authority as authorities
from nornir_etcd.pki.leaf import alternative_names

if TYPE_CHECKING:
    from nornir_etcd.pki.keys import PrivateKey
    from nornir_etcd.pki.leaf import LeafRequest


def signing_request(request: LeafRequest, key: PrivateKey) -> bytes:
    """Return the PKCS#10 request (RFC 2986) of a leaf as PEM: its subject, its names and its public key.

    Usages and dates are the signer's to set, and stand in its profile.

    Args:
        request: the leaf as it is wanted.
        key: its private key, which signs the request and is not in it.

    Raises:
        PkiError: where a name cannot stand in a certificate.
    """
    subject = authorities.subject(request.common_name, request.organization)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names := alternative_names(request):
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, authorities.signature_hash(key)).public_bytes(Encoding.PEM)
