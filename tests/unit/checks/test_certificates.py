"""Each finding about certificates, in each of its severities."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from nornir_etcd.layout import layout
from nornir_etcd.observation import FileState, Unknown
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.authority import subject as authority_name
from nornir_etcd.pki.certificate import USAGES
from nornir_etcd.plan.certs import leaf_request
from nornir_etcd.signers.local import Pair
from tests.unit.builders import NOW, World, authority, deployed, full_store, make_cluster, pair
from tests.unit.checks.seen import CRITICAL, OK, UNKNOWN, WARNING, bad, endpoint, findings, host
from tests.unit.plan.test_change_over import RolesWorld

if TYPE_CHECKING:
    from nornir_etcd.pki.keys import PrivateKey
    from nornir_etcd.report.model import Severity


def renewed(world: World) -> Pair:
    return pair(authority(), leaf_request(world[1].member))


def test_a_certificate_that_was_issued_and_not_placed_is_a_warning() -> None:
    world = deployed()
    world.store = replace(world.store, leaves=world.store.leaves | {"master-1": renewed(world)})
    assert bad(world) == {("cert.placed", "master-1"): WARNING}


def test_a_certificate_that_was_placed_and_is_not_served_is_critical() -> None:
    world = deployed()
    served = world.observe().endpoints["master-1"]
    leaf = renewed(world)
    world.store = replace(world.store, leaves=world.store.leaves | {"master-1": leaf})
    world[1].placed = (leaf, authority().pem)
    endpoint(world, "master-1", served_client=served.served_client)
    assert bad(world) == {("cert.served.client", "master-1"): CRITICAL}
    endpoint(world, "master-1", served_peer=served.served_peer)
    assert bad(world)["cert.served.peer", "master-1"] is CRITICAL


def test_a_folder_without_the_certificate_leaves_its_place_unknown_with_a_remedy() -> None:
    world = deployed()
    world.store = replace(full_store(), leaves={})
    one = findings(world)["cert.placed", "master-1"]
    assert (one.severity, "copy that folder here" in one.remedy) == (UNKNOWN, True)


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_what_is_no_certificate_in_its_place_is_critical_and_what_is_served_unknown(text: str) -> None:
    world = deployed()
    path = "/etc/kubernetes/pki/etcd/etcd.pem"
    texts = world.observe().hosts["master-1"].texts
    host(world, "master-1", texts=texts | {path: text})
    found = findings(world)
    assert found["cert.placed", "master-1"].severity is CRITICAL
    for code in ("cert.served.client", "cert.served.peer"):
        assert found[code, "master-1"].severity is UNKNOWN
        assert path in found[code, "master-1"].message


def test_what_is_served_and_cannot_be_read_is_unknown() -> None:
    world = deployed()
    endpoint(world, "master-1", served_client=b"garbage", served_peer=Unknown("reset by peer"))
    found = findings(world)
    assert found["cert.served.client", "master-1"].severity is UNKNOWN
    assert found["cert.served.peer", "master-1"].message == "reset by peer"
    assert found["cert.expiring", "master-1"].severity is UNKNOWN


@pytest.mark.parametrize(
    ("days", "severity", "message"),
    [
        (100, OK, "holds for 100 days"),
        (30, OK, "holds for 30 days"),
        (29, WARNING, "expires in 29 days"),
        (7, WARNING, "expires in 7 days"),
        (6, CRITICAL, "expires in 6 days"),
        (0, CRITICAL, "expires in 0 days"),
        (-1, CRITICAL, "expired on 2026-11-21"),
    ],
)
@pytest.mark.parametrize("up", [True, False])
def test_days_left_are_counted_on_what_is_served_else_on_the_host(
    days: int, severity: Severity, message: str, *, up: bool
) -> None:
    world = deployed()
    leaf = pair(authority(), leaf_request(world[1].member), now=NOW + timedelta(days=days - 365, hours=1))
    world.store = replace(world.store, leaves=world.store.leaves | {"master-1": leaf})
    world[1].placed = (leaf, authority().pem)
    world[1].up = up
    one = findings(world)["cert.expiring", "master-1"]
    assert (one.severity, one.message) == (severity, message)
    assert one.evidence["days_left"] == str(days)


def test_of_two_certificates_the_one_that_expires_first_is_told() -> None:
    world = deployed()
    old = pair(authority(), leaf_request(world[1].member), now=NOW - timedelta(days=355)).certificate
    endpoint(world, "master-1", served_peer=old)
    one = findings(world)["cert.expiring", "master-1"]
    assert (one.severity, one.message) == (WARNING, "the peer certificate expires in 10 days")
    assert one.evidence["place"] == "the certificate served on the peer port"


def test_a_good_certificate_says_nothing_of_a_port_that_was_not_seen() -> None:
    world = deployed()
    endpoint(world, "master-1", served_peer=Unknown("reset by peer"))
    found = findings(world)
    for code in ("cert.expiring", "cert.chain", "cert.usages", "cert.sans"):
        assert (found[code, "master-1"].severity, found[code, "master-1"].message) == (UNKNOWN, "reset by peer")


@pytest.mark.parametrize("managed", [True, False])
def test_the_remedy_names_certs_where_it_may_write(*, managed: bool) -> None:
    world = deployed() if managed else kubeadm()
    leaf = pair(authority(), leaf_request(world[1].member), now=NOW - timedelta(days=400)).certificate
    endpoint(world, "master-1", served_client=leaf)
    remedy = findings(world)["cert.expiring", "master-1"].remedy
    assert remedy == ("run certs to renew it" if managed else "renew it with the tool that issued it")


def test_who_signed_a_certificate_is_proven_and_not_believed() -> None:
    world = deployed()
    namesake = make_authority("example CA", now=NOW - timedelta(days=730))
    stranger = pair(namesake, leaf_request(world[1].member)).certificate
    endpoint(world, "master-1", served_peer=stranger)
    one = findings(world)["cert.chain", "master-1"]
    assert one.severity is CRITICAL
    assert one.message == (
        "the certificate served on the peer port was not signed by /etc/kubernetes/pki/etcd/ca.pem, but by 'example CA'"
    )


def test_a_host_with_another_ca_than_the_controllers_is_critical() -> None:
    world = deployed()
    world.cluster = replace(world.cluster, ca=make_authority("another CA", now=NOW - timedelta(days=1)).pem)
    one = findings(world)["cert.chain", "master-1"]
    assert one.severity is CRITICAL
    assert "was not signed by the controller's CA, but by 'example CA'" in one.message


@pytest.mark.parametrize("ca", [True, False])
def test_without_ssh_what_is_served_is_judged_by_the_controllers_ca(*, ca: bool) -> None:
    world = deployed()
    world.cluster = replace(world.cluster, ca=authority().pem if ca else None)
    for node in world.nodes.values():
        node.error = Unknown("not asked")
    found = findings(world)
    assert found["cert.chain", "master-1"].severity is (OK if ca else UNKNOWN)
    assert found["cert.expiring", "master-1"].severity is OK
    assert found["cert.usages", "master-1"].severity is OK
    assert found["cert.sans", "master-1"].severity is OK
    assert found["ca.expiring", "example"].severity is (OK if ca else UNKNOWN)


def test_a_bundle_and_an_intermediate_ca_are_followed() -> None:
    world = deployed()
    then = NOW - timedelta(days=1)
    root, other = make_authority("root", now=then), make_authority("another CA", now=then)
    key = keys.make("ecdsa-p256")
    between = intermediate(root, key)
    leaf = pair(Authority(between, key, b""), leaf_request(world[1].member))
    assert leaf.certificate is not None
    chain = leaf.certificate + between.public_bytes(Encoding.PEM)
    world[1].placed = (Pair(chain, leaf.key), other.pem + root.pem)
    endpoint(world, "master-1", served_client=leaf.certificate, served_peer=leaf.certificate)
    assert findings(world)["cert.chain", "master-1"].severity is OK
    world[1].placed = (Pair(chain, leaf.key), other.pem)
    world.seen = None
    assert findings(world)["cert.chain", "master-1"].severity is CRITICAL


def intermediate(root: Authority, key: PrivateKey) -> x509.Certificate:
    """Return a CA that another one has signed."""
    assert not isinstance(key, Ed25519PrivateKey)
    return (
        x509.CertificateBuilder(root.certificate.subject, authority_name("between"), key.public_key(), 5)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root.key, hashes.SHA256())
    )


@pytest.mark.parametrize(
    ("port", "usages", "severity"),
    [
        ("client", ("serverAuth", "clientAuth"), OK),
        ("client", (), OK),
        ("client", ("2.5.29.37.0",), OK),
        ("client", ("serverAuth",), WARNING),
        ("client", ("clientAuth",), CRITICAL),
        ("peer", ("serverAuth",), CRITICAL),
        ("peer", ("clientAuth",), CRITICAL),
    ],
)
def test_what_a_certificate_may_be_used_for(port: str, usages: tuple[str, ...], severity: Severity) -> None:
    world = deployed()
    endpoint(world, "master-1", **{f"served_{port}": with_usages(world, usages)})
    one = findings(world)["cert.usages", "master-1"]
    assert one.severity is severity
    assert severity is OK or f"the certificate served on the {port} port lacks" in one.message


def with_usages(world: World, usages: tuple[str, ...]) -> bytes:
    """Return the certificate of master-1 with these extended key usages and no other."""
    pem = pair(authority(), leaf_request(world[1].member)).certificate
    assert pem is not None
    leaf = x509.load_pem_x509_certificate(pem)
    builder = (
        x509.CertificateBuilder(leaf.issuer, leaf.subject, leaf.public_key(), leaf.serial_number)
        .not_valid_before(leaf.not_valid_before_utc)
        .not_valid_after(leaf.not_valid_after_utc)
    )
    for extension in leaf.extensions:
        if not isinstance(extension.value, x509.ExtendedKeyUsage):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    if usages:
        oids = [USAGES.get(usage) or x509.ObjectIdentifier(usage) for usage in usages]
        builder = builder.add_extension(x509.ExtendedKeyUsage(oids), critical=False)
    return builder.sign(authority().key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("dns", "ips", "severity", "told"),
    [
        (("master-1", "localhost"), ("192.0.2.11", "127.0.0.1"), OK, ""),
        (("*", "master-1", "localhost"), ("192.0.2.11", "127.0.0.1"), OK, ""),
        (("master-1", "localhost", "192.0.2.11"), ("127.0.0.1",), CRITICAL, "192.0.2.11"),
        (("master-1", "localhost"), ("192.0.2.12", "127.0.0.1"), CRITICAL, "does not name 192.0.2.11"),
        (("localhost",), ("192.0.2.11", "127.0.0.1"), WARNING, "does not name master-1"),
        (("master-1",), ("192.0.2.11",), WARNING, "does not name localhost, 127.0.0.1"),
        ((), (), CRITICAL, "does not name 192.0.2.11, master-1, localhost, 127.0.0.1"),
    ],
)
@pytest.mark.parametrize("port", ["client", "peer"])
def test_whom_a_certificate_names(
    dns: tuple[str, ...], ips: tuple[str, ...], severity: Severity, told: str, port: str
) -> None:
    world = deployed()
    request = replace(leaf_request(world[1].member), dns_names=dns, ip_addresses=ips)
    endpoint(world, "master-1", **{f"served_{port}": pair(authority(), request).certificate})
    one = findings(world)["cert.sans", "master-1"]
    assert (one.severity, told in one.message) == (severity, True)


def test_further_names_are_wanted_too_and_a_wildcard_covers_one_label() -> None:
    world = deployed(etcd_extra_sans=("a.example.com", "b.c.example.com", "2001:db8::7"))
    request = leaf_request(world[1].member)
    request = replace(request, dns_names=("master-1", "localhost", "*.example.com"))
    endpoint(world, "master-1", served_client=pair(authority(), request).certificate)
    one = findings(world)["cert.sans", "master-1"]
    assert (one.severity, one.message) == (
        WARNING,
        "the certificate served on the client port does not name b.c.example.com",
    )


def test_of_an_endpoint_only_its_address_must_be_named_and_its_peer_port_is_no_matter() -> None:
    world = deployed()
    members = tuple(replace(member, peer_port=None) for member in world.cluster.members)
    world.cluster = replace(world.cluster, members=members, declared=False, ca=authority().pem)
    for node in world.nodes.values():
        node.error = Unknown("not asked")
    request = replace(leaf_request(world[1].member), dns_names=(), ip_addresses=("192.0.2.11",))
    leaf = pair(authority(), request).certificate
    endpoint(world, "master-1", served_client=leaf, served_peer=Unknown("not looked at"))
    found = findings(world)
    for code in ("cert.sans", "cert.chain", "cert.usages", "cert.expiring"):
        assert found[code, "master-1"].severity is OK
    codes = {code for code, _ in found if code.startswith(("cert.", "ca."))}
    assert codes == {"cert.sans", "cert.chain", "cert.usages", "cert.expiring", "ca.expiring"}


def kubeadm() -> World:
    """Return a healthy cluster whose files are kubeadm's: three certificates, two CAs."""
    world = deployed()
    world.cluster = cluster = make_cluster(3, etcd_preset="kubeadm")
    general = make_authority("kubernetes", now=NOW - timedelta(days=1))
    for node in world.nodes.values():
        node.member = cluster.member(node.name)
        server, peer = (pair(authority(), leaf_request(node.member)).certificate for _ in range(2))
        assert server is not None
        assert peer is not None
        folder = "/etc/kubernetes/pki"
        contents = {
            f"{folder}/ca.crt": general.pem,
            f"{folder}/etcd/ca.crt": authority().pem,
            f"{folder}/etcd/server.crt": server,
            f"{folder}/etcd/peer.crt": peer,
        }
        texts = {path: content.decode() for path, content in contents.items()}
        manifest = layout(node.member.settings).manifest
        texts[manifest] = node.manifest or ""
        host(world, node.name, texts=texts, files={manifest: FileState("file", 0o600, "0:0")})
        endpoint(world, node.name, served_client=server, served_peer=peer)
    return world


