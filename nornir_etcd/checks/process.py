"""Does the container run, from the image that is wanted, and without starting again and again?"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import HOST, Kind
from nornir_etcd.checks.preflight import image
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.state import has_manifest, known_status
from nornir_etcd.runtimes import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import Container, HostObservation
    from nornir_etcd.report.model import Finding

KINDS = (
    Kind(
        code="container.down",
        asks="Does the etcd container run?",
        reads=HOST,
        worst="critical",
    ),
    Kind(
        code="container.image",
        asks="Does the container run the image that the inventory wants?",
        reads=HOST,
        worst="warning",
        settings=("etcd_image",),
    ),
    Kind(
        code="container.restarts",
        asks="Has the container been started again no more often than is borne?",
        reads=HOST,
        worst="warning",
        settings=("etcd_restarts_warning",),
    ),
    Kind(
        code="image.digest",
        asks="Is the wanted tag the same image on every host, and do members of one version run one image?",
        reads=HOST,
        worst="warning",
        settings=("etcd_image",),
    ),
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the container of every member whose host answers, then the images of all."""
    for member in seen.cluster.members:
        host = seen.host(member.name)
        yield _running(member, host)
        if seen.cluster.declared:
            yield _image(member, host)
        yield _restarts(member, host)
    yield _digest(seen)


def _client(member: Member) -> str:
    return runtime(member.settings.container_runtime).client


def _works(member: Member) -> str:
    return f"see that {_client(member)} works on the host"


def _running(member: Member, host: HostObservation) -> Finding:
    asked = Check("container.down", member.name)
    if isinstance(host.containers, Unknown):
        return asked.unknown(host.error or host.containers, _works(member))
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
        f"read its log: {_client(member)} logs {container.id[:13]}",
        **read,
    )


def _image(member: Member, host: HostObservation) -> Finding:
    asked = Check("container.image", member.name)
    wanted = member.settings.etcd_image
    if isinstance(host.images, Unknown):
        return asked.unknown(host.error or host.images, _works(member))
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


def _restarts(member: Member, host: HostObservation) -> Finding:
    asked = Check("container.restarts", member.name)
    if isinstance(host.containers, Unknown):
        return asked.unknown(host.error or host.containers, _works(member))
    container = host.container
    if container is None:
        return asked.unknown("there is no container to look at")
    limit, client = member.settings.etcd_restarts_warning, _client(member)
    read = {"restarts": container.attempt, "borne": limit}
    if not container.attempt:
        return asked.ok("it has never been started again", **read)
    message = f"it was started again {container.attempt} times, the last time {_since(container, host.clock)}"
    if container.attempt > limit:
        return asked.warning(
            f"{message}; wanted at most {limit}",
            f"read why it ended: {client} ps -a, and {client} logs of the one before {container.id[:13]}",
            **read,
        )
    return asked.ok(message, **read)


def _since(container: Container, clock: float) -> str:
    """Return when the container was made, by the host's clock, and how long that is ago."""
    made = container.created_ns / 1e9
    try:
        when = f"{datetime.fromtimestamp(made, tz=timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "at a time that makes no sense"
    minutes = int(max(0.0, clock - made)) // 60
    for unit, length in (("days", 1440), ("hours", 60)):
        if minutes >= 2 * length:
            return f"{when}, {minutes // length} {unit} ago"
    return f"{when}, {minutes} minutes ago"


def _digest(seen: Evidence) -> Finding:
    """Compare images by the digests that two hosts may have in common: a tag that has moved has none."""
    asked = Check("image.digest", seen.cluster.name)
    tagged = image.present(seen.cluster, seen.observation)
    running = _running_images(seen)
    together = {name: digests for found in running.values() for name, digests in found.items()}
    read = {name: image.shown(digests) for name, digests in tagged.items()}
    if differing := image.difference(tagged):
        return asked.warning(f"the wanted tag is not the same image on all hosts: {differing}", image.REMEDY, **read)
    for version, found in running.items():
        if version and (differing := image.difference(found)):
            return asked.warning(
                f"members run {version} from different images: {differing}",
                f"{image.REMEDY}; the manifests may name different registries",
                **read,
            )
    unread = [member.name for member in seen.cluster.members if _is_unread(seen, member)]
    if unread:
        return asked.unknown(
            f"the images of {', '.join(unread)} could not be listed", "see that the runtime answers", **read
        )
    if "" in running and (differing := image.difference(together)):
        silent = ", ".join(running[""])
        return asked.unknown(f"members run different images, and the version of {silent} is not known: {differing}")
    if not tagged and not running:
        return asked.unknown("no host has the wanted image, and no etcd container runs")
    return asked.ok("the image is the same on every host that has it", **read)


def _is_unread(seen: Evidence, member: Member) -> bool:
    host = seen.host(member.name)
    return isinstance(surroundings(seen.observation, member).digests, Unknown) or isinstance(host.containers, Unknown)


def _running_images(seen: Evidence) -> Mapping[str, dict[str, frozenset[str]]]:
    """Return, by version (empty: not known) and member, the digests of the image that runs."""
    found: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
    for member in seen.cluster.members:
        container, status = seen.host(member.name).container, known_status(seen.endpoint(member.name))
        if container is not None and container.running:
            listed = surroundings(seen.observation, member).digests
            sets = [] if isinstance(listed, Unknown) else list(listed.values())
            known = frozenset().union(*(one for one in sets if container.image_id in one))
            found[status.version if status else ""][member.name] = known | {container.image_id}
    return found
