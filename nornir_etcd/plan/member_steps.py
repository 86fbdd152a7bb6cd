"""The steps of a change of membership: what each needs, what shows that it worked, what undoes it. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.step import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.plan.reconfiguration import Change
    from nornir_etcd.plan.sequence import MemberAction, Stage

PURPOSES = {
    "add": "the inventory has it, the live list does not",
    "remove": "the live list has it, the inventory does not",
    "repair": "its data are lost: it must not start again under its old ID",
    "re-address": "the inventory has it at another address",
    "start": "its data are on the host, and no manifest",
}
PRECONDITIONS: dict[MemberAction, str] = {
    "add-learner": "the live list has no learner, and the host's data directory is absent or empty",
    "start-learner": "the live list has it as a learner, and its data directory is its own or prepared for it",
    "promote-member": "the learner has started and has caught up with the leader",
    "remove-member": "the members that stay are a quorum; leadership is elsewhere",
    "clear-member": "the live list does not have it",
    "set-data-aside": "the other members are a quorum",
    "update-peer-url": "the other members are a quorum; leadership is elsewhere",
    "readdress-member": "the live list has the new peer URL",
}
PROOFS: dict[MemberAction, str] = {
    "add-learner": "the live list has it as a learner",
    "start-learner": "a container runs, and the learner answers and knows the leader",
    "promote-member": "the live list has it as a voter",
    "remove-member": "its ID is not in the live list",
    "clear-member": "no container of etcd runs; manifest, certificates and data directory are gone from their places",
    "set-data-aside": "no container of etcd runs, and the data directory is gone from its place",
    "update-peer-url": "the live list has the new peer URL",
    "readdress-member": "a new container runs, and the member answers a linearizable read",
}
UNDOS: dict[MemberAction, str] = {
    "add-learner": "remove the learner; it has no vote",
    "start-learner": "remove the learner; it has no vote",
    "promote-member": "remove the member",
    "remove-member": "add a member on an empty data directory; the removed ID never comes back",
    "clear-member": "the data directory lies beside under another name; the rest is made anew",
    "set-data-aside": "the data directory lies beside under another name",
    "update-peer-url": "update it to the former peer URL",
    "readdress-member": "write the former manifest again",
}


def steps_of(stage: Stage, leader: int) -> Iterator[Step]:
    """Yield the steps of one stage.

    Args:
        stage: of the sequence.
        leader: member ID of the one that leads; 0 where it is not known.
    """
    change = stage.change
    if stage.stops and change.id == leader and not (stage.action == "readdress-member" and change.kind == "update"):
        yield Step(
            host=change.name,
            action="move-leader",
            reason="the leader is stopped next: another member shall lead, so that it costs no election",
            precondition="another voter has caught up",
            proof="another member leads",
            undo="none needed: any member may lead",
            member_id=change.id,
        )
    yield Step(
        host=change.name,
        action=stage.action,
        reason=f"{change.purpose}{_about(stage)}",
        precondition=PRECONDITIONS[stage.action] + (_ACKNOWLEDGED if stage.needs_acknowledgement else ""),
        proof=PROOFS[stage.action],
        undo=UNDOS[stage.action],
        disruptive=stage.stops,
        margin=str(stage.least),
        member_id=change.id,
        peer_url=change.peer_url,
    )
    if stage.action == "promote-member":
        yield Step(
            host=change.name,
            action="await-member",
            reason="it votes from now on",
            precondition="the live list has it as a voter",
            proof="the member answers a linearizable read",
            undo="none needed: nothing is changed",
        )


_ACKNOWLEDGED = "; the operator has acknowledged that one more failure would stop the cluster"


def _about(stage: Stage) -> str:
    """Return whom a step is about, and why."""
    change = stage.change
    who = f"member {hexadecimal(change.id)}, " if change.id else ""
    if change.kind == "resume":
        return f" ({who}{change.peer_url}): it is a learner, and is to vote"
    if change.kind == "clear":
        return f" ({who}{change.peer_url}): it is no member any more, and something of it is on its host"
    if change.purpose == "replace":
        return f" {subject(change)} ({who}{change.peer_url}){_left_alone(change)}"
    if change.damage:
        return f" ({who}{change.peer_url}): its data are corrupt ({change.damage})"
    return f" ({who}{change.peer_url}): {PURPOSES[change.purpose]}{_left_alone(change)}"


def _left_alone(change: Change) -> str:
    """Return that the host of a member which leaves stays as it is; empty where it is cleared."""
    return "; its host is left as it is" if change.kind == "remove" and not change.clears else ""


def subject(change: Change) -> str:
    """Return whom a change is about; both where one replaces the other.

    Args:
        change: the change.
    """
    if change.purpose != "replace":
        return change.name
    gone, new = (change.name, change.other) if change.kind == "remove" else (change.other, change.name)
    return f"{gone} by {new}"
