"""Pulls the image, and waits for the container and for the member in it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.exceptions import CommandFailed, EtcdUnreachable, NornirEtcdError, StepFailed
from nornir_etcd.last_words import read_log
from nornir_etcd.observation import Unknown
from nornir_etcd.observe import etcd_client, observe_host
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.tunnel import opened_tunnel
from nornir_etcd.runtimes import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etcd3 import MultiEndpointEtcd3Client
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, Container, HostObservation
    from nornir_etcd.runtimes import Runtime

PULL_DEADLINE = 600.0
"""Seconds for an image of some 65 MB over a slow line."""
LOG_LINES = 400
"""Lines that are read of a log: more than etcd's whole usage text, which it prints after naming a flag it refuses."""
SHOWN_HEAD, SHOWN_GRAVE, SHOWN_TAIL = 3, 3, 17
_GRAVE = re.compile(r'"level":"(?:error|dpanic|panic|fatal)"')
"""etcd's log is zap's JSON (--log-format=json is the default)."""
LOG_DEADLINE = 15.0
HEALTH_PAUSE = 0.1
"""Seconds between looks at the member; an election takes one to two."""
CONTAINER_PAUSE = 5.0
"""Seconds between looks at the container while its member does not answer."""
CRASHES = 3
"""Restarts after which a container that exits is called failed: the kubelet's back-off only grows from there."""


def pull_image(task: Task, cluster: Cluster, *, dry_run: bool | None = None) -> Result:
    """Pull the wanted image through the host's runtime. An image that is there is pulled again only in name.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        dry_run: overrides Nornir's own.

    Returns:
        As result the digests of the image; none in a dry run.

    Raises:
        RemoteError: the runtime could not pull it.
        StepFailed: it says that it has, and does not list the image.
    """
    settings = cluster.member(task.host.name).settings
    digests: frozenset[str] = frozenset()
    if not task.is_dry_run(dry_run):
        used = runtime(settings.container_runtime)
        purpose = f"pull of {settings.etcd_image}"
        script = used.pull(settings.etcd_image)
        try:
            done = run_script(task.host, task.nornir.config, script, deadline=PULL_DEADLINE, purpose=purpose)
        except CommandFailed as error:
            error.remedy = "see that the registry has the image and that the host reaches it"
            raise
        digests = _digests(task.host.name, settings.etcd_image, used, done.stdout.decode(errors="replace"))
    return Result(task.host, changed=True, diff=f"+ {settings.etcd_image}\n", result=digests)


def _digests(host: str, image: str, used: Runtime, listed: str) -> frozenset[str]:
    try:
        found = used.parse_digests(listed)
        return found[image]
    except (ValueError, KeyError) as error:
        raise StepFailed(
            "the image was pulled and is not listed",
            host=host,
            wanted=image,
            found=str(error) if isinstance(error, ValueError) else ", ".join(sorted(found)) or "no image",
            remedy=f"look at {used.client} images on the host",
        ) from error


def await_member(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, restarted: bool = False
) -> Result:
    """Wait until the member runs and answers a linearizable read, which also says that it has caught up.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what was known before the member was (re)started.
        restarted: whether a container other than those in `observation` must run.

    Raises:
        StepFailed: it did not come up in time, with the last lines of the container's log.
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    before = observation.hosts[member.name] if observation and restarted else None
    await_container(task, member, _known(before))
    # Crashes of a container that was started before may have had a reason that is gone: they are not counted.
    _await_answer(task, cluster, member, _reads, "a linearizable read", crashed=0 if restarted else None)
    return Result(task.host)


def await_learner(
    task: Task, cluster: Cluster, observation: ClusterObservation | None = None, *, restarted: bool = False
) -> Result:
    """Wait until the learner runs, answers and knows the leader. It serves no linearizable read.

    https://etcd.io/docs/v3.5/learning/design-learner/: of all calls a learner answers status and serializable reads.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what was known before it was (re)started.
        restarted: whether a container other than those in `observation` must run.

    Raises:
        StepFailed: it did not come up in time, with the last lines of the container's log.
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    before = observation.hosts[member.name] if observation and restarted else None
    await_container(task, member, _known(before))
    _await_answer(task, cluster, member, _follows, "a learner that knows the leader", crashed=0 if restarted else None)
    return Result(task.host)


