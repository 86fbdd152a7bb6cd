"""Who reads a cluster's endpoint list and has to follow its members: the API servers on their hosts. Pure: no I/O.

What an API server's --etcd-servers should say, and why:

- One that asks a single member is left alone as long as that is wanted: its own host's (kubeadm's stacked way, by a
  loopback address or the member's own), or another's. Whoever wrote it meant that one.
- One that asks several gets the client URLs of the inventory's members, in inventory order, where one of them is
  missing or another one is named. The order alone says nothing: the client asks all of them in turn (round_robin in
  client/v3/internal/resolver/resolver.go of etcd), so it costs no restart.
- What is no member's and has a name, another port or no TLS may be a load balancer: it is left where it is, after the
  members, and told. An IP address on etcd's own port beside members is taken for a former member's: were it kept, the
  API server would write to whatever etcd of the same CA is started there next. A load balancer that has one is shown in
  the plan before it goes, and the members behind it are in the list.
- A list without any member is another etcd's, or a load balancer's alone: it is left alone, unless an address in it is
  known as a former member's, since a member's manifest names it in --initial-cluster.

A learner is no endpoint for an API server (it refuses most requests, https://etcd.io/docs/v3.5/learning/design-learner/),
nor is a member that is still to come: the step belongs after the changes of membership, and its task refuses before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.apiserver import ApiServer
from nornir_etcd.apiserver_edit import edited
from nornir_etcd.layout import layout
from nornir_etcd.manifest import manifest_diff
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.endpoints import by_owner, owners
from nornir_etcd.plan.state import live_list
from nornir_etcd.plan.step import Step

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, MemberList
    from nornir_etcd.plan.endpoints import Owners, Sorted

FLAG = "etcd-servers"
KUBEADM = (
    "change etcd.external.endpoints in the ConfigMap kubeadm-config as well, if there is one: "
    "`kubeadm upgrade` writes the manifest anew from it"
)


@dataclass(frozen=True)
class StaleClient:
    """An API server whose list of endpoints is not that of the members.

    Attributes:
        host: where it runs.
        servers: the endpoints that it has, as they are written.
        gone: those of them that are no live and no wanted member's.
        leaving: those of a live member that the inventory does not have.
        missing: client URLs of wanted members that it does not have.
        wanted: what it should have.
    """

    host: str
    servers: tuple[str, ...]
    gone: tuple[str, ...]
    leaving: tuple[str, ...]
    missing: tuple[str, ...]
    wanted: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What is wrong with its list, in one line."""
        said = (
            (self.gone, "is no member's", "are no member's"),
            (self.leaving, "is that of a member which leaves", "are those of members which leave"),
            (self.missing, "is missing", "are missing"),
        )
        return "; ".join(f"{', '.join(urls)} {one if len(urls) == 1 else more}" for urls, one, more in said if urls)


def asks(cluster: Cluster, member: Member, apiserver: ApiServer) -> bool:
    """Whether an API server asks this etcd, and not one of its own elsewhere.

    Args:
        cluster: as the inventory wants it.
        member: on whose host it runs.
        apiserver: what its manifest says.
    """
    return not apiserver.etcd_servers or bool(by_owner(member, apiserver.etcd_servers, owners(cluster, (), {})).named)


def judge(member: Member, servers: Sequence[str], known: Owners) -> StaleClient | None:
    """Return what differs between an API server's endpoints and those of the members; None where it is left alone.

    Args:
        member: on whose host it runs.
        servers: its endpoints.
        known: whose endpoints are known.
    """
    found = by_owner(member, servers, known)
    present = set(found.named.values())
    missing = tuple(one.client_url for one in known.cluster.members if one.name not in present)
    if not found.gone and not found.leaving and (len(present) <= 1 or not missing):
        return None
    members = (one.client_url for one in known.cluster.members)
    return StaleClient(
        host=member.name,
        servers=tuple(servers),
        gone=found.gone,
        leaving=found.leaving,
        missing=missing,
        wanted=(*members, *found.unknown),
    )


def pointed_at(text: str, servers: Iterable[str]) -> str:
    """Return an API server's manifest with other endpoints, every other byte as it was.

    Args:
        text: the manifest.
        servers: the endpoints.

    Raises:
        ValueError: it has a shape that cannot be edited, in one line.
    """
    return edited(text, flags={FLAG: ",".join(servers)}, annotations={})


def stale_clients(cluster: Cluster, observation: ClusterObservation) -> tuple[StaleClient, ...]:
    """Return the API servers whose endpoints are not those of the members, in inventory order.

    None where no quorum tells the member list: nothing is judged by a doubtful one.

    Args:
        cluster: as the inventory wants it.
        observation: of its hosts and members.
    """
    live = live_list(observation)
    if live is None:
        return ()
    known = owners(cluster, (live,), observation.hosts)
    found = (
        judge(member, apiserver.etcd_servers, known)
        for member in cluster.members
        if isinstance(apiserver := _apiserver(member, observation), ApiServer)
    )
    return tuple(one for one in found if one is not None)


