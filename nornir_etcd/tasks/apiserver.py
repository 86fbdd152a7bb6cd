"""Gives a host's API server the files by which it is a client of our etcd, and restarts it with them."""

from __future__ import annotations

import hashlib
import posixpath
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd import apiserver
from nornir_etcd.connections import https
from nornir_etcd.exceptions import ConnectionLost, EtcdError, NornirEtcdError, PkiError, RemoteError, StepFailed
from nornir_etcd.layout import MANIFEST_MODE, layout
from nornir_etcd.manifest import TRUSTED_CA, manifest_diff
from nornir_etcd.observation import ApiServerState, Unknown
from nornir_etcd.observe import observe_host
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.items import WriteFile
from nornir_etcd.remote.push import push
from nornir_etcd.remote.tunnel import Tunnel
from nornir_etcd.runtimes import runtime
from nornir_etcd.tasks.certificates import store_of
from nornir_etcd.tasks.container import CONTAINER_PAUSE, CRASHES, LOG_DEADLINE, await_container
from nornir_etcd.tasks.files import PUSH_DEADLINE, host_state

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.apiserver import ApiServer
    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, Container, FileState, HostObservation

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
class _Found:
    """The API server of a host as it is, and its manifest as it shall be."""

    path: str
    state: FileState
    text: str
    wanted: str
    kept: str  # where the former one is kept
    apiserver: ApiServer  # as wanted
    known: tuple[str, ...]  # IDs of containers that were there before


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
    found = _look(task, cluster, member, trust)
    diff = manifest_diff(found.text, found.wanted, found.path)
    if task.is_dry_run(dry_run):
        return Result(task.host, changed=bool(diff), diff=diff)
    if not diff:
        return Result(task.host, changed=False, diff="", result=_await_running(task, cluster, member, found))
    _replace(task, found, staging=layout(member.settings).staging)
    try:
        note = _await_running(task, cluster, member, found)
    except StepFailed as error:
        raise _put_back(task, cluster, member, found, error) from error
    return Result(task.host, changed=True, diff=diff, result=note)


def _refuse_foreign(member: Member) -> None:
    if member.settings.etcd_preset != "cfssl":
        raise StepFailed(
            "the API server's files are not touched",
            host=member.name,
            wanted="etcd_preset cfssl",
            found=member.settings.etcd_preset,
            remedy="the tool that made this etcd renews them",
        )


def _look(task: Task, cluster: Cluster, member: Member, trust: str | None) -> _Found:
    """Read the host, and refuse what would end with an API server that does not start.

    Raises:
        StepFailed: with everything that is in the way.
        RemoteError: the host could not be read.
    """
    host, paths = host_state(task, cluster, None), layout(member.settings)
    path = paths.apiserver_manifest
    state, text = host.files.get(path), host.texts.get(path)
    # What is no UTF-8 was not read byte for byte, and would not be written back so.
    if state is None or text is None or state.sha256 != hashlib.sha256(text.encode()).hexdigest():
        found = "none" if state and state.kind == "absent" else "one that could not be read whole"
        raise StepFailed(path, host=member.name, wanted="the manifest of an API server", found=found)
    if isinstance(host.apiserver, Unknown) or host.apiserver is None or isinstance(host.apiserver.containers, Unknown):
        raise StepFailed(
            "the API server's containers could not be listed", host=member.name, found=_unlisted(host.apiserver)
        )
    if trust is None:
        trust = host.files[paths.trusted_ca].sha256 if paths.trusted_ca in host.files else ""
    try:
        annotations = {TRUSTED_CA: trust}
        wanted = apiserver.edited(text, flags=apiserver.wanted_flags(paths), annotations=annotations)
        parsed = apiserver.parse(wanted)
    except ValueError as error:
        remedy = "set --etcd-cafile, --etcd-certfile and --etcd-keyfile in it by hand"
        raise StepFailed(f"{path} cannot be edited", host=member.name, found=str(error), remedy=remedy) from error
    in_the_way = apiserver.obstacles(parsed, paths, host)
    if state.kind != "file":
        in_the_way.append(f"{path} is a {state.kind}, which would be replaced by a file")
    if in_the_way:
        raise StepFailed("the API server could not start with our files", host=member.name, found="; ".join(in_the_way))
    known = host.apiserver.containers if wanted != text else _outdated(member, host, state, host.apiserver.containers)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = f"{paths.staging}/{posixpath.basename(path)}.nornir-etcd-{stamp}"
    return _Found(path, state, text, wanted, kept, parsed, tuple(one.id for one in known))


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


