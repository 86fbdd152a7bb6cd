"""Has a leaf signed by what the settings name, and looks at it before anybody uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki.acceptance import faults
from nornir_etcd.pki.leaf import issue
from nornir_etcd.signers import cfssl

if TYPE_CHECKING:
    from datetime import datetime

    from nornir_etcd.pki.authority import Authority
    from nornir_etcd.pki.leaf import Leaf, LeafRequest
    from nornir_etcd.settings import Settings


def sign(authority: Authority, request: LeafRequest, settings: Settings, *, now: datetime) -> Leaf:
    """Return a new key and its certificate, signed by the CA through the cluster's `cert_signer`.

    Args:
        authority: the CA that signs.
        request: what is wanted.
        settings: of a member of the cluster.
        now: the present time, aware.

    Raises:
        PkiError: where nothing could be signed, or what was signed is not what was asked for.
    """
    if settings.cert_signer == "cfssl":
        leaf = cfssl.sign(authority, request, cfssl.find(settings), now=now)
    else:
        leaf = issue(authority, request, now=now)
    found = faults(leaf.certificate_pem, leaf.key_pem, trusted_pem=authority.pem, request=request, now=now)
    if not found and (subject := certificates.describe(leaf.certificate_pem).subject) != request.common_name:
        found.append(f"is for '{subject}'")
    if found:
        raise PkiError(
            f"certificate of '{request.common_name}' from the signer {settings.cert_signer}",
            wanted="what was asked for",
            found="one that peers or clients would refuse: " + "; ".join(found),
            remedy="nothing was written",
        )
    return leaf
