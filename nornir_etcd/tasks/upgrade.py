"""Changes a member's version, sees it through, and puts its former manifest back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.exceptions import StepFailed
from nornir_etcd.layout import MANIFEST_MODE, layout
from nornir_etcd.manifest import image_of, manifest_diff
from nornir_etcd.observation import Unknown
from nornir_etcd.observe import etcd_client, observe_endpoint
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.state import is_healthy, is_older_than_manifest, known_status
from nornir_etcd.remote.items import WriteFile
from nornir_etcd.remote.push import push
from nornir_etcd.tasks.container import HEALTH_PAUSE, await_member
from nornir_etcd.tasks.files import PUSH_DEADLINE, host_state
from nornir_etcd.tasks.manifest import write_manifest
from nornir_etcd.versions import parse, ready_path

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation

RPC_TIMEOUT = 10.0
"""Seconds for a downgrade to be validated or enabled: it goes through the log of all members."""
IMAGE_PAUSE = 1.0
"""Seconds between looks at a container that its kubelet is about to replace, which takes 7 to 17 s (1.36)."""


def upgrade_member(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, dry_run: bool | None = None
) -> Result:
    """Write the manifest of the wanted version, keep the former one beside, and wait until the member runs it.

    Whether the member may be stopped is not asked here: `upgrade` asks before each restart.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the hosts; read anew where it is not given.
        dry_run: overrides Nornir's own.

    Returns:
        changed and the unified diff, where the manifest differs.

    Raises:
        StepFailed: the member did not come up in time, or runs another version than the wanted one.
        RemoteError: the host could not be worked on.
    """
    written = task.run(task=write_manifest, cluster=cluster, observation=observation, keep_former=True, dry_run=dry_run)
    if not task.is_dry_run(dry_run):
        task.run(task=await_version, cluster=cluster, observation=observation, restarted=True)
    return Result(task.host, changed=written[0].changed, diff=written[0].diff)


def await_version(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, restarted: bool = False
) -> Result:
    """Wait until the member runs the wanted image, answers as the wanted release, and is ready by its own word.

    A linearizable read, which a member answers when it has applied all that was agreed on before, says that it has
    caught up.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what was known before.
        restarted: whether a container other than those in `observation` must run. It must in any case where those are
            older than the manifest.

    Raises:
        StepFailed: it did not come up in time, or is something else.
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    if observation is not None and is_older_than_manifest(member, observation.hosts[member.name]):
        restarted = True  # the kubelet has not acted on it yet
    task.run(task=await_member, cluster=cluster, observation=observation, restarted=restarted)
    ends = time.monotonic() + member.settings.etcd_health_timeout
    while wrong := _wrong(task, cluster, member):
        if time.monotonic() >= ends:
            raise StepFailed(
                "the member is not what was wanted",
                host=member.name,
                wanted=f"{member.settings.etcd_image}, ready, within {member.settings.etcd_health_timeout} s",
                found=wrong,
                remedy="see its log, and which image the container runs",
            )
        time.sleep(HEALTH_PAUSE)
    return Result(task.host)


def _wrong(task: Task, cluster: Cluster, member: Member) -> str:
    """Return what the member lacks of what is wanted; empty where it lacks nothing."""
    wanted = member.settings.etcd_image
    host = host_state(task, cluster, None)
    container, images = host.container, host.images
    if container is None or not container.running:
        return "no container that runs"
    if not isinstance(images, Unknown) and wanted in images and images[wanted] != container.image_id:
        return f"a container of {container.image or container.image_id}"
    seen = observe_endpoint(task, cluster, deep=True).result
    status = known_status(seen)
    if status is None or not is_healthy(seen):
        return "no healthy answer"
    if release(status.version) != parse(member.settings.etcd_version):
        return f"etcd {status.version}"
    path = ready_path(parse(member.settings.etcd_version))
    if isinstance(seen.probes, Unknown):
        return f"no word at {path}: {seen.probes.reason}"
    answer = seen.probes.answers.get(path)
    return "" if answer in (None, 200) else f"{answer} at {path}"


def roll_back_member(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, dry_run: bool | None = None
) -> Result:
    """Put the manifest back that an upgrade has kept, and wait until the member runs it and answers.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the hosts; read anew where it is not given.
        dry_run: overrides Nornir's own.

    Returns:
        changed and the unified diff.

    Raises:
        StepFailed: there is no former manifest, or the member did not come up with it either.
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    paths, host = layout(member.settings), host_state(task, cluster, observation)
    former = _former(member, host)
    diff = manifest_diff(host.texts.get(paths.manifest), former, paths.manifest)
    if diff and not task.is_dry_run(dry_run):
        item = WriteFile(paths.manifest, former.encode(), MANIFEST_MODE, staging=paths.staging)
        push(task.host, task.nornir.config, [item], deadline=PUSH_DEADLINE)
        _await_image(task, cluster, member, image_of(former))
        task.run(task=await_member, cluster=cluster)
    return Result(task.host, changed=bool(diff), diff=diff)


def _await_image(task: Task, cluster: Cluster, member: Member, image: str) -> None:
    """Wait until the newest container is of an image.

    A new one alone proves nothing here: a container that crashes again and again is made anew until the kubelet acts.
    """
    ends = time.monotonic() + member.settings.etcd_start_timeout
    while not _is_of(host := host_state(task, cluster, None), image):
        if time.monotonic() >= ends:
            container = host.container
            raise StepFailed(
                "the container etcd did not start",
                host=member.name,
                wanted=f"a container of {image} within {member.settings.etcd_start_timeout} s",
                found="none" if container is None else f"one of {container.image or container.image_id}",
                remedy="see the kubelet's log: image not pulled, or a folder that the Pod wants is missing",
            )
        time.sleep(IMAGE_PAUSE)


def _is_of(host: HostObservation, image: str) -> bool:
    if host.container is None or isinstance(host.images, Unknown):
        return False
    return host.images.get(image) == host.container.image_id


def _former(member: Member, host: HostObservation) -> str:
    path = layout(member.settings).former
    former = host.texts.get(path)
    if former is None or not image_of(former):
        raise StepFailed(
            "nothing to roll back to",
            host=member.name,
            wanted=f"a former manifest at {path}",
            found="none",
            remedy="write the manifest by hand; the data directory is as it was",
        )
    return former


def enable_downgrade(task: Task, cluster: Cluster, *, dry_run: bool | None = None) -> Result:
    """Let etcd validate a downgrade to the wanted minor, and enable it (https://etcd.io/docs/v3.6/downgrades/).

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        dry_run: overrides Nornir's own.

    Raises:
        EtcdError: etcd does not offer it, or refuses.
        RemoteError: the tunnel that is wanted cannot be made.
    """
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    member = cluster.member(task.host.name)
    wanted = parse(member.settings.etcd_version)
    if not task.is_dry_run(dry_run):
        client = etcd_client(task.host, task.nornir.config, member)
        for action in ("validate", "enable"):
            rpc.downgrade(client, action=action, version=f"{wanted.major}.{wanted.minor}", timeout=RPC_TIMEOUT)
    return Result(task.host, changed=True, diff=f"downgrade to {wanted.major}.{wanted.minor} enabled\n")
