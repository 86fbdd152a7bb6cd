"""Is the live member list the inventory's, by exact peer URL, is everybody a started voter, and how many may fail?"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import ENDPOINT, NOTHING, Kind
from nornir_etcd.cluster import quorum
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.membership import never_started
from nornir_etcd.plan.state import is_blind, known_status
from nornir_etcd.settings.addresses import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import MemberInfo
    from nornir_etcd.report.model import Finding

NO_LIST = "no member answers with a quorum, so the member list is not known"
NOT_LISTED = "it is not in the live member list"
MEMBERS = "the runbook members brings the live list to the inventory"
FOREIGN_LEARNER = "see whose learner it is, and promote it or remove it: the runbook members leaves it alone"
NO_ETCD = "not etcd"
"""What the cause of a failed call says where a server answers that is none (connections/rpc.py)."""
SIZE = "https://etcd.io/docs/v3.5/faq/"

KINDS = (
    Kind("member.missing", "Is the member in the live list?", ENDPOINT, "critical"),
    Kind("member.unstarted", "Has it started, under the inventory's name?", ENDPOINT, "critical"),
    Kind("member.learner", "Does it vote?", ENDPOINT, "critical"),
    Kind(
        "member.client_urls",
        "Does it tell clients to come to where the inventory has it?",
        ENDPOINT,
        "warning",
        rule="https://etcd.io/docs/v3.5/op-guide/configuration/ (advertise-client-urls)",
    ),
    Kind("member.unexpected", "Is everybody in the live list a member of the inventory?", ENDPOINT, "critical"),
    Kind("member.unlisted", "Is everybody in the live list among the endpoints that were given?", ENDPOINT, "warning"),
    Kind("cluster.size", "Is the number of members odd?", NOTHING, "warning", rule=SIZE),
    Kind("cluster.quorum", "How many members may fail before the cluster stops?", ENDPOINT, "critical", rule=SIZE),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check every member of the inventory against the live list, and the live list against the inventory."""
    for member in seen.cluster.members:
        entry = seen.state.entry(member)
        yield _missing(seen, member, entry)
        yield _unstarted(seen, member, entry)
        yield _learner(seen, entry, Check("member.learner", member.name))
        yield _client_urls(seen, member, entry)
    yield from _unexpected(seen) if seen.cluster.declared else _unlisted(seen)
    yield _even(seen)
    yield _quorum(seen)


def _missing(seen: Evidence, member: Member, entry: MemberInfo | None) -> Finding:
    asked = Check("member.missing", member.name)
    if not seen.cluster.declared and entry is None:
        return _not_found(seen, member, asked)
    read = {"peer_url": member.peer_url} if seen.cluster.declared else {"endpoint": member.client_url}
    if seen.state.live is None:
        return asked.unknown(NO_LIST, **read)
    if entry is None:
        return asked.critical("its peer URL is not in the live member list", MEMBERS, **read)
    return asked.ok("is in the live member list", id=hexadecimal(entry.id), **read)


def _not_found(seen: Evidence, member: Member, asked: Check) -> Finding:
    """Judge an endpoint that is nobody of the live list: another cluster's, or no etcd at all."""
    endpoint, live = seen.endpoint(member.name), seen.state.live
    if isinstance(endpoint.status, Unknown):
        why = endpoint.status.reason
        if endpoint.client_port is True and (isinstance(endpoint.served_client, Unknown) or NO_ETCD in why):
            return asked.critical(
                f"what answers there is no etcd that serves TLS: {why}",
                "give the client URLs of the members, as `etcdctl member list` shows them",
                endpoint=member.client_url,
            )
        return asked.unknown(why, endpoint=member.client_url)
    if live is None:
        return asked.unknown(NO_LIST, endpoint=member.client_url)
    return asked.critical(
        f"answers as member {hexadecimal(endpoint.status.member_id)} of cluster "
        f"{hexadecimal(endpoint.status.cluster_id)}, which the list of cluster {hexadecimal(live.cluster_id)} has not",
        "give the endpoints of one cluster",
        endpoint=member.client_url,
    )


def _unstarted(seen: Evidence, member: Member, entry: MemberInfo | None) -> Finding:
    asked = Check("member.unstarted", member.name)
    if entry is None:
        return asked.unknown(_unlisted_reason(seen))
    if never_started(entry):
        return asked.critical("has never started", "look at its container, then run deploy again", name=entry.name)
    if seen.cluster.declared and entry.name != member.name:
        return asked.warning(
            f"is known to etcd by another name: wanted {member.name}, found {entry.name}",
            "rename the host in the inventory; etcd takes a new name at the member's next start",
        )
    return asked.ok("has started", name=entry.name, client_urls=",".join(entry.client_urls))


def _learner(seen: Evidence, entry: MemberInfo | None, asked: Check) -> Finding:
    if entry is None:
        return asked.unknown(_unlisted_reason(seen))
    if entry.is_learner:
        return asked.critical("is a learner and does not vote", MEMBERS, id=hexadecimal(entry.id))
    return asked.ok("votes")


def _unlisted_reason(seen: Evidence) -> str:
    return NO_LIST if seen.state.live is None else NOT_LISTED