def plan_clients(
    cluster: Cluster, observation: ClusterObservation, scope: Collection[str]
) -> tuple[tuple[Step, ...], ...]:
    """Return the steps that give API servers the members' endpoints: a wave for each, so that the others serve on.

    They belong after every change of membership. A manifest that cannot be edited has no step; `client_lines` names it.

    Args:
        cluster: as the inventory wants it.
        observation: of its hosts and members.
        scope: the hosts that may change.
    """
    return tuple(
        (_step(stale, _diff(cluster.member(stale.host), observation, stale)),)
        for stale in stale_clients(cluster, observation)
        if stale.host in scope and not _obstacle(cluster, observation, stale)
    )


def client_lines(cluster: Cluster, observation: ClusterObservation) -> Iterator[str]:
    """Yield every API server on the hosts: what it asks, whose that is, and what it should ask.

    Args:
        cluster: as the inventory wants it.
        observation: of its hosts and members.
    """
    live = live_list(observation)
    known = owners(cluster, (live,) if live else (), observation.hosts)
    stale = {one.host: one for one in stale_clients(cluster, observation)}
    for member in cluster.members:
        apiserver = _apiserver(member, observation)
        if isinstance(apiserver, Unknown):
            yield f"client: {member.name}: kube-apiserver: {apiserver.reason}"
        if not isinstance(apiserver, ApiServer):
            continue
        where = f"client: {member.name}: kube-apiserver"
        found = by_owner(member, apiserver.etcd_servers, known)
        told = ", ".join(apiserver.etcd_servers) or f"(no --{FLAG})"
        if live is None:
            yield f"{where} asks {told}: whether these are the members is not known: no quorum tells the member list"
            continue
        if one := stale.get(member.name):
            yield f"{where} asks {told}: {one.reason}; wanted --{FLAG}={','.join(one.wanted)}; {KUBEADM}"
            if why := _obstacle(cluster, observation, one):
                yield f"{where}: it is not changed here: {why}; set --{FLAG} by hand"
        else:
            yield f"{where} asks {told}: {_alone(member, found, cluster, live)}"
        if found.unknown and found.named:
            yield f"{where}: whose {', '.join(found.unknown)} is, is not known; left alone"
        yield from (f"{where}: {line}" for line in _overridden(member, apiserver, known))


def _alone(member: Member, found: Sorted, cluster: Cluster, live: MemberList) -> str:
    """Return why a list is left as it is."""
    present = set(found.named.values())
    if not present:
        return "no member of this cluster; another etcd or a load balancer, left alone"
    if len(present) > 1 or len(cluster.members) == 1:
        return "all members"
    if present != {member.name}:
        return f"{present.pop()} alone; left alone"
    listed = any(member.peer_url in info.peer_urls for info in live.members)
    return f"its own host's etcd alone{'' if listed else ', which is no member yet'}; left alone"


def _overridden(member: Member, apiserver: ApiServer, known: Owners) -> Iterator[str]:
    for resource, servers in apiserver.etcd_servers_overrides:
        found = by_owner(member, servers, known)
        if wrong := (*found.gone, *found.leaving):
            yield (
                f"--{FLAG}-overrides has {', '.join(wrong)} for {resource}, wanted members of the inventory; "
                "it is not changed here, set it by hand"
            )


def _apiserver(member: Member, observation: ClusterObservation) -> ApiServer | Unknown | None:
    """Return what the API server on a host says; None where there is none, why where it cannot be told."""
    host = observation.hosts[member.name]
    seen = host.error or host.apiserver
    if isinstance(seen, Unknown):
        return Unknown(f"whether one runs is not known: {seen.reason}")
    if seen is None:
        return None
    path = layout(member.settings).apiserver_manifest
    return seen.manifest or Unknown(f"it runs, and its manifest does not lie where it is looked for ({path})")


def _obstacle(cluster: Cluster, observation: ClusterObservation, stale: StaleClient) -> str:
    """Return why a manifest cannot be changed; empty where it can."""
    if not cluster.managed:
        return f"its files are {cluster.members[0].settings.etcd_preset}'s (etcd_preset)"
    member, host = cluster.member(stale.host), observation.hosts[stale.host]
    path = layout(member.settings).apiserver_manifest
    kind = host.files[path].kind if path in host.files else "absent"
    if kind != "file":
        return f"{path}: wanted a file, found {kind}"
    try:
        _diff(member, observation, stale)
    except ValueError as error:
        return f"{path}: {error}"
    return ""


def _diff(member: Member, observation: ClusterObservation, stale: StaleClient) -> str:
    path = layout(member.settings).apiserver_manifest
    text = observation.hosts[member.name].texts.get(path, "")
    return manifest_diff(text, pointed_at(text, stale.wanted), path)


def _step(stale: StaleClient, diff: str) -> Step:
    return Step(
        host=stale.host,
        action="replace-etcd-servers",
        reason=f"the API server's --{FLAG}: {stale.reason}",
        precondition="the members of its new list are live voters",
        proof="a new container runs, and says that it is ready where it can be asked",
        undo="write the former manifest again, which is kept in the folder above",
        diff=diff,
    )
