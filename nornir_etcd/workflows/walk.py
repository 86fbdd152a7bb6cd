"""The walk, once: observe, plan, apply, verify, report. Clusters go side by side, and fail alone."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nornir.core import Nornir
from nornir.core.inventory import Inventory
from nornir.core.state import GlobalState

from nornir_etcd import snapshots
from nornir_etcd.checks import KINDS, preflight, waivers
from nornir_etcd.checks.evidence import Evidence, evidence
from nornir_etcd.checks.preflight import upgrade
from nornir_etcd.checks.selection import EVERYTHING, Selection
from nornir_etcd.events import Announcer
from nornir_etcd.exceptions import InventoryError, LocksRefused, NornirEtcdError, PkiError
from nornir_etcd.layout import layout
from nornir_etcd.locks import ClusterLocks, cluster_locks
from nornir_etcd.manifest import render
from nornir_etcd.observation import HostObservation
from nornir_etcd.observe import observe
from nornir_etcd.plan.certs import AS_DUE, Renewal
from nornir_etcd.plan.planner import Desired, Difference, plan
from nornir_etcd.plan.rotation import Rotation
from nornir_etcd.plan.stages import shown
from nornir_etcd.plan.state import cluster_state, kept_first_start, known_status
from nornir_etcd.plan.step import ISSUING_ACTIONS, Plan
from nornir_etcd.plan.upgrade import judge, tag_of, unfinished
from nornir_etcd.report.authority import authority_report
from nornir_etcd.report.members import controller_certificates, member_reports, road_notes
from nornir_etcd.report.mesh import mesh
from nornir_etcd.report.model import ClusterReport, Finding, Outcome, Report
from nornir_etcd.strangers import observe_strangers
from nornir_etcd.tasks.certificates import check_signing, store_of
from nornir_etcd.workflows.apply import Applied, apply, step_report
from nornir_etcd.workflows.inventory import check_selection, clusters_in, named_ca, whole_inventory
from nornir_etcd.workspace import manifest_template

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.events import Events
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.signers.local import StoreContent
    from nornir_etcd.workflows.apply import Pause

logger = logging.getLogger(__name__)

MAX_SESSIONS = 50
"""SSH sessions at once, over all clusters together (measured: 30 hosts take 0.42 s with 20, 0.37 s with 50)."""


@dataclass(frozen=True)
class Runbook:
    """The differences that a run may act on, and the checks that end it.

    Attributes:
        name: as the command is called.
        allowed: what it may act on; verify on nothing.
        checks: what it verifies at its end.
        deep: whether these want all that hosts and members tell.
        rounds: plans in one run. A second one follows where the first can only mend what hides the cluster from the
            controller, or where it was one phase of several.
        strangers: whether live members are asked that the inventory does not have.
        tells: what else the report tells of a cluster, in lines.
    """

    name: str
    allowed: frozenset[Difference]
    checks: tuple[Callable[[Evidence], Iterable[Finding]], ...]
    deep: bool = True
    rounds: int = 3
    strangers: bool = False
    tells: Callable[[Cluster, ClusterObservation], Iterable[str]] | None = None


@dataclass(frozen=True)
class _Run:
    """What the clusters of one run have in common."""

    runbook: Runbook
    scope: frozenset[str]
    dry_run: bool
    accept_downtime: bool
    template: str
    events: Events | None
    selection: Selection
    ssh: bool
    renewal: Renewal
    rotation: Rotation
    overrides: Mapping[str, str]
    pause: Pause | None = None

    def announcer(self, cluster: Cluster) -> Announcer:
        return Announcer(self.events, self.runbook.name, cluster.name)


def walk(  # noqa: PLR0913 - one keyword for each option of the runbooks
    runbook: Runbook,
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    accept_downtime: bool = False,
    events: Events | None = None,
    selection: Selection = EVERYTHING,
    ssh: bool = True,
    renewal: Renewal = AS_DUE,
    rotation: Rotation | None = None,
    pause: Pause | None = None,
) -> Report:
    """Walk every cluster that has one of the selected hosts.

    Desired, observed and quorum always cover the whole cluster; the selection limits what may change.

    Args:
        runbook: what to act on.
        nr: Nornir; where it is filtered, its hosts are the selection.
        hosts: the selection; every host of `nr` where it is None.
        overrides: variables above the inventory.
        dry_run: stop after the plan; Nornir's own setting where it is None.
        accept_downtime: a cluster of one member may be stopped.
        events: told of every boundary that the run passes.
        selection: the findings that are asked for.
        ssh: whether the hosts are asked; only where nothing may change.
        renewal: which certificates are made anew before their time.
        rotation: what the operator has said of a CA rotation.
        pause: asked before each member but the first is stopped.

    Raises:
        InventoryError: with every fault of the inventory; nothing has been touched.
    """
    started = datetime.now(tz=timezone.utc)
    inventory = whole_inventory(nr)
    clusters, warnings = clusters_in(inventory, overrides)
    members = {member.name for cluster in clusters for member in cluster.members}
    selected = [name for name in nr.inventory.hosts if name in members] if hosts is None else hosts
    check_selection(inventory, selected)
    run = _Run(
        runbook=runbook,
        scope=frozenset(selected),
        dry_run=bool(nr.data.dry_run) if dry_run is None else dry_run,
        accept_downtime=accept_downtime,
        template=manifest_template(),
        events=events,
        selection=selection,
        ssh=ssh,
        renewal=renewal,
        rotation=rotation or Rotation(),
        overrides=overrides or {},
        pause=pause,
    )
    announce = Announcer(events, runbook.name)
    announce("run-started")
    chosen = [cluster for cluster in clusters if any(member.name in run.scope for member in cluster.members)]
    warnings += tuple(line for cluster in chosen for line in waivers.unmatched(cluster, KINDS))
    at_once = max(1, MAX_SESSIONS // max(len(cluster.members) for cluster in chosen))
    with ThreadPoolExecutor(max_workers=min(at_once, len(chosen)), thread_name_prefix="cluster") as pool:
        reports = list(pool.map(lambda cluster: _one(_only(nr, inventory, cluster, run), cluster, run), chosen))
    report = Report(
        tool=f"nornir-etcd {version('nornir-etcd')}",
        runbook=runbook.name,
        dry_run=run.dry_run,
        started_at=started,
        finished_at=datetime.now(tz=timezone.utc),
        warnings=list(warnings),
        clusters=reports,
    )
    announce("run-finished", status=str(report.exit_code))
    return report


def _only(nr: Nornir, inventory: Inventory, cluster: Cluster, run: _Run) -> Nornir:
    """Return a Nornir with the hosts of one cluster and a state of its own.

    Failed hosts are neither taken over from the caller nor left behind.
    """
    hosts = {member.name: inventory.hosts[member.name] for member in cluster.members}
    return Nornir(
        inventory=Inventory(hosts=hosts, groups=inventory.groups, defaults=inventory.defaults),  # type: ignore[arg-type]  # a dict is what Hosts is
        config=nr.config,
        data=GlobalState(dry_run=run.dry_run),
        processors=nr.processors,
        runner=nr.runner,
    )


@contextmanager
def _closing(nr: Nornir) -> Iterator[None]:
    """Close the connections that are opened meanwhile; those of the caller stay."""
    before = {name: set(host.connections) for name, host in nr.inventory.hosts.items()}
    try:
        yield
    finally:
        for name, host in nr.inventory.hosts.items():
            for connection in set(host.connections) - before[name]:
                host.close_connection(connection)


def _one(nr: Nornir, cluster: Cluster, run: _Run) -> ClusterReport:
    report = _guarded(nr, cluster, run)
    run.announcer(cluster)("cluster-finished", status=report.outcome.value)
    return report


def _guarded(nr: Nornir, cluster: Cluster, run: _Run) -> ClusterReport:
    """Run one cluster; whatever goes wrong in it stays in its own report."""
    try:
        with _closing(nr):
            return _run_cluster(nr, cluster, run)
    except NornirEtcdError as error:
        reason = str(error)
    except Exception as error:  # a fault of the program must not take the other clusters' reports away
        logger.exception("cluster %s", cluster.name)
        reason = f"{cluster.name}: internal error: {type(error).__name__}: {error}; see the log"
    members = member_reports(cluster, None, changed=(), now=datetime.now(tz=timezone.utc), error="not asked")
    return ClusterReport(name=cluster.name, outcome=Outcome.FAILED, members=members, error=reason)


def _run_cluster(nr: Nornir, cluster: Cluster, run: _Run) -> ClusterReport:
    work = _Work(nr, cluster, run)
    # What is found at first is what is verified, where nothing is to be changed. A dry run verifies nothing, but judges
    # a change of version by all that can be known.
    plans_only = run.dry_run and bool(run.runbook.allowed) and "version" not in run.runbook.allowed
    work.look(deep=run.runbook.deep and not plans_only)
    work.decide()
    if run.dry_run and run.runbook.allowed:
        work.applied = Applied([step_report(step) for step in work.planned.steps])
        return work.report([])
    if work.planned.steps:
        work.change()
    return work.report(work.verify())


class _Work:
    """One cluster in one run: what is there, what is to be done about it, and what became of it."""

    def __init__(self, nr: Nornir, cluster: Cluster, run: _Run) -> None:
        self.nr, self.cluster, self.run = nr, cluster, run
        self.announce = run.announcer(cluster)
        self.store = store_of(cluster)
        self.content = self.store.read()
        self.desired = _desired(cluster, run, self.content)  # a broken template is told before a host is asked
        self.observation: ClusterObservation
        self.deep = False  # how the last look was
        self.planned, self.found = Plan(), list[Finding]()
        self.applied = Applied()
        self.notes: tuple[str, ...] = ()
        self.astray: tuple[str, ...] = ()  # why the next stage of the way cannot be wanted

    def look(self, *, deep: bool, surroundings: bool = True) -> None:
        """Observe, and read what the controller's folder holds by now."""
        self.content = self.store.read()
        ssh = self.run.ssh and self.cluster.declared
        self.observation = observe(self.nr, self.cluster, surroundings=surroundings, deep=deep, ssh=ssh)
        self.deep = deep
        if self.run.runbook.strangers:
            asked = observe_strangers(self.nr, self.cluster, self.observation)
            self.observation = replace(self.observation, strangers=asked)
        self.announce("observed")
        self.desired = _desired(self.cluster, self.run, self.content, self.observation)
        if "version" in self.run.runbook.allowed:
            self._stage()

    def _stage(self) -> None:
        """Want the next release of the way only, where that goes over several minors: each stage is an upgrade."""
        way = judge(self.cluster, self.observation, self.desired.manifests).stages
        if len(way) > 2:  # noqa: PLR2004 - the first and the last
            tag = tag_of(self.cluster, self.observation, way[1])
            try:
                # What else hangs on the version, as an image's name may, is another one at that stage.
                (self.cluster,), _ = clusters_in(self.nr.inventory, {**self.run.overrides, "etcd_version": tag})
            except InventoryError as error:
                self.astray = tuple(f"{self.cluster.name}: on the way at {tag}: {one}" for one in error.problems)
                return
            self.desired = _desired(self.cluster, self.run, self.content, self.observation)
            self.notes = (f"stage 1 of {len(way) - 1}: {shown(way)}; run the same command again for the next one",)

    def decide(self) -> None:
        """Plan."""
        planned = Plan(refusals=self.astray) if self.astray else plan(self.desired, self.observation, self.content)
        self.planned, self.found = _preflight(self.desired, self.observation, planned)
        self.announce("planned", status="refused" if self.planned.refusals else "")

    def change(self) -> None:
        """Carry the plan out while nobody else may: what was seen before the locks were had may be so no more."""
        state = cluster_state(self.cluster, self.observation)
        hosts = [name for name, host in self.observation.hosts.items() if host.error is None]
        name = self.run.runbook.name
        try:
            with cluster_locks(self.nr, self.cluster, runbook=name, etcd=state.life == "live", hosts=hosts) as locks:
                self.notes += locks.notes
                self._rounds(locks)
        except LocksRefused as error:
            self.planned = Plan(refusals=error.problems)

    def _rounds(self, locks: ClusterLocks) -> None:
        self.announce("locked")
        deep = self.run.runbook.deep
        self.look(deep="version" in self.run.runbook.allowed)  # a plan wants no more of the others
        for _ in range(self.run.runbook.rounds):
            self.decide()
            if self.planned.steps:
                self.applied.add(
                    apply(
                        self.nr,
                        self.desired,
                        self.planned,
                        self.observation,
                        self.announce,
                        locks.lost,
                        self.run.pause,
                    )
                )
                # No further round trip to a host: the one that looks again reads all that is to be verified.
                self.look(deep=deep, surroundings=self.planned.again or deep)
            if not self.planned.again or self.applied.failed or self.applied.stopped:
                break
        if self.applied.stopped:
            self.notes += ("stopped between two members, as was said; the same command goes on",)

    def verify(self) -> list[Finding]:
        """Return what the runbook's checks find at its end."""
        if self.run.runbook.deep and not self.deep:  # somebody else has done meanwhile what was planned
            self.look(deep=True)
        content, observation = self.content, self.observation
        issued = {name: pair.certificate for name, pair in content.leaves.items() if pair.certificate is not None}
        trusting = _trusting(self.nr, self.cluster, content)
        wanted = _manifests(self.cluster, self.run, content, observation, trusting_hosts=True)
        authority = authority_report(self.cluster, content, observation)
        seen = evidence(trusting, observation, issued, datetime.now(tz=timezone.utc), wanted, authority)
        findings = [finding for check in self.run.runbook.checks for finding in check(seen)]
        self.announce("verified")
        return findings

    def report(self, findings: list[Finding]) -> ClusterReport:
        """Return the cluster's report."""
        now, cluster, observation = datetime.now(tz=timezone.utc), self.cluster, self.observation
        selection, planned = self.run.selection, self.planned
        own = self.store.own(self.content)
        told = self.run.runbook.tells(cluster, observation) if self.run.runbook.tells else ()
        return ClusterReport(
            name=cluster.name,
            outcome=_outcome(self.run, planned, self.applied),
            authority=authority_report(cluster, self.content, observation),
            certificates=controller_certificates(own) if cluster.declared else [],
            members=member_reports(cluster, observation, changed=self.applied.changed, now=now),
            plan=self.applied.steps,
            refusals=list(planned.refusals),
            notes=[*self.notes, *planned.notes, *told, *road_notes(observation), *_left_out(selection)],
            findings=_told(cluster, self.run, [*self.found, *findings], now),
            mesh=mesh(cluster, observation) if cluster.declared else [],  # endpoints tell of no peer port
        )


