"""Which certificates are to be made and which hosts are to get files. Pure: no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.layout import CA, CERTIFICATE, KEY, layout
from nornir_etcd.pki.leaf import client_request, member_request
from nornir_etcd.pki.renewal import due
from nornir_etcd.plan.step import Step

if TYPE_CHECKING:
    from datetime import datetime

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, FileState, HostObservation
    from nornir_etcd.pki.leaf import LeafRequest
    from nornir_etcd.signers.local import Pair, StoreContent

CLIENT_NAME = "nornir-etcd"


@dataclass(frozen=True)
class CertificatePlan:
    """What the certificates of one cluster need."""

    issue: tuple[Step, ...]  # on the controller, in order: CA, client, members
    place: tuple[Step, ...]  # on hosts
    refusals: tuple[str, ...]


def leaf_request(member: Member) -> LeafRequest:
    """Return the certificate that a member shall have."""
    settings = member.settings
    return member_request(
        member.name,
        member.address,
        extra_sans=settings.etcd_extra_sans,
        days=settings.etcd_cert_days,
        key_type=settings.etcd_key_type,
    )


def controller_request(cluster: Cluster) -> LeafRequest:
    """Return the client certificate that the controller shall have."""
    settings = cluster.members[0].settings
    return client_request(CLIENT_NAME, days=settings.etcd_cert_days, key_type=settings.etcd_key_type)


def plan_certificates(  # noqa: PLR0913 - each a part of what is planned from
    cluster: Cluster,
    store: StoreContent,
    observation: ClusterObservation | None,
    *,
    scope: frozenset[str],
    now: datetime,
    bootstrap: frozenset[str] = frozenset(),
) -> CertificatePlan:
    """Plan certificates for the controller's folder and, where an observation is given, for the hosts.

    Args:
        cluster: as the inventory wants it.
        store: what the controller's folder holds.
        observation: of the hosts, or None to plan for the folder alone.
        scope: the hosts that may change.
        now: the controller's time.
        bootstrap: hosts whose data directory is prepared together with their files.
    """
    refusals = tuple(_ca_refusals(cluster, store, observation)) if observation else ()
    issue: list[Step] = []
    if store.ca.certificate is None and not refusals:
        issue.append(_make_ca(cluster))
    reason = _due(cluster.members[0], store.client, store.ca.certificate, controller_request(cluster), now)
    if reason:
        issue.append(_issue("", "the controller's client certificate", reason))
    reissued: set[str] = set()
    for member in cluster.members:
        reason = member_due(member, store, now)
        if reason and member.name in scope:
            reissued.add(member.name)
            issue.append(_issue(member.name, "its certificate", reason))
    place: list[Step] = []
    for member in cluster.members if observation else ():
        if member.name not in scope or observation is None:
            continue
        differences = list(file_differences(member, store, observation.hosts[member.name]))
        if member.name in reissued:
            differences.insert(0, "a new certificate")
        if member.name in bootstrap:
            differences.append(f"{layout(member.settings).guard} is to be prepared for the first start")
        if differences:
            place.append(_place(member, differences, first_start=member.name in bootstrap))
    return CertificatePlan(issue=tuple(issue), place=tuple(place), refusals=refusals)


def member_due(member: Member, store: StoreContent, now: datetime) -> str | None:
    """Return why the member's certificate must be made anew, or None where it can stay."""
    return _due(member, store.leaves.get(member.name), store.ca.certificate, leaf_request(member), now)


