"""Pure checks: an observation in, findings out. One module per subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks import (
    alarms,
    certificates,
    consensus,
    data,
    database,
    disk,
    drift,
    host,
    membership,
    mesh,
    preflight,
    probes,
    process,
    reachability,
    versions,
    waivers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.checks.kinds import Kind
    from nornir_etcd.report.model import Finding

SUBJECTS: tuple[Callable[[Evidence], Iterable[Finding]], ...] = (
    reachability.check,
    host.check,
    mesh.check,
    process.check,
    drift.check,
    data.check,
    database.check,
    disk.check,
    membership.check,
    consensus.check,
    probes.check,
    versions.check,
    alarms.check,
    certificates.check,
)

_MODULES = (
    reachability,
    host,
    mesh,
    process,
    drift,
    data,
    database,
    disk,
    membership,
    consensus,
    probes,
    versions,
    alarms,
    certificates,
    waivers,
)
VERIFY_KINDS: tuple[Kind, ...] = tuple(kind for module in _MODULES for kind in module.KINDS)
"""Every kind of finding that verify makes."""
KINDS: tuple[Kind, ...] = (*VERIFY_KINDS, *preflight.KINDS)
"""Every kind of finding that there is."""


def check(seen: Evidence) -> list[Finding]:
    """Return every finding of every check, in a fixed order: by subject of the check, then by member."""
    return [finding for subject in SUBJECTS for finding in subject(seen)]
