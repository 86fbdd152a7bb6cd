"""Is the host fit to run its member: clock, space, kubelet, ports?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import HOST, Kind
from nornir_etcd.checks.preflight import clock, kubelet
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.checks.preflight.host import MIB
from nornir_etcd.checks.preflight.network import PORTS, in_the_way, of_others, owner
from nornir_etcd.layout import layout
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.state import known_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.report.model import Finding

KINDS = (
    Kind(
        code="host.clock",
        asks="Is the host's clock within a second of the controller's and the other members'?",
        reads=HOST,
        worst="warning",
        rule="etcd warns of more than 1 s between peers (maxClockDifference, rafthttp/probing_status.go)",
    ),
    Kind(
        code="host.space",
        asks="Is there space for the WAL, for what the database may grow to, and for etcd's files?",
        reads=HOST,
        worst="critical",
        settings=("etcd_free_data_bytes", "etcd_free_config_bytes", "etcd_quota_backend_bytes"),
    ),
    Kind(
        code="host.kubelet",
        asks="Does a kubelet run that takes static Pods from the manifest's folder?",
        reads=HOST,
        worst="critical",
        settings=("kube_base_dir",),
    ),
    Kind(
        code="host.ports",
        asks="Does nobody but the member's own container listen on etcd's ports?",
        reads=HOST,
        worst="critical",
    ),
)
WAL_SEGMENT = 64 * MIB
"""Bytes that etcd allocates at once for its WAL (SegmentSizeBytes,
https://github.com/etcd-io/etcd/blob/v3.5.16/server/storage/wal/wal.go). A member that starts needs several
(etcd_free_data_bytes); one that runs has them and needs the next."""


def check(seen: Evidence) -> Iterator[Finding]:
    """Check every host."""
    for member in seen.cluster.members:
        asked = Check("host.clock", member.name)
        yield clock.judge(asked, seen, member, off=asked.warning)
        yield _space(seen, member)
        yield kubelet.judge(Check("host.kubelet", member.name), seen, member)
        yield _ports(seen, member)


def _space(seen: Evidence, member: Member) -> Finding:
    """Compare the free space of each file system with what is written there.

    A member that cannot write its WAL ends at once, so the data directory is the one that is critical.
    """
    asked = Check("host.space", member.name)
    volumes = surroundings(seen.observation, member).volumes
    if isinstance(volumes, Unknown):
        return asked.unknown(f"the free space could not be read: {volumes.reason}", "see df on the host")
    paths, settings = layout(member.settings), member.settings
    free = {path: volume.free for path, volume in volumes.items()}
    read = {path: f"{bytes_free // MIB} MiB free" for path, bytes_free in free.items()}
    needed = min(WAL_SEGMENT, settings.etcd_free_data_bytes)
    if free[paths.data] < needed:
        return asked.critical(
            f"too little space: {paths.data} (wanted {needed // MIB} MiB free, found {free[paths.data] // MIB})",
            "make room: etcd ends when it cannot write its WAL",
            **read,
        )
    least = settings.etcd_free_config_bytes
    if short := [path for path in paths.volumes if path != paths.data and free[path] < least]:
        return asked.warning(
            f"too little space: {', '.join(short)} (wanted {least // MIB} MiB free)",
            "make room: certificates could not be renewed",
            **read,
        )
    status = known_status(seen.endpoint(member.name))
    quota = (status.db_size_quota if status else 0) or settings.etcd_quota_backend_bytes
    growth = max(0, quota - (status.db_size if status else 0))
    if free[paths.data] < growth + settings.etcd_free_data_bytes:
        return asked.warning(
            f"{paths.data} has {free[paths.data] // MIB} MiB free, and the database may grow by {growth // MIB} MiB to "
            "its quota",
            "enlarge the file system, or lower etcd_quota_backend_bytes",
            **read,
        )
    return asked.ok("there is space enough", **read)


def _ports(seen: Evidence, member: Member) -> Finding:
    """Look who listens.

    A member that answers has its ports, also where the cgroup of its process does not name its container; then only
    processes that are surely no etcd are in its way.
    """
    asked = Check("host.ports", member.name)
    listeners = surroundings(seen.observation, member).listeners
    if isinstance(listeners, Unknown):
        return asked.unknown(f"the ports could not be read: {listeners.reason}", "see /proc/net/tcp on the host")
    found = in_the_way(listeners, member)
    read = {f"{one.port} {one.address}": owner(one) for one in found}
    containers = seen.host(member.name).containers
    others = of_others(found, containers)
    if member.name in seen.state.healthy:
        others = [one for one in others if one.process not in {"", "etcd"}]
    elif isinstance(containers, Unknown) and others and all(one.process == "etcd" for one in others):
        return asked.unknown(
            f"an etcd has the ports, and whether it is this member's is not known: {containers.reason}",
            "see that the runtime answers",
            **read,
        )
    if others:
        names = ", ".join(dict.fromkeys(f"{one.port} by {owner(one)}" for one in others))
        return asked.critical(
            f"ports are held by something else: {names}", "stop what has them; etcd's ports are fixed", **read
        )
    return asked.ok(f"nothing else listens on ports {', '.join(map(str, PORTS))}", **read)
