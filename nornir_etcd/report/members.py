"""The rows of the report's member table, out of an observation. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nornir_etcd.exceptions import PkiError
from nornir_etcd.layout import layout
from nornir_etcd.observation import HashKv, Metrics, Quantile, Unknown
from nornir_etcd.pki.certificate import days_left, describe, each
from nornir_etcd.plan.identity import hexadecimal
from nornir_etcd.plan.state import is_healthy, known_status, live_list
from nornir_etcd.report.model import CertificateReport, MemberReport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.observation import ClusterObservation, EndpointObservation, HostObservation, Maybe, MemberStatus


def member_reports(
    cluster: Cluster,
    observation: ClusterObservation | None,
    *,
    changed: Collection[str],
    now: datetime,
    error: str = "",
) -> list[MemberReport]:
    """Return one row for each member of the inventory, also where nothing is known of it.

    Args:
        cluster: the cluster.
        observation: the last one taken; None where the run ended before there was one.
        changed: the hosts that the run has changed.
        now: controller's time.
        error: why there is no observation.
    """
    if observation is None:
        return [MemberReport(name=member.name, address=member.address, ssh=error) for member in cluster.members]
    return [_row(member, observation, changed=member.name in changed, now=now) for member in cluster.members]


def road_notes(observation: ClusterObservation) -> list[str]:
    """Return a note that names the members that were asked through SSH; none where there are none."""
    names = ", ".join(name for name, endpoint in observation.endpoints.items() if endpoint.via == "ssh")
    return [f"etcd was asked through the host's SSH session: {names} (etcd_via)"] if names else []


def _row(member: Member, observation: ClusterObservation, *, changed: bool, now: datetime) -> MemberReport:
    host, endpoint = observation.hosts[member.name], observation.endpoints[member.name]
    status = known_status(endpoint)
    container = host.container
    hashed = endpoint.hash if isinstance(endpoint.hash, HashKv) else None
    metrics = endpoint.metrics if isinstance(endpoint.metrics, Metrics) else Metrics()
    fsync, commit = _quantile(metrics.wal_fsync), _quantile(metrics.backend_commit)
    unasked = endpoint.via == "ssh" and endpoint.blind is not None
    return MemberReport(
        name=member.name,
        address=member.address,
        ssh=host.error.reason if host.error else "ok",
        changed=changed,
        member_id=hexadecimal(status.member_id) if status else "",
        role=_role(status),
        healthy=None if status is None and (endpoint.client_port is True or unasked) else is_healthy(endpoint),
        version=status.version if status else "",
        db_size=status.db_size if status else None,
        container=container.id[:13] if container else "",
        container_state=container.state if container else "",
        restarts=container.attempt if container else None,
        certificate_days_left=_days_left(endpoint, now),
        certificates=list(_certificates(member, host, endpoint)),
        db_size_in_use=status.db_size_in_use if status else None,
        db_quota=(status.db_size_quota or member.settings.etcd_quota_backend_bytes) if status else None,
        raft_term=status.raft_term if status else None,
        raft_index=status.raft_index if status else None,
        raft_applied_index=status.raft_applied_index if status else None,
        read_seconds=None if isinstance(endpoint.read_seconds, Unknown) else endpoint.read_seconds,
        hash=hexadecimal(hashed.hash) if hashed else "",
        hash_revision=hashed.revision if hashed else None,
        alarms=_alarms(member, observation),
        leader_changes=None if isinstance(metrics.leader_changes, Unknown) else metrics.leader_changes,
        wal_fsync_p99_seconds=fsync.seconds if fsync else None,
        backend_commit_p99_seconds=commit.seconds if commit else None,
        disk_window_seconds=max((one.window for one in (fsync, commit) if one), default=0.0),
        clock_offset_seconds=_clock_offset(host),
        image=_image(member, host),
    )


def _role(status: MemberStatus | None) -> Literal["leader", "follower", "learner", "unknown"]:
    if status is None:
        return "unknown"
    if status.is_learner:
        return "learner"
    return "leader" if status.leader == status.member_id else "follower"


def _days_left(endpoint: EndpointObservation, now: datetime) -> int | None:
    if isinstance(endpoint.served_client, Unknown):
        return None
    try:
        return days_left(describe(endpoint.served_client), now)
    except PkiError:
        return None


def controller_certificates(files: Mapping[str, bytes]) -> list[CertificateReport]:
    """Return every certificate of the controller's files. What cannot be read is told where it is used.

    Args:
        files: PEM by path.
    """
    return [one for path, pem in files.items() for one in _described(path, pem, {})]


def _certificates(member: Member, host: HostObservation, endpoint: EndpointObservation) -> Iterator[CertificateReport]:
    """Yield what is served, then what lies on the host. What cannot be read is told by a finding."""
    paths = layout(member.settings)
    ports = (("client", member.client_port, endpoint.served_client), ("peer", member.peer_port, endpoint.served_peer))
    served: dict[int, bytes] = {}
    for name, number, pem in ports:
        if not isinstance(pem, Unknown) and number is not None:
            served[number] = pem
            yield from _described(name, pem, {number: pem})
    for path in paths.certificates:
        if path in host.texts:
            yield from _described(path, host.texts[path].encode(), served)


def _described(place: str, pem: bytes, served: Mapping[int, bytes]) -> Iterator[CertificateReport]:
    """Yield every certificate of a PEM text: a CA's file may be a bundle of two."""
    try:
        found = [describe(one) for one in each(pem)]
    except PkiError:
        return
    leaves = {port: _fingerprint(leaf) for port, leaf in served.items()}
    for info in found:
        yield CertificateReport(
            place=place,
            subject=info.subject,
            issuer=info.issuer,
            serial=info.serial,
            not_before=info.not_before,
            not_after=info.not_after,
            is_ca=info.is_ca,
            sans=[*info.dns_names, *info.ip_addresses],
            usages=list(info.usages),
            served=[port for port, fingerprint in leaves.items() if fingerprint == info.fingerprint],
        )


def _fingerprint(pem: bytes) -> str:
    try:
        return describe(pem).fingerprint
    except PkiError:
        return ""


def _alarms(member: Member, observation: ClusterObservation) -> list[str]:
    """Return the member's alarms, as any endpoint tells them."""
    status, live = known_status(observation.endpoints[member.name]), live_list(observation)
    listed = {info.id for info in live.members if member.peer_url in info.peer_urls} if live else set()
    own = listed | ({status.member_id} if status else set())
    answers = [one.alarms for one in observation.endpoints.values() if not isinstance(one.alarms, Unknown)]
    return sorted({alarm.kind for answer in answers for alarm in answer if alarm.member_id in own})


def _quantile(read: Maybe[Quantile]) -> Quantile | None:
    return None if isinstance(read, Unknown) else read


def _clock_offset(host: HostObservation) -> float | None:
    if isinstance(host.surroundings, Unknown) or isinstance(host.surroundings.offset, Unknown):
        return None
    return (host.surroundings.offset.low + host.surroundings.offset.high) / 2


def _image(member: Member, host: HostObservation) -> str:
    """Return the tag of the image that the container has, the wanted one where it has several; else its digest."""
    container = host.container
    if container is None:
        return ""
    images = {} if isinstance(host.images, Unknown) else host.images
    tags = [tag for tag, image_id in images.items() if image_id == container.image_id]
    wanted = member.settings.etcd_image
    return wanted if wanted in tags else container.image or next(iter(tags), container.image_id)