def _replace(task: Task, found: _Found, *, staging: str) -> None:
    """Keep the former manifest, and write the wanted one by one rename."""
    items = [
        WriteFile(found.kept, found.text.encode(), MANIFEST_MODE),
        WriteFile(found.path, found.wanted.encode(), found.state.mode, staging=staging),
    ]
    push(task.host, task.nornir.config, items, deadline=PUSH_DEADLINE)


def _put_back(task: Task, cluster: Cluster, member: Member, found: _Found, error: StepFailed) -> StepFailed:
    """Put the former manifest back and wait for its container; return the error that tells all of it."""
    former = WriteFile(found.path, found.text.encode(), found.state.mode, staging=layout(member.settings).staging)
    try:
        now = tuple(one.id for one in _containers(task, cluster))
        push(task.host, task.nornir.config, [former], deadline=PUSH_DEADLINE)
        note = _await_running(task, cluster, member, replace(found, known=now))
        outcome = f"the former manifest was put back and its container runs{note and f', but {note}'}"
    except NornirEtcdError as worse:
        outcome = f"the former manifest, kept as {found.kept}, was to be put back: {worse}"
    return StepFailed(error.thing, host=error.host, wanted=error.wanted, found=error.found, remedy=outcome)


def _await_running(task: Task, cluster: Cluster, member: Member, found: _Found) -> str:
    """Wait until a container other than the known ones runs and the API server is ready.

    Returns:
        Why it could not be asked whether it is ready; empty where it has said that it is.

    Raises:
        StepFailed: it did not come up in time.
        RemoteError: the host could not be worked on.
    """
    await_container(task, member, found.known, apiserver.CONTAINER)
    seconds = member.settings.etcd_health_timeout
    began = time.monotonic()
    look_at = began
    tunnel = Tunnel(task.host, task.nornir.config)  # of its own: etcd is asked by the road that its observation chose
    try:
        while True:
            ready, said = _ask(tunnel, found.apiserver)
            waited = time.monotonic() - began
            if ready or time.monotonic() >= look_at or waited >= seconds:
                look_at = time.monotonic() + CONTAINER_PAUSE
                container = next((one for one in _containers(task, cluster) if one.id not in found.known), None)
                running = container is not None and container.running
                if running and (ready or (ready is None and waited >= SETTLED)):
                    return "" if ready else said
                if waited >= seconds or (not running and container is not None and container.attempt >= CRASHES):
                    raise _not_up(task, member, container, seconds, said)
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


def _not_up(task: Task, member: Member, container: Container | None, seconds: int, said: str) -> StepFailed:
    found = "no new container" if container is None else f"{container.state} after {container.attempt} restarts, {said}"
    if container is not None:
        script = runtime(member.settings.container_runtime).last_lines(container.id, 1)
        last = run_script(
            task.host, task.nornir.config, script, deadline=LOG_DEADLINE, check=False, purpose="log of kube-apiserver"
        )
        line = last.stdout.decode(errors="replace").strip()
        found += f", last line of its log: {line}" if line else ""
    return StepFailed(
        "the API server does not come up with our files",
        host=member.name,
        wanted=f"one that runs and is ready within {seconds} s",
        found=found,
        remedy=f"read the rest of its log; former manifests are kept in {layout(member.settings).staging}",
    )
