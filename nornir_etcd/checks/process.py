"""Does the container run, and from the image that is wanted?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.state import has_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import HostObservation
    from nornir_etcd.report.model import Finding


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the container of every member whose host answers."""
    for member in seen.cluster.members:
        host = seen.host(member.name)
        yield _running(member, host)
        yield _image(member, host)


def _running(member: Member, host: HostObservation) -> Finding:
    asked = Check("container.down", member.name)
    if isinstance(host.containers, Unknown):
        return asked.unknown(host.error or host.containers, "see that crictl works on the host")
    container = host.container
    if not has_manifest(member, host) and not (container and container.running):
        return asked.critical("there is no manifest, so the kubelet runs no etcd", "run deploy")
    if container is None:
        return asked.critical(
            "there is no etcd container",
            "look at the manifest, the data directory and the kubelet's log (image not pulled, a missing folder)",
        )
    read = {"container": container.id[:13], "state": container.state, "restarts": container.attempt}
    if container.running:
        return asked.ok(f"the container runs, {container.attempt} restarts", **read)
    return asked.critical(
        f"the container does not run: {container.state}, {container.attempt} restarts",
        f"read its log: crictl logs {container.id[:13]}",
        **read,
    )


def _image(member: Member, host: HostObservation) -> Finding:
    asked = Check("container.image", member.name)
    wanted = member.settings.etcd_image
    if isinstance(host.images, Unknown):
        return asked.unknown(host.error or host.images, "see that crictl works on the host")
    if host.container is None:
        return asked.unknown("there is no container to look at", wanted=wanted)
    image_id = host.images.get(wanted)
    found = next((tag for tag, one in host.images.items() if one == host.container.image_id), host.container.image_id)
    if image_id == host.container.image_id:
        return asked.ok("the container runs the wanted image", image=wanted, digest=image_id)
    return asked.warning(
        f"the container runs another image: wanted {wanted}, found {found}",
        "run deploy where the manifest differs; the runbook upgrade changes versions",
        wanted=wanted,
        found=found,
    )
