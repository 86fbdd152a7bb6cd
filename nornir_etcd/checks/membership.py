"""Is the live member list the inventory's, by exact peer URL, and is everybody a started voter?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.membership import never_started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import MemberInfo
    from nornir_etcd.report.model import Finding

NO_LIST = "no member answers with a quorum, so the member list is not known"
MEMBERS = "the runbook members brings the live list to the inventory"


def check(seen: Evidence) -> Iterator[Finding]:
    """Check every member of the inventory against the live list, and the live list against the inventory."""
    wanted = {member.peer_url for member in seen.cluster.members}
    for member in seen.cluster.members:
        entry = seen.state.entry(member)
        yield _missing(seen, member, entry)
        yield _unstarted(seen, member, entry)
        yield _learner(seen, member, entry)
    for info in seen.state.live.members if seen.state.live else ():
        if not set(info.peer_urls) & wanted:
            yield Check("member.unexpected", seen.cluster.name).critical(
                f"member {info.name or hexadecimal(info.id)} is live and not in the inventory",
                MEMBERS,
                id=hexadecimal(info.id),
                peer_urls=",".join(info.peer_urls),
            )
    yield _even(seen)


def _missing(seen: Evidence, member: Member, entry: MemberInfo | None) -> Finding:
    asked = Check("member.missing", member.name)
    if seen.state.live is None:
        return asked.unknown(NO_LIST, peer_url=member.peer_url)
    if entry is None:
        return asked.critical("its peer URL is not in the live member list", MEMBERS, peer_url=member.peer_url)
    return asked.ok("is in the live member list", id=hexadecimal(entry.id), peer_url=member.peer_url)


def _unstarted(seen: Evidence, member: Member, entry: MemberInfo | None) -> Finding:
    asked = Check("member.unstarted", member.name)
    if entry is None:
        return asked.unknown(NO_LIST if seen.state.live is None else "it is not in the live member list")
    if never_started(entry):
        return asked.critical("has never started", "look at its container, then run deploy again", name=entry.name)
    if entry.name != member.name:
        return asked.warning(
            f"is known to etcd by another name: wanted {member.name}, found {entry.name}",
            "rename the host in the inventory; etcd takes a new name at the member's next start",
        )
    return asked.ok("has started", name=entry.name, client_urls=",".join(entry.client_urls))


def _learner(seen: Evidence, member: Member, entry: MemberInfo | None) -> Finding:
    asked = Check("member.learner", member.name)
    if entry is None:
        return asked.unknown(NO_LIST if seen.state.live is None else "it is not in the live member list")
    if entry.is_learner:
        return asked.critical("is a learner and does not vote", MEMBERS, id=hexadecimal(entry.id))
    return asked.ok("votes")


def _even(seen: Evidence) -> Finding:
    asked = Check("cluster.size", seen.cluster.name)
    count = len(seen.cluster.members)
    if count % 2:
        return asked.ok(f"{count} members, an odd number", quorum=seen.cluster.quorum)
    return asked.warning(
        f"{count} members: an even number survives no more failures than {count - 1}",
        "add or remove one member (https://etcd.io/docs/v3.5/faq/)",
        quorum=seen.cluster.quorum,
    )