def test_kubeadms_certificates_are_read_where_they_lie() -> None:
    found = {key: one for key, one in findings(kubeadm()).items() if key[0].startswith(("cert.", "ca."))}
    assert {one.severity for one in found.values()} == {OK}
    codes = {code for code, _ in found}
    assert codes == {
        *("cert.served.client", "cert.served.peer", "cert.expiring", "cert.chain", "cert.usages", "cert.sans"),
        *("cert.shared", "ca.expiring", "ca.shared", "ca.unequal"),
    }, "none is placed by this program"


def test_kubeadms_two_certificates_are_not_taken_for_each_other() -> None:
    world = kubeadm()
    assert world.seen is not None
    seen = world.seen.endpoints["master-1"]
    endpoint(world, "master-1", served_client=seen.served_peer, served_peer=seen.served_client)
    found = findings(world)
    assert found["cert.served.client", "master-1"].severity is CRITICAL
    assert found["cert.served.peer", "master-1"].severity is CRITICAL


def test_nothing_is_deployed_where_the_files_are_anothers() -> None:
    world = kubeadm()
    assert world.refusals() == (
        "example: its files are kubeadm's (etcd_preset) and not managed by this program; verify reads them"
    )
    world.cluster = replace(deployed().cluster, declared=False)
    assert world.refusals() == "example: endpoints alone are known of it, so it can be verified and not changed"


