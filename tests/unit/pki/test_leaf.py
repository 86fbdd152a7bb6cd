from __future__ import annotations

import ipaddress
import ssl
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, get_args

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.leaf import LeafRequest, apiserver_request, client_request, issue, member_request, shortfall
from nornir_etcd.pki.renewal import due

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nornir_etcd.pki.keys import KeyType

    OpenSsl = Callable[..., str]

NO_NAMES = ["", " ", "a b", "a\n", "a:1", "a..b", "-a", "*", "x" * 64, "node/1", "[::1]", "10.0.0.300", "1.2", "é"]
labels = st.from_regex(r"[a-z0-9_]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join).filter(lambda name: not name.replace(".", "").isdigit())
addresses = st.ip_addresses().map(str)


def test_a_member_is_reached_by_name_address_and_loopback() -> None:
    request = member_request("node-1", "10.0.0.1", ["etcd.example.com", "fd00::1"])
    assert request.dns_names == ("node-1", "localhost", "etcd.example.com")
    assert request.ip_addresses == ("10.0.0.1", "127.0.0.1", "::1", "fd00::1")
    assert request.usage == "member"


def test_an_address_may_be_a_dns_name_or_ipv6() -> None:
    assert member_request("a", "a.example.com.").dns_names == ("a", "localhost", "a.example.com")
    assert member_request("a", "FD00:0:0::0001").ip_addresses == ("fd00::1", "127.0.0.1", "::1")


def test_each_name_occurs_once_in_a_stable_order() -> None:
    request = member_request("node-1", "node-1", ["NODE-1", "::1", "0:0::1", "localhost", "b", "a", "b"])
    assert request.dns_names == ("node-1", "localhost", "b", "a")
    assert request.ip_addresses == ("127.0.0.1", "::1")


@pytest.mark.parametrize("bad", NO_NAMES)
def test_what_is_no_name_is_refused(bad: str) -> None:
    with pytest.raises(PkiError, match="wanted an IP address or a DNS name"):
        member_request("node-1", "10.0.0.1", [bad])


def test_an_address_with_a_zone_is_refused() -> None:
    with pytest.raises(PkiError, match="fe80::1%eth0"):
        member_request("node-1", "fe80::1%eth0")


def test_a_name_that_is_no_san_is_refused_when_issued(authority: Authority, now: datetime) -> None:
    with pytest.raises(PkiError, match="wanted DNS names and IP addresses"):
        issue(authority, LeafRequest("x", "client", ip_addresses=("nowhere",)), now=now)


@settings(max_examples=60, deadline=None)
@given(names.filter(lambda name: len(name) <= 64), names | addresses, st.lists(names | addresses, max_size=5))
def test_what_was_asked_for_is_in_the_leaf_and_the_leaf_then_stays(
    authority: Authority, now: datetime, name: str, address: str, extra: list[str]
) -> None:
    request = member_request(name, address, extra)
    leaf = issue(authority, request, now=now)
    info = certificates.describe(leaf.certificate_pem)
    assert info.dns_names == request.dns_names
    assert info.ip_addresses == request.ip_addresses
    everything = [*info.dns_names, *info.ip_addresses]
    assert len({san.lower() for san in everything}) == len(everything)
    wanted = {name, "localhost", address, "127.0.0.1", "::1", *extra}
    assert {_equal(san) for san in wanted} == {_equal(san) for san in everything}
    reason = due(leaf.certificate_pem, leaf.key_pem, ca_pem=authority.pem, request=request, now=now, renew_days=30)
    assert reason is None


def _equal(san: str) -> object:
    try:
        return ipaddress.ip_address(san)
    except ValueError:
        return san.lower()


@pytest.mark.parametrize("key_type", get_args(keys.KeyType)[:3])  # rsa-4096 takes seconds and differs by its size only
def test_openssl_accepts_a_member_as_server_and_client(
    key_type: KeyType, authority: Authority, now: datetime, openssl: OpenSsl, tmp_path: Path
) -> None:
    leaf = issue(authority, member_request("node-1", "fd00::1", ["10.0.0.1"], key_type=key_type), now=now)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    verify = ("verify", "-x509_strict", "-CAfile", "ca.pem")
    for purpose in ("sslserver", "sslclient"):
        openssl(*verify, "-purpose", purpose, "leaf.pem")
    for address in ("fd00::1", "10.0.0.1", "127.0.0.1", "::1"):
        openssl(*verify, "-verify_ip", address, "leaf.pem")
    for name in ("node-1", "localhost"):
        openssl(*verify, "-verify_hostname", name, "leaf.pem")
    openssl(*verify, "-verify_ip", "10.0.0.2", "leaf.pem", fails=True)

    text = openssl("x509", "-in", "leaf.pem", "-noout", "-text")
    assert "CA:FALSE" in text
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    assert ("Digital Signature, Key Encipherment\n" in text) is key_type.startswith("rsa")
    assert "IP Address:FD00:0:0:0:0:0:0:1, IP Address:127.0.0.1" in text
    assert "X509v3 Authority Key Identifier" in text
    assert "X509v3 Subject Key Identifier" in text


def test_openssl_accepts_a_client_as_client_only(
    authority: Authority, now: datetime, openssl: OpenSsl, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "leaf.pem").write_bytes(issue(authority, client_request("nornir-etcd"), now=now).certificate_pem)
    openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslclient", "leaf.pem")
    openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", "sslserver", "leaf.pem", fails=True)
    assert "Alternative Name" not in openssl("x509", "-in", "leaf.pem", "-noout", "-text")


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1", "node-1"])
def test_two_members_shake_hands_with_each_other(
    address: str, authority: Authority, now: datetime, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    leaf = issue(authority, member_request("node-1", address), now=now)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem + leaf.key_pem)
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    server_context.verify_mode = ssl.CERT_REQUIRED
    client_context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(tmp_path / "ca.pem"))
    for context in (server_context, client_context):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(tmp_path / "leaf.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=address)
    for _ in range(4):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    certificate = server.getpeercert()
    assert certificate
    assert certificate["subject"] == ((("commonName", "node-1"),),)


def test_a_leaf_is_dated_back_and_lives_for_the_days_asked_for(authority: Authority, now: datetime) -> None:
    later = (now + timedelta(days=1)).replace(microsecond=0)
    info = certificates.describe(issue(authority, client_request("c", days=7), now=later).certificate_pem)
    assert info.not_before == later - timedelta(minutes=5)
    assert info.not_after == later + timedelta(days=7)
    assert certificates.days_left(info, later) == 7
    assert certificates.days_left(info, later + timedelta(seconds=1)) == 6
    assert certificates.days_left(info, later + timedelta(days=7, seconds=1)) == -1


def test_a_leaf_never_outlives_its_ca_and_says_so(now: datetime) -> None:
    authority = make_authority("short", days=10, now=now)
    ca, request = certificates.describe(authority.pem), client_request("c")
    info = certificates.describe(issue(authority, request, now=now).certificate_pem)
    assert info.not_after == ca.not_after
    assert info.not_before >= ca.not_before
    assert shortfall(ca, request, now=now) == (
        f"valid for 9 instead of 365 days: its CA 'short' expires on {ca.not_after:%Y-%m-%d}"
    )
    assert shortfall(ca, client_request("c", days=5), now=now) is None


def test_an_expired_ca_issues_nothing(now: datetime) -> None:
    authority = make_authority("short", days=10, now=now)
    with pytest.raises(PkiError, match="leaf for 'c': wanted a valid CA, found one that expired on"):
        issue(authority, client_request("c"), now=now + timedelta(days=10))


def test_no_two_leaves_share_key_or_serial(authority: Authority, now: datetime) -> None:
    leaves = [issue(authority, client_request("c"), now=now) for _ in range(3)]
    assert len({leaf.key_pem for leaf in leaves}) == 3
    assert len({certificates.describe(leaf.certificate_pem).serial for leaf in leaves}) == 3


def test_the_key_of_a_leaf_never_shows_in_its_repr(authority: Authority, now: datetime) -> None:
    assert "PRIVATE KEY" not in repr(issue(authority, client_request("c"), now=now))


def test_a_client_belongs_to_no_organization_unless_asked_for(
    authority: Authority, now: datetime, openssl: OpenSsl, tmp_path: Path
) -> None:
    for request, subject in (
        (client_request("c"), "subject=CN=c\n"),
        (LeafRequest("c", "client", organization="ops"), "subject=CN=c,O=ops\n"),
    ):
        (tmp_path / "leaf.pem").write_bytes(issue(authority, request, now=now).certificate_pem)
        assert openssl("x509", "-in", "leaf.pem", "-noout", "-subject", "-nameopt", "RFC2253") == subject


def test_an_api_server_is_a_client_of_etcd_and_of_no_group(authority: Authority, now: datetime) -> None:
    request = apiserver_request(days=90, key_type="ecdsa-p256")
    certificate = x509.load_pem_x509_certificate(issue(authority, request, now=now).certificate_pem)
    assert certificate.subject.rfc4514_string() == "CN=kube-apiserver-etcd-client"
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
