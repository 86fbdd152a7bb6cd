"""Which certificates are to be made and which hosts are to get files. Pure: no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from nornir_etcd.exceptions import PkiError
from nornir_etcd.layout import CA, CERTIFICATE, KEY, layout
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.certificate import covers, describe, fingerprints
from nornir_etcd.pki.leaf import client_request, member_request, shortfall
from nornir_etcd.pki.renewal import due
from nornir_etcd.pki.trust import CLUSTER
from nornir_etcd.plan import apiserver
from nornir_etcd.plan.state import live_list
from nornir_etcd.plan.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation
    from nornir_etcd.pki.leaf import LeafRequest
    from nornir_etcd.plan.step import Action
    from nornir_etcd.signers.local import Pair, StoreContent

CLIENT_NAME = "nornir-etcd"


@dataclass(frozen=True)
class Renewal:
    """Which certificates are made anew before their time.

    Attributes:
        within: those with fewer whole days left; below etcd_renew_days where it is None.
        force: all.
    """

    within: int | None = None
    force: bool = False


AS_DUE = Renewal()
"""Those that are due and no others."""


@dataclass(frozen=True)
class CertificatePlan:
    """What the certificates of one cluster need."""

    issue: tuple[Step, ...]  # on the controller, in order: CA, client, members
    place: tuple[Step, ...]  # on hosts
    refusals: tuple[str, ...]
    clients: tuple[Step, ...] = ()  # on hosts: what API servers get


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
    observation: ClusterObservation,
    *,
    scope: frozenset[str],
    now: datetime,
    bootstrap: frozenset[str] = frozenset(),
    moving: frozenset[str] = frozenset(),
    renewal: Renewal = AS_DUE,
) -> CertificatePlan:
    """Plan certificates for the controller's folder and for the hosts.

    Args:
        cluster: as the inventory wants it.
        store: what the controller's folder holds.
        observation: of the hosts.
        scope: the hosts that may change.
        now: the controller's time.
        bootstrap: hosts whose data directory is prepared together with their files.
        moving: hosts whose member is about to get another address in the live list.
        renewal: what is made anew before its time.
    """
    refusals = (*_ca_refusals(cluster, store, observation), *_address_refusals(cluster, observation, scope - moving))
    issue: list[Step] = []
    made = ca_to_make(cluster, store, observation)
    signer = None if made else store.ca.certificate
    if made and not refusals:
        issue.append(_make_ca(cluster, made))
    reason = _due(cluster.members[0], store.client, signer, controller_request(cluster), now, renewal)
    if reason:
        issue.append(_issue("", "the controller's client certificate", reason, "issue-client"))
    place: list[Step] = []
    clients: list[Step] = []
    for member in cluster.members:
        if member.name not in scope:
            continue
        if reason := _due(member, store.leaves.get(member.name), signer, leaf_request(member), now, renewal):
            issue.append(_issue(member.name, "its certificate", reason, "issue-certificate"))
        place += _place(member, store, observation, new=bool(reason), first_start=member.name in bootstrap)
        if not apiserver.runs(member, observation):
            continue
        pair, request = store.apiservers.get(member.name), apiserver.request(member)
        if reason := _due(member, pair, signer, request, now, renewal):
            issue.append(_issue(member.name, "the API server's client certificate", reason, "issue-apiserver"))
        clients += apiserver.place(member, store, observation, new=bool(reason))
    return CertificatePlan(tuple(issue), tuple(place), refusals, tuple(clients))


def member_due(member: Member, store: StoreContent, now: datetime, renewal: Renewal = AS_DUE) -> str | None:
    """Return why the member's certificate must be made anew, or None where it can stay."""
    return _due(member, store.leaves.get(member.name), store.ca.certificate, leaf_request(member), now, renewal)


def apiserver_due(member: Member, store: StoreContent, now: datetime, renewal: Renewal = AS_DUE) -> str | None:
    """Return why the client certificate of the API server on a member's host must be made anew, or None."""
    pair = store.apiservers.get(member.name)
    return _due(member, pair, store.ca.certificate, apiserver.request(member), now, renewal)


