"""What differs between two reports: what got better or worse, what is new or gone. Pure: no I/O."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from nornir_etcd.report.console import harmless
from nornir_etcd.report.model import Outcome, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.report.model import ClusterReport, Finding, MemberReport, Report

Direction = Literal["worse", "better", "new", "gone", "changed"]

DIRECTIONS: tuple[Direction, ...] = ("worse", "new", "better", "gone", "changed")
"""The order in which differences are shown. `new`: a finding that is not ok and was not there; it counts as worse."""
FIELDS = ("version", "role", "hash")
"""What of a member is compared. Its hash only where both were computed up to the same revision."""
WAIVED = "waived"
_RANK = {"ok": 0, WAIVED: 0, "warning": 1, "critical": 2}


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        direction: worse, better, new, gone or changed.
        cluster: its name.
        subject: the member or cluster that it is about.
        code: of the finding; for a member the name of the field, for a cluster's run `outcome`.
        before: severity (or `waived`), or value; empty where it was not there.
        after: the same.
        message: of the finding after, or before where it is gone.
    """

    direction: Direction
    cluster: str
    subject: str
    code: str
    before: str
    after: str
    message: str = ""


def differences(before: Report, after: Report) -> list[Difference]:
    """Return what differs between two reports, the worst first."""
    old, new = ({cluster.name: cluster for cluster in report.clusters} for report in (before, after))
    found = [one for name in {**old, **new} for one in _cluster(name, old.get(name), new.get(name))]
    return sorted(found, key=lambda one: DIRECTIONS.index(one.direction))


def got_worse(found: list[Difference]) -> bool:
    """Whether anything got worse, or is newly not ok."""
    return any(one.direction in ("worse", "new") for one in found)


def to_text(found: list[Difference]) -> str:
    """Return the differences as lines, with their totals in the last one."""
    lines = [harmless(" ".join(_line(one).split())) for one in found]
    totals = Counter(one.direction for one in found)
    lines.append(" · ".join(f"{totals[direction]} {direction}" for direction in DIRECTIONS))
    return "\n".join(lines) + "\n"


def to_json(found: list[Difference]) -> str:
    """Return the differences as JSON, with whether anything got worse."""
    document = {"worse": got_worse(found), "differences": [asdict(one) for one in found]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _line(one: Difference) -> str:
    where = one.cluster if one.cluster == one.subject else f"{one.cluster} {one.subject}"
    line = f"{one.direction}: {where} {one.code}: {one.before or '-'} → {one.after or '-'}"
    return f"{line}: {one.message}" if one.message else line


def _cluster(name: str, before: ClusterReport | None, after: ClusterReport | None) -> Iterator[Difference]:
    yield from _outcome(name, before, after)
    old, new = (_by_key(one.findings if one else [], other) for one, other in ((before, after), (after, before)))
    for key in {**old, **new}:
        yield from _finding(name, old.get(key), new.get(key))
    rows, later = ({member.name: member for member in one.members} if one else {} for one in (before, after))
    for member in {**rows, **later}:
        yield from _member(name, member, rows.get(member), later.get(member))


def _outcome(name: str, before: ClusterReport | None, after: ClusterReport | None) -> Iterator[Difference]:
    """Tell of a run that ended early: it has fewer findings than it ought to, and none of them would be worse."""
    if before is None or after is None:
        direction: Direction = "new" if before is None else "gone"
        # A cluster that is there for the first time is no fault.
        direction = "changed" if direction == "new" else direction
        told = (before.outcome.value if before else "", after.outcome.value if after else "")
        yield Difference(direction, name, name, "outcome", *told)
        return
    stopped = (Outcome.FAILED, Outcome.REFUSED)
    if before.outcome in stopped and after.outcome in stopped:
        return
    if after.outcome in stopped or before.outcome in stopped:
        why = after.error or next(iter(after.refusals), "")
        direction = "worse" if after.outcome in stopped else "better"
        yield Difference(direction, name, name, "outcome", before.outcome.value, after.outcome.value, why)


def _by_key(findings: list[Finding], other: ClusterReport | None) -> Mapping[tuple[str, str, str], Finding]:
    """Return findings by subject and code, and by message where there are several (alarms, unexpected members)."""
    several = defaultdict[tuple[str, str], int](int)
    for some in (findings, other.findings if other else []):
        for pair, count in Counter((one.subject, one.code) for one in some).items():
            several[pair] = max(several[pair], count)
    return {(one.subject, one.code, one.message if several[one.subject, one.code] > 1 else ""): one for one in findings}


def _finding(cluster: str, before: Finding | None, after: Finding | None) -> Iterator[Difference]:
    was, now = _state(before), _state(after)
    if was == now:
        return
    shown = after or before
    direction = _direction(was, now)
    if shown is not None and direction is not None:
        yield Difference(direction, cluster, shown.subject, shown.code, was, now, shown.message)


def _state(finding: Finding | None) -> str:
    if finding is None:
        return ""
    return finding.severity.value if finding.waiver is None else WAIVED


def _direction(was: str, now: str) -> Direction | None:
    """Return what a change comes to; None where nobody need know.

    What can no longer be told is worse than whatever was told, and what is told again is better unless it is critical.
    """
    if not was:
        return "new" if now not in ("ok", WAIVED) else None
    if not now:
        return "gone" if was not in ("ok", WAIVED) else None
    unknown = Severity.UNKNOWN.value
    if now == unknown:
        return "worse"
    if was == unknown:
        return "worse" if now == Severity.CRITICAL.value else "better"
    if _RANK[was] == _RANK[now]:
        return "changed"
    return "worse" if _RANK[now] > _RANK[was] else "better"


def _member(cluster: str, name: str, before: MemberReport | None, after: MemberReport | None) -> Iterator[Difference]:
    if before is None or after is None:
        yield Difference(
            "changed",
            cluster,
            name,
            "member",
            "in the inventory" if before else "",
            "in the inventory" if after else "",
        )
        return
    for field in FIELDS:
        was, now = str(getattr(before, field)), str(getattr(after, field))
        comparable = field != "hash" or before.hash_revision == after.hash_revision
        if was != now and was and now and comparable:
            yield Difference("changed", cluster, name, field, was, now)
