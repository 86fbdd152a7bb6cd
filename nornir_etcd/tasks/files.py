"""Places etcd's certificate files on a host, and prepares its data directory for a first start."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.exceptions import PkiError, RemoteError, StepFailed
from nornir_etcd.layout import CA, CERTIFICATE, CERTIFICATE_MODE, DIRECTORY_MODE, KEY, KEY_MODE, Layout, layout
from nornir_etcd.observation import Unknown
from nornir_etcd.observe import observe_host, served
from nornir_etcd.pki.acceptance import faults
from nornir_etcd.pki.certificate import describe
from nornir_etcd.plan.certs import file_differences, leaf_request
from nornir_etcd.plan.change_over import is_roles
from nornir_etcd.remote.items import MakeDirectory, MakeLink, SwitchDirectory, WriteFile
from nornir_etcd.remote.push import push
from nornir_etcd.tasks.certificates import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, HostObservation
    from nornir_etcd.remote.items import Item
    from nornir_etcd.signers.local import StoreContent

SERVED_PAUSE = 0.1
"""Seconds between looks at the certificate that is served."""
PUSH_DEADLINE = 30.0
"""Seconds for one push of some 10 KB. A disk that is slower than that is none for etcd, which elects a new leader when
a write of its log takes a second."""


def place_files(
    task: Task,
    cluster: Cluster,
    observation: ClusterObservation | None = None,
    *,
    first_start: bool = False,
    dry_run: bool | None = None,
) -> Result:
    """Place the host's certificate, key and CA, where they differ, by one atomic switch.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the hosts; read anew where it is not given.
        first_start: also prepare the data directory. For a bootstrap alone: what is made here is what allows a member
            to start without data.
        dry_run: overrides Nornir's own.

    Returns:
        changed where something differed; the diff names it.

    Raises:
        PkiError: the controller's folder lacks a file.
        StepFailed: the member serves, and not the new certificate.
        RemoteError: the host could not be worked on.
    """
    member, content = cluster.member(task.host.name), store_of(cluster).read()
    host = host_state(task, cluster, observation)
    differences = file_differences(member, content, host)
    if first_start:
        differences.append(f"{layout(member.settings).guard} is to be prepared")
    if differences and not task.is_dry_run(dry_run):
        items = [*_certificate_files(member, content, host), *(_data_directory(member) if first_start else ())]
        push(task.host, task.nornir.config, items, deadline=PUSH_DEADLINE)
        if not is_roles(member, host):  # that has single files mounted, and goes on with what they were
            _await_served(task, member, content)
    return Result(task.host, changed=bool(differences), diff="".join(f"{line}\n" for line in differences))


def host_state(task: Task, cluster: Cluster, observation: ClusterObservation | None) -> HostObservation:
    """Return what is known of the task's host.

    Raises:
        RemoteError: it could not be read.
    """
    if observation is not None:
        return observation.hosts[task.host.name]
    host: HostObservation = observe_host(task, cluster).result
    if host.error is not None:
        raise RemoteError(host.error.reason)
    return host


def _await_served(task: Task, member: Member, content: StoreContent) -> None:
    """See that a member which runs serves its new certificate on both ports: etcd reads it at every handshake.

    Raises:
        StepFailed: it serves another one.
    """
    leaf = content.leaves[member.name].certificate
    assert leaf is not None  # noqa: S101 - it has just been placed
    wanted = describe(leaf)
    ends = time.monotonic() + member.settings.etcd_timeout
    while wrong := list(_served_otherwise(task, member, wanted.fingerprint)):
        if time.monotonic() >= ends:
            raise StepFailed(
                "the new certificate is not served",
                host=member.name,
                wanted=f"serial {wanted.serial} on every port that answers",
                found=", ".join(wrong),
                remedy="see which certificate file the container was started with",
            )
        time.sleep(SERVED_PAUSE)


def _served_otherwise(task: Task, member: Member, fingerprint: str) -> Iterator[str]:
    for port, pem in served(task.host, member).items():
        info = None if isinstance(pem, Unknown) else describe(pem)
        if info is not None and info.fingerprint != fingerprint:
            yield f"{info.serial} on port {port}"


def _certificate_files(member: Member, content: StoreContent, host: HostObservation) -> list[Item]:
    paths: Layout = layout(member.settings)
    leaf = content.leaves.get(member.name)
    if leaf is None or leaf.certificate is None or leaf.key is None or content.trusted is None:
        raise PkiError(
            f"{content.directory}",
            host=member.name,
            wanted="CA, certificate and key of the host",
            found="not all of them",
            remedy="run certs first",
        )
    found = faults(
        leaf.certificate,
        leaf.key,
        trusted_pem=content.trusted,
        request=leaf_request(member),
        now=datetime.now(tz=timezone.utc),
    )
    if found:
        raise PkiError(
            f"{content.directory}: the certificate",
            host=member.name,
            wanted="one that peers and clients take",
            found=f"one that {'; '.join(found)}",
            remedy="nothing was placed; run certs to issue another one",
        )
    files = (
        (CERTIFICATE, leaf.certificate, CERTIFICATE_MODE),
        (KEY, leaf.key, KEY_MODE),
        (CA, content.trusted, CERTIFICATE_MODE),
    )
    items: list[Item] = [
        MakeDirectory(paths.etcd, DIRECTORY_MODE),
        SwitchDirectory(paths.etcd, files),
    ]
    ca = host.files.get(paths.ca)
    if member.settings.etcd_ca == "cluster" and ca is not None and ca.kind == "absent":
        items.append(WriteFile(paths.ca, content.trusted, CERTIFICATE_MODE))
    links = (MakeLink(path, target, replace_file=True) for path, target in paths.links.items())
    return [*items, *links]


def _data_directory(member: Member) -> list[Item]:
    paths = layout(member.settings)
    return [MakeDirectory(paths.data, DIRECTORY_MODE), MakeDirectory(paths.guard, DIRECTORY_MODE)]
