"""Gives a host's API server what it needs of our etcd: files, endpoints, and a restart with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd import apiserver
from nornir_etcd.apiserver_edit import edited
from nornir_etcd.exceptions import PkiError, StepFailed
from nornir_etcd.layout import layout
from nornir_etcd.manifest import TRUSTED_CA
from nornir_etcd.observation import ClusterObservation, Unknown
from nornir_etcd.observe import observe_endpoint
from nornir_etcd.plan.clients import FLAG, judge, pointed_at
from nornir_etcd.plan.endpoints import owners
from nornir_etcd.plan.state import live_list
from nornir_etcd.remote.items import WriteFile
from nornir_etcd.remote.push import push
from nornir_etcd.tasks.apiserver_pod import Pod, put_in_place, read_pod
from nornir_etcd.tasks.certificates import store_of
from nornir_etcd.tasks.files import PUSH_DEADLINE, host_state

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import EndpointObservation, MemberList


def place_apiserver_files(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, dry_run: bool | None = None
) -> Result:
    """Place the API server's client certificate and key on the host, where they differ. Nothing is restarted.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the hosts; read anew where it is not given.
        dry_run: overrides Nornir's own.

    Returns:
        changed where something differed; the diff names it.

    Raises:
        PkiError: the controller's folder lacks a file.
        StepFailed: the host's files are another tool's.
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    _refuse_foreign(member)
    content = store_of(cluster).read()
    pair = content.apiservers.get(member.name)
    if pair is None or pair.certificate is None or pair.key is None:
        raise PkiError(
            f"{content.directory}",
            host=member.name,
            wanted="certificate and key of the host's API server",
            found="not both of them",
            remedy="run certs first",
        )
    paths, host = layout(member.settings), host_state(task, cluster, observation)
    differences = apiserver.file_differences(paths, pair, host)
    if differences and not task.is_dry_run(dry_run):
        items = [WriteFile(*file) for file in apiserver.client_files(paths, pair) if file[0] in differences]
        push(task.host, task.nornir.config, items, deadline=PUSH_DEADLINE)
    diff = "".join(f"{path} {what}\n" for path, what in differences.items())
    return Result(task.host, changed=bool(differences), diff=diff)


def write_apiserver_manifest(
    task: Task, cluster: Cluster, *, trust: str | None = None, dry_run: bool | None = None
) -> Result:
    """Point the host's API server at our etcd's CA and its own client certificate, and wait until it runs with them.

    The host is always read anew: the manifest is another's and may have changed meanwhile. The former one is kept in
    the folder above. Where the API server does not come up with the new one, the former one is put back. That is not
    done where the SSH session breaks: what became of the API server is unknown then, and the same task again waits for
    it.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        trust: a fingerprint of the CAs in the trust bundle on the host: another one restarts the API server. By default
            the SHA-256 of the bundle.
        dry_run: overrides Nornir's own.

    Returns:
        changed and the unified diff, where the manifest differs; as result why it could not be asked whether the API
        server is ready, empty where it has said that it is.

    Raises:
        StepFailed: the manifest cannot be edited, the API server could not start with it, or it did not come up.
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    _refuse_foreign(member)
    pod, paths = read_pod(task, cluster, member), layout(member.settings)
    if trust is None:
        trust = pod.host.files[paths.trusted_ca].sha256 if paths.trusted_ca in pod.host.files else ""
    try:
        wanted = edited(pod.text, flags=apiserver.wanted_flags(paths), annotations={TRUSTED_CA: trust})
        in_the_way = apiserver.obstacles(apiserver.parse(wanted), paths, pod.host)
    except ValueError as error:
        raise _not_editable(member, pod, error, "--etcd-cafile, --etcd-certfile and --etcd-keyfile") from error
    return put_in_place(task, cluster, pod, wanted, "our files", in_the_way, dry_run=task.is_dry_run(dry_run))


def replace_etcd_servers(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, dry_run: bool | None = None
) -> Result:
    """Point the host's API server at the members of the inventory, and wait until it runs with them.

    Which endpoints it keeps, `nornir_etcd.plan.clients` says. The host and the member list are always read anew; else
    as `write_apiserver_manifest`.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what was known before membership was changed: it tells the endpoints of members that have left.
        dry_run: overrides Nornir's own. Members that are still to come are no fault then.

    Returns:
        changed and the unified diff, where the endpoints are not those of the members; as result why it could not be
        asked whether the API server is ready, empty where it has said that it is.

    Raises:
        StepFailed: a member of the inventory is no live voter, the manifest cannot be edited, or the API server did not
            come up with it.
        RemoteError: the host could not be worked on.
    """
    member, dry = cluster.member(task.host.name), task.is_dry_run(dry_run)
    _refuse_foreign(member)
    pod, live = read_pod(task, cluster, member), _live(task, cluster, member)
    if not dry:
        _require_voters(cluster, member, live)
    before = live_list(observation) if observation else None
    hosts = {**(observation.hosts if observation else {}), member.name: pod.host}
    known = owners(cluster, (live, before) if before else (live,), hosts)
    try:
        stale = judge(member, apiserver.parse(pod.text).etcd_servers, known)
        wanted = pointed_at(pod.text, stale.wanted) if stale else pod.text
    except ValueError as error:
        raise _not_editable(member, pod, error, f"--{FLAG}") from error
    return put_in_place(task, cluster, pod, wanted, "these endpoints", [], dry_run=dry)


def _live(task: Task, cluster: Cluster, member: Member) -> MemberList:
    """Return the member list as the host's own member tells it by a quorum."""
    endpoint: EndpointObservation = observe_endpoint(task, cluster).result
    live = live_list(ClusterObservation(0.0, {}, {member.name: endpoint}))
    if live is None:
        asked = (endpoint.blind, endpoint.status, endpoint.read_seconds, endpoint.members)
        why = next((one.reason for one in asked if isinstance(one, Unknown)), "one that knows no leader")
        raise StepFailed(
            f"the API server's --{FLAG} is not changed",
            host=member.name,
            wanted="the member list from a member that answers a linearizable read",
            found=why,
            remedy="bring the host's member up first (see verify)",
        )
    return live


def _require_voters(cluster: Cluster, member: Member, live: MemberList) -> None:
    """Refuse to point a client at what is no member yet: it might be another etcd, and a learner serves no writes."""
    voters = {url for info in live.members if info.client_urls and not info.is_learner for url in info.peer_urls}
    if others := [one.name for one in cluster.members if one.peer_url not in voters]:
        raise StepFailed(
            f"the API server's --{FLAG} is not changed",
            host=member.name,
            wanted="every member of the inventory as a live voter",
            found=f"none for {', '.join(others)}",
            remedy="change membership first (see members)",
        )


def _not_editable(member: Member, pod: Pod, error: ValueError, flags: str) -> StepFailed:
    remedy = f"set {flags} in it by hand"
    return StepFailed(f"{pod.path} cannot be edited", host=member.name, found=str(error), remedy=remedy)


def _refuse_foreign(member: Member) -> None:
    if member.settings.etcd_preset != "cfssl":
        raise StepFailed(
            "the API server is not touched",
            host=member.name,
            wanted="etcd_preset cfssl",
            found=member.settings.etcd_preset,
            remedy="the tool that made this etcd writes its files",
        )
