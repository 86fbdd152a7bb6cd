"""Does the host's clock agree with the controller's and with the other members'?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.observation import CLOCK_LIMIT, ClockOffset, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.report.model import Finding

REMEDY = "set it by NTP (chrony, systemd-timesyncd) and wait until it is right"


def check(seen: Evidence, member: Member, *, acts: bool) -> Finding:
    """Check the clock of a host on which something may be done."""
    asked = Check("preflight.clock", member.name)
    return judge(asked, seen, member, off=asked.critical if acts else asked.warning)


def judge(asked: Check, seen: Evidence, member: Member, *, off: Callable[..., Finding]) -> Finding:
    """Compare a clock with the controller's, and with those of members that are not surely wrong themselves.

    A distance is known between bounds only. The clock is called wrong where all of them lie beyond the limit, and right
    where all lie within.

    Args:
        asked: the question, in the name of whoever asks it.
        seen: what was observed.
        member: whose clock it is.
        off: how to say that it is wrong.
    """
    offset = surroundings(seen.observation, member).offset
    if isinstance(offset, Unknown):
        return asked.unknown(f"the clock was not read: {offset.reason}", "see that date works on the host")
    read = {"seconds_ahead_at_least": f"{offset.low:.3f}", "seconds_ahead_at_most": f"{offset.high:.3f}"}
    apart = [
        f"{one.least:.1f} s {'ahead of' if one.low > 0 else 'behind'} {whom}"
        for whom, one in _compared(seen, member, offset)
        if _is_off(one)
    ]
    if apart:
        return off(f"the clock is {', '.join(apart)}, wanted within {CLOCK_LIMIT:g} s", REMEDY, **read)
    if offset.most > CLOCK_LIMIT:
        return asked.unknown(
            f"whether the clock is within {CLOCK_LIMIT:g} s of the controller's is not known: it is "
            f"{offset.low:.1f} to {offset.high:.1f} s ahead",
            "run again when the line is quicker, or compare the clocks by hand",
            **read,
        )
    return asked.ok(f"the clock agrees with the controller's and the other members' to {CLOCK_LIMIT:g} s", **read)


def _compared(seen: Evidence, member: Member, offset: ClockOffset) -> Iterator[tuple[str, ClockOffset]]:
    """Yield whom the clock is compared with, and by how much it may be ahead."""
    yield "the controller's", offset
    for other in seen.cluster.members:
        theirs = surroundings(seen.observation, other).offset
        # Two that are wrong by the controller's clock are not told of each other besides.
        if other != member and not isinstance(theirs, Unknown) and not _is_off(theirs) and not _is_off(offset):
            yield f"{other.name}'s", ClockOffset(offset.low - theirs.high, offset.high - theirs.low)


def _is_off(offset: ClockOffset) -> bool:
    return offset.least > CLOCK_LIMIT
