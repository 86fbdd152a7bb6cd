"""What a run did and found, as one typed object. Every form of the report is drawn from it."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Literal["1"] = "1"


class Severity(str, Enum):
    """How bad a finding is. `unknown`: the check could not be made, which is never ok."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class StepStatus(str, Enum):
    """What became of a step of the plan."""

    PLANNED = "planned"  # a dry run stops here
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"  # an earlier step failed or was refused


class Outcome(str, Enum):
    """What became of a cluster in this run."""

    UNCHANGED = "unchanged"  # nothing differed
    CHANGED = "changed"
    PLANNED = "planned"  # a dry run, and something differs
    REFUSED = "refused"  # what is asked for cannot be done safely; nothing was touched
    FAILED = "failed"  # a step failed, or the cluster could not be worked on
    CHECKED = "checked"  # verify: nothing was to be changed


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Waiver(_Part):
    """Somebody's word, in the inventory, that a finding is known and borne (etcd_waivers)."""

    reason: str
    until: Annotated[date | None, Field(description="The last day on which it holds; null where it has no end")] = None


class Finding(_Part):
    """One result of one check."""

    code: Annotated[str, Field(description="Stable code, such as member.unstarted")]
    severity: Severity
    subject: Annotated[str, Field(description="The member or cluster that it is about")]
    message: str
    evidence: Annotated[dict[str, str], Field(description="What was read, by name")] = {}
    remedy: Annotated[str, Field(description="What the operator can do; empty where nothing is to be done")] = ""
    waiver: Annotated[Waiver | None, Field(description="Set where the finding is waived: it no longer counts")] = None

    def _repr_html_(self) -> str:
        """Return the finding as a notebook shows it."""
        from nornir_etcd.report.notebook import finding_cell  # noqa: PLC0415 - only a notebook asks for it

        return finding_cell(self)


class StepReport(_Part):
    """One step of the plan, and what became of it."""

    id: str
    host: Annotated[str, Field(description="Empty for a step on the controller")]
    action: str
    reason: str
    disruptive: bool
    margin: Annotated[str, Field(description="Voters that stay while the step runs; empty where nothing stops")] = ""
    precondition: str
    proof: str
    undo: str
    diff: str = ""
    status: StepStatus = StepStatus.PLANNED
    started_at: Annotated[datetime | None, Field(description="Null where it was not begun")] = None
    seconds: Annotated[float, Field(ge=0)] = 0.0
    error: str = ""
    log: Annotated[list[str], Field(description="Last lines of the container's log, where the step failed")] = []

    def _repr_html_(self) -> str:
        """Return the step as a notebook shows it."""
        from nornir_etcd.report.notebook import step_cell  # noqa: PLC0415 - only a notebook asks for it

        return step_cell(self)


class CertificateReport(_Part):
    """One certificate of a member, or of the controller."""

    place: Annotated[str, Field(description='"client" or "peer" (as served), or the path where it lies')]
    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    is_ca: bool = False
    sans: Annotated[list[str], Field(description="DNS names, then IP addresses")] = []
    usages: Annotated[list[str], Field(description="Extended key usages: serverAuth, clientAuth, else the OID")] = []
    served: Annotated[list[int], Field(description="Ports of the member that serve it")] = []


class AuthorityReport(_Part):
    """The CAs of etcd as the controller's folder has them."""

    kind: Annotated[Literal["cluster", "dedicated"], Field(description="Whose CA signs: the cluster's, or etcd's own")]
    phase: Annotated[
        Literal["settled", "trust-both", "new-leaves", "drop-old"], Field(description="How far a CA rotation has come")
    ]
    signer: Annotated[str, Field(description="Common name of the CA that signs")]
    trusted: Annotated[list[str], Field(description="Common names of the CAs that are trusted, the former one first")]


