"""Whose CA etcd trusts, and how far a rotation of it has come. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.exceptions import PkiError
from nornir_etcd.layout import layout
from nornir_etcd.manifest import fingerprint, trusted_ca
from nornir_etcd.pki.certificate import describe, fingerprints
from nornir_etcd.pki.trust import CLUSTER
from nornir_etcd.report.model import AuthorityReport

if TYPE_CHECKING:
    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.signers.local import StoreContent

PHASES = {
    "settled": "no rotation is under way",
    "trust-both": "rotation, phase 1 of 3: members and clients are to trust both CAs, the former one signs",
    "new-leaves": "rotation, phase 2 of 3: the new CA signs, members and clients are to have certificates of it",
    "drop-old": "rotation, phase 3 of 3: members and clients are to trust the former CA no more",
}


def authority_report(
    cluster: Cluster, content: StoreContent, observation: ClusterObservation
) -> AuthorityReport | None:
    """Return what the controller's folder says of CAs; None where it has none, or another tool's are in use.

    Args:
        cluster: the cluster.
        content: what the folder holds.
        observation: of the hosts; they show whether a former CA is still trusted.
    """
    if content.ca.certificate is None or content.trusted is None or not cluster.managed:
        return None
    known = {**content.others, content.trust.signer: content.ca}
    trusted = [known[name].certificate or b"" for name in content.trust.trusted]
    phase = content.trust.phase
    # Without a former CA in the folder there was no rotation, whatever else is wrong on a host.
    dropping = phase == "settled" and len(content.known) > 1 and _trusts_more(cluster, content.trusted, observation)
    return AuthorityReport(
        kind="cluster" if content.trust.signer == CLUSTER else "dedicated",
        phase="drop-old" if dropping else phase,
        signer=describe(content.ca.certificate).subject,
        trusted=[describe(pem).subject for pem in trusted],
    )


def authority_line(authority: AuthorityReport) -> str:
    """Return the same in one line."""
    whose = "the cluster's" if authority.kind == "cluster" else "etcd's own"
    signs = f"'{authority.signer}' ({whose}) signs"
    both = f", trusted are {' and '.join(map(repr, authority.trusted))}" if len(authority.trusted) > 1 else ""
    return f"CA: {signs}{both}; {PHASES[authority.phase]}"


def _trusts_more(cluster: Cluster, trusted: bytes, observation: ClusterObservation) -> bool:
    """Whether a member's file has a former CA besides, or its manifest says that it was started with other CAs."""
    for member in cluster.members:
        paths, texts = layout(member.settings), observation.hosts[member.name].texts
        text = texts.get(paths.trusted_ca, "")
        if trusted_ca(texts.get(paths.manifest, "")) not in {"", fingerprint(trusted)}:
            return True
        try:
            if fingerprints(text.encode()) > fingerprints(trusted):
                return True
        except PkiError:  # none there, or none that can be read, which a finding tells
            continue
    return False
