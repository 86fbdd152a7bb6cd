"""Does every endpoint answer a linearizable read, and do all agree on one leader and one term?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.state import known_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.report.model import Finding


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the health of every endpoint, then leader and term of the cluster."""
    for member in seen.cluster.members:
        yield _health(seen, member)
    yield _leader(seen)
    yield _term(seen)


def _health(seen: Evidence, member: Member) -> Finding:
    asked = Check("member.unhealthy", member.name)
    endpoint = seen.endpoint(member.name)
    seconds = endpoint.read_seconds
    if endpoint.blind is not None and (endpoint.client_port is True or endpoint.via == "ssh"):
        return asked.unknown(
            f"the controller cannot ask it: {endpoint.blind.reason}",
            "mend what the reason names; where the member refuses the controller's certificate, run certs",
        )
    if isinstance(seconds, Unknown):
        return asked.critical(
            f"does not answer a linearizable read: {seconds.reason}",
            "look at its container and at the quorum of the cluster",
        )
    return asked.ok("answers a linearizable read", milliseconds=f"{seconds * 1000:.1f}")


def _leader(seen: Evidence) -> Finding:
    asked = Check("cluster.leader", seen.cluster.name)
    said = {m.name: status.leader for m in seen.cluster.members if (status := known_status(seen.endpoint(m.name)))}
    read = {name: hexadecimal(leader) if leader else "none" for name, leader in said.items()}
    if not said:
        return asked.unknown("no member answers, so no leader is known")
    if 0 in said.values():
        lost = ", ".join(name for name, leader in said.items() if not leader)
        return asked.critical(f"{lost} knows no leader", "bring enough members up for a quorum", **read)
    if len(set(said.values())) > 1:
        return asked.critical(
            "members name different leaders", "look at the network between them; run verify again", **read
        )
    return asked.ok(f"one leader: {seen.state.leader or next(iter(read.values()))}", **read)


def _term(seen: Evidence) -> Finding:
    asked = Check("cluster.term", seen.cluster.name)
    terms = {m.name: status.raft_term for m in seen.cluster.members if (status := known_status(seen.endpoint(m.name)))}
    if not terms:
        return asked.unknown("no member answers, so no term is known")
    if len(set(terms.values())) > 1:
        return asked.warning(
            "members are in different terms: an election is going on, or a member is cut off",
            "run verify again; if it stays, look at the network between the members",
            **terms,
        )
    return asked.ok(f"one term: {next(iter(terms.values()))}", **terms)
