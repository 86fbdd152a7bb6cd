"""Which CAs do the members trust, are they the same, whose are they, and how long do they hold? Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks import pem
from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.kinds import HOST, NOTHING, Kind
from nornir_etcd.exceptions import PkiError
from nornir_etcd.layout import layout
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.certificate import days_left, describe, each, fingerprints, signers
from nornir_etcd.plan.change_over import present_layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.pki.certificate import CertificateInfo
    from nornir_etcd.report.model import Finding

CONTROLLER = "the controller's CA"
ROTATE = "https://kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates/"

KINDS = (
    Kind(
        "ca.expiring",
        "How long do the CAs hold?",
        NOTHING,
        "critical",
        settings=("etcd_ca_warning_days", "etcd_ca_critical_days"),
    ),
    Kind(
        "ca.shared",
        "Has etcd a CA of its own?",
        HOST,
        "warning",
        rule="https://kubernetes.io/docs/setup/best-practices/certificates/ (etcd-ca)",
    ),
    Kind("ca.unequal", "Do all members trust the same CA?", HOST, "critical"),
    Kind("ca.rotation", "Has a rotation of the CA that was begun come to its end?", HOST, "warning"),
)

STANDS = {
    "trust-both": "phase 1 of 3, in which members and clients come to trust both CAs",
    "new-leaves": "phase 2 of 3, in which they get certificates of the new CA",
    "drop-old": "phase 3 of 3, in which they cease to trust the former CA",
}


def check(seen: Evidence) -> Iterator[Finding]:
    """Check the CAs of a cluster; where endpoints alone are known, the one that they are asked with."""
    yield _expiring(seen)
    if seen.cluster.declared:
        yield _shared(seen)
        yield _unequal(seen)
    if seen.cluster.managed:
        yield _rotation(seen)


def trusted(seen: Evidence, member: Member, port: pem.Port) -> tuple[dict[str, bytes], Unknown | None]:
    """Return the CAs that must have signed a port's certificate, by what they are called, and what is not known of it.

    The controller talks to the client port: its CA says nothing of a peer port that has a CA of its own.
    """
    paths = present_layout(member, seen.host(member.name))
    path = paths.trusted_ca if port == "client" else paths.peer_trusted_ca
    disk = pem.text(seen, member, path)
    found = {} if isinstance(disk, Unknown) else {path: disk}
    if seen.cluster.ca is not None and path == paths.trusted_ca:
        found[CONTROLLER] = seen.cluster.ca
    asked = seen.host(member.name).error is None
    return found, disk if isinstance(disk, Unknown) and (asked or not found) else None


def _expiring(seen: Evidence) -> Finding:
    """Judge the CA that expires first. Of a bundle that is what signed a certificate in use, where that is known."""
    asked = Check("ca.expiring", seen.cluster.name)
    held: list[tuple[CertificateInfo, str]] = []
    doubts: list[Unknown] = []
    for member in seen.cluster.members:
        for port in pem.ports(seen.cluster):
            cas, unread = trusted(seen, member, port)
            doubts += [unread] if unread is not None else []
            for place, ca in cas.items():
                where = place if place == CONTROLLER else f"{place} on {member.name}"
                try:
                    held += [(info, where) for info in _in_use(seen, member, port, ca)]
                except PkiError as error:
                    doubts.append(Unknown(f"{where}: {error}"))
    if not held:
        return asked.unknown(doubts[0] if doubts else "no CA is known")
    first, where = min(held, key=lambda one: one[0].not_after)
    left = days_left(first, seen.now)
    read = {"subject": first.subject, "not_after": first.not_after.isoformat(), "days_left": left, "place": where}
    if first.not_after <= seen.now:
        return asked.critical(f"'{first.subject}' expired on {first.not_after:%Y-%m-%d}", _replace(), **read)
    if left < max(member.settings.etcd_ca_critical_days for member in seen.cluster.members):
        return asked.critical(f"'{first.subject}' expires in {left} days", _replace(), **read)
    if left < max(member.settings.etcd_ca_warning_days for member in seen.cluster.members):
        return asked.warning(f"'{first.subject}' expires in {left} days", _replace(), **read)
    if doubts:
        return asked.unknown(doubts[0], **read)
    return asked.ok(f"'{first.subject}' holds for {left} days", **read)


def _replace() -> str:
    return f"replace it while it holds: a bundle of both CAs first, then new certificates, then the new CA ({ROTATE})"


def _in_use(seen: Evidence, member: Member, port: pem.Port, ca: bytes) -> list[CertificateInfo]:
    leaves, _ = pem.leaves(seen, member, port)
    between = [leaf.pem for leaf in leaves]
    used = [one for leaf in leaves for one in signers(leaf.pem, ca, between)]
    return [describe(one) for one in used or each(ca)]


def _shared(seen: Evidence) -> Finding:
    """Check that etcd does not trust the CA that signs for everybody (etcd lets in whatever chains to its CA)."""
    asked = Check("ca.shared", seen.cluster.name)
    shared: dict[str, str] = {}  # path of the general CA by member
    doubts: list[Unknown] = []
    for member in seen.cluster.members:
        path = layout(member.settings).ca
        state = seen.host(member.name).files.get(path)
        general, own = _prints(seen, member, path), _trust(seen, member)
        if state is not None and state.kind == "absent":
            general = frozenset()
        doubts += [one for one in (general, own) if isinstance(one, Unknown)]
        if not isinstance(general, Unknown) and not isinstance(own, Unknown) and general & own:
            shared[member.name] = path
    if shared:
        way = "set etcd_ca to dedicated, and run certs rotate-ca" if seen.cluster.managed else "give etcd its own CA"
        return asked.warning(
            f"etcd trusts the cluster's general CA ({', '.join(dict.fromkeys(shared.values()))}): whatever that has "
            "signed, such as a kubelet's client certificate, may read and write all that is in etcd",
            f"{way}; until then see who can have a certificate signed",
            members=", ".join(shared),
        )
    if doubts:
        return asked.unknown(doubts[0])
    return asked.ok("etcd trusts a CA of its own")


def _unequal(seen: Evidence) -> Finding:
    asked = Check("ca.unequal", seen.cluster.name)
    found = {member.name: _trust(seen, member) for member in seen.cluster.members}
    known = {name: one for name, one in found.items() if not isinstance(one, Unknown)}
    read = {name: ", ".join(sorted(one[:16] for one in prints)) for name, prints in known.items()}
    kinds = set(known.values())
    if len(kinds) > 1 and not frozenset.intersection(*kinds):
        return asked.critical(
            "the members trust CAs that have none in common, so that they refuse each other",
            "put the same CA on every member, and restart them one at a time: etcd reads it at its start",
            **read,
        )
    if len(kinds) > 1:
        return asked.warning(
            "the members trust different CAs, with some in common",
            "end the change of the CA that was begun: the same bundle on every member",
            **read,
        )
    unknown = next((one for one in found.values() if isinstance(one, Unknown)), None)
    if unknown is not None:
        return asked.unknown(unknown, **read)
    return asked.ok("all members trust the same CA", **read)


def _rotation(seen: Evidence) -> Finding:
    """Tell a rotation that is under way: members that trust two CAs are then as they should be, but not for ever."""
    asked, authority = Check("ca.rotation", seen.cluster.name), seen.authority
    if authority is None:
        return asked.unknown(
            f"{seen.cluster.members[0].settings.generate_certs_dir} holds no CA, and it alone tells",
            "run verify where certs or deploy was run, or copy that folder here",
        )
    read = {"phase": authority.phase, "signer": authority.signer, "trusted": ", ".join(authority.trusted)}
    if authority.phase != "settled":
        return asked.warning(
            f"a rotation of the CA is under way: {STANDS[authority.phase]}",
            "run certs rotate-ca again: it goes on from there, or says whom it waits for",
            **read,
        )
    doubts = (one for member in seen.cluster.members if isinstance(one := _trust(seen, member), Unknown))
    unknown = next(doubts, None)
    return asked.ok("no rotation of the CA is under way", **read) if unknown is None else asked.unknown(unknown, **read)


def _trust(seen: Evidence, member: Member) -> frozenset[str] | Unknown:
    """Return the fingerprints of all that the member trusts, as clients and as peers."""
    paths = present_layout(member, seen.host(member.name))
    found = frozenset[str]()
    for path in dict.fromkeys((paths.trusted_ca, paths.peer_trusted_ca)):
        prints = _prints(seen, member, path)
        if isinstance(prints, Unknown):
            return prints
        found |= prints
    return found


def _prints(seen: Evidence, member: Member, path: str) -> frozenset[str] | Unknown:
    text = pem.text(seen, member, path)
    if isinstance(text, Unknown):
        return text
    try:
        return fingerprints(text)
    except PkiError as error:
        return Unknown(f"{member.name}: {path}: {error}")
