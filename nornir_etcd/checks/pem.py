"""Which certificates an observation holds: as they lie on a host, and as a port serves them. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nornir_etcd.exceptions import PkiError
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.certificate import describe
from nornir_etcd.plan.change_over import present_layout

if TYPE_CHECKING:
    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.pki.certificate import CertificateInfo

Port = Literal["client", "peer"]


@dataclass(frozen=True)
class Leaf:
    """A certificate of a member, and where it was seen."""

    port: Port
    place: str
    pem: bytes
    info: CertificateInfo


def ports(cluster: Cluster) -> tuple[Port, ...]:
    """Return the ports of a member that are looked at: where endpoints alone are known, none knows the peer port."""
    return ("client", "peer") if cluster.declared else ("client",)


def text(seen: Evidence, member: Member, path: str) -> bytes | Unknown:
    """Return the content of a file on the member's host."""
    host = seen.host(member.name)
    if host.error is not None:
        return host.error
    found = host.texts.get(path)
    return Unknown(f"{path} is absent or could not be read") if found is None else found.encode()


def certificate_path(seen: Evidence, member: Member, port: Port) -> str:
    """Return where the certificate lies that a port serves."""
    paths = present_layout(member, seen.host(member.name))
    return paths.certificate if port == "client" else paths.peer_certificate


def on_disk(seen: Evidence, member: Member, port: Port) -> Leaf | Unknown:
    """Return the certificate on the host that a port is to serve."""
    path = certificate_path(seen, member, port)
    return _leaf(text(seen, member, path), port, path)


def served(seen: Evidence, member: Member, port: Port) -> Leaf | Unknown:
    """Return the certificate that a port serves."""
    return _leaf(_shown(seen, member, port), port, f"the certificate served on the {port} port")


def leaves(seen: Evidence, member: Member, port: Port) -> tuple[list[Leaf], Unknown | None]:
    """Return the certificates of a port, as served and on the host, each once; and what is not known of them.

    Nothing is lost where a port refuses connections, and so serves none, or where a host cannot be asked at all: the
    other one tells then.
    """
    endpoint = seen.endpoint(member.name)
    refuses = (endpoint.client_port if port == "client" else endpoint.peer_port) is False
    disk, shown = on_disk(seen, member, port), served(seen, member, port)
    known = {one.info.fingerprint: one for one in (shown, disk) if not isinstance(one, Unknown)}
    found = list(known.values())
    if isinstance(shown, Unknown) and not (refuses and not isinstance(disk, Unknown)):
        return found, disk if refuses and isinstance(disk, Unknown) else shown
    return found, disk if isinstance(disk, Unknown) and seen.host(member.name).error is None else None


def all_leaves(seen: Evidence, member: Member) -> tuple[list[Leaf], Unknown | None]:
    """Return the certificates of all ports that are looked at, and the first thing that is not known of them."""
    found = [leaves(seen, member, port) for port in ports(seen.cluster)]
    doubts = [doubt for _, doubt in found if doubt is not None]
    return [leaf for known, _ in found for leaf in known], doubts[0] if doubts else None


def _shown(seen: Evidence, member: Member, port: Port) -> bytes | Unknown:
    endpoint = seen.endpoint(member.name)
    return endpoint.served_client if port == "client" else endpoint.served_peer


def _leaf(pem: bytes | Unknown, port: Port, place: str) -> Leaf | Unknown:
    if isinstance(pem, Unknown):
        return pem
    info = read(pem, place)
    return info if isinstance(info, Unknown) else Leaf(port, place, pem, info)


def read(pem: bytes, place: str) -> CertificateInfo | Unknown:
    """Return what a PEM text says, or why it says nothing."""
    try:
        return describe(pem)
    except PkiError as error:
        return Unknown(f"{place}: {error}")
