"""Is the certificate that is served the one on disk, and that the one issued? How long does it hold?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.exceptions import PkiError
from nornir_etcd.layout import CERTIFICATE, layout
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.certificate import days_left, describe
from nornir_etcd.plan.state import has_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.pki.certificate import CertificateInfo
    from nornir_etcd.report.model import Finding

PLACE = "run certs (or deploy) to place the issued certificate"


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the certificate of every member."""
    for member in seen.cluster.members:
        disk = _on_disk(seen, member)
        yield _placed(seen, member, disk)
        host = seen.host(member.name)
        if host.error is not None or has_manifest(member, host):  # where nothing is deployed, nothing is served
            for port in ("client", "peer"):
                yield _served(seen, member, disk, port)
        yield _expiring(seen, member, disk)


def _read(pem: bytes, what: str) -> CertificateInfo | Unknown:
    try:
        return describe(pem)
    except PkiError as error:
        return Unknown(f"{what}: {error}")


def _on_disk(seen: Evidence, member: Member) -> CertificateInfo | Unknown:
    host = seen.host(member.name)
    path = f"{layout(member.settings).etcd}/{CERTIFICATE}"
    if host.error is not None:
        return host.error
    text = host.texts.get(path)
    return Unknown(f"{path} is absent or could not be read") if text is None else _read(text.encode(), path)


def _placed(seen: Evidence, member: Member, disk: CertificateInfo | Unknown) -> Finding:
    asked = Check("cert.placed", member.name)
    pem = seen.issued.get(member.name)
    if pem is None:
        return asked.unknown(
            f"{member.settings.generate_certs_dir} holds no certificate of this member",
            "run verify where certs or deploy was run, or copy that folder here",
        )
    issued = _read(pem, "the issued certificate")
    if isinstance(disk, Unknown) and _is_known(seen, member):
        return asked.critical(f"the host has no certificate: {disk.reason}", PLACE)
    if isinstance(issued, Unknown) or isinstance(disk, Unknown):
        return asked.unknown(issued if isinstance(issued, Unknown) else disk if isinstance(disk, Unknown) else "")
    if issued.fingerprint == disk.fingerprint:
        return asked.ok("the certificate on the host is the one issued", serial=disk.serial)
    return asked.warning(
        "the certificate on the host is not the one issued", PLACE, issued=issued.serial, on_disk=disk.serial
    )


def _is_known(seen: Evidence, member: Member) -> bool:
    """Whether it is known of the host what stands in the certificate's place: nothing, or something else."""
    host, path = seen.host(member.name), f"{layout(member.settings).etcd}/{CERTIFICATE}"
    state = host.files.get(path)
    return path in host.texts or (state is not None and state.kind == "absent")


def _served(seen: Evidence, member: Member, disk: CertificateInfo | Unknown, port: str) -> Finding:
    asked = Check(f"cert.served.{port}", member.name)
    endpoint = seen.endpoint(member.name)
    pem = endpoint.served_client if port == "client" else endpoint.served_peer
    if isinstance(pem, Unknown):
        return asked.unknown(pem)
    served = _read(pem, f"the certificate served on the {port} port")
    if isinstance(served, Unknown) or isinstance(disk, Unknown):
        return asked.unknown(served if isinstance(served, Unknown) else disk if isinstance(disk, Unknown) else "")
    if served.fingerprint == disk.fingerprint:
        return asked.ok(f"the {port} port serves the certificate on the host", serial=served.serial)
    return asked.critical(
        f"the {port} port serves another certificate than the one on the host",
        "see which certificate file the container was started with",
        served=served.serial,
        on_disk=disk.serial,
    )


def _expiring(seen: Evidence, member: Member, disk: CertificateInfo | Unknown) -> Finding:
    asked = Check("cert.expiring", member.name)
    served = seen.endpoint(member.name).served_client
    info = disk if isinstance(served, Unknown) else _read(served, "the certificate served")
    if isinstance(info, Unknown):
        return asked.unknown(info)
    left = days_left(info, seen.now)
    read = {"not_after": info.not_after.isoformat(), "days_left": left}
    if info.not_after <= seen.now:
        return asked.critical(f"expired on {info.not_after:%Y-%m-%d}", "run certs to renew it", **read)
    if left < member.settings.etcd_renew_days:
        return asked.warning(f"expires in {left} days", "run certs to renew it", **read)
    return asked.ok(f"holds for {left} days", **read)
