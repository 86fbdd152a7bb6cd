"""Does every member reach the peer port of every other one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import HOST, Kind
from nornir_etcd.cluster import PEER_PORT
from nornir_etcd.report.mesh import links_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.report.model import Finding, Link

KINDS = (
    Kind(
        code="peer.mesh",
        asks="Does this host reach the peer port of every other member?",
        reads=HOST,
        worst="critical",
        rule="https://etcd.io/docs/v3.5/op-guide/clustering/: every member dials every other one",
    ),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check, as each host itself sees it, the ways to all other members."""
    for member in seen.cluster.members if len(seen.cluster.members) > 1 else ():
        asked = Check("peer.mesh", member.name)
        found = list(links_from(member, seen.cluster, seen.observation))
        read = {link.target: link.reason or link.state for link in found}
        blocked = [f"{_where(seen, link)} ({link.state})" for link in found if link.state in {"refused", "silent"}]
        doubtful = {link.target: link.reason for link in found if link.state == "unknown"}
        if blocked:
            yield asked.critical(
                f"does not reach the peer port of {', '.join(blocked)}",
                f"refused: look whether that member runs; silent: let TCP port {PEER_PORT} through between all members",
                **read,
            )
        elif doubtful:
            yield asked.unknown(
                f"whether it reaches the peer port of {', '.join(doubtful)} is not known: "
                f"{'; '.join(dict.fromkeys(doubtful.values()))}",
                "see that the host answers and has bash, or nc, and timeout",
                **read,
            )
        else:
            yield asked.ok(f"reaches the peer port of {', '.join(read)}", **read)


def _where(seen: Evidence, link: Link) -> str:
    return f"{link.target} at {seen.cluster.member(link.target).peer_url}"
