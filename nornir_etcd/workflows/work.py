"""One cluster in one run: observe, plan, apply, verify, report."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd import snapshots
from nornir_etcd.checks import waivers
from nornir_etcd.checks.evidence import evidence
from nornir_etcd.exceptions import InventoryError, LocksRefused
from nornir_etcd.last_words import observe_last_words
from nornir_etcd.layout import layout
from nornir_etcd.locks import ClusterLocks, cluster_locks
from nornir_etcd.manifest import render
from nornir_etcd.observation import HostObservation
from nornir_etcd.observe import observe
from nornir_etcd.plan.planner import Desired, plan
from nornir_etcd.plan.stages import shown
from nornir_etcd.plan.state import cluster_state, kept_first_start
from nornir_etcd.plan.step import Plan, Step
from nornir_etcd.plan.upgrade import judge, tag_of
from nornir_etcd.report.authority import authority_report
from nornir_etcd.report.members import controller_certificates, member_reports, road_notes
from nornir_etcd.report.mesh import mesh
from nornir_etcd.report.model import ClusterReport, Finding, Outcome
from nornir_etcd.strangers import observe_strangers
from nornir_etcd.tasks.certificates import store_of
from nornir_etcd.workflows.apply import JOINS, Applied, apply, step_report, withdraw
from nornir_etcd.workflows.inventory import clusters_in, named_ca
from nornir_etcd.workflows.preflight import preflighted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir.core import Nornir

    from nornir_etcd.checks.selection import Selection
    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.signers.local import StoreContent
    from nornir_etcd.workflows.run import Run


def run_cluster(nr: Nornir, cluster: Cluster, run: Run) -> ClusterReport:
    """Walk one cluster and return its report.

    Args:
        nr: Nornir with exactly its hosts.
        cluster: as the inventory wants it.
        run: what it has in common with the others.

    Raises:
        NornirEtcdError: it could not be worked on at all.
    """
    work = Work(nr, cluster, run)
    # What is found at first is what is verified, where nothing is to be changed. A dry run verifies nothing, but judges
    # a change of version, and of membership, by all that can be known.
    plans_only = run.dry_run and bool(run.runbook.allowed) and not {"version", "members"} & run.runbook.allowed
    work.look(deep=run.runbook.deep and not plans_only)
    work.decide()
    if run.dry_run and run.runbook.allowed:
        work.applied = Applied([step_report(step) for step in work.planned.steps])
        return work.report([])
    if work.planned.steps and work.agrees():
        work.change()
    return work.report(work.verify())


class Work:
    """One cluster in one run: what is there, what is to be done about it, and what became of it."""

    def __init__(self, nr: Nornir, cluster: Cluster, run: Run) -> None:
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
        self.agreed: set[tuple[str, str]] = set()  # kind and subject of what the operator has agreed to

    def look(self, *, deep: bool, surroundings: bool = True) -> None:
        """Observe, and read what the controller's folder holds by now."""
        self.content = self.store.read()
        ssh = self.run.ssh and self.cluster.declared
        self.observation = observe(self.nr, self.cluster, surroundings=surroundings, deep=deep, ssh=ssh)
        self.deep = deep
        if self.run.runbook.strangers:
            asked = observe_strangers(self.nr, self.cluster, self.observation)
            words = observe_last_words(self.nr, self.cluster, self.observation)
            self.observation = replace(self.observation, strangers=asked, last_words=words)
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
        self.planned, self.found = preflighted(self.desired, self.observation, planned)
        self.announce("planned", status="refused" if self.planned.refusals else "")

    def agrees(self) -> bool:
        """Whether the operator agrees to what the plan needs consent for; where not, it is refused."""
        refused = []
        for consent in self.planned.consents:
            if (consent.kind, consent.subject) in self.agreed:
                continue
            if why := self.run.agreed.refusal(consent):
                refused.append(why)
            else:
                self.agreed.add((consent.kind, consent.subject))
        if refused:
            self.planned = Plan(refusals=tuple(refused), notes=self.planned.notes)
        return not refused

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
        self.look(deep=bool({"version", "members"} & self.run.runbook.allowed))  # the others plan from less
        for _ in range(self.run.runbook.rounds):
            former = self.planned.steps
            self.decide()
            if self.planned.steps and self.agrees():
                self.applied.add(
                    apply(
                        self.nr,
                        self.desired,
                        self.planned,
                        self.observation,
                        self.announce,
                        locks.lost,
                        self.run.pause,
                        purge=self.run.agreed.purge,
                    )
                )
                # No further round trip to a host: the one that looks again reads all that is to be verified.
                self.look(deep=deep, surroundings=self.planned.again or deep)
            if not self.planned.again or self.applied.failed or self.applied.stopped:
                break
        begun = [step for step in former if step.host == self.applied.learner and step.action in JOINS]
        if self.planned.refusals and begun:
            self._withdraw(begun[0], locks)
        if self.applied.stopped:
            self.notes += ("stopped between two members, as was said; the same command goes on",)

    def _withdraw(self, refused: Step, locks: ClusterLocks) -> None:
        """Remove the learner that this run has added, where its start or promotion is refused by what is seen now."""
        why = locks.lost() or withdraw(self.nr, self.desired, refused, self.applied, self.announce)
        if why:
            self.notes += (f"{refused.host}: its learner is left: {why}",)
        self.look(deep=self.run.runbook.deep)

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

    def _to_remember(self) -> Iterator[str]:
        """Yield that the inventory has another version than the one that was said on the command line."""
        said = self.run.overrides.get("etcd_version")
        if said and "version" in self.run.runbook.allowed and self.applied.steps and not self.run.dry_run:
            yield f"set etcd_version to {said} in the inventory as well: deploy and verify go by it"

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
            notes=[
                *self.notes,
                *self._to_remember(),
                *planned.notes,
                *told,
                *road_notes(observation),
                *_left_out(selection),
            ],
            findings=_told(cluster, self.run, [*self.found, *findings], now),
            mesh=mesh(cluster, observation) if cluster.declared else [],  # endpoints tell of no peer port
        )


def _desired(
    cluster: Cluster, run: Run, content: StoreContent, observation: ClusterObservation | None = None
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
        run.agreed.update_apiserver,
    )


def _snapshots(cluster: Cluster) -> tuple[datetime, ...]:
    """Return when the snapshots of a cluster were taken that the controller holds."""
    folder = Path(cluster.members[0].settings.etcd_snapshot_dir)
    return tuple(one.time for one in snapshots.kept(folder, cluster.name))


def _manifests(
    cluster: Cluster,
    run: Run,
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


def _told(cluster: Cluster, run: Run, findings: list[Finding], now: datetime) -> list[Finding]:
    """Return the findings that are asked for, waived where somebody bears them."""
    today = now.date()
    known = [*waivers.waive(findings, cluster, today), *waivers.expired(cluster, today)]
    return [finding for finding in known if run.selection.asks(finding.code) and run.selection.tells(finding)]


def _left_out(selection: Selection) -> Iterator[str]:
    """Yield a note that names what was not checked for want of SSH."""
    if selection.left_out:
        yield f"not checked, since the hosts were not asked (--no-ssh): {', '.join(selection.left_out)}"


def _outcome(run: Run, planned: Plan, applied: Applied) -> Outcome:
    if applied.failed or (planned.refusals and applied.steps):
        return Outcome.FAILED
    if planned.refusals:
        return Outcome.REFUSED
    if not run.runbook.allowed:
        return Outcome.CHECKED
    if not applied.steps:
        return Outcome.UNCHANGED
    return Outcome.PLANNED if run.dry_run else Outcome.CHANGED