def test_a_certificate_that_several_members_serve_is_a_warning_that_names_them() -> None:
    world = deployed()
    world[2].placed = world[1].placed
    found = findings(world)["cert.shared", "example"]
    assert found.severity is WARNING
    assert found.message.startswith("master-1, master-2 have one certificate and key together")


def test_whether_a_certificate_is_shared_is_unknown_where_a_member_shows_none() -> None:
    world = deployed()
    for name in ("master-2", "master-3"):
        endpoint(world, name, served_client=Unknown("reset"), served_peer=Unknown("reset"))
        host(world, name, texts={})
    assert findings(world)["cert.shared", "example"].severity is UNKNOWN


def test_a_cluster_of_the_role_is_verified_with_the_files_that_it_has() -> None:
    world = RolesWorld()
    shared = world.shared.certificate
    assert shared is not None
    for name in world.names:
        texts = world.observe().hosts[name].texts | {"/etc/kubernetes/pki/etcd.pem": shared.decode()}
        host(world, name, texts=texts)
        endpoint(world, name, served_client=shared, served_peer=shared)
    wrong = bad(world)
    assert set(wrong.values()) == {WARNING}
    assert {code for code, _ in wrong} == {"cert.placed", "cert.sans", "cert.shared", "manifest.drift"}


def test_a_member_of_the_role_serves_its_certificate_until_it_is_restarted() -> None:
    world = RolesWorld()
    shared = world.shared.certificate
    for step in world.plan().steps:
        if step.action in {"issue-certificate", "place-files"}:
            world.carry_out_step(step)
    for name in world.names:
        endpoint(world, name, served_client=shared, served_peer=shared)
    found = findings(world)
    assert found["cert.served.client", "master-1"].severity is WARNING
    assert "until the member is restarted" in found["cert.served.peer", "master-2"].message
    assert found["manifest.drift", "master-1"].message.startswith(
        "/etc/kubernetes/manifests/etcd.yaml is the Ansible role's"
    )
