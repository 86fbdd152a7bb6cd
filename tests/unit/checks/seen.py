"""What verify finds in a cluster in memory, and changes to what of it was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nornir_etcd.checks import check
from nornir_etcd.checks.evidence import evidence
from nornir_etcd.observation import Unknown
from nornir_etcd.report.authority import authority_report
from nornir_etcd.report.model import Severity
from tests.unit.builders import NOW

if TYPE_CHECKING:
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.report.model import Finding
    from tests.unit.builders import World

OK, WARNING, CRITICAL, UNKNOWN = Severity.OK, Severity.WARNING, Severity.CRITICAL, Severity.UNKNOWN
DEAD = Unknown("master-3: no route to host")
EVERYWHERE = {("version.floor", WARNING), ("ca.shared", WARNING)}
"""True of every cluster in memory: it runs the role's default, 3.5.16, and has the role's one CA."""


def findings(world: World, seen: ClusterObservation | None = None) -> dict[tuple[str, str], Finding]:
    """Return what verify finds, by code and subject; each is there once."""
    issued = {name: leaf.certificate for name, leaf in world.store.leaves.items() if leaf.certificate}
    observation = seen or world.seen or world.observe()
    told = authority_report(world.cluster, world.store, observation)
    found = check(evidence(world.cluster, observation, issued, NOW, world.wanted, told))
    by_subject = {(one.code, one.subject): one for one in found}
    assert len(by_subject) == len(found)
    assert all(one.remedy or one.severity in {OK, UNKNOWN} for one in found)
    return by_subject


def bad(world: World) -> dict[tuple[str, str], Severity]:
    """Return every finding that is not ok, without those that are true of every cluster here."""
    return {
        key: one.severity
        for key, one in findings(world).items()
        if one.severity is not OK and (key[0], one.severity) not in EVERYWHERE
    }


def endpoint(world: World, name: str, **changes: object) -> None:
    """Change what the member's endpoint said."""
    world.seen = world.seen or world.observe()
    world.seen.endpoints[name] = replace(world.seen.endpoints[name], **changes)  # type: ignore[arg-type]  # by name


def host(world: World, name: str, **changes: object) -> None:
    """Change what the host said."""
    world.seen = world.seen or world.observe()
    world.seen.hosts[name] = replace(world.seen.hosts[name], **changes)  # type: ignore[arg-type]  # by name


def status(world: World, name: str, **changes: object) -> None:
    """Change the status that the member's endpoint told."""
    told = (world.seen or world.observe()).endpoints[name].status
    assert not isinstance(told, Unknown)
    endpoint(world, name, status=replace(told, **changes))  # type: ignore[arg-type]  # by name


def metrics(world: World, name: str, **changes: object) -> None:
    """Change what the member's /metrics said."""
    told = (world.seen or world.observe()).endpoints[name].metrics
    assert not isinstance(told, Unknown)
    endpoint(world, name, metrics=replace(told, **changes))  # type: ignore[arg-type]  # by name


def found(world: World, code: str, subject: str = "master-1") -> Finding:
    """Return one thing that verify finds."""
    return findings(world)[code, subject]
