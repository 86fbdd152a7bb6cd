"""Does every member run the version that is wanted, and one that should be run at all?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd import versions
from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import ENDPOINT, Kind
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.state import known_status
from nornir_etcd.versions import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.report.model import Finding
    from nornir_etcd.versions import Version

SILENT = "the member does not answer"

KINDS = (
    Kind(
        code="member.version",
        asks="Does the member run the version that the inventory wants?",
        reads=ENDPOINT,
        worst="warning",
        settings=("etcd_version",),
    ),
    Kind(
        code="version.floor",
        asks="Does the member run a release without known holes, of a minor that still gets fixes?",
        reads=ENDPOINT,
        worst="warning",
        rule="etcd's CHANGELOG-3.x.md: denial of service in the TLS handshake",
    ),
    Kind(
        code="version.bad",
        asks="Does the member run a release that is not known to be bad?",
        reads=ENDPOINT,
        worst="critical",
        rule="etcd#13766 (3.5.0 to 3.5.2); CHANGELOG-3.4.md (3.4.21); CHANGELOG-3.5.md (3.5.5)",
    ),
    Kind(
        code="version.skew",
        asks="Do all members run one version?",
        reads=ENDPOINT,
        worst="critical",
        rule="https://etcd.io/docs/v3.5/upgrades/upgrade_3_5/: one minor at a time",
    ),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the version of every member that answers, then all versions together."""
    for member in seen.cluster.members:
        status = known_status(seen.endpoint(member.name))
        found = status.version if status else ""
        if seen.cluster.declared:
            yield _wanted(member, found)
        yield _floor(member, found)
        yield _bad(member, found)
    yield _skew(seen)


def _wanted(member: Member, found: str) -> Finding:
    asked = Check("member.version", member.name)
    wanted = member.settings.etcd_version
    if not found:
        return asked.unknown(SILENT, wanted=wanted)
    if release(found) == parse(wanted):
        return asked.ok(f"runs {found}", wanted=wanted, found=found)
    return asked.warning(
        f"runs another version: wanted {wanted}, found {found}",
        "the runbook upgrade changes versions",
        wanted=wanted,
        found=found,
    )


def _floor(member: Member, found: str) -> Finding:
    asked = Check("version.floor", member.name)
    version = release(found)
    if version is None:
        return asked.unknown(_unread(found))
    if versions.has_ended(version):
        oldest = versions.SECURITY_FLOOR[0]
        return asked.warning(
            f"runs {found}: {version.major}.{version.minor} has ended and gets no fixes",
            f"upgrade to {oldest} or later, one minor at a time",
            found=found,
        )
    floor = versions.security_floor(version)
    if floor is not None and version < floor:
        return asked.warning(
            f"runs {found}, in which a client can deny the service in the TLS handshake: wanted {floor} or later",
            f"upgrade to {floor} or later",
            found=found,
            floor=floor,
        )
    if floor is None:
        return asked.ok(f"runs {found}, of a minor without a security floor that is known", found=found)
    return asked.ok(f"runs {found}, wanted {floor} or later", found=found, floor=floor)


def _bad(member: Member, found: str) -> Finding:
    asked = Check("version.bad", member.name)
    version = release(found)
    if version is None:
        return asked.unknown(_unread(found))
    bad = versions.known_bad(version)
    if bad is None:
        return asked.ok(f"runs {found}, which is not known to be bad", found=found)
    say = asked.critical if bad.loses_data else asked.warning
    return say(
        f"runs {found}, a bad release: {bad.why} ({bad.source})",
        f"upgrade to {bad.use} or later",
        found=found,
        source=bad.source,
    )


def _unread(found: str) -> str:
    return f"tells no version that could be read: {found[:40]!r}" if found else SILENT


def _skew(seen: Evidence) -> Finding:
    asked = Check("version.skew", seen.cluster.name)
    statuses = {member.name: known_status(seen.endpoint(member.name)) for member in seen.cluster.members}
    told = {name: status.version for name, status in statuses.items() if status}
    read: dict[str, Version] = {name: version for name, text in told.items() if (version := release(text))}
    if not read:
        return asked.unknown("no member tells its version", **told)
    least, most = min(read.values()), max(read.values())
    if (most.major, most.minor) > (least.major, least.minor + 1):
        return asked.critical(
            f"members are more than one minor apart: {least} and {most}",
            "stop changing versions; bring the members to neighbouring minors first",
            **told,
        )
    if least != most:
        return asked.warning(
            f"members run different versions, {least} to {most}: an upgrade is going on, or stuck",
            "finish the upgrade (runbook upgrade), or bring the odd member back to the others' version",
            **told,
        )
    if unread := [name for name in statuses if name not in read]:
        return asked.unknown(f"the version of {', '.join(unread)} is not known", **told)
    return asked.ok(f"every member runs {least}", **told)