def file_differences(member: Member, store: StoreContent, host: HostObservation) -> list[str]:
    """Return what differs between the host's certificate files and the controller's, each in a few words."""
    paths = layout(member.settings)
    leaf = store.leaves.get(member.name)
    wanted = {
        CERTIFICATE: leaf.certificate if leaf else None,
        KEY: leaf.key if leaf else None,
        CA: store.ca.certificate,
    }
    ca = host.files.get(paths.ca)
    # The role's ca.pem is written where there is none, and never again: more than etcd may hang on it.
    found = [f"{paths.ca} is absent"] if ca is None or ca.kind == "absent" else []
    folder = host.files.get(paths.etcd)
    if folder is not None and folder.kind == "absent":
        return [f"{paths.etcd} is absent", *found]
    for name, content in wanted.items():
        path = f"{paths.etcd}/{name}"
        state = host.files.get(path)
        if state is None or state.kind == "absent":
            found.append(f"{path} is absent")
        elif content is not None and state.sha256 != hashlib.sha256(content).hexdigest():
            found.append(f"{path} differs")
    for path, mode in paths.modes.items():
        state = host.files.get(path)
        if state and state.kind != "absent" and state.mode != mode:
            found.append(f"{path} has mode {state.mode:04o}, wanted {mode:04o}")
    for path, target in paths.links.items():
        state = host.files.get(path)
        if state and (state.kind != "link" or state.target != target):
            found.append(f"{path} is {state.kind if state.kind != 'link' else state.target}, wanted a link to {target}")
    return found


def _ca_refusals(cluster: Cluster, store: StoreContent, observation: ClusterObservation) -> list[str]:
    """Refuse to make or place a CA beside one that is in use: kubelets and API servers may hang on it."""
    found: list[str] = []
    folder = cluster.members[0].settings.generate_certs_dir
    if store.ca.certificate is None and store.leaves:
        found.append(
            f"{cluster.name}: {folder} holds certificates and not the CA that signed them; "
            "put its ca.pem and ca-key.pem back, or move the folder aside"
        )
    for member in cluster.members:
        host = observation.hosts[member.name]
        paths = layout(member.settings)
        for path in (paths.ca, f"{paths.etcd}/{CA}"):
            state = host.files.get(path)
            if state is None or state.kind == "absent":
                continue
            if store.ca.certificate is None:
                found.append(
                    f"{member.name}: {path}: the host has a CA and {folder} has none; "
                    "copy the cluster's ca.pem and ca-key.pem there"
                )
                break
            if not _same_ca(state, host.texts.get(path, ""), store.ca.certificate):
                found.append(
                    f"{member.name}: {path}: the host has another CA: wanted the one in {folder}; "
                    "put the cluster's CA and key there, deploy replaces no CA"
                )
                break
    return found


def _same_ca(state: FileState, text: str, pem: bytes) -> bool:
    """Whether a file on a host holds the CA, whatever white space surrounds its lines."""
    return state.sha256 == hashlib.sha256(pem).hexdigest() or text.split() == pem.decode(errors="replace").split()


def _due(
    member: Member,
    pair: Pair | None,
    ca_pem: bytes | None,
    request: LeafRequest,
    now: datetime,
) -> str | None:
    if ca_pem is None:
        return "a new CA"
    return due(
        pair.certificate if pair else None,
        pair.key if pair else None,
        ca_pem=ca_pem,
        request=request,
        now=now,
        renew_days=member.settings.etcd_renew_days,
    )


def _make_ca(cluster: Cluster) -> Step:
    return Step(
        host="",
        action="make-ca",
        reason=f"{cluster.members[0].settings.generate_certs_dir} has no CA, and no host has one",
        precondition="the controller's folder and every host are without a CA",
        proof="the CA is read again and matches its key",
        undo="remove the CA from the controller's folder before it is used",
    )


def _issue(host: str, what: str, reason: str) -> Step:
    return Step(
        host=host,
        action="issue-certificate" if host else "issue-client",
        reason=f"{what}: {reason}",
        precondition="the CA and its key are at hand",
        proof="the certificate is read again, matches its key and is signed by the CA",
        undo="none needed: nothing is served until it is placed on a host",
    )


def _place(member: Member, differences: list[str], *, first_start: bool) -> Step:
    return Step(
        host=member.name,
        action="prepare-member" if first_start else "place-files",
        reason="; ".join(differences),
        precondition="the host has no other CA",
        proof="the files are read again and are those of the controller's folder",
        undo="place the former files again; etcd reads leaf files at every handshake",
    )
