"""Whether a member may be stopped for a while. Pure: no I/O.

The rule (etcd's own arithmetic, https://etcd.io/docs/v3.5/faq/): the healthy voters that stay must be a quorum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.cluster import quorum
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.state import is_surely_down
from nornir_etcd.runtimes import runtime

if TYPE_CHECKING:
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.state import ClusterState


@dataclass(frozen=True)
class Margin:
    """How many voters stay while a member is stopped."""

    staying: int
    voters: int

    @property
    def spare(self) -> int:
        """How many more may fail; below 0 those who stay are no quorum."""
        return self.staying - quorum(self.voters)

    @property
    def enough(self) -> bool:
        """Whether those who stay are a quorum."""
        return self.spare >= 0

    def __str__(self) -> str:
        spare = self.spare
        survives = f"survives {spare} more failure{'s' if spare != 1 else ''}" if spare >= 0 else "below quorum"
        return f"{self.staying} of {self.voters} voters stay, quorum {quorum(self.voters)}: {survives}"


def margin_without(member: Member, state: ClusterState, healthy: frozenset[str]) -> Margin:
    """Return the margin while `member` is stopped and the hosts in `healthy` are the healthy ones.

    Learners do not vote and do not count; a member that its kubelet is about to restart does not stay.
    """
    voters = [info for info in state.live.members if not info.is_learner] if state.live else []
    return Margin(staying=len(healthy - state.restarting - {member.name}), voters=len(voters))


def runtime_refusal(member: Member, observation: ClusterObservation) -> str | None:
    """Return why a member may not be (re)started where its runtime does not answer, or None where it does.

    The new container could not be told from the one before, so nothing would prove the restart.
    """
    host, client = observation.hosts[member.name], runtime(member.settings.container_runtime).client
    for asked in (host.containers, host.images):
        if isinstance(asked, Unknown):
            return f"{member.name}: the runtime could not be asked: {asked.reason}; see that {client} works on the host"
    return None


def _doubt(member: Member, state: ClusterState, observation: ClusterObservation) -> str | None:
    """Return what is not known, or known to be wrong, so that no healthy member may be stopped; else None."""
    if state.live is None:
        return f"{member.name}: not stopped while no member tells the member list; look at the other members"
    alarms = [one.alarms for one in observation.endpoints.values() if not isinstance(one.alarms, Unknown)]
    if not alarms:
        return f"{member.name}: not stopped while no member tells its alarms; look at the other members"
    if any(alarm.kind == "CORRUPT" for raised in alarms for alarm in raised):
        return f"{member.name}: not stopped while etcd has raised a CORRUPT alarm; find the corrupt member first"
    return runtime_refusal(member, observation)


def refusal(
    member: Member,
    state: ClusterState,
    observation: ClusterObservation,
    healthy: frozenset[str],
    *,
    accept_downtime: bool,
) -> str | None:
    """Return why the member may not be stopped now, or None where it may.

    Args:
        member: the member that a step would stop.
        state: where the cluster stands by the same observation.
        observation: a fresh one.
        healthy: the hosts that are healthy when the step comes.
        accept_downtime: the operator's word that a cluster of one may be away for a while.
    """
    if member.name not in healthy and is_surely_down(member.name, observation):
        return None  # it serves nobody now; mending it can only help
    if doubt := _doubt(member, state, observation):
        return doubt
    others = [info for info in state.live.members if member.peer_url not in info.peer_urls] if state.live else []
    pending = [info for info in others if info.is_learner or not info.started or not info.client_urls]
    if pending:
        names = ", ".join(info.name or info.peer_urls[0] for info in pending)
        return f"{member.name}: not stopped while {names} has not joined as a voter; finish or remove it first"
    margin = margin_without(member, state, healthy)
    if margin.voters == 1:
        return (
            None
            if accept_downtime
            else (f"{member.name}: the only member, stopping it stops etcd; say --accept-downtime if that is meant")
        )
    if not margin.enough:
        return f"{member.name}: not stopped, quorum would be lost ({margin}); make the other members healthy first"
    return None