def ca_to_make(
    cluster: Cluster, store: StoreContent, observation: ClusterObservation
) -> Literal["cluster", "dedicated"] | None:
    """Return which kind of CA is to be made for a cluster that uses none yet, or None where there is one to sign with.

    A CA of etcd's own is made at once for a cluster that has no certificates yet; on one that has, it comes by a
    rotation.
    """
    wanted = cluster.members[0].settings.etcd_ca
    if wanted == "dedicated" and store.trust.signer == CLUSTER and not _in_use(cluster, store, observation):
        return "dedicated"
    return None if store.ca.certificate is not None else "cluster"


def _in_use(cluster: Cluster, store: StoreContent, observation: ClusterObservation) -> bool:
    """Whether anything has been signed for etcd, or any host has a CA for it."""
    if store.leaves or store.client.certificate is not None:
        return True
    hosts = ((member, observation.hosts[member.name]) for member in cluster.members)
    states = (host.files.get(f"{layout(member.settings).etcd}/{CA}") for member, host in hosts)
    return any(state is not None and state.kind != "absent" for state in states)


def file_differences(member: Member, store: StoreContent, host: HostObservation) -> list[str]:
    """Return what differs between the host's certificate files and the controller's, each in a few words."""
    paths = layout(member.settings)
    leaf = store.leaves.get(member.name)
    wanted = {
        CERTIFICATE: leaf.certificate if leaf else None,
        KEY: leaf.key if leaf else None,
        CA: store.trusted,
    }
    ca = host.files.get(paths.ca)
    # The role's ca.pem is written where there is none, and never again: more than etcd may hang on it.
    missing = member.settings.etcd_ca == "cluster" and (ca is None or ca.kind == "absent")
    found = [f"{paths.ca} is absent"] if missing else []
    folder = host.files.get(paths.etcd)
    if folder is not None and folder.kind == "absent":
        there = {
            path: to for path, to in paths.links.items() if (state := host.files.get(path)) and state.kind != "absent"
        }
        return [f"{paths.etcd} is absent", *found, *_wrong_links(there, host)]
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
    return found + list(_wrong_links(paths.links, host))


def _wrong_links(links: Mapping[str, str], host: HostObservation) -> Iterator[str]:
    for path, target in links.items():
        state = host.files.get(path)
        if state and (state.kind != "link" or state.target != target):
            yield f"{path} is {state.kind if state.kind != 'link' else state.target}, wanted a link to {target}"


def _ca_refusals(cluster: Cluster, store: StoreContent, observation: ClusterObservation) -> list[str]:
    """Refuse to make or place a CA beside one that is in use: kubelets and API servers may hang on it."""
    found: list[str] = []
    settings = cluster.members[0].settings
    folder = settings.generate_certs_dir
    if store.ca.certificate is None and store.leaves:
        found.append(
            f"{cluster.name}: {folder} holds certificates and not the CA that signed them; "
            "put its ca.pem and ca-key.pem back, or move the folder aside"
        )
    if settings.etcd_ca == "cluster" and store.trust.trusted != (CLUSTER,):
        found.append(
            f"{cluster.name}: etcd_ca: wanted cluster, found that a CA of etcd's own is in use ({folder}); "
            "set etcd_ca to dedicated"
        )
        return found
    for member in cluster.members:
        found += list(_foreign_ca(member, store, observation.hosts[member.name]))[:1]
    return found


def _foreign_ca(member: Member, store: StoreContent, host: HostObservation) -> Iterator[str]:
    """Yield where the host has a CA that the controller does not know."""
    paths, folder = layout(member.settings), member.settings.generate_certs_dir
    general = [paths.ca] if member.settings.etcd_ca == "cluster" else []
    for path in (*general, f"{paths.etcd}/{CA}"):
        state = host.files.get(path)
        if state is None or state.kind == "absent":
            continue
        if not store.known:
            yield (
                f"{member.name}: {path}: the host has a CA and {folder} has none; "
                "copy the cluster's ca.pem and ca-key.pem there"
            )
        elif not _knows(store, host.texts.get(path, "")):
            yield (
                f"{member.name}: {path}: the host has another CA: wanted the one in {folder}; "
                "put the cluster's CA and key there, deploy replaces no CA"
            )


