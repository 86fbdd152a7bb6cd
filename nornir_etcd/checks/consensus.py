"""Does every endpoint answer a linearizable read in time, do all agree on leader and term, and does it stay so?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.figures import metric, milliseconds, percentile
from nornir_etcd.checks.kinds import ENDPOINT, Kind
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.state import known_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import Maybe, Quantile
    from nornir_etcd.report.model import Finding

TUNING = "https://etcd.io/docs/v3.5/tuning/: Time parameters"
KINDS = (
    Kind(
        code="member.unhealthy",
        asks="Does the member answer a linearizable read?",
        reads=ENDPOINT,
        worst="critical",
        settings=("etcd_timeout",),
        rule="as etcdctl endpoint health",
    ),
    Kind(
        code="member.slow",
        asks="Is a linearizable read answered soon?",
        reads=ENDPOINT,
        worst="warning",
        settings=("etcd_read_warning_ms",),
    ),
    Kind(
        code="member.lag",
        asks="Does the member keep up with the others' log, and with applying its own?",
        reads=ENDPOINT,
        worst="warning",
        settings=("etcd_index_lag_warning",),
    ),
    Kind(
        code="member.elections",
        asks="Has the leader changed seldom since the member started?",
        reads=ENDPOINT,
        worst="warning",
        settings=("etcd_leader_changes_warning",),
        rule="https://etcd.io/docs/v3.5/metrics/: frequent leader changes mean network or disk trouble, or overload",
    ),
    Kind(
        code="member.round_trip",
        asks="Is the way to every other member short enough for the heartbeat and the election timeout?",
        reads=ENDPOINT,
        worst="critical",
        settings=("etcd_heartbeat_interval", "etcd_election_timeout"),
        rule=TUNING,
    ),
    Kind(
        code="cluster.leader",
        asks="Does every member know one and the same leader?",
        reads=ENDPOINT,
        worst="critical",
    ),
    Kind(
        code="cluster.term",
        asks="Are all members in one term?",
        reads=ENDPOINT,
        worst="warning",
    ),
)

DAY = 86400.0
SILENT = "the member does not answer"
ROUND_TRIP_DUE = 120.0
"""Seconds after a member's start by which it has measured its peers more than once: it looks at what its probes, one in
4 s, have found only every 30 s (statusMonitoringInterval,
https://github.com/etcd-io/etcd/blob/v3.5.16/server/etcdserver/api/rafthttp/probing_status.go)."""


def check(seen: Evidence) -> Iterator[Finding]:
    """Check every endpoint by itself and against the others, then leader and term of the cluster."""
    for member in seen.cluster.members:
        yield _health(seen, member)
        yield _speed(seen, member)
        yield _lag(seen, member)
        yield _elections(seen, member)
        yield from _round_trip(seen, member)
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


def _speed(seen: Evidence, member: Member) -> Finding:
    asked = Check("member.slow", member.name)
    seconds, limit = seen.endpoint(member.name).read_seconds, member.settings.etcd_read_warning_ms
    if isinstance(seconds, Unknown):
        return asked.unknown(seconds)
    message = f"a linearizable read took {milliseconds(seconds)}"
    if seconds * 1000 > limit:
        return asked.warning(
            f"{message}; wanted at most {limit} ms",
            "look at the member's load and disk, at the network to it, and at the controller's own load",
            seconds=f"{seconds:.6f}",
        )
    return asked.ok(message, seconds=f"{seconds:.6f}")


def _lag(seen: Evidence, member: Member) -> Finding:
    asked = Check("member.lag", member.name)
    status, limit = known_status(seen.endpoint(member.name)), member.settings.etcd_index_lag_warning
    if status is None:
        return asked.unknown(SILENT)
    stati = [one for other in seen.cluster.members if (one := known_status(seen.endpoint(other.name)))]
    behind = max(one.raft_index for one in stati) - status.raft_index
    unapplied = status.raft_index - status.raft_applied_index
    read = {"index": status.raft_index, "applied": status.raft_applied_index, "behind": behind}
    remedy = "run verify again: it should catch up; if it does not, look at its disk, its load and the network to it"
    if behind > limit:
        return asked.warning(f"is {behind} entries behind the others' log; wanted at most {limit}", remedy, **read)
    if unapplied > limit:
        return asked.warning(f"has {unapplied} entries yet to apply; wanted at most {limit}", remedy, **read)
    # Nobody's log is longer than the leader's: where that is not seen, the others' tells too little.
    if status.leader not in {one.member_id for one in stati}:
        return asked.unknown("no leader answers, so the length of the log is not known", "", **read)
    return asked.ok("keeps up with the log", **read)


def _elections(seen: Evidence, member: Member) -> Finding:
    asked = Check("member.elections", member.name)
    endpoint, limit = seen.endpoint(member.name), member.settings.etcd_leader_changes_warning
    changes = metric(endpoint, lambda metrics: metrics.leader_changes)
    started = metric(endpoint, lambda metrics: metrics.started_at)
    if isinstance(changes, Unknown):
        return asked.unknown(changes)
    if isinstance(started, Unknown):
        return asked.unknown(started)
    # A young process counts as a day old: what its start brought is not multiplied.
    days = max((seen.observation.taken_at - started) / DAY, 1.0)
    span = f"{days:.1f} days since its start" if days > 1 else "its first day"
    message = f"{changes} leader change{'' if changes == 1 else 's'} in {span}"
    read = {"changes": changes, "days": f"{days:.1f}"}
    if changes / days > limit:
        return asked.warning(
            f"{message}: {changes / days:.1f} a day; wanted at most {limit}",
            "look at disks, load and network of the members (member.disk.fsync, member.round_trip)",
            **read,
        )
    return asked.ok(message, **read)


def _round_trip(seen: Evidence, member: Member) -> Iterator[Finding]:
    """Hold the round trips to all peers against heartbeat and election timeout.

    etcd's advice: a heartbeat of about the round trip, and an election timeout of at least ten of them, "so it can
    account for variance" (TUNING). It means average round trips. What is known is the 99th percentile, in which the
    variance is already: beyond the heartbeat it is a warning, and critical only where it takes the whole election
    timeout, since followers then begin elections while the leader lives.
    """
    asked = Check("member.round_trip", member.name)
    trips = metric(seen.endpoint(member.name), lambda metrics: metrics.peer_round_trip)
    if isinstance(trips, Unknown):
        yield asked.unknown(trips)
        return
    peers = _peers(seen, member)
    if isinstance(peers, Unknown):
        yield asked.unknown(peers)
        return
    named = {peers.get(number, number): quantile for number, quantile in trips.items()}
    if missing := sorted(set(peers.values()) - set(named)):
        started = metric(seen.endpoint(member.name), lambda metrics: metrics.started_at)
        if isinstance(started, Unknown) or seen.observation.taken_at - started > ROUND_TRIP_DUE:
            yield asked.unknown(f"has not measured the way to {', '.join(missing)}")
            return
    if named:
        yield _judge_round_trip(asked, named, member)
    elif not missing:
        yield asked.ok("has no peers")
    # Else it has just started, and there is nothing to say yet.


def _judge_round_trip(asked: Check, trips: dict[str, Quantile], member: Member) -> Finding:
    heartbeat, election = member.settings.etcd_heartbeat_interval, member.settings.etcd_election_timeout
    slowest = max(trips, key=lambda peer: trips[peer].seconds)
    worst = trips[slowest].seconds * 1000
    # What the slowest of few is, see nornir_etcd.metrics: the handshake.
    message = f"round trip to {slowest}: {percentile(trips[slowest], 'the second slowest')}"
    read = {peer: milliseconds(quantile.seconds) for peer, quantile in sorted(trips.items())}
    remedy = (
        "look at the network between the members and at their load; where the way is as long as that, set "
        "etcd_heartbeat_interval to the round trip and etcd_election_timeout to ten of them, on every member"
    )
    if worst >= election:
        return asked.critical(f"{message}; the election timeout is {election} ms", remedy, **read)
    if worst > heartbeat:
        return asked.warning(f"{message}; the heartbeat is {heartbeat} ms", remedy, **read)
    if worst * 10 > election:
        return asked.warning(
            f"{message}; the election timeout of {election} ms is less than ten of them", remedy, **read
        )
    return asked.ok(message, **read)


def _peers(seen: Evidence, member: Member) -> Maybe[dict[str, str]]:
    """Return the names of the other started members by the IDs that /metrics call them by."""
    own = known_status(seen.endpoint(member.name))
    if own is None:
        return Unknown(SILENT)
    if seen.state.live is None:
        return Unknown("no member answers with a quorum, so its peers are not known")
    others = (info for info in seen.state.live.members if info.started and info.id != own.member_id)
    return {hexadecimal(info.id): info.name for info in others}


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
