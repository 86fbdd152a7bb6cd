"""What a run is: its runbook, and what all its clusters have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.events import Announcer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.checks.selection import Selection
    from nornir_etcd.cluster import Cluster
    from nornir_etcd.events import Events
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.certs import Renewal
    from nornir_etcd.plan.planner import Difference
    from nornir_etcd.plan.rotation import Rotation
    from nornir_etcd.plan.step import Consent
    from nornir_etcd.report.model import Finding
    from nornir_etcd.workflows.apply import Pause


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
class Agreed:
    """What the operator has agreed to, or is asked for.

    Attributes:
        no_margin: on the way one more failure may stop the cluster.
        repair: data of members that are lost or corrupt may be given up.
        purge: data directories of members that leave are deleted, not moved aside.
        update_apiserver: API servers on the hosts are pointed at the members of now.
        ask: asks whether to go on, where something else is to be agreed to that can be asked for.
    """

    no_margin: bool = False
    repair: bool = False
    purge: bool = False
    update_apiserver: bool = False
    ask: Pause | None = None

    def refusal(self, consent: Consent) -> str | None:
        """Return why a plan is not carried out for want of this consent, or None where it is given.

        Args:
            consent: what the plan needs.
        """
        if self.no_margin if consent.kind == "no-margin" else self.repair:
            return None
        if consent.kind == "repair" and self.ask is not None and self.ask(f"{consent.subject}: {consent.text}"):
            return None
        said = "--accept-no-margin" if consent.kind == "no-margin" else "--yes"
        return f"{consent.subject}: {consent.text}; say {said} if that is meant"


NOTHING_AGREED = Agreed()


@dataclass(frozen=True)
class Run:
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
    agreed: Agreed = NOTHING_AGREED

    def announcer(self, cluster: Cluster) -> Announcer:
        """Return what tells of a cluster's boundaries."""
        return Announcer(self.events, self.runbook.name, cluster.name)