def _address_refusals(cluster: Cluster, observation: ClusterObservation, scope: frozenset[str]) -> Iterator[str]:
    """Yield where the live list has a member at an address that its certificate would not name.

    Peers dial what the list has until that is changed, and refuse a certificate that is for another address
    (https://etcd.io/docs/v3.5/op-guide/security/). The member is found by the ID in its data, since its URL differs.
    """
    if (live := live_list(observation)) is None:
        return
    for member in cluster.members:
        data = observation.hosts[member.name].data
        if member.name not in scope or isinstance(data, Unknown):
            continue
        ids, request = (data.cluster_id, data.node_id), leaf_request(member)
        urls = [url for one in live.members if (live.cluster_id, one.id) == ids for url in one.peer_urls]
        hosts = [host for url in urls if (host := urlsplit(url).hostname)]
        for host in hosts:
            if not covers(request.dns_names, request.ip_addresses, host):
                yield (
                    f"{member.name}: its certificate would be for {member.address} and not for {host}, at which the "
                    f"live member list has it: peers would refuse it; add {host} to the host's etcd_extra_sans for as "
                    "long as the list has it"
                )


def _knows(store: StoreContent, text: str) -> bool:
    """Whether one of the CAs in a host's file is the controller's, be it one that is trusted no more."""
    try:
        found = fingerprints(text.encode())
    except PkiError:
        return False
    return any(found & fingerprints(pem) for pem in store.known)


def _due(  # noqa: PLR0913, PLR0917 - as `due`
    member: Member,
    pair: Pair | None,
    ca_pem: bytes | None,
    request: LeafRequest,
    now: datetime,
    renewal: Renewal,
) -> str | None:
    if ca_pem is None:
        return "a new CA"
    within = member.settings.etcd_renew_days if renewal.within is None else renewal.within
    reason = due(
        pair.certificate if pair else None,
        pair.key if pair else None,
        ca_pem=ca_pem,
        request=request,
        now=now,
        renew_days=within,
        force=renewal.force,
    )
    short = shortfall(describe(ca_pem), request, now=now) if reason else None
    return f"{reason}; {short}" if short else reason


def _make_ca(cluster: Cluster, kind: Literal["cluster", "dedicated"]) -> Step:
    folder = cluster.members[0].settings.generate_certs_dir
    none_yet = f"{folder} has no CA, and no host has one"
    return Step(
        host="",
        action="make-ca" if kind == "cluster" else "make-etcd-ca",
        reason=none_yet if kind == "cluster" else "etcd is to have a CA of its own, and has no certificates yet",
        precondition="the controller's folder and every host are without a CA",
        proof="the CA is read again and matches its key",
        undo="remove the CA from the controller's folder before it is used",
    )


def _issue(host: str, what: str, reason: str, action: Action) -> Step:
    return Step(
        host=host,
        action=action,
        reason=f"{what}: {reason}",
        precondition="the CA and its key are at hand",
        proof="the certificate is read again, matches its key and is signed by the CA",
        undo="none needed: nothing is served until it is placed on a host",
    )


def _place(
    member: Member, store: StoreContent, observation: ClusterObservation, *, new: bool, first_start: bool
) -> list[Step]:
    differences = file_differences(member, store, observation.hosts[member.name])
    if new:
        differences.insert(0, "a new certificate")
    if first_start:
        differences.append(f"{layout(member.settings).guard} is to be prepared for the first start")
    if not differences:
        return []
    return [
        Step(
            host=member.name,
            action="prepare-member" if first_start else "place-files",
            reason="; ".join(differences),
            precondition="the host has no other CA",
            proof="the files are read again and are those of the controller's folder; a member that runs serves them",
            undo="place the former files again; etcd reads leaf files at every handshake",
        )
    ]
