"""Is the certificate that is served the one on disk, and that the one issued? Who signed it, for whom, how long?"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nornir_etcd.checks import authorities, pem
from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import BOTH, ENDPOINT, HOST, Kind
from nornir_etcd.exceptions import PkiError
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.certificate import days_left, signers
from nornir_etcd.plan.change_over import is_roles
from nornir_etcd.plan.state import has_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.report.model import Finding

PLACE = "run certs (or deploy) to place the issued certificate"
BRING_OVER = "run deploy (--dry-run first: it names what changes, and why)"
RULES = "https://etcd.io/docs/v3.5/op-guide/security/"

KINDS = (
    Kind("cert.placed", "Is the certificate on the host the one that the controller issued?", HOST, "critical"),
    Kind("cert.served.client", "Does the client port serve the certificate on the host?", BOTH, "critical"),
    Kind("cert.served.peer", "Does the peer port serve the certificate on the host?", BOTH, "critical"),
    Kind(
        "cert.expiring",
        "How long do the certificates of the client and the peer port hold?",
        ENDPOINT,
        "critical",
        settings=("etcd_renew_days", "etcd_cert_critical_days"),
    ),
    Kind("cert.chain", "Did the CA sign them that etcd and the controller trust?", ENDPOINT, "critical", rule=RULES),
    Kind("cert.usages", "May servers, clients and peers use them as such?", ENDPOINT, "critical", rule=RULES),
    Kind(
        "cert.sans",
        "Do they name the member and its address?",
        ENDPOINT,
        "critical",
        settings=("etcd_extra_sans",),
        rule=RULES,
    ),
    Kind("cert.shared", "Does each member have a certificate of its own?", ENDPOINT, "warning"),
    *authorities.KINDS,
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the certificates of every member, and the CAs behind them."""
    for member in seen.cluster.members:
        if seen.cluster.managed:
            yield _placed(seen, member)
        host = seen.host(member.name)
        # Where nothing is deployed, nothing is served.
        if seen.cluster.declared and (host.error is not None or has_manifest(member, host)):
            yield from (_served(seen, member, port) for port in pem.ports(seen.cluster))
        yield _expiring(seen, member)
        yield _chain(seen, member)
        yield _usages(seen, member)
        yield _sans(seen, member)
    if seen.cluster.declared:  # several endpoints may be one member's
        yield _shared(seen)
    yield from authorities.check(seen)


def _placed(seen: Evidence, member: Member) -> Finding:
    asked = Check("cert.placed", member.name)
    issued_pem = seen.issued.get(member.name)
    if issued_pem is None and is_roles(member, seen.host(member.name)):
        return asked.warning("the certificate on the host is the one that the Ansible role has placed", BRING_OVER)
    if issued_pem is None:
        return asked.unknown(
            f"{member.settings.generate_certs_dir} holds no certificate of this member",
            "run verify where certs or deploy was run, or copy that folder here",
        )
    issued, disk = pem.read(issued_pem, "the issued certificate"), pem.on_disk(seen, member, "client")
    if isinstance(disk, Unknown) and _is_known(seen, member):
        return asked.critical(f"the host has no certificate: {disk.reason}", PLACE)
    if isinstance(issued, Unknown) or isinstance(disk, Unknown):
        return asked.unknown(issued if isinstance(issued, Unknown) else disk if isinstance(disk, Unknown) else "")
    if issued.fingerprint == disk.info.fingerprint:
        return asked.ok("the certificate on the host is the one issued", serial=disk.info.serial)
    return asked.warning(
        "the certificate on the host is not the one issued", PLACE, issued=issued.serial, on_disk=disk.info.serial
    )


def _is_known(seen: Evidence, member: Member) -> bool:
    """Whether it is known of the host what stands in the certificate's place: nothing, or something else."""
    host, path = seen.host(member.name), pem.certificate_path(seen, member, "client")
    state = host.files.get(path)
    return path in host.texts or (state is not None and state.kind == "absent")


def _served(seen: Evidence, member: Member, port: pem.Port) -> Finding:
    asked = Check("cert.served.client", member.name) if port == "client" else Check("cert.served.peer", member.name)
    shown, disk = pem.served(seen, member, port), pem.on_disk(seen, member, port)
    if isinstance(shown, Unknown) or isinstance(disk, Unknown):
        return asked.unknown(shown if isinstance(shown, Unknown) else disk if isinstance(disk, Unknown) else "")
    if shown.info.fingerprint == disk.info.fingerprint:
        return asked.ok(f"the {port} port serves the certificate on the host", serial=shown.info.serial)
    if is_roles(member, seen.host(member.name)):
        return asked.warning(
            f"the {port} port serves the certificate that the Ansible role has placed, until the member is restarted "
            "with its new manifest",
            BRING_OVER,
            served=shown.info.serial,
            on_disk=disk.info.serial,
        )
    return asked.critical(
        f"the {port} port serves another certificate than the one on the host",
        "see which certificate file the container was started with",
        served=shown.info.serial,
        on_disk=disk.info.serial,
    )


