"""Is there room in a member's database, and does the member find nothing wrong with itself?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.figures import megabytes, metric
from nornir_etcd.checks.kinds import ENDPOINT, Kind
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.state import known_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import Maybe, MemberStatus
    from nornir_etcd.report.model import Finding

MAINTENANCE = "https://etcd.io/docs/v3.5/op-guide/maintenance/"
KINDS = (
    Kind(
        code="member.db.size",
        asks="Is the database well below its quota?",
        reads=ENDPOINT,
        worst="critical",
        settings=("etcd_quota_warning_percent", "etcd_quota_backend_bytes"),
        rule=f"{MAINTENANCE}: Space quota",
    ),
    Kind(
        code="member.db.fragmentation",
        asks="Is little of the database file free space that defragmentation would give back?",
        reads=ENDPOINT,
        worst="warning",
        settings=("etcd_fragmentation_warning_bytes",),
        rule=f"{MAINTENANCE}: Defragmentation",
    ),
    Kind(
        code="member.errors",
        asks="Does the member's status name no errors?",
        reads=ENDPOINT,
        worst="critical",
    ),
    Kind(
        code="cluster.storage_version",
        asks="Has the storage of members of 3.6 and later the version that they run?",
        reads=ENDPOINT,
        worst="warning",
        rule="https://etcd.io/docs/v3.6/downgrades/: storage version",
    ),
)
CRITICAL_PERCENT = 95
"""Of the quota: what is left is soon written, and then etcd takes no more writes (alarm NOSPACE)."""
SILENT = "the member does not answer"
STORAGE_VERSIONED = (3, 6)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the database of every member, then the version of the storage of all."""
    for member in seen.cluster.members:
        status = known_status(seen.endpoint(member.name))
        yield _size(seen, member, status)
        yield _fragmentation(member, status)
        yield _errors(member, status)
    yield _storage_version(seen)


def _size(seen: Evidence, member: Member, status: MemberStatus | None) -> Finding:
    asked = Check("member.db.size", member.name)
    if status is None:
        return asked.unknown(SILENT)
    quota = _quota(seen, member, status)
    if isinstance(quota, Unknown):
        return asked.unknown(quota)
    if quota <= 0:
        return asked.ok(f"the database has {megabytes(status.db_size)} and no quota", bytes=status.db_size)
    percent, limit = 100 * status.db_size / quota, member.settings.etcd_quota_warning_percent
    message = f"the database has {megabytes(status.db_size)}, {percent:.0f} % of its quota"
    read = {"bytes": status.db_size, "in_use": status.db_size_in_use, "quota": quota}
    remedy = f"compact and defragment one member after the other, or raise etcd_quota_backend_bytes ({MAINTENANCE})"
    if percent >= CRITICAL_PERCENT:
        return asked.critical(f"{message}: at 100 % etcd takes no more writes", remedy, **read)
    if percent > limit:
        return asked.warning(f"{message}; wanted at most {limit} %", remedy, **read)
    return asked.ok(message, **read)


def _quota(seen: Evidence, member: Member, status: MemberStatus) -> Maybe[int]:
    """Return the quota that the member has by its own word, else the one that the inventory wants for it."""
    told = status.db_size_quota or metric(seen.endpoint(member.name), lambda metrics: metrics.quota)
    return member.settings.etcd_quota_backend_bytes if isinstance(told, Unknown) and seen.cluster.declared else told


def _fragmentation(member: Member, status: MemberStatus | None) -> Finding:
    asked = Check("member.db.fragmentation", member.name)
    if status is None:
        return asked.unknown(SILENT)
    free, limit = status.db_size - status.db_size_in_use, member.settings.etcd_fragmentation_warning_bytes
    message = f"{megabytes(free)} of the database's {megabytes(status.db_size)} are free space inside the file"
    read = {"bytes": status.db_size, "in_use": status.db_size_in_use}
    if free > limit:
        return asked.warning(
            f"{message}; wanted at most {megabytes(limit)}",
            f"defragment one member after the other, the leader last: it blocks the member ({MAINTENANCE})",
            **read,
        )
    return asked.ok(message, **read)


def _errors(member: Member, status: MemberStatus | None) -> Finding:
    asked = Check("member.errors", member.name)
    if status is None:
        return asked.unknown(SILENT)
    if status.errors:
        return asked.critical(
            f"its status names errors: {'; '.join(' '.join(error.split()) for error in status.errors)}",
            "see the findings cluster.alarm and cluster.leader, and the member's log",
        )
    return asked.ok("its status names no errors")


def _storage_version(seen: Evidence) -> Finding:
    """Compare the version of the storage with the lowest minor among the members.

    It follows the cluster's version, which is that minor. Releases before 3.6 have none, and none is wanted while one
    of them is there.
    """
    asked = Check("cluster.storage_version", seen.cluster.name)
    stati = {member.name: known_status(seen.endpoint(member.name)) for member in seen.cluster.members}
    minors = {name: _minor(status.version if status else "") for name, status in stati.items()}
    if silent := [name for name, minor in minors.items() if minor is None]:
        return asked.unknown(f"the version of {', '.join(silent)} is not known")
    lowest = min(minor for minor in minors.values() if minor)
    if lowest < STORAGE_VERSIONED:
        return asked.ok("releases before 3.6 have no version of their storage")
    told = {name: status.storage_version for name, status in stati.items() if status}
    if silent := [name for name, version in told.items() if not version]:
        return asked.unknown(f"{', '.join(silent)} does not tell the version of its storage", "", **told)
    wanted = f"{lowest[0]}.{lowest[1]}"
    if wrong := [name for name, version in told.items() if _minor(version) != lowest]:
        return asked.warning(
            f"the storage of {', '.join(wrong)} is of another version than {wanted}, the lowest that a member runs",
            "run verify again in a minute; if it stays, see whether a downgrade was enabled (etcdctl endpoint status)",
            **told,
        )
    return asked.ok(f"the storage is of version {wanted}", **told)


def _minor(text: str) -> tuple[int, int] | None:
    version = release(text)
    return (version.major, version.minor) if version else None