def _known(before: HostObservation | None) -> list[str]:
    if before is None or isinstance(before.containers, Unknown):
        return []
    return [container.id for container in before.containers]


def await_container(task: Task, member: Member, known: Sequence[str], name: str = "etcd") -> None:
    """Wait until there is a container, even a dead one, that is not known.

    Args:
        task: Nornir's.
        member: the host's member, whose settings say how long.
        known: IDs of containers.
        name: the container's.

    Raises:
        StepFailed: there was none in time.
        RemoteError: the host could not be worked on.
    """
    seconds = member.settings.etcd_start_timeout
    script = runtime(member.settings.container_runtime).await_container(known, seconds, name)
    done = run_script(
        task.host, task.nornir.config, script, deadline=seconds + LOG_DEADLINE, check=False, purpose=f"wait for {name}"
    )
    if done.exit_status:
        raise StepFailed(
            f"the container {name} did not start",
            host=member.name,
            wanted=f"a new container within {seconds} s",
            found=done.stderr.decode(errors="replace").strip() or "none",
            remedy="see the kubelet's log: image not pulled, or a folder that the Pod wants is missing",
        )


def _reads(client: MultiEndpointEtcd3Client, timeout: float) -> None:
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    rpc.linearizable_read(client, timeout=timeout)


def _follows(client: MultiEndpointEtcd3Client, timeout: float) -> None:
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - as above

    if rpc.status(client, timeout=timeout).leader == 0:
        raise EtcdUnreachable("the learner", wanted="a leader", found="none that it knows")


def _await_answer(  # noqa: PLR0913 - who is asked for what
    task: Task,
    cluster: Cluster,
    member: Member,
    ask: Callable[[MultiEndpointEtcd3Client, float], None],
    wanted: str,
    *,
    crashed: int | None,
) -> None:
    client = etcd_client(task.host, task.nornir.config, member)
    through = opened_tunnel(task.host)
    ends = time.monotonic() + member.settings.etcd_health_timeout
    look_at = time.monotonic() + CONTAINER_PAUSE
    while True:
        try:
            ask(client, min(3.0, max(0.1, ends - time.monotonic())))
            break
        except NornirEtcdError as error:
            if time.monotonic() >= ends:
                raise StepFailed(
                    "the member does not answer",
                    host=member.name,
                    wanted=f"{wanted} within {member.settings.etcd_health_timeout} s",
                    found=str((through.trouble() if through else None) or error),
                    remedy="see its log and the state of the other members",
                ) from error
        if time.monotonic() >= look_at:
            container: Container | None = observe_host(task, cluster).result.container
            if container is not None:
                crashed = container.attempt if crashed is None else crashed
                _refuse_crash_loop(member, container, container.attempt - crashed)
            look_at = time.monotonic() + CONTAINER_PAUSE
        time.sleep(HEALTH_PAUSE)


def _refuse_crash_loop(member: Member, container: Container, crashes: int) -> None:
    if not container.running and crashes >= CRASHES:
        raise StepFailed(
            "the container crashes again and again",
            host=member.name,
            wanted="a container that runs",
            found=f"{container.state} after {container.attempt} restarts",
            remedy="read the last lines of its log below",
        )


def container_log(task: Task, cluster: Cluster) -> Result:
    """Return the lines that tell of the log of the newest etcd container: its last, and its first where it is short.

    None where it was made before the manifest was written: what that wants was never started.

    Args:
        task: Nornir's.
        cluster: the host's cluster.

    Raises:
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    host: HostObservation = observe_host(task, cluster).result
    done = read_log(task.host, task.nornir.config, member, host, LOG_LINES)
    return Result(task.host, result=_telling(done.stdout.decode(errors="replace").splitlines()) if done else [])


def _telling(lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN_HEAD + SHOWN_TAIL:
        return lines
    before, tail = lines[:-SHOWN_TAIL], lines[-SHOWN_TAIL:]
    head = before[:SHOWN_HEAD] if len(lines) < LOG_LINES else []
    grave = [line for line in before[len(head) :] if _GRAVE.search(line)][-SHOWN_GRAVE:]
    # Of a panic the end is the stack, and the reason stands before it.
    return [*head, *(["..."] if head else []), *grave, *(["..."] if grave else []), *tail]
