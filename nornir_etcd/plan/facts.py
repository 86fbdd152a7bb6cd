"""What an observation tells of a change of version: the facts that the gate judges by. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.layout import layout
from nornir_etcd.manifest import TEMPLATE, command_flags
from nornir_etcd.observation import NOT_READ, Maybe, Unknown
from nornir_etcd.plan.change import Facts
from nornir_etcd.plan.manifest import release
from nornir_etcd.versions import DOWNGRADES, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation, MemberStatus

T = TypeVar("T")


def running(cluster: Cluster, observation: ClusterObservation) -> dict[str, Maybe[Version]]:
    """Return the version that every member says it runs, by host name.

    Args:
        cluster: the cluster.
        observation: of it.
    """
    return {
        name: status if isinstance(status, Unknown) else _version(name, "version", status.version)
        for name, status in _statuses(cluster, observation).items()
    }


def facts(cluster: Cluster, observation: ClusterObservation, manifests: Mapping[str, str]) -> Facts:
    """Return what else is known of a cluster.

    What is one for the whole cluster is taken from the members that tell it, who must agree. Whether the store holds
    custom data of the v2 API is not observed.

    Args:
        cluster: the cluster.
        observation: of it, from a deep look: another tells neither the cluster's version nor authentication.
        manifests: text of the manifest that each member shall get, by host name.

    Raises:
        InventoryError: a wanted manifest has no container `etcd`.
    """
    statuses = _statuses(cluster, observation)
    endpoints = {member.name: observation.endpoints[member.name] for member in cluster.members}
    clusters = {name: _version(name, "cluster version", one.cluster_version) for name, one in endpoints.items()}
    return Facts(
        wanted_flags=_wanted_flags(manifests),
        auth=_agreed({name: one.auth for name, one in endpoints.items()}),
        cluster_version=_agreed(clusters),
        downgrade=_agreed({name: _downgrade(name, status) for name, status in statuses.items()}),
        storage={name: _storage(name, status) for name, status in statuses.items()},
        present_flags={
            member.name: _present_flags(member, observation.hosts[member.name]) for member in cluster.members
        },
    )


def _statuses(cluster: Cluster, observation: ClusterObservation) -> dict[str, Maybe[MemberStatus]]:
    return {member.name: observation.endpoints[member.name].status for member in cluster.members}


def _agreed(said: Mapping[str, Maybe[T]]) -> Maybe[T]:
    """Return what members told of their cluster; unknown, with the first reason, where none did or they differ."""
    told = {name: value for name, value in said.items() if not isinstance(value, Unknown)}
    if not told:
        return next((value for value in said.values() if isinstance(value, Unknown)), NOT_READ)
    first, *others = told.values()
    if any(other != first for other in others):
        return Unknown("members differ: " + ", ".join(f"{name} tells {_word(value)}" for name, value in told.items()))
    return first


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)


def _version(name: str, thing: str, told: Maybe[str]) -> Maybe[Version]:
    if isinstance(told, Unknown):
        return told
    return release(told) or Unknown(f"{name}: {thing}: wanted one such as 3.5.16, found {told[:40]!r}")


def _downgrade(name: str, status: Maybe[MemberStatus]) -> Maybe[Version | None]:
    """Return what a member says that etcd was told to go down to, None where it is told nothing."""
    if isinstance(status, Unknown):
        return status
    version = release(status.version)
    if version is None or version.line < DOWNGRADES[0]:
        return Unknown(f"{name}: {status.version[:40]!r} tells of no downgrade; 3.6 and later do")
    return _version(name, "downgrade", status.downgrade) if status.downgrade else None


def _storage(name: str, status: Maybe[MemberStatus]) -> Maybe[Version]:
    if isinstance(status, Unknown):
        return status
    if not status.storage_version:
        return Unknown(f"{name}: tells no storage version; 3.6 and later do")
    return _version(name, "storage version", status.storage_version)


def _present_flags(member: Member, host: HostObservation) -> Maybe[Mapping[str, str]]:
    if host.error is not None:
        return host.error
    path = layout(member.settings).manifest
    if path not in host.texts:
        return Unknown(f"{member.name}: {path}: not there, or not readable")
    return _flags(f"{member.name}: {path}", host.texts[path])


def _wanted_flags(manifests: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    read = {name: _flags(f"{name}: template {TEMPLATE}", text) for name, text in manifests.items()}
    faults = [flags.reason for flags in read.values() if isinstance(flags, Unknown)]
    if faults:
        raise InventoryError(*faults)
    return {name: flags for name, flags in read.items() if not isinstance(flags, Unknown)}


def _flags(where: str, manifest: str) -> Maybe[Mapping[str, str]]:
    try:
        return command_flags(manifest)
    except ValueError as error:
        return Unknown(f"{where}: {error}")
