"""What keeps a plan from being carried out: hosts, members and the controller itself are looked at first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd import snapshots
from nornir_etcd.checks import preflight
from nornir_etcd.checks.evidence import Evidence, evidence
from nornir_etcd.checks.preflight import upgrade
from nornir_etcd.exceptions import NornirEtcdError, PkiError
from nornir_etcd.plan.state import known_status
from nornir_etcd.plan.step import ISSUING_ACTIONS, Plan
from nornir_etcd.plan.upgrade import judge, unfinished
from nornir_etcd.tasks.certificates import check_signing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.planner import Desired
    from nornir_etcd.report.model import Finding


def preflighted(desired: Desired, observation: ClusterObservation, planned: Plan) -> tuple[Plan, list[Finding]]:
    """Return the plan, refused where a host or the controller cannot bear it, and what preflight found.

    Verify does nothing to a host.
    """
    if not desired.allowed:
        return planned, []
    seen = evidence(desired.cluster, observation, {}, desired.now)
    found = preflight.preflight(seen, preflight.concern(desired, planned))
    hindered = list(_hindered(desired, observation, seen, planned))
    refusals = (*preflight.refusals(found), *upgrade.refusals(hindered))
    found += hindered
    if refusals := (*refusals, *_unsigned(desired, planned), *_full(desired, observation, planned)):
        return Plan(refusals=(*planned.refusals, *refusals), notes=planned.notes), found
    return planned, found


def _hindered(desired: Desired, observation: ClusterObservation, seen: Evidence, planned: Plan) -> Iterator[Finding]:
    """Yield what stands in the way of a change of version."""
    if "version" not in desired.allowed or not (planned.steps or planned.refusals):
        return
    cluster = desired.cluster
    begun = unfinished(cluster, observation, seen.state, desired.manifests, desired.scope)
    started = judge(cluster, observation, desired.manifests, begun).started
    yield from upgrade.check(seen, begun, started=started)


def _full(desired: Desired, observation: ClusterObservation, planned: Plan) -> Iterator[str]:
    """Yield why a snapshot of the plan could not be kept."""
    for step in planned.steps:
        if step.action != "save-snapshot":
            continue
        folder = Path(desired.cluster.member(step.host).settings.etcd_snapshot_dir)
        status = known_status(observation.endpoints[step.host])
        try:
            snapshots.check_space(folder, desired.cluster.name, status.db_size if status else 0)
        except NornirEtcdError as error:
            yield f"{desired.cluster.name}: {error}"


def _unsigned(desired: Desired, planned: Plan) -> Iterator[str]:
    """Yield why the certificates of a plan cannot be issued: before anything is touched, and in a dry run as well."""
    actions = {step.action for step in planned.steps}
    makes, issues = actions & {"make-ca", "make-etcd-ca", "add-ca"}, actions & set(ISSUING_ACTIONS)
    if not makes and not issues:
        return
    try:
        check_signing(desired.cluster, new_ca=bool(makes))
    except PkiError as error:
        yield f"{desired.cluster.name}: {error}"
