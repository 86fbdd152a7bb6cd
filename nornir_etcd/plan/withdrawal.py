"""Takes back a learner that did not come up, so that the cluster is as it was. Pure: no I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nornir_etcd.plan.member_steps import PROOFS, UNDOS
from nornir_etcd.plan.state import live_list
from nornir_etcd.plan.step import Step

if TYPE_CHECKING:
    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.sequence import MemberAction

AGAIN = "the same command goes on with it"


def withdrawal(cluster: Cluster, observation: ClusterObservation, failed: Step) -> tuple[Step, ...] | str:
    """Return the steps that take back what a failed step of a join has left, or why it is left as it is.

    A learner has no vote (https://etcd.io/docs/v3.5/learning/design-learner/): to remove it narrows nothing. Its data
    go first, as in a repair.

    Args:
        cluster: as the inventory wants it.
        observation: a fresh one.
        failed: the step that failed: the learner's start, or its promotion.
    """
    live = live_list(observation)
    if live is None:
        return f"the learner was not removed again: no quorum answers; {AGAIN}"
    url = cluster.member(failed.host).peer_url
    entry = next((info for info in live.members if url in info.peer_urls), None)
    if entry is not None and not entry.is_learner:
        return f"it was promoted all the same; {AGAIN}"
    steps = []
    if observation.hosts[failed.host].error is None:
        steps.append(_step(failed.host, "set-data-aside", "its host"))
    if entry is not None:
        steps.append(replace(_step(failed.host, "remove-member", "the cluster"), member_id=entry.id, peer_url=url))
    return tuple(steps)


def _step(host: str, action: MemberAction, what: str) -> Step:
    return Step(
        host=host,
        action=action,
        reason=f"the learner did not come up as a voter: {what} is as it was before",
        precondition="it has no vote",
        proof=PROOFS[action],
        undo=UNDOS[action],
    )
