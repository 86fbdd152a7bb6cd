"""A cluster that the Ansible role has deployed: how it is recognised, and what deploy changes on it and why. Pure.

The role copies one certificate and key to all nodes and starts etcd with those files. Nothing else tells its members
from ours, so a change-over that was broken off goes on by itself: a member is the role's until its manifest is ours.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from nornir_etcd.layout import Foreign, layout
from nornir_etcd.manifest import command_flags, image_of, trusted_ca
from nornir_etcd.observation import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.layout import Layout
    from nornir_etcd.observation import ClusterObservation, HostObservation

FILES = ("cert-file", "key-file", "trusted-ca-file", "peer-cert-file", "peer-key-file", "peer-trusted-ca-file")
"""Flags whose change the note on certificates tells."""

LISTS = ("listen-client-urls", "listen-peer-urls", "advertise-client-urls", "initial-advertise-peer-urls")
"""Flags whose value is a list in no order."""

REASONS = {
    "name": "the member's name becomes its host's; etcd tells the others at its start",
    "initial-cluster": "read at a first start alone",
    "initial-cluster-state": "read at a first start alone",
    "initial-cluster-token": "a token of the cluster's own, read at a first start alone",
    "client-cert-auth": "whoever has no certificate of the CA is not let in",
    "peer-client-cert-auth": "whoever has no certificate of the CA is no peer",
    "listen-metrics-urls": "where the probes ask, on loopback",
    "quota-backend-bytes": "etcd_quota_backend_bytes",
    "snapshot-count": "etcd_snapshot_count",
    "heartbeat-interval": "etcd_heartbeat_interval",
    "election-timeout": "etcd_election_timeout",
    "tls-min-version": "etcd_tls_min_version",
    "experimental-initial-corrupt-check": "a member whose data differ from the others' does not start",
    "experimental-compact-hash-check-enabled": "corruption is found while etcd runs",
    "experimental-watch-progress-notify-interval": "as kubeadm has it, for Kubernetes' watch cache",
    "feature-gates": "corruption is found at a start and while etcd runs",
    "watch-progress-notify-interval": "as kubeadm has it, for Kubernetes' watch cache",
}
"""Why deploy sets a flag, or the variable that it comes from."""

BY_NAME = ("client-cert-allowed-hostname", "peer-cert-allowed-cn", "peer-cert-allowed-hostname")
"""Flags by which a member lets in certificates of certain names alone."""


def is_roles(member: Member, host: HostObservation) -> bool:
    """Whether the member's manifest starts etcd with the files that the role copies to a node."""
    return bool(_flags(member, host))


def members(cluster: Cluster, observation: ClusterObservation, scope: frozenset[str]) -> dict[str, Member]:
    """Return those of the hosts in `scope` whose member is the role's."""
    named = {member.name: member for member in cluster.members if member.name in scope}
    return {name: member for name, member in named.items() if is_roles(member, observation.hosts[name])}


def present_layout(member: Member, host: HostObservation) -> Layout:
    """Return where the member's files lie now: the role's, until its manifest is ours."""
    paths, flags = layout(member.settings), _flags(member, host)
    if not flags:
        return paths
    certificate, key, ca = (flags.get(name, "") for name in ("cert-file", "key-file", "trusted-ca-file"))
    roles = Foreign(
        etcd=paths.ca_dir,
        certificate=certificate,
        key=key,
        peer_certificate=flags.get("peer-cert-file", ""),
        peer_key=flags.get("peer-key-file", ""),
        trusted_ca=ca,
        peer_trusted_ca=flags.get("peer-trusted-ca-file", ""),
        ca=paths.ca,
        manifest=paths.manifest,
    )
    return replace(paths, foreign=roles)


def refusals(cluster: Cluster, observation: ClusterObservation, scope: frozenset[str]) -> list[str]:
    """Return why members of the role are not changed: what deploy would write does not fit what they have.

    A log in another folder than the data would be left behind. A member that lets in certain names alone, whether it is
    in `scope` or not, would refuse the changed ones (https://etcd.io/docs/v3.5/op-guide/configuration/, Security).
    """
    found: list[str] = []
    for member in members(cluster, observation, frozenset(member.name for member in cluster.members)).values():
        flags = _flags(member, observation.hosts[member.name])
        if names := [f"--{name}={flags[name]}" for name in BY_NAME if name in flags]:
            found.append(
                f"{member.name}: {', '.join(names)}: it would refuse members with a certificate of their own name; "
                "remove it from the manifests, one member at a time"
            )
        if member.name not in scope:
            continue
        wanted = member.settings.etcd_data_dir
        if (data := flags.get("data-dir", wanted).rstrip("/")) != wanted:
            found.append(f"{member.name}: etcd_data_dir: wanted {data}, where its etcd has its data, found {wanted}")
        if wal := flags.get("wal-dir"):
            found.append(
                f"{member.name}: --wal-dir={wal}: deploy keeps the log below etcd_data_dir; stop the member, move the "
                f"log to {wanted}/member/wal and remove the flag, one member at a time"
            )
    return found


