"""Can the hosts and their two ports be reached: from the controller, or from the host itself (etcd_via)?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nornir_etcd.checks.evidence import Check
from nornir_etcd.cluster import CLIENT_PORT, PEER_PORT
from nornir_etcd.observation import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.report.model import Finding


def check(seen: Evidence) -> Iterator[Finding]:
    """Check SSH, the client port and the peer port of every member."""
    for member in seen.cluster.members:
        host = Check("host.unreachable", member.name)
        error = seen.host(member.name).error
        yield (
            host.ok("answers over SSH")
            if error is None
            else host.unknown(
                error, "make the host reachable over SSH; what only the host can tell is unknown until then"
            )
        )
        endpoint = seen.endpoint(member.name)
        ports = (("client", CLIENT_PORT, endpoint.client_port), ("peer", PEER_PORT, endpoint.peer_port))
        for name, number, state in ports:
            asked = Check(f"{name}.unreachable", member.name)
            where = f"{member.address} port {number}"
            read: dict[str, Any] = {"port": number} | ({"via": "ssh"} if endpoint.via == "ssh" else {})
            if isinstance(state, Unknown) and endpoint.via == "ssh":
                yield asked.unknown(state, **read)  # it was the host that did not look
            elif isinstance(state, Unknown):
                yield asked.critical(
                    f"the {name} port does not answer: {state.reason}",
                    "look whether the host is up and a firewall lets the port through",
                    **read,
                )
            elif state:
                yield asked.ok(f"the {name} port answers", **read)
            else:
                yield asked.critical(
                    f"{where} refuses connections: nothing listens there",
                    "look at the container and its log (finding container.down)",
                    **read,
                )
