"""Writes a member's static Pod."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nornir.core.task import Result
from nornir_jinja2.plugins.tasks import template_string

from nornir_etcd.layout import DIRECTORY_MODE, MANIFEST_MODE, layout
from nornir_etcd.manifest import context, environment, image_of, manifest_diff, require_safeguards
from nornir_etcd.plan.change_over import is_roles
from nornir_etcd.plan.state import kept_first_start
from nornir_etcd.remote.items import MakeDirectory, WriteFile
from nornir_etcd.remote.push import push
from nornir_etcd.tasks.certificates import store_of
from nornir_etcd.tasks.files import PUSH_DEADLINE, host_state
from nornir_etcd.workspace import manifest_template

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.manifest import FirstStart
    from nornir_etcd.observation import ClusterObservation, HostObservation
    from nornir_etcd.remote.items import Item


def write_manifest(  # noqa: PLR0913 - a keyword for each case
    task: Task,
    cluster: Cluster,
    observation: ClusterObservation | None = None,
    *,
    first_start: FirstStart | None = None,
    keep_former: bool = False,
    dry_run: bool | None = None,
) -> Result:
    """Write the host's static Pod where it differs. The kubelet then starts or restarts the member.

    What it says of a first start that lies behind the member stays as it is.

    Whether the member may be stopped is not asked here: `deploy` asks before each restart.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        observation: what is known of the hosts; read anew where it is not given.
        first_start: what the member is told for a first start that is still to come; a bootstrap where it is None.
        keep_former: keep the manifest that is replaced in the folder above, for the way back.
        dry_run: overrides Nornir's own.

    Returns:
        changed and the unified diff, where the manifest differs.

    Raises:
        InventoryError: the manifest cannot be rendered.
        PkiError: the controller's folder cannot be read.
        RemoteError: the host could not be worked on.
    """
    member = cluster.member(task.host.name)
    paths = layout(member.settings)
    trusted = store_of(cluster).read().trusted
    host = host_state(task, cluster, observation)
    rendered = task.run(
        task=template_string,
        name=f"Render {paths.manifest}",
        severity_level=logging.DEBUG,
        template=manifest_template(),
        jinja_env=environment(),
        **context(member, cluster, trusted=trusted, first_start=kept_first_start(member, host) or first_start),
    )
    text: str = rendered[0].result
    require_safeguards(text, member, trusted)
    texts = host.texts
    present = texts.get(paths.manifest)
    diff = manifest_diff(present, text, paths.manifest)
    if diff and not task.is_dry_run(dry_run):
        # One with the image that is wanted was written on the way there: the one before it is the way back.
        former = texts.get(paths.former) if image_of(present or "") == image_of(text) else present
        items: list[Item] = [
            MakeDirectory(paths.manifests, 0o700),
            *_of_the_role(member, host, present),
            *([WriteFile(paths.former, former.encode(), MANIFEST_MODE)] if keep_former and former else []),
            WriteFile(paths.manifest, text.encode(), MANIFEST_MODE, staging=paths.staging),
        ]
        push(task.host, task.nornir.config, items, deadline=PUSH_DEADLINE)
    return Result(task.host, changed=bool(diff), diff=diff)


def _of_the_role(member: Member, host: HostObservation, present: str | None) -> list[Item]:
    """Return what else a member of the Ansible role's needs: its manifest is kept, its data closed to others."""
    if present is None or not is_roles(member, host):
        return []
    paths = layout(member.settings)
    items: list[Item] = [WriteFile(paths.roles_manifest, present.encode(), MANIFEST_MODE)]
    data = host.files.get(paths.data)
    if data is not None and data.kind == "directory":  # one that is not there is never made here
        items.append(MakeDirectory(paths.data, DIRECTORY_MODE))
    return items
