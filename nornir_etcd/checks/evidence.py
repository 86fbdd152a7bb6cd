"""What a check sees, and how it says what it found. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nornir_etcd.observation import Unknown
from nornir_etcd.plan.state import ClusterState, cluster_state
from nornir_etcd.report.model import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation, EndpointObservation, HostObservation
    from nornir_etcd.report.model import AuthorityReport


@dataclass(frozen=True)
class Evidence:
    """One observation of one cluster, with what the controller issued for it."""

    cluster: Cluster
    observation: ClusterObservation
    issued: Mapping[str, bytes]  # PEM of the certificate that the controller issued, by host name
    now: datetime  # controller's time
    state: ClusterState
    manifests: Mapping[str, str] = field(default_factory=dict)  # as deploy would write them, by host name
    authority: AuthorityReport | None = None  # what the controller's folder says of CAs; None where it has none

    def host(self, name: str) -> HostObservation:
        """Return what the host said."""
        return self.observation.hosts[name]

    def endpoint(self, name: str) -> EndpointObservation:
        """Return what the member's endpoint said."""
        return self.observation.endpoints[name]


def evidence(  # noqa: PLR0913, PLR0917 - each a part of what checks see
    cluster: Cluster,
    observation: ClusterObservation,
    issued: Mapping[str, bytes],
    now: datetime,
    manifests: Mapping[str, str] | None = None,
    authority: AuthorityReport | None = None,
) -> Evidence:
    """Return the evidence that one observation gives.

    Args:
        cluster: as the inventory wants it.
        observation: of its hosts and endpoints.
        issued: PEM of the certificate that the controller issued, by host name.
        now: controller's time.
        manifests: as deploy would write them, by host name; what is not rendered is not compared.
        authority: what the controller's folder says of CAs; None where it has none.
    """
    state = cluster_state(cluster, observation)
    return Evidence(cluster, observation, issued, now, state, manifests or {}, authority)


@dataclass(frozen=True)
class Check:
    """One question about one subject, which is answered in one of four ways.

    What was read is given by name, whatever the name: a host may be called `message`.
    """

    code: str
    subject: str

    def ok(self, message: str, /, **read: object) -> Finding:
        """Nothing is wrong."""
        return self._finding(Severity.OK, message, "", read)

    def warning(self, message: str, remedy: str, /, **read: object) -> Finding:
        """Something will go wrong, or is not as it should be."""
        return self._finding(Severity.WARNING, message, remedy, read)

    def critical(self, message: str, remedy: str, /, **read: object) -> Finding:
        """Something is wrong now."""
        return self._finding(Severity.CRITICAL, message, remedy, read)

    def unknown(self, why: Unknown | str, remedy: str = "", /, **read: object) -> Finding:
        """The question could not be answered."""
        reason = why.reason if isinstance(why, Unknown) else why
        return self._finding(Severity.UNKNOWN, reason, remedy, read)

    def _finding(self, severity: Severity, message: str, remedy: str, read: Mapping[str, object]) -> Finding:
        return Finding(
            code=self.code,
            severity=severity,
            subject=self.subject,
            message=message,
            evidence={name: str(value) for name, value in read.items()},
            remedy=remedy,
        )