def _shared(seen: Evidence) -> Finding:
    """Check that no certificate is that of several members: who has its key from one host is all of them."""
    asked = Check("cert.shared", seen.cluster.name)
    hosts: dict[str, set[str]] = defaultdict(set)
    doubts: list[str] = []
    for member in seen.cluster.members:
        known, unknown = pem.all_leaves(seen, member)
        for leaf in known:
            hosts[leaf.info.fingerprint].add(member.name)
        if not known:
            doubts.append((unknown or Unknown("no certificate is known")).reason)
    if shared := {mark: ", ".join(sorted(names)) for mark, names in hosts.items() if len(names) > 1}:
        ours = seen.cluster.managed
        return asked.warning(
            f"{' and '.join(sorted(set(shared.values())))} have one certificate and key together: whoever has them "
            "from one host is all of them",
            BRING_OVER if ours else "issue each member a certificate of its own",
            **{f"sha256 {mark}": names for mark, names in shared.items()},
        )
    if doubts:
        return asked.unknown(doubts[0])
    return asked.ok("no two members have the same certificate")


def _renew(cluster: Cluster) -> str:
    return "run certs to renew it" if cluster.managed else "renew it with the tool that issued it"


def _expiring(seen: Evidence, member: Member) -> Finding:
    """Judge the certificate that expires first: peers that cannot talk are as bad as clients that cannot."""
    asked, settings = Check("cert.expiring", member.name), member.settings
    known, unknown = pem.all_leaves(seen, member)
    if not known:
        return asked.unknown(unknown or "no certificate is known")
    first = min(known, key=lambda one: one.info.not_after)
    left = days_left(first.info, seen.now)
    alone = len({one.info.fingerprint for one in known}) > 1 or unknown is not None
    what = f"the {first.port} certificate " if alone else ""
    read = {"not_after": first.info.not_after.isoformat(), "days_left": left, "place": first.place}
    if first.info.not_after <= seen.now:
        return asked.critical(f"{what}expired on {first.info.not_after:%Y-%m-%d}", _renew(seen.cluster), **read)
    if left < settings.etcd_cert_critical_days:
        return asked.critical(f"{what}expires in {left} days", _renew(seen.cluster), **read)
    if left < settings.etcd_renew_days:
        return asked.warning(f"{what}expires in {left} days", _renew(seen.cluster), **read)
    if unknown is not None:
        return asked.unknown(unknown, **read)
    return asked.ok(f"{what}holds for {left} days", **read)


def _chain(seen: Evidence, member: Member) -> Finding:
    asked = Check("cert.chain", member.name)
    faults: dict[str, str] = {}  # by what is told: the same leaf may be judged by the same CA twice
    doubts: list[Unknown] = []
    judged: dict[str, str] = {}
    for port in pem.ports(seen.cluster):
        found, doubt = pem.leaves(seen, member, port)
        doubts += [doubt] if doubt is not None else []
        cas, unread = authorities.trusted(seen, member, port)
        doubts += [unread] if found and unread is not None else []
        between = [leaf.pem for leaf in found]
        for leaf in found:
            for place, ca in cas.items():
                try:
                    signed = signers(leaf.pem, ca, between)
                except PkiError as error:
                    doubts.append(Unknown(f"{place}: {error}"))
                    continue
                judged[leaf.place] = leaf.info.issuer
                if not signed:
                    faults[f"{leaf.place} was not signed by {place}, but by '{leaf.info.issuer}'"] = ""
    if faults:
        return asked.critical("; ".join(faults), _sign(seen.cluster), **judged)
    if doubts:
        return asked.unknown(doubts[0], **judged)
    return asked.ok("signed by the CA that is trusted", **judged)


def _sign(cluster: Cluster) -> str:
    if not cluster.managed:
        return "see which of the two is right: clients and peers that trust this CA refuse the certificate"
    return "run certs to issue it anew, or put the CA back that signed it"


def _usages(seen: Evidence, member: Member) -> Finding:
    """Check the extended key usages: etcd dials its peers with the certificate that it serves them."""
    asked = Check("cert.usages", member.name)
    known, unknown = pem.all_leaves(seen, member)
    lacking = [(leaf, usage) for leaf in known for usage in ("serverAuth", "clientAuth") if not leaf.info.allows(usage)]
    told = "; ".join(f"{leaf.place} lacks {usage}" for leaf, usage in lacking)
    read = {leaf.place: ", ".join(leaf.info.usages) for leaf in known}
    if any((leaf.port, usage) != ("client", "clientAuth") for leaf, usage in lacking):
        return asked.critical(f"{told}: its connections are refused", _renew(seen.cluster), **read)
    if lacking:
        # etcd dials itself with it, for JSON over HTTP (gRPC gateway) and its own endpoint's health.
        return asked.warning(f"{told}: etcd's gRPC gateway is refused", _renew(seen.cluster), **read)
    if unknown is not None:
        return asked.unknown(unknown, **read)
    return asked.ok("for servers and for clients", **read)


def _sans(seen: Evidence, member: Member) -> Finding:
    asked = Check("cert.sans", member.name)
    known, unknown = pem.all_leaves(seen, member)
    # Of an endpoint only the address is known that it was asked at.
    others = (member.name, "localhost", "127.0.0.1", *member.settings.etcd_extra_sans) if seen.cluster.declared else ()
    wanted = tuple(dict.fromkeys((member.address, *others)))
    missing = {leaf.place: [name for name in wanted if not leaf.info.names(name)] for leaf in known}
    told = "; ".join(f"{place} does not name {', '.join(names)}" for place, names in missing.items() if names)
    read = {leaf.place: ", ".join((*leaf.info.dns_names, *leaf.info.ip_addresses)) for leaf in known}
    if any(member.address in names for names in missing.values()):
        return asked.critical(f"{told}: who dials that address refuses it", _renew(seen.cluster), **read)
    if told:
        return asked.warning(told, _renew(seen.cluster), **read)
    if unknown is not None:
        return asked.unknown(unknown, **read)
    return asked.ok("they name the member and its address", **read)
