"""Replaces the manifest of a host's API server, and waits until it runs with that; else the former one comes back."""

from __future__ import annotations

import hashlib
import posixpath
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd import apiserver
from nornir_etcd.connections import https
from nornir_etcd.exceptions import ConnectionLost, EtcdError, NornirEtcdError, RemoteError, StepFailed
from nornir_etcd.layout import MANIFEST_MODE, layout
from nornir_etcd.manifest import manifest_diff
from nornir_etcd.observation import ApiServerState, Unknown
from nornir_etcd.observe import observe_host
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.items import WriteFile
from nornir_etcd.remote.push import push
from nornir_etcd.remote.tunnel import Tunnel
from nornir_etcd.runtimes import runtime
from nornir_etcd.tasks.container import CONTAINER_PAUSE, CRASHES, LOG_DEADLINE, await_container
from nornir_etcd.tasks.files import PUSH_DEADLINE, host_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir.core.task import Task

    from nornir_etcd.apiserver import ApiServer
    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import Container, FileState, HostObservation

READY_PATH = "/readyz"
READY_PAUSE = 1.0
"""Seconds between questions to the API server, as kubeadm's own readiness probe has it (periodSeconds: 1)."""
READY_TIMEOUT = 5.0
"""Seconds for one answer: /readyz asks etcd in turn."""
SETTLED = 30.0
"""Seconds after which an API server that could not be asked and still runs has reached etcd: it gives up after 20
(dialTimeout in k8s.io/apiserver/pkg/storage/storagebackend/factory/etcd3.go)."""
_STRANGERS_REFUSED = (401, 403)  # --anonymous-auth=false, or a role that was taken away


@dataclass(frozen=True)
class Pod:
    """The API server of a host as it is."""

    member: Member
    host: HostObservation
    path: str  # of its manifest
    state: FileState
    text: str
    containers: tuple[Container, ...]


@dataclass(frozen=True)
class _Change:
    """What an API server is started with."""

    what: str  # in a few words
    apiserver: ApiServer
    known: tuple[str, ...]  # IDs of containers that were there before


def read_pod(task: Task, cluster: Cluster, member: Member) -> Pod:
    """Read the host anew: the manifest is another's and may have changed meanwhile.

    Raises:
        StepFailed: there is none, it could not be read whole, or its containers could not be listed.
        RemoteError: the host could not be read.
    """
    host = host_state(task, cluster, None)
    path = layout(member.settings).apiserver_manifest
    state, text = host.files.get(path), host.texts.get(path)
    # What is no UTF-8 was not read byte for byte, and would not be written back so.
    if state is None or text is None or state.sha256 != hashlib.sha256(text.encode()).hexdigest():
        found = "none" if state and state.kind == "absent" else "one that could not be read whole"
        raise StepFailed(path, host=member.name, wanted="the manifest of an API server", found=found)
    if isinstance(host.apiserver, Unknown) or host.apiserver is None or isinstance(host.apiserver.containers, Unknown):
        raise StepFailed(
            "the API server's containers could not be listed", host=member.name, found=_unlisted(host.apiserver)
        )
    return Pod(member, host, path, state, text, host.apiserver.containers)


def put_in_place(  # noqa: PLR0913, PLR0917 - a manifest, and what is to be said of it
    task: Task, cluster: Cluster, pod: Pod, wanted: str, what: str, in_the_way: Sequence[str], *, dry_run: bool
) -> Result:
    """Write a manifest where it differs, and wait until the API server runs with it.

    The former one is kept in the folder above. Where the API server does not come up with the new one, the former one
    is put back. That is not done where the SSH session breaks: what became of the API server is unknown then, and the
    same task again waits for it.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        pod: the API server as it is.
        wanted: its manifest as it shall be.
        what: what that starts it with, in a few words.
        in_the_way: why it could not start with that.
        dry_run: only tell what would change.

    Returns:
        changed and the unified diff; as result why it could not be asked whether the API server is ready.

    Raises:
        StepFailed: something is in the way, or it did not come up.
        RemoteError: the host could not be worked on.
    """
    if pod.state.kind != "file":
        in_the_way = [*in_the_way, f"{pod.path} is a {pod.state.kind}, which would be replaced by a file"]
    if in_the_way:
        name = pod.member.name
        raise StepFailed(f"the API server could not start with {what}", host=name, found="; ".join(in_the_way))
    diff = manifest_diff(pod.text, wanted, pod.path)
    if dry_run:
        return Result(task.host, changed=bool(diff), diff=diff)
    known = pod.containers if diff else _outdated(pod.member, pod.host, pod.state, pod.containers)
    change = _Change(what, apiserver.parse(wanted), tuple(one.id for one in known))
    if not diff:
        return Result(task.host, changed=False, diff="", result=_await_running(task, cluster, pod.member, change))
    kept = _replace(task, pod, wanted)
    try:
        note = _await_running(task, cluster, pod.member, change)
    except StepFailed as error:
        raise _put_back(task, cluster, pod, what, kept, error) from error
    return Result(task.host, changed=True, diff=diff, result=note)


def _unlisted(state: ApiServerState | Unknown | None) -> str:
    if isinstance(state, ApiServerState):
        state = state.containers if isinstance(state.containers, Unknown) else None
    return state.reason if state else "none"


def _outdated(
    member: Member, host: HostObservation, manifest: FileState, containers: tuple[Container, ...]
) -> tuple[Container, ...]:
    """Return the containers that a manifest written a moment ago is about to replace.

    A run that was ended after it wrote the manifest is gone on with so. An old manifest says nothing: a kubelet leaves
    the Pod alone whose file was written again as it was.
    """
    if host.clock - manifest.mtime >= member.settings.etcd_start_timeout:
        return ()
    return tuple(one for one in containers if one.created_ns < manifest.mtime * 1e9)


