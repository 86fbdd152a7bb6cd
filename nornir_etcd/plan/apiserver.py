"""What the API servers on the members' hosts need of etcd's certificates. Pure: no I/O.

A client certificate is issued and placed wherever a host runs one. Its manifest is changed by a CA rotation alone: an
API server reads the CA that it trusts etcd by when it starts (clientv3's TLSInfo in k8s.io/apiserver/pkg/storage), its
certificate at every connection.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.apiserver import file_differences, obstacles, wanted_flags
from nornir_etcd.layout import layout
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.leaf import apiserver_request
from nornir_etcd.plan.clients import asks
from nornir_etcd.plan.step import Step

if TYPE_CHECKING:
    from collections.abc import Collection

    from nornir_etcd.apiserver import ApiServer
    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.pki.leaf import LeafRequest
    from nornir_etcd.signers.local import StoreContent


@dataclass(frozen=True)
class ApiServers:
    """The API servers that a CA rotation has to do with.

    Attributes:
        hosts: where one runs that asks this etcd.
        restarts: what is to be done, one wave for each.
        left: those that cannot be given other files here, each as one line with the reason.
    """

    hosts: tuple[str, ...]
    restarts: tuple[tuple[Step, ...], ...]
    left: tuple[str, ...]


def request(member: Member) -> LeafRequest:
    """Return the client certificate that the API server on a member's host shall have."""
    return apiserver_request(member.settings.etcd_cert_days, member.settings.etcd_key_type)


def runs(member: Member, observation: ClusterObservation) -> bool:
    """Whether a host is known to run an API server."""
    return not isinstance(seen := observation.hosts[member.name].apiserver, Unknown) and seen is not None


def place(member: Member, content: StoreContent, observation: ClusterObservation, *, new: bool) -> list[Step]:
    """Return the step that places the API server's client certificate; none where nothing differs.

    Args:
        member: on whose host it runs.
        content: what the controller's folder holds.
        observation: of the hosts.
        new: a new one is issued before.
    """
    paths, pair = layout(member.settings), content.apiservers.get(member.name)
    found = file_differences(paths, pair, observation.hosts[member.name]) if pair is not None else {}
    differences = [f"{path} {what}" for path, what in found.items()]
    if new:
        differences.insert(0, "a new client certificate for the API server")
    if not differences:
        return []
    return [
        Step(
            host=member.name,
            action="place-apiserver-files",
            reason="; ".join(differences),
            precondition="the host runs an API server",
            proof="the files are read again and are those of the controller's folder",
            undo="place the former files again; an API server reads its certificate at every connection",
        )
    ]


def apiservers(
    cluster: Cluster, content: StoreContent, observation: ClusterObservation, scope: Collection[str]
) -> ApiServers:
    """Return what the API servers need for the CAs that are trusted by now: their manifests differ from what is wanted.

    Args:
        cluster: as the inventory wants it.
        content: what the controller's folder holds.
        observation: of the hosts.
        scope: the hosts that may change.
    """
    hosts, restarts, left = [], [], []
    for member in cluster.members:
        host, seen = observation.hosts[member.name], observation.hosts[member.name].apiserver
        if isinstance(seen, Unknown):
            left.append(f"{member.name}: whether an API server runs is not known: {seen.reason}")
            continue
        if seen is None:
            continue
        if seen.manifest is None or isinstance(seen.manifest, Unknown):
            why = seen.manifest.reason if seen.manifest else "its manifest does not lie where it is looked for"
            left.append(f"{member.name}: kube-apiserver: {why} ({layout(member.settings).apiserver_manifest})")
            continue
        if not asks(cluster, member, seen.manifest):
            continue
        in_the_way = obstacles(seen.manifest, layout(member.settings), host)
        left += [f"{member.name}: kube-apiserver: {reason}" for reason in in_the_way]
        if not in_the_way:
            hosts.append(member.name)
        if not in_the_way and member.name in scope and (reason := _differs(member, seen.manifest, content)):
            restarts.append((_restart(member, reason),))
    return ApiServers(tuple(hosts), tuple(restarts), tuple(left))


def _differs(member: Member, apiserver: ApiServer, content: StoreContent) -> str:
    flags = wanted_flags(layout(member.settings))
    found = {
        "etcd-cafile": apiserver.etcd_cafile,
        "etcd-certfile": apiserver.etcd_certfile,
        "etcd-keyfile": apiserver.etcd_keyfile,
    }
    differing = [f"--{name} is to be {path}" for name, path in flags.items() if found[name] != path]
    if apiserver.trusted_ca != hashlib.sha256(content.trusted or b"").hexdigest():
        differing.append("it was started with other CAs")
    return "; ".join(differing)


def _restart(member: Member, reason: str) -> Step:
    return Step(
        host=member.name,
        action="replace-apiserver",
        reason=f"the API server: {reason}",
        precondition="the files that its flags name are there and mounted",
        proof="a new container runs, and says that it is ready where it can be asked",
        undo="write the former manifest again, which is kept in the folder above",
    )
