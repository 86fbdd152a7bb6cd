"""What etcd says when it refuses, and what to do about it. The texts are those of its api/v3rpc/rpctypes/error.go."""

from __future__ import annotations

from nornir_etcd.exceptions import EtcdRefused

LEARNER_NOT_READY = "etcdserver: can only promote a learner member which is in sync with leader"
NOT_A_LEARNER = "etcdserver: can only promote a learner member"
TOO_MANY_LEARNERS = "etcdserver: too many learner members in cluster"
MEMBER_NOT_FOUND = "etcdserver: member not found"
PEER_URL_EXISTS = "etcdserver: Peer URLs already exists"
NOT_ENOUGH_STARTED = "etcdserver: re-configuration failed due to not enough started members"
UNHEALTHY = "etcdserver: unhealthy cluster"
LEADER_CHANGED = "etcdserver: leader changed"
NOT_LEADER = "etcdserver: not leader"
NO_LEADER = "etcdserver: no leader"
STOPPED = "etcdserver: server stopped"

QUORUM = "check that a majority of members runs, and its load and disks"
_VOTER = "ask a member that votes"

REMEDIES = {
    LEARNER_NOT_READY: "see the learner's log: it must run, and leader and learner must reach each other's peer port",
    NOT_A_LEARNER: "it votes already; read the member list again",
    TOO_MANY_LEARNERS: "promote or remove the learner that is there, then add this one",
    MEMBER_NOT_FOUND: "read the member list again; an ID that was removed never comes back",
    PEER_URL_EXISTS: "remove the member that has this peer URL, or give the new one another",
    NOT_ENOUGH_STARTED: "start the members that have never started, or remove them, before a voter leaves",
    # mayAddMember and mayRemoveMember in server/etcdserver/server.go; a voter that is down can be removed all the same.
    UNHEALTHY: "bring back, or remove, the voters that the member asked has not been connected to for 5 s",
    LEADER_CHANGED: QUORUM,
    NOT_LEADER: QUORUM,
    NO_LEADER: QUORUM,
    STOPPED: "see etcd's log: it stops",
    "etcdserver: given member URLs are invalid": "give a peer URL such as https://192.0.2.1:2380",
    "etcdserver: rpc not supported for learner": _VOTER,
    "etcdserver: permission denied": "give the client certificate's user the role that it needs; for members, root",
    "etcdserver: user name is empty": "give a client certificate whose common name is a user of etcd",
}
"""What to do, by text; those that are not here are explained where they are met."""

# Codes of what etcd does not put into words of its own: the call broke off, and may have had its effect.
_UNSAID = ("UNKNOWN", "CANCELLED", "INTERNAL")


def said(error: Exception, *texts: str) -> bool:
    """Return whether an error is etcd's refusal in one of these words, whole: one of them is the beginning of another.

    Args:
        error: any.
        texts: constants of this module.
    """
    return isinstance(error, EtcdRefused) and error.found.partition(" ")[2] in texts


def passes(error: Exception) -> bool:
    """Return whether an error is a refusal that ends by itself: nothing was changed, and the same may be asked again.

    Args:
        error: any.
    """
    return said(error, LEARNER_NOT_READY, UNHEALTHY, LEADER_CHANGED, NOT_LEADER, NO_LEADER)


def is_doubtful(error: Exception) -> bool:
    """Return whether what was asked for may have been done, or be done yet, in spite of the error.

    Args:
        error: an EtcdError of a call that writes.
    """
    if not isinstance(error, EtcdRefused):
        return True
    code, _, text = error.found.partition(" ")
    return text == STOPPED or (code in _UNSAID and not text.startswith("etcdserver: "))
