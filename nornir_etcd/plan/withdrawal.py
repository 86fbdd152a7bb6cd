"""Takes back a learner that did not come up, so that the cluster is as it was. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.plan.state import live_list
from nornir_etcd.plan.step import Step

if TYPE_CHECKING:
    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation

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
    host = observation.hosts[failed.host]
    steps = []
    if host.error is None:
        steps.append(
            Step(
                host=failed.host,
                action="set-data-aside",
                reason="the learner did not come up as a voter: its host is as it was before",
                precondition="it has no vote",
                proof="no container of etcd runs, and the data directory is gone from its place",
                undo="the data directory lies beside under another name",
            )
        )
    if entry is not None:
        steps.append(
            Step(
                host=failed.host,
                action="remove-member",
                reason="the learner did not come up as a voter: the cluster is as it was before",
                precondition="it has no vote",
                proof="its ID is not in the live list",
                undo="add it again",
                member_id=entry.id,
                peer_url=url,
            )
        )
    return tuple(steps)
