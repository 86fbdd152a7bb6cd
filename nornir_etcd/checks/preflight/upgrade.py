"""May a cluster be upgraded as it is? What verify asks of members, consensus, data and alarms has to be in order.

Etcd's own guides want a healthy cluster before and after every member (https://etcd.io/docs/v3.5/upgrades/upgrade_3_5/,
"Before upgrading"). A member whose upgrade was begun and not ended is what the upgrade itself sees to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nornir_etcd.checks import alarms, consensus, data, membership
from nornir_etcd.observation import EndpointObservation
from nornir_etcd.report.model import Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.report.model import Finding

WANTED = {
    *("member.missing", "member.unlisted", "member.unstarted", "member.learner", "member.unhealthy", "member.data"),
    *("cluster.quorum", "cluster.leader", "cluster.alarm", "cluster.hash"),
}
"""The findings that must be ok."""
OF_THE_WHOLE = {"cluster.quorum", "cluster.leader", "cluster.hash", "member.data"}
"""What a member that is down or runs another release leaves unknown, or in doubt, of the whole."""


def check(seen: Evidence, unfinished: Collection[str], *, started: bool) -> Iterator[Finding]:
    """Yield what stands in the way of an upgrade.

    Args:
        seen: what was observed, in depth.
        unfinished: members whose upgrade was begun before and not ended.
        started: some members run the wanted release already.
    """
    if {member.name for member in seen.cluster.members} <= set(unfinished):
        return  # as of a cluster of one: nobody else tells of the whole
    others = _without(seen, unfinished)
    for findings in (membership.check(seen), consensus.check(others), alarms.check(seen), data.check(seen)):
        for finding in findings:
            if finding.code not in WANTED or finding.severity is Severity.OK:
                continue
            follows = finding.code in OF_THE_WHOLE and finding.severity is not Severity.CRITICAL
            if finding.subject not in unfinished and not (follows and (unfinished or started)):
                yield finding


def _without(seen: Evidence, unfinished: Collection[str]) -> Evidence:
    """Return the evidence without what some members say: one that has just started knows no leader yet."""
    endpoints = seen.observation.endpoints | dict.fromkeys(unfinished, EndpointObservation())
    return replace(seen, observation=replace(seen.observation, endpoints=endpoints))


def refusals(findings: Collection[Finding]) -> tuple[str, ...]:
    """Return why the upgrade is not begun: one line for each."""
    return tuple(
        f"{one.subject}: {one.message} ({one.code}); {one.remedy or 'make the cluster healthy first'}"
        for one in findings
    )
