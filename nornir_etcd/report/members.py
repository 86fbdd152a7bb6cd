"""The rows of the report's member table, out of an observation. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nornir_etcd.exceptions import PkiError
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.certificate import days_left, describe
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.state import is_healthy, known_status
from nornir_etcd.report.model import MemberReport

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, EndpointObservation, MemberStatus


def member_reports(
    cluster: Cluster,
    observation: ClusterObservation | None,
    *,
    changed: Collection[str],
    now: datetime,
    error: str = "",
) -> list[MemberReport]:
    """Return one row for each member of the inventory, also where nothing is known of it.

    Args:
        cluster: the cluster.
        observation: the last one taken; None where the run ended before there was one.
        changed: the hosts that the run has changed.
        now: controller's time.
        error: why there is no observation.
    """
    if observation is None:
        return [MemberReport(name=member.name, address=member.address, ssh=error) for member in cluster.members]
    return [_row(member, observation, changed=member.name in changed, now=now) for member in cluster.members]


def road_notes(observation: ClusterObservation) -> list[str]:
    """Return a note that names the members that were asked through SSH; none where there are none."""
    names = ", ".join(name for name, endpoint in observation.endpoints.items() if endpoint.via == "ssh")
    return [f"etcd was asked through the host's SSH session: {names} (etcd_via)"] if names else []


def _row(member: Member, observation: ClusterObservation, *, changed: bool, now: datetime) -> MemberReport:
    host, endpoint = observation.hosts[member.name], observation.endpoints[member.name]
    status = known_status(endpoint)
    container = host.container
    unasked = endpoint.via == "ssh" and endpoint.blind is not None
    return MemberReport(
        name=member.name,
        address=member.address,
        ssh=host.error.reason if host.error else "ok",
        changed=changed,
        member_id=hexadecimal(status.member_id) if status else "",
        role=_role(status),
        healthy=None if status is None and (endpoint.client_port is True or unasked) else is_healthy(endpoint),
        version=status.version if status else "",
        db_size=status.db_size if status else None,
        container=container.id[:13] if container else "",
        container_state=container.state if container else "",
        restarts=container.attempt if container else None,
        certificate_days_left=_days_left(endpoint, now),
    )


def _role(status: MemberStatus | None) -> Literal["leader", "follower", "learner", "unknown"]:
    if status is None:
        return "unknown"
    if status.is_learner:
        return "learner"
    return "leader" if status.leader == status.member_id else "follower"


def _days_left(endpoint: EndpointObservation, now: datetime) -> int | None:
    if isinstance(endpoint.served_client, Unknown):
        return None
    try:
        return days_left(describe(endpoint.served_client), now)
    except PkiError:
        return None