def _client_urls(seen: Evidence, member: Member, entry: MemberInfo | None) -> Finding:
    """Check what clients are told that ask for the members (autoSync): etcd itself does not use these URLs."""
    asked = Check("member.client_urls", member.name)
    if entry is None:
        return asked.unknown(_unlisted_reason(seen))
    if never_started(entry):
        return asked.unknown("it has never started, and so tells none")
    found = {_normal(url): url for url in entry.client_urls}
    read = {"found": ",".join(entry.client_urls)} | ({"wanted": member.client_url} if seen.cluster.declared else {})
    told = [f"{url} is without TLS" for (scheme, _, _), url in found.items() if scheme != "https"]
    if not is_loopback(member.address):
        told += [f"{url} is for the host itself alone" for (_, host, _), url in found.items() if is_loopback(host)]
    if not told and seen.cluster.declared and set(found) != {_normal(member.client_url)}:
        told = [f"wanted {member.client_url}, found {', '.join(entry.client_urls)}"]
    if told:
        return asked.warning(
            f"advertises client URLs that clients cannot use: {'; '.join(told)}",
            f"set --advertise-client-urls to {member.client_url} and restart the member",
            **read,
        )
    return asked.ok("advertises its client URL", **read)


def _normal(url: str) -> tuple[str, str, str]:
    """Return a URL so that two of one meaning are equal; etcd leaves them as they were written."""
    scheme, _, rest = url.lower().rstrip("/").partition("://")
    host, _, port = rest.rpartition(":")
    try:
        return scheme, str(ipaddress.ip_address(host.strip("[]"))), port
    except ValueError:
        return scheme, host, port


def _unexpected(seen: Evidence) -> Iterator[Finding]:
    wanted = {member.peer_url for member in seen.cluster.members}
    for info in seen.state.live.members if seen.state.live else ():
        if not set(info.peer_urls) & wanted:
            yield Check("member.unexpected", seen.cluster.name).critical(
                f"member {info.name or hexadecimal(info.id)} is live and not in the inventory",
                FOREIGN_LEARNER if info.is_learner else MEMBERS,
                id=hexadecimal(info.id),
                peer_urls=",".join(info.peer_urls),
            )


def _unlisted(seen: Evidence) -> Iterator[Finding]:
    asked = {info.id for info in seen.state.entries.values()}
    for info in seen.state.live.members if seen.state.live else ():
        if info.id not in asked:
            yield Check("member.unlisted", seen.cluster.name).warning(
                f"member {info.name or hexadecimal(info.id)} is live and among no endpoint, so it was not checked",
                f"give its endpoint as well: {', '.join(info.client_urls) or 'it has never started'}",
                id=hexadecimal(info.id),
                client_urls=",".join(info.client_urls),
            )


def _even(seen: Evidence) -> Finding:
    asked = Check("cluster.size", seen.cluster.name)
    count = len(seen.cluster.members)
    if not seen.cluster.declared:
        if seen.state.live is None:
            return asked.unknown(NO_LIST)
        count = len(seen.state.live.members)
    if count % 2:
        return asked.ok(f"{count} members, an odd number", quorum=quorum(count))
    return asked.warning(
        f"{count} members: an even number survives no more failures than {count - 1}",
        f"add or remove one member ({SIZE})",
        quorum=quorum(count),
    )


def _quorum(seen: Evidence) -> Finding:
    """Count the healthy voters. One that could not be asked counts as neither, and may decide."""
    asked = Check("cluster.quorum", seen.cluster.name)
    if seen.state.live is None:
        return _without_list(seen, asked)
    voters = {info.id for info in seen.state.live.members if not info.is_learner}
    entries = seen.state.entries
    healthy = voters & {entries[name].id for name in seen.state.healthy}
    judged = voters & {entry.id for name, entry in entries.items() if not is_blind(seen.endpoint(name))}
    needed, unasked = quorum(len(voters)), len(voters - judged - healthy)
    least = max(len(healthy), needed) - needed  # a quorum has answered, whoever it was
    most = min(len(voters), len(healthy) + unasked) - needed
    read = {"voters": len(voters), "quorum": needed, "healthy": len(healthy), "not_asked": unasked}
    message = f"{len(healthy)} of {len(voters)} voters are healthy, quorum {needed}: survives {_failures(least)}"
    if unasked and most > least:
        return asked.unknown(f"{message}, and {most} if those are healthy that could not be asked", **read)
    if least == 0 and len(voters) > needed:
        return asked.warning(message, "bring back who is not healthy before another member fails", **read)
    return asked.ok(message, **read)


def _without_list(seen: Evidence, asked: Check) -> Finding:
    """Judge where nobody answers a linearizable read: a quorum may be lost, or only out of the controller's sight."""
    endpoints = [seen.endpoint(member.name) for member in seen.cluster.members]
    unasked = sum(isinstance(one.client_port, Unknown) or is_blind(one) for one in endpoints)
    leaderless = any((status := known_status(one)) is not None and status.leader == 0 for one in endpoints)
    if not seen.state.healthy and seen.cluster.declared and (leaderless or unasked < seen.cluster.quorum):
        return asked.critical(
            f"no quorum: none of {len(endpoints)} members answers a read, {seen.cluster.quorum} are needed",
            "bring members back until a majority runs; see what is found of each",
            not_asked=unasked,
        )
    return asked.unknown(NO_LIST, not_asked=unasked)


def _failures(number: int) -> str:
    return f"{number} more failure{'' if number == 1 else 's'}"
