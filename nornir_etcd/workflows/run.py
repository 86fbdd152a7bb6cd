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

    def announcer(self, cluster: Cluster) -> Announcer:
        """Return what tells of a cluster's boundaries."""
        return Announcer(self.events, self.runbook.name, cluster.name)
