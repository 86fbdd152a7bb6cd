"""What a writer saw (writes.py), and the judgement: is every acknowledged write there, on every member alike. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONG = 0.2
"""Seconds without an acknowledged write from which a gap is told of."""


@dataclass(frozen=True)
class Attempt:
    """One write through one member; no two attempts have a key in common, a retry and its first attempt neither.

    Args:
        key: its key.
        value: its value.
        endpoint: the member's client URL.
        identity: path of the client certificate that its connection was made with; empty where none could be.
        time: when it began, in seconds since the epoch.
        seconds: how long it took.
        stage: `connect` (TCP and TLS up to a first answer) or `write`: what came last.
        error: why it was not acknowledged; empty where it was.
        revision: of the acknowledgement, or 0.
    """

    key: str
    value: str
    endpoint: str
    identity: str
    time: float
    seconds: float
    stage: str
    error: str
    revision: int

    @property
    def ended(self) -> float:
        """When it ended, in seconds since the epoch."""
        return self.time + self.seconds


@dataclass(frozen=True)
class Failure:
    """A write that failed, and its only retry: through the next member, after a short pause."""

    first: Attempt
    retry: Attempt


@dataclass(frozen=True)
class Gap:
    """A time without an acknowledged write; start and end in seconds since the epoch."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


@dataclass(frozen=True)
class Found:
    """What a member has of a key; the version is 1 unless it was written more than once."""

    value: str
    revision: int
    version: int


@dataclass(frozen=True)
class Reading:
    """Every key of the run as one member has it, read linearizably at a revision."""

    revision: int
    keys: dict[str, Found]


@dataclass(frozen=True)
class Lost:
    """An acknowledged write that is not there."""

    write: Attempt
    missing_on: list[str]


@dataclass(frozen=True)
class Altered:
    """An acknowledged write that is there with another value or revision, or was written again; by member."""

    write: Attempt
    found: dict[str, Found]


@dataclass(frozen=True)
class Handshakes:
    """New connections to a member with one client certificate: those that etcd answered, and those that failed."""

    endpoint: str
    identity: str
    made: int
    failed: int


@dataclass(frozen=True)
class Judgement:
    """What of the acknowledged writes is there.

    Args:
        lost: those that are missing somewhere.
        altered: those that are not as they were acknowledged somewhere.
        differing: by member, the keys in which it differs from the member read first.
        unacknowledged: how many writes are there though their acknowledgement never came, as etcd allows.
    """

    lost: list[Lost]
    altered: list[Altered]
    differing: dict[str, list[str]]
    unacknowledged: int


@dataclass(frozen=True)
class Verdict:
    """All that a writer tells at its end; times in seconds since the epoch.

    Args:
        run: the keys are `writer/RUN/NUMBER`.
        started: when it began.
        stopped: when it was told to stop.
        acknowledged: how many writes were, by member; retries count.
        failed: every write that was not, with its retry.
        withheld: how many were not even tried, since too many were in flight to their member.
        longest_gap: the longest time without an acknowledged write.
        gaps: all longer than 0.2 s; an outage that lasted to the end is the last of them.
        handshakes: connections made anew, by member and client certificate.
        judgement: what is there.
        unread: why a member could not be read at the end, by member.
    """

    run: str
    started: float
    stopped: float
    acknowledged: dict[str, int]
    failed: list[Failure]
    withheld: int
    longest_gap: Gap
    gaps: list[Gap]
    handshakes: list[Handshakes]
    judgement: Judgement
    unread: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether every acknowledged write is there, on every member alike; false where none was acknowledged."""
        judged = self.judgement
        bad = judged.lost or judged.altered or judged.differing or self.unread
        return not bad and sum(self.acknowledged.values()) > 0

    @property
    def failed_twice(self) -> list[Failure]:
        """The writes whose retry failed too."""
        return [failure for failure in self.failed if failure.retry.error]

    def gaps_between(self, start: float, end: float) -> list[Gap]:
        """The long gaps that touch a time, such as that of one step."""
        return [gap for gap in self.gaps if gap.start < end and gap.end > start]


VERDICT = TypeAdapter(Verdict)
"""Its form as JSON."""


def all_gaps(acknowledged: Sequence[Attempt], stopped: float) -> list[Gap]:
    """Give every time between two acknowledgements, and that from the last one to the end."""
    times = sorted(attempt.ended for attempt in acknowledged if attempt.ended <= stopped)
    times += [stopped] if times else []
    return [Gap(*pair) for pair in pairwise(times)]


def judge(acknowledged: Sequence[Attempt], readings: Mapping[str, Reading]) -> Judgement:
    """Compare what was acknowledged with what each member has.

    A write whose acknowledgement did not come may appear at any later time: such keys are compared up to the lowest
    revision only at which a member was read.
    """
    lost, altered = [], []
    for write in acknowledged:
        found = {endpoint: reading.keys.get(write.key) for endpoint, reading in readings.items()}
        wanted = Found(write.value, write.revision, 1)
        if missing := [endpoint for endpoint, it in found.items() if it is None]:
            lost.append(Lost(write, missing))
        if others := {endpoint: it for endpoint, it in found.items() if it is not None and it != wanted}:
            altered.append(Altered(write, others))
    known = {write.key for write in acknowledged}
    floor = min((reading.revision for reading in readings.values()), default=0)
    views = {
        endpoint: {key: it for key, it in reading.keys.items() if key in known or it.revision <= floor}
        for endpoint, reading in readings.items()
    }
    first: dict[str, Found] = next(iter(views.values()), {})
    differing = {
        endpoint: sorted(key for key in view.keys() | first.keys() if view.get(key) != first.get(key))
        for endpoint, view in views.items()
    }
    there = {key for reading in readings.values() for key in reading.keys}
    return Judgement(lost, altered, {name: keys for name, keys in differing.items() if keys}, len(there - known))


def count(attempts: Sequence[tuple[str, str, bool]]) -> list[Handshakes]:
    """Add up attempts to connect: endpoint, identity, and whether etcd answered."""
    counted = Counter(attempts)
    return [
        Handshakes(endpoint, identity, counted[endpoint, identity, True], counted[endpoint, identity, False])
        for endpoint, identity in sorted({(endpoint, identity) for endpoint, identity, _ in attempts})
    ]