class MemberReport(_Part):
    """One member of the inventory, also where it could not be reached. An empty string or null: not known."""

    name: str
    address: str
    ssh: Annotated[str, Field(description='"ok", or why the host could not be asked')]
    changed: bool = False
    member_id: Annotated[str, Field(description="Hexadecimal, as etcdctl prints it")] = ""
    role: Literal["leader", "follower", "learner", "unknown"] = "unknown"
    healthy: bool | None = None
    version: str = ""
    db_size: Annotated[int | None, Field(description="Bytes")] = None
    container: str = ""
    container_state: str = ""
    restarts: int | None = None
    certificate_days_left: int | None = None
    certificates: list[CertificateReport] = []
    db_size_in_use: Annotated[int | None, Field(description="Bytes")] = None
    db_quota: Annotated[int | None, Field(description="Bytes")] = None
    raft_term: int | None = None
    raft_index: int | None = None
    raft_applied_index: int | None = None
    read_seconds: Annotated[float | None, Field(description="Latency of a linearizable read")] = None
    hash: Annotated[str, Field(description="HashKV, hexadecimal")] = ""
    hash_revision: Annotated[int | None, Field(description="Revision up to which that was computed")] = None
    alarms: list[str] = []
    leader_changes: Annotated[int | None, Field(description="Seen since the member started")] = None
    wal_fsync_p99_seconds: float | None = None
    backend_commit_p99_seconds: float | None = None
    disk_window_seconds: Annotated[float, Field(description="Of both; 0: since the member started")] = 0.0
    clock_offset_seconds: Annotated[
        float | None, Field(description="Host's clock minus the controller's: the middle of its bounds")
    ] = None
    image: Annotated[str, Field(description="Tag, or digest where no tag is known")] = ""


class Link(_Part):
    """One way of the mesh: can one place reach the peer port of a member?"""

    source: Annotated[str, Field(description='Member, or "controller"')]
    target: Annotated[str, Field(description="Member")]
    state: Literal["open", "refused", "silent", "unknown"]
    reason: Annotated[str, Field(description="Why it is unknown")] = ""


class ClusterReport(_Part):
    """One cluster: members, plan and findings."""

    name: str
    outcome: Outcome
    members: list[MemberReport]
    plan: list[StepReport] = []
    refusals: Annotated[list[str], Field(description="Why nothing, or not everything, was done")] = []
    notes: list[str] = []
    findings: list[Finding] = []
    certificates: Annotated[list[CertificateReport], Field(description="The controller's own, with their CA")] = []
    authority: Annotated[AuthorityReport | None, Field(description="Null where no CA is known")] = None
    mesh: Annotated[list[Link], Field(description="Peer ports, from the controller and from every member")] = []
    error: Annotated[str, Field(description="Why the cluster's run ended early; empty where it did not")] = ""

    def count(self, severity: Severity) -> int:
        """Return how many findings have that severity and are not waived."""
        return sum(finding.severity is severity and finding.waiver is None for finding in self.findings)

    @property
    def owned(self) -> list[tuple[str, CertificateReport]]:
        """Every certificate with whose it is: the controller's, then each member's."""
        own = [("controller", one) for one in self.certificates]
        return own + [(member.name, one) for member in self.members for one in member.certificates]

    @property
    def waived(self) -> int:
        """How many findings that are not ok are waived."""
        return sum(finding.waiver is not None for finding in self.findings)

    def _repr_html_(self) -> str:
        """Return the cluster as a notebook shows it."""
        from nornir_etcd.report.notebook import cluster_cell  # noqa: PLC0415 - only a notebook asks for it

        return cluster_cell(self)


class Report(_Part):
    """The result of one runbook over all its clusters."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    tool: str
    runbook: str
    dry_run: bool
    started_at: datetime
    finished_at: datetime
    warnings: Annotated[list[str], Field(description="About the inventory")] = []
    clusters: list[ClusterReport]

    @property
    def changed(self) -> bool:
        """Whether any host was changed."""
        return any(member.changed for cluster in self.clusters for member in cluster.members)

    @property
    def exit_code(self) -> int:
        """Return the exit code of this report: the worst of its clusters.

        3 a step failed or was refused, 1 critical findings, 4 a required check could not be made, 0 none of these.
        (2, a usage or inventory error, has no report.) A failure is told before a finding, and a finding before a
        doubt, since that is the order in which an operator has to act.
        """
        if any(cluster.outcome in (Outcome.FAILED, Outcome.REFUSED) for cluster in self.clusters):
            return 3
        if any(cluster.count(Severity.CRITICAL) for cluster in self.clusters):
            return 1
        if any(cluster.count(Severity.UNKNOWN) for cluster in self.clusters):
            return 4
        return 0

    def _repr_html_(self) -> str:
        """Return the report as a notebook shows it."""
        from nornir_etcd.report.notebook import report_cell  # noqa: PLC0415 - only a notebook asks for it

        return report_cell(self)