def _desired(
    cluster: Cluster, run: _Run, content: StoreContent, observation: ClusterObservation | None = None
) -> Desired:
    """Return what is wanted now: whom members trust and who signs stands in the controller's folder."""
    return Desired(
        cluster,
        _manifests(cluster, run, content, observation),
        run.scope,
        run.runbook.allowed,
        datetime.now(tz=timezone.utc),
        run.accept_downtime,
        run.renewal,
        run.rotation,
        _snapshots(cluster) if "version" in run.runbook.allowed else (),
    )


def _snapshots(cluster: Cluster) -> tuple[datetime, ...]:
    """Return when the snapshots of a cluster were taken that the controller holds."""
    folder = Path(cluster.members[0].settings.etcd_snapshot_dir)
    return tuple(one.time for one in snapshots.kept(folder, cluster.name))


def _manifests(
    cluster: Cluster,
    run: _Run,
    content: StoreContent,
    observation: ClusterObservation | None,
    *,
    trusting_hosts: bool = False,
) -> dict[str, str]:
    """Return the manifest of every member. What it says of a first start that lies behind it is kept.

    Args:
        cluster: the cluster.
        run: the run.
        content: of the controller's folder.
        observation: what is known of the hosts.
        trusting_hosts: where the controller has no CA, as a machine that only verifies, the members' own is taken for
            the wanted one.
    """
    wanted = {}
    for member in cluster.members:
        host = observation.hosts[member.name] if observation else HostObservation(member.name)
        theirs = host.texts.get(layout(member.settings).trusted_ca) if trusting_hosts else None
        wanted[member.name] = render(
            member,
            cluster,
            template=run.template,
            trusted=content.trusted or (None if theirs is None else theirs.encode()),
            first_start=kept_first_start(member, host),
        )
    return wanted


