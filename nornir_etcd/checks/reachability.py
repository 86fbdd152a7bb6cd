"""Can the hosts and their two ports be reached: from the controller, or from the host itself (etcd_via)?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import ENDPOINT, HOST, Kind
from nornir_etcd.observation import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import EndpointObservation, Maybe
    from nornir_etcd.report.model import Finding

KINDS = (
    Kind(
        code="host.unreachable",
        asks="Does the host answer over SSH?",
        reads=HOST,
        worst="warning",
    ),
    Kind(
        code="client.unreachable",
        asks="Does the client port answer?",
        reads=ENDPOINT,
        worst="critical",
        settings=("etcd_via", "etcd_timeout"),
    ),
    Kind(
        code="peer.unreachable",
        asks="Does the peer port answer?",
        reads=ENDPOINT,
        worst="critical",
        settings=("etcd_via", "etcd_timeout"),
    ),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check SSH, the client port and the peer port of every member."""
    for member in seen.cluster.members:
        yield _host(seen, member)
        endpoint = seen.endpoint(member.name)
        client, peer = Check("client.unreachable", member.name), Check("peer.unreachable", member.name)
        yield _port(client, "client", f"{member.address} port {member.client_port}", endpoint, endpoint.client_port)
        if member.peer_port is not None:
            yield _port(peer, "peer", f"{member.address} port {member.peer_port}", endpoint, endpoint.peer_port)


def _host(seen: Evidence, member: Member) -> Finding:
    asked = Check("host.unreachable", member.name)
    error = seen.host(member.name).error
    if error is None:
        return asked.ok("answers over SSH")
    return asked.unknown(error, "make the host reachable over SSH; what only the host can tell is unknown until then")


def _port(asked: Check, name: str, where: str, endpoint: EndpointObservation, state: Maybe[bool]) -> Finding:
    read: dict[str, Any] = {"port": where.rpartition(" ")[2]} | ({"via": "ssh"} if endpoint.via == "ssh" else {})
    if isinstance(state, Unknown) and endpoint.via == "ssh":
        return asked.unknown(state, **read)  # it was the host that did not look
    if isinstance(state, Unknown):
        return asked.critical(
            f"the {name} port does not answer: {state.reason}",
            "look whether the host is up and a firewall lets the port through",
            **read,
        )
    if state:
        return asked.ok(f"the {name} port answers", **read)
    return asked.critical(
        f"{where} refuses connections: nothing listens there",
        "look at the container and its log (finding container.down)",
        **read,
    )