def notes(cluster: Cluster, observation: ClusterObservation, manifests: Mapping[str, str]) -> tuple[str, ...]:
    """Return in lines that members are the role's, and what deploy changes on them with its reasons.

    Args:
        cluster: as the inventory wants it.
        observation: of the hosts.
        manifests: those wanted, by host; none where manifests are left alone.
    """
    roles = members(cluster, observation, frozenset(member.name for member in cluster.members))
    if not roles:
        return ()
    shared = _shared(roles, observation)
    have = (
        f"with one certificate and key for {', '.join(shared)}: whoever has it from one host is all of them"
        if len(shared) > 1
        else "and still started with its files"
    )
    paths = layout(cluster.members[0].settings)
    recognised = f"{cluster.name}: {_who(roles, cluster)} deployed by the Ansible role, {have}"
    certificates = (
        f"{cluster.name}: certificates: each member gets its own, signed by the same CA, in {paths.etcd}, where one "
        f"rename switches certificate, key and CA together; {' and '.join(paths.links)} become links to it, and what "
        "they were is kept beside them"
    )
    if not manifests:
        after = f"{cluster.name}: they are served when deploy has replaced the manifests, one member at a time"
        return (recognised, certificates, after)
    return (recognised, certificates, *_manifest_notes(cluster, observation, roles, manifests))


def _manifest_notes(
    cluster: Cluster, observation: ClusterObservation, roles: Mapping[str, Member], manifests: Mapping[str, str]
) -> Iterator[str]:
    paths = layout(cluster.members[0].settings)
    yield (
        f"{cluster.name}: manifest: {paths.etcd} is mounted as a folder, so that a renewal needs no restart (a mount "
        f"of one file keeps the old one); {paths.guard} has to be there, so that a member which lost its data does not "
        "start empty under its old ID; an annotation names the CA, so that another one restarts the member; probes, "
        f"privileges and priority are kubeadm's or stricter; the role's manifest is kept as {paths.roles_manifest}"
    )
    hosts: dict[str, list[str]] = defaultdict(list)
    for member in roles.values():
        found = observation.hosts[member.name].texts[layout(member.settings).manifest]
        for line in _changed(found, manifests[member.name]):
            hosts[line].append(member.name)
    for line, names in hosts.items():
        on = "" if len(names) == len(roles) else f" on {', '.join(names)}"
        yield f"{cluster.name}: {line}{on}"


def _changed(found: str, wanted: str) -> Iterator[str]:
    """Yield what changes in flags and image, each with its reason."""
    if (image := image_of(found)) != image_of(wanted):
        yield f"image: {image} becomes {image_of(wanted)} (etcd_image)"
    old, new = _told(command_flags(found)), _told(command_flags(wanted))
    for name, value in new.items():
        if name in FILES or old.get(name) == value:
            continue
        reason = f" ({REASONS[name]})" if name in REASONS else ""
        yield f"flag: --{name}={value}, {f'was {old[name]}' if name in old else 'not set before'}{reason}"
    for name, value in old.items():
        if name not in new:
            yield f"flag: --{name}={value} goes; put it into etcd_extra_args to keep it"


def _told(flags: Mapping[str, str]) -> dict[str, str]:
    """Return flags as they are compared: lists in one order."""
    return {name: ",".join(sorted(value.split(","))) if name in LISTS else value for name, value in flags.items()}


def _flags(member: Member, host: HostObservation) -> dict[str, str]:
    """Return the flags of a member that the role has deployed; none of any other."""
    paths: Layout = layout(member.settings)
    text = host.texts.get(paths.manifest, "")
    if not text or trusted_ca(text):  # one of ours: no need to read it as YAML
        return {}
    try:
        flags = command_flags(text)
    except ValueError:
        return {}
    return flags if flags.get("cert-file") in paths.links else {}


def _shared(roles: Mapping[str, Member], observation: ClusterObservation) -> list[str]:
    """Return the hosts whose members serve the same certificate, or have it at the role's path."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for name, member in roles.items():
        state = observation.hosts[name].files.get(next(iter(layout(member.settings).links)))
        served = observation.endpoints[name].served_client
        if not isinstance(served, Unknown):
            hosts[hashlib.sha256(served).hexdigest()].append(name)
        elif state is not None and state.kind == "file" and state.sha256:
            hosts[state.sha256].append(name)
    return max(hosts.values(), key=len, default=[])


def _who(roles: Iterable[str], cluster: Cluster) -> str:
    names = list(roles)
    if len(names) == len(cluster.members):
        return "all members are" if len(names) > 1 else f"{names[0]} is"
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}"