def _replace(task: Task, pod: Pod, wanted: str) -> str:
    """Keep the former manifest, and write the wanted one by one rename; return where the former one is kept."""
    staging = layout(pod.member.settings).staging
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = f"{staging}/{posixpath.basename(pod.path)}.nornir-etcd-{stamp}"
    items = [
        WriteFile(kept, pod.text.encode(), MANIFEST_MODE),
        WriteFile(pod.path, wanted.encode(), pod.state.mode, staging=staging),
    ]
    push(task.host, task.nornir.config, items, deadline=PUSH_DEADLINE)
    return kept


def _put_back(  # noqa: PLR0913, PLR0917 - two manifests, and what went wrong with one
    task: Task, cluster: Cluster, pod: Pod, what: str, kept: str, error: StepFailed
) -> StepFailed:
    """Put the former manifest back and wait for its container; return the error that tells all of it."""
    former = WriteFile(pod.path, pod.text.encode(), pod.state.mode, staging=layout(pod.member.settings).staging)
    try:
        now = tuple(one.id for one in _containers(task, cluster))
        push(task.host, task.nornir.config, [former], deadline=PUSH_DEADLINE)
        note = _await_running(task, cluster, pod.member, _Change(what, apiserver.parse(pod.text), now))
        outcome = f"the former manifest was put back and its container runs{note and f', but {note}'}"
    except NornirEtcdError as worse:
        outcome = f"the former manifest, kept as {kept}, was to be put back: {worse}"
    return StepFailed(error.thing, host=error.host, wanted=error.wanted, found=error.found, remedy=outcome)


def _await_running(task: Task, cluster: Cluster, member: Member, change: _Change) -> str:
    """Wait until a container other than the known ones runs and the API server is ready.

    Returns:
        Why it could not be asked whether it is ready; empty where it has said that it is.

    Raises:
        StepFailed: it did not come up in time.
        RemoteError: the host could not be worked on.
    """
    await_container(task, member, change.known, apiserver.CONTAINER)
    seconds = member.settings.etcd_health_timeout
    began = time.monotonic()
    look_at = began
    tunnel = Tunnel(task.host, task.nornir.config)  # of its own: etcd is asked by the road that its observation chose
    try:
        while True:
            ready, said = _ask(tunnel, change.apiserver)
            waited = time.monotonic() - began
            if ready or time.monotonic() >= look_at or waited >= seconds:
                look_at = time.monotonic() + CONTAINER_PAUSE
                container = next((one for one in _containers(task, cluster) if one.id not in change.known), None)
                running = container is not None and container.running
                if running and (ready or (ready is None and waited >= SETTLED)):
                    return "" if ready else said
                if waited >= seconds or (not running and container is not None and container.attempt >= CRASHES):
                    raise _not_up(task, member, change.what, container, seconds, said)
            time.sleep(READY_PAUSE)
    finally:
        tunnel.close()


def _ask(tunnel: Tunnel, server: ApiServer) -> tuple[bool | None, str]:
    """Return whether the API server is ready, None where that cannot be asked, and what it or its port says."""
    if not server.address:
        return None, "its readiness could not be asked: it serves on no port of the host"
    try:
        with https.session(
            server.address, server.port, {}, timeout=READY_TIMEOUT, verify=False, dial=tunnel.dial
        ) as session:
            status = session.get(READY_PATH).status
    except EtcdError as error:  # by what is asked there: it does not serve yet, or not in time
        return False, f"{READY_PATH} on port {server.port}: {error.found}"
    except RemoteError as error:
        if isinstance(error, ConnectionLost):
            raise
        return None, f"its readiness could not be asked: {error}"
    if status in _STRANGERS_REFUSED:
        return None, f"its readiness could not be asked: {READY_PATH} answers strangers with HTTP {status}"
    return status == 200, f"{READY_PATH} on port {server.port}: HTTP {status}"  # noqa: PLR2004 - OK


def _containers(task: Task, cluster: Cluster) -> tuple[Container, ...]:
    """Return the API server's containers, newest first.

    Raises:
        RemoteError: they could not be listed.
    """
    host: HostObservation = observe_host(task, cluster).result
    state = host.apiserver
    if host.error is not None:
        raise RemoteError(host.error.reason)
    if state is None:
        return ()
    if isinstance(state, Unknown) or isinstance(state.containers, Unknown):
        raise RemoteError("the API server's containers could not be listed", host=host.host, found=_unlisted(state))
    return state.containers


def _not_up(  # noqa: PLR0913, PLR0917 - what was waited for, and what came
    task: Task, member: Member, what: str, container: Container | None, seconds: int, said: str
) -> StepFailed:
    """Return the error that tells what became of the API server, with the last line of its log."""
    found = "no new container" if container is None else f"{container.state} after {container.attempt} restarts, {said}"
    if container is not None:
        script = runtime(member.settings.container_runtime).last_lines(container.id, 1)
        last = run_script(
            task.host, task.nornir.config, script, deadline=LOG_DEADLINE, check=False, purpose="log of kube-apiserver"
        )
        line = last.stdout.decode(errors="replace").strip()
        found += f", last line of its log: {line}" if line else ""
    return StepFailed(
        f"the API server does not come up with {what}",
        host=member.name,
        wanted=f"one that runs and is ready within {seconds} s",
        found=found,
        remedy=f"read the rest of its log; former manifests are kept in {layout(member.settings).staging}",
    )
