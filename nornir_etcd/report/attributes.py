"""The member table on its side: one row an attribute, one column a member, so that members are compared at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nornir_etcd.report import figures
from nornir_etcd.report.summary import unreached

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nornir_etcd.report.model import MemberReport

Tone = Literal["", "ok", "warning", "critical", "unknown", "info", "dim"]

RENEW_DAYS, CRITICAL_DAYS = 30, 7
"""The defaults of etcd_renew_days and etcd_cert_critical_days: a report does not say what they were."""
QUOTA_PERCENT, FULL_PERCENT = 80, 95
"""Likewise etcd_quota_warning_percent, and where the check of the size turns critical."""


@dataclass(frozen=True)
class Cell:
    """What is known of one attribute of one member; an empty text: nothing."""

    text: str
    tone: Tone = ""
    more: str = ""  # beside the text, less important


@dataclass(frozen=True)
class Attribute:
    """One row."""

    label: str
    cells: tuple[Cell, ...]
    differs: bool = False  # the members ought to agree, and do not
    code: bool = False  # text to be copied, drawn with even width


@dataclass(frozen=True)
class _Column:
    label: str
    cell: Callable[[MemberReport], Cell]
    equal: bool = False
    code: bool = False


def attributes(members: Sequence[MemberReport]) -> list[Attribute]:
    """Return the rows of these members; those of which nothing is known of any member are left out."""
    rows = []
    for column in _COLUMNS:
        cells = tuple(column.cell(member) for member in members)
        known = [cell for cell in cells if cell.text]
        if known:
            # Hashes of different revisions may well differ; what stands beside them tells the revision.
            alike = len({cell.text for cell in known}) == 1 or len({cell.more for cell in known}) > 1
            rows.append(Attribute(column.label, cells, differs=column.equal and not alike, code=column.code))
    return rows


def days_tone(count: int) -> Tone:
    """Return how a certificate with that many days left is drawn."""
    if count < CRITICAL_DAYS:
        return "critical"
    return "warning" if count < RENEW_DAYS else "ok"


def _ssh(member: MemberReport) -> Cell:
    if member.ssh == "ok":
        return Cell("ok", "ok")
    return Cell(member.ssh, "unknown" if unreached(member) else "dim")


def _health(member: MemberReport) -> Cell:
    if member.healthy is None:
        return Cell("unknown", "unknown")
    return Cell("healthy", "ok") if member.healthy else Cell("unhealthy", "critical")


def _size(member: MemberReport) -> Cell:
    if member.db_size is None:
        return Cell("")
    if not member.db_quota:
        return Cell(figures.size(member.db_size))
    percent = 100 * member.db_size / member.db_quota
    tone: Tone = "critical" if percent >= FULL_PERCENT else "warning" if percent > QUOTA_PERCENT else ""
    return Cell(figures.size(member.db_size), tone, f"{percent:.1f} % of {figures.size(member.db_quota)}")


def _container(member: MemberReport) -> Cell:
    state = member.container_state.removeprefix("CONTAINER_").lower()
    return Cell(state, "ok" if state == "running" else "critical") if state else Cell("")


def _days_left(member: MemberReport) -> Cell:
    count = member.certificate_days_left
    return Cell("") if count is None else Cell(figures.days(count), days_tone(count))


def _hash(member: MemberReport) -> Cell:
    revision = "" if member.hash_revision is None else f"at revision {member.hash_revision}"
    return Cell(member.hash, more=revision)


def _alarms(member: MemberReport) -> Cell:
    return Cell(", ".join(member.alarms), "critical")


def _p99(seconds: float | None, member: MemberReport) -> Cell:
    if seconds is None:
        return Cell("")
    window = member.disk_window_seconds
    return Cell(figures.duration(seconds), more=f"over {figures.duration(window)}" if window else "since its start")


def _number(value: int | None) -> Cell:
    return Cell("" if value is None else str(value))


def _seconds(value: float | None) -> Cell:
    return Cell("" if value is None else figures.duration(value))


def _offset(member: MemberReport) -> Cell:
    offset = member.clock_offset_seconds
    return Cell("" if offset is None else f"{'+' if offset > 0 else ''}{figures.duration(offset)}")


_COLUMNS = (
    _Column("health", _health),
    _Column("role", lambda one: Cell("" if one.role == "unknown" else one.role)),
    _Column("alarms", _alarms),
    _Column("changed by this run", lambda one: Cell("changed" if one.changed else "", "info")),
    _Column("SSH", _ssh),
    _Column("address", lambda one: Cell(one.address), code=True),
    _Column("member ID", lambda one: Cell(one.member_id), code=True),
    _Column("version", lambda one: Cell(one.version), equal=True),
    _Column("image", lambda one: Cell(one.image), equal=True, code=True),
    _Column("container", lambda one: Cell(one.container), code=True),
    _Column("container state", _container),
    _Column("restarts", lambda one: _number(one.restarts)),
    _Column("certificate, left", _days_left),
    _Column("database", _size),
    _Column(
        "database in use", lambda one: Cell("" if one.db_size_in_use is None else figures.size(one.db_size_in_use))
    ),
    _Column("raft term", lambda one: _number(one.raft_term), equal=True),
    _Column("raft index", lambda one: _number(one.raft_index)),
    _Column("raft index applied", lambda one: _number(one.raft_applied_index)),
    _Column("hash of the data", _hash, equal=True, code=True),
    _Column("linearizable read", lambda one: _seconds(one.read_seconds)),
    _Column("WAL fsync, p99", lambda one: _p99(one.wal_fsync_p99_seconds, one)),
    _Column("backend commit, p99", lambda one: _p99(one.backend_commit_p99_seconds, one)),
    _Column("leader changes seen", lambda one: _number(one.leader_changes)),
    _Column("clock against the controller's", _offset),
)