def _trusting(nr: Nornir, cluster: Cluster, content: StoreContent) -> Cluster:
    """Return the cluster with the CAs by which the controller trusts its members by now."""
    if not cluster.declared or content.trusted is None or named_ca(nr.inventory, cluster):
        return cluster
    return replace(cluster, ca=content.trusted)


def _preflight(desired: Desired, observation: ClusterObservation, planned: Plan) -> tuple[Plan, list[Finding]]:
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


def _told(cluster: Cluster, run: _Run, findings: list[Finding], now: datetime) -> list[Finding]:
    """Return the findings that are asked for, waived where somebody bears them."""
    today = now.date()
    known = [*waivers.waive(findings, cluster, today), *waivers.expired(cluster, today)]
    return [finding for finding in known if run.selection.asks(finding.code) and run.selection.tells(finding)]


def _left_out(selection: Selection) -> Iterator[str]:
    """Yield a note that names what was not checked for want of SSH."""
    if selection.left_out:
        yield f"not checked, since the hosts were not asked (--no-ssh): {', '.join(selection.left_out)}"


def _outcome(run: _Run, planned: Plan, applied: Applied) -> Outcome:
    if applied.failed or (planned.refusals and applied.steps):
        return Outcome.FAILED
    if planned.refusals:
        return Outcome.REFUSED
    if not run.runbook.allowed:
        return Outcome.CHECKED
    if not applied.steps:
        return Outcome.UNCHANGED
    return Outcome.PLANNED if run.dry_run else Outcome.CHANGED
