"""Runtime reconfiguration over the client of the connection plugin `etcd`: one call each, none of them repeated.

etcd's own word for it: https://etcd.io/docs/v3.5/op-guide/runtime-configuration/. After an error that is in doubt
(refusals.is_doubtful) the change may have been made, or be made yet: the member list tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from nornir_etcd.connections import messages
from nornir_etcd.connections.rpc import _ALARM_KINDS, _call, linearizable_read, member_list
from nornir_etcd.exceptions import EtcdRefused

if TYPE_CHECKING:
    from etcd3 import MultiEndpointEtcd3Client

    from nornir_etcd.observation import MemberList

_ALARM_DEACTIVATE = 2  # AlarmRequest.AlarmAction of etcd's api/etcdserverpb/rpc.proto


def live_members(client: MultiEndpointEtcd3Client, *, timeout: float) -> MemberList:
    """Return the cluster's member list, as it is when it is asked for or later.

    3.4 gives the list of the member that is asked; by a linearizable read before, that one has applied all that was
    agreed on (changes of membership go through the same log).

    Args:
        client: `connection` of the plugin `etcd`, of a voter.
        timeout: seconds for each of the two calls.

    Raises:
        EtcdError: one of its four kinds.
    """
    linearizable_read(client, timeout=timeout)
    return member_list(client, linearizable=True, timeout=timeout)


def member_add(client: MultiEndpointEtcd3Client, *, peer_url: str, timeout: float) -> int:
    """Add a member, as a learner: it counts for no quorum before it is promoted.

    Args:
        client: `connection` of the plugin `etcd`, of a voter.
        peer_url: its peer URL.
        timeout: seconds.

    Returns:
        Its ID, another at every call.

    Raises:
        EtcdError: one of its four kinds.
    """
    request, what = messages.MemberAddRequest(peerURLs=[peer_url], isLearner=True), f"member add {peer_url}"
    answer = _change(client, "Cluster/MemberAdd", request, messages.MemberAddResponse, timeout, what=what)
    return int(answer.member.ID)


def member_promote(client: MultiEndpointEtcd3Client, *, member_id: int, timeout: float) -> None:
    """Make a learner a voter. Any voter passes it on to the leader, who alone knows how far the learner is.

    A voter that is no leader asks the leader again and again while that one refuses for another reason than those that
    it knows, and says in the end that the time ran out (PromoteMember in server/etcdserver/server.go).

    Args:
        client: `connection` of the plugin `etcd`, of a voter.
        member_id: ID of the learner.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.MemberPromoteRequest(ID=member_id)
    what = f"member promote {member_id:x}"
    _change(client, "Cluster/MemberPromote", request, messages.MemberPromoteResponse, timeout, what=what)


def member_remove(client: MultiEndpointEtcd3Client, *, member_id: int, timeout: float) -> None:
    """Remove a member for good. It ends a second after it has learned of it; it may be the one that is asked.

    Args:
        client: `connection` of the plugin `etcd`, of a voter.
        member_id: its ID.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.MemberRemoveRequest(ID=member_id)
    what = f"member remove {member_id:x}"
    _change(client, "Cluster/MemberRemove", request, messages.MemberRemoveResponse, timeout, what=what)


def member_update(client: MultiEndpointEtcd3Client, *, member_id: int, peer_url: str, timeout: float) -> None:
    """Give a voter another peer URL in the member list, in the place of all that it has.

    Never a learner: etcd then lists it as a voter, which it is not, and promotes it no more.

    Args:
        client: `connection` of the plugin `etcd`, of a voter.
        member_id: its ID.
        peer_url: the only peer URL that it is to have.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    request = messages.MemberUpdateRequest(ID=member_id, peerURLs=[peer_url])
    what = f"member update {member_id:x} to {peer_url}"
    _change(client, "Cluster/MemberUpdate", request, messages.MemberUpdateResponse, timeout, what=what)


def disarm_alarm(
    client: MultiEndpointEtcd3Client, *, member_id: int, kind: Literal["CORRUPT", "NOSPACE"], timeout: float
) -> None:
    """Take back an alarm of one member; harmless where there is none.

    Args:
        client: `connection` of the plugin `etcd`, of a voter.
        member_id: ID of the member that raised it, or that it is about.
        kind: which alarm.
        timeout: seconds.

    Raises:
        EtcdError: one of its four kinds.
    """
    (number,) = (number for number, name in _ALARM_KINDS.items() if name == kind)
    request = messages.AlarmRequest(action=_ALARM_DEACTIVATE, memberID=member_id, alarm=number)
    what = f"alarm disarm {kind} of {member_id:x}"
    _change(client, "Maintenance/Alarm", request, messages.AlarmResponse, timeout, what=what)


def _change(  # noqa: PLR0913 - a call, and its name for the operator
    client: MultiEndpointEtcd3Client, path: str, request: Any, response: Any, timeout: float, *, what: str
) -> Any:
    """Call one method; an error names what was asked for and what to do.

    Raises:
        EtcdError: one of its four kinds.
    """
    try:
        return _call(client, path, request, response, timeout)
    except EtcdRefused as error:
        error.thing = f"{error.thing}: {what}"
        error.remedy = error.remedy or "see the log of the etcd that was asked"
        raise
