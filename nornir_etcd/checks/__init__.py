"""Pure checks: an observation in, findings out. One module per subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks import alarms, certificates, consensus, data, membership, process, reachability, versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.report.model import Finding

SUBJECTS: tuple[Callable[[Evidence], Iterable[Finding]], ...] = (
    reachability.check,
    process.check,
    data.check,
    membership.check,
    consensus.check,
    versions.check,
    alarms.check,
    certificates.check,
)


def check(seen: Evidence) -> list[Finding]:
    """Return every finding of every check, in a fixed order: by subject of the check, then by member."""
    return [finding for subject in SUBJECTS for finding in subject(seen)]
