"""Is a finding known and borne (etcd_waivers)? It then no longer counts, until its waiver ends. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import NOTHING, Kind
from nornir_etcd.checks.selection import matches, nearest
from nornir_etcd.report.model import Severity, Waiver
from nornir_etcd.settings.waivers import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.report.model import Finding
    from nornir_etcd.settings.waivers import WaiverRule

KINDS = (
    Kind(
        "waiver.expired",
        "Does every waiver still hold?",
        NOTHING,
        "warning",
        settings=("etcd_waivers",),
    ),
)


def rules(cluster: Cluster) -> tuple[WaiverRule, ...]:
    """Return the waivers of all members of a cluster, each once."""
    return tuple(dict.fromkeys(rule for member in cluster.members for rule in member.settings.etcd_waivers))


def waive(findings: Iterable[Finding], cluster: Cluster, today: date) -> list[Finding]:
    """Return the findings, those with a waiver that are not ok.

    Args:
        findings: what was found in this cluster.
        cluster: whose waivers count.
        today: the controller's day, UTC.
    """
    holding = [rule for rule in rules(cluster) if not _is_over(rule, today)]
    return [_waived(finding, holding) for finding in findings]


def expired(cluster: Cluster, today: date) -> Iterator[Finding]:
    """Find the waivers that have ended: nobody looks at them again by himself."""
    asked = Check("waiver.expired", cluster.name)
    over = [rule for rule in rules(cluster) if _is_over(rule, today)]
    for rule in over:
        whose = "" if rule.subject == EVERY else f" for {rule.subject}"
        yield asked.warning(
            f"the waiver of {rule.code}{whose} ended on {rule.until}: {rule.reason}",
            "mend what it bore, or set another date; then take it out of etcd_waivers",
            code=rule.code,
            subject=rule.subject,
        )
    if rules(cluster) and not over:
        yield asked.ok("every waiver holds")


def unmatched(cluster: Cluster, kinds: Sequence[Kind]) -> Iterator[str]:
    """Yield a line for each waiver of a code that no check has. One that meets no finding is as it should be."""
    for rule in rules(cluster):
        if not any(matches(rule.code, kind.code) for kind in kinds):
            yield (
                f"cluster {cluster.name}: etcd_waivers: no check has the code '{rule.code}'; "
                f"the nearest is {nearest(rule.code, kinds)}"
            )


def _is_over(rule: WaiverRule, today: date) -> bool:
    return rule.until is not None and rule.until < today


def _waived(finding: Finding, holding: Sequence[WaiverRule]) -> Finding:
    if finding.severity is Severity.OK:
        return finding
    for rule in holding:
        if rule.subject in (EVERY, finding.subject) and matches(rule.code, finding.code):
            return finding.model_copy(update={"waiver": Waiver(reason=rule.reason, until=rule.until)})
    return finding
