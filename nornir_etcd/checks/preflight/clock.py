"""Does the host's clock agree with the controller's and with the other members'?

etcd itself warns of more than a second between peers (maxClockDifference, "prober found high clock drift",
https://github.com/etcd-io/etcd/blob/v3.5.16/server/etcdserver/api/rafthttp/probing_status.go), and a certificate is
not valid on a host whose clock is behind that of its issuer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.observation import ClockOffset, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.report.model import Finding

LIMIT = 1.0
"""Seconds."""

WIDEST = 2.5
"""Seconds between the bounds of a clock that may pass: the limit on both sides, and half a second for a slow answer."""

REMEDY = "set it by NTP (chrony, systemd-timesyncd) and wait until it is right"


def check(seen: Evidence, member: Member, *, acts: bool) -> Finding:
    """Compare a clock with the controller's, and with those of members that are not surely wrong themselves.

    A distance is known between bounds only. The clock is called wrong where all of them lie beyond the limit, and right
    where all lie within, or where they hold zero and are no further apart than the widest that is let pass.
    """
    asked = Check("preflight.clock", member.name)
    offset = surroundings(seen.observation, member).offset
    if isinstance(offset, Unknown):
        return asked.unknown(f"the clock was not read: {offset.reason}", "see that date works on the host")
    read = {"seconds_ahead_at_least": f"{offset.low:.3f}", "seconds_ahead_at_most": f"{offset.high:.3f}"}
    apart = [
        f"{_least(one):.1f} s {'ahead of' if one.low > 0 else 'behind'} {whom}"
        for whom, one in _compared(seen, member, offset)
        if _is_off(one)
    ]
    if apart:
        say = asked.critical if acts else asked.warning
        return say(f"the clock is {', '.join(apart)}, wanted within {LIMIT:g} s", REMEDY, **read)
    within = offset.low >= -LIMIT and offset.high <= LIMIT
    if not within and not (offset.low <= 0 <= offset.high and offset.high - offset.low <= WIDEST):
        return asked.unknown(
            f"whether the clock is within {LIMIT:g} s of the controller's is not known: it is "
            f"{offset.low:.1f} to {offset.high:.1f} s ahead",
            "run again when the line is quicker, or compare the clocks by hand",
            **read,
        )
    if not within:
        return asked.ok(f"nothing speaks against the clock: {offset.low:.1f} to {offset.high:.1f} s ahead", **read)
    return asked.ok(f"the clock agrees with the controller's and the other members' to {LIMIT:g} s", **read)


def _compared(seen: Evidence, member: Member, offset: ClockOffset) -> Iterator[tuple[str, ClockOffset]]:
    """Yield whom the clock is compared with, and by how much it may be ahead."""
    yield "the controller's", offset
    for other in seen.cluster.members:
        theirs = surroundings(seen.observation, other).offset
        # Two that are wrong by the controller's clock are not told of each other besides.
        if other != member and not isinstance(theirs, Unknown) and not _is_off(theirs) and not _is_off(offset):
            yield f"{other.name}'s", ClockOffset(offset.low - theirs.high, offset.high - theirs.low)


def _is_off(offset: ClockOffset) -> bool:
    return _least(offset) > LIMIT


def _least(offset: ClockOffset) -> float:
    """Return how many seconds it is off at least."""
    return max(offset.low, -offset.high, 0.0)
