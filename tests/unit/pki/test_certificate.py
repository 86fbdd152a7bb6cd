from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.leaf import client_request, issue, member_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenSsl = Callable[..., str]


def test_a_certificate_is_described_as_openssl_describes_it(
    authority: Authority, now: datetime, openssl: OpenSsl, tmp_path: Path
) -> None:
    pem = issue(authority, member_request("node-1", "fd00::1"), now=now).certificate_pem
    (tmp_path / "leaf.pem").write_bytes(pem)
    printed = openssl("x509", "-in", "leaf.pem", "-noout", "-serial", "-fingerprint", "-sha256", "-dates")
    lines = dict(line.split("=", 1) for line in printed.splitlines())
    info = certificates.describe(pem)
    assert int(info.serial, 16) == int(lines["serial"], 16)
    assert info.fingerprint == lines["sha256 Fingerprint"].replace(":", "").lower()
    assert info.not_after == _date(lines["notAfter"])
    assert info.not_before == _date(lines["notBefore"])
    assert (info.subject, info.issuer, info.is_ca) == ("node-1", "example-etcd-ca", False)
    assert info.usages == ("serverAuth", "clientAuth")
    assert info.key_type == "ecdsa-p256"


def _date(text: str) -> datetime:
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=timezone.utc)


def test_a_certificate_of_another_tool_is_described(openssl: OpenSsl, tmp_path: Path) -> None:
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-subj", "/O=nobody", "-days", "3"),
        *("-out", "cert.pem", "-text", "-addext", "extendedKeyUsage=codeSigning,serverAuth"),
        *("-addext", "subjectAltName=DNS:*.example.com,IP:10.0.0.1,email:a@example.com"),
    )
    info = certificates.describe((tmp_path / "cert.pem").read_bytes())  # with text before the PEM
    assert info.subject == ""
    assert info.usages == ("1.3.6.1.5.5.7.3.3", "serverAuth")
    assert info.dns_names == ("*.example.com",)
    assert info.ip_addresses == ("10.0.0.1",)
    assert info.key_type == "rsa-2048"


def test_a_signature_is_checked_and_not_only_a_name(authority: Authority, now: datetime) -> None:
    leaf = issue(authority, client_request("c"), now=now).certificate_pem
    namesake = make_authority("example-etcd-ca", now=now)
    other_kind = make_authority("example-etcd-ca", now=now, key_type="rsa-2048")
    assert certificates.signed_by(leaf, authority.pem)
    assert not certificates.signed_by(leaf, namesake.pem)
    assert not certificates.signed_by(leaf, other_kind.pem)
    assert not certificates.signed_by(leaf, make_authority("other", now=now).pem)


def test_any_certificate_of_a_bundle_may_have_signed(authority: Authority, now: datetime) -> None:
    leaf = issue(authority, client_request("c"), now=now).certificate_pem
    assert certificates.signed_by(leaf, make_authority("new", now=now).pem + authority.pem)


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"-----BEGIN CERTIFICATE-----\n" + b))
def test_damage_is_told_in_one_line(damage: bytes) -> None:
    with pytest.raises(PkiError) as caught:
        certificates.describe(damage)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # cryptography's own word of some of the damage
@given(st.integers(min_value=0, max_value=600), st.integers(min_value=0, max_value=255))
def test_a_flipped_byte_never_gives_anything_but_a_description_or_an_error(
    authority: Authority, position: int, value: int
) -> None:
    pem = bytearray(authority.pem)
    pem[position % len(pem)] = value
    try:
        info = certificates.describe(bytes(pem))
    except PkiError:
        return
    assert isinstance(info.not_after - info.not_before, timedelta)


def test_the_cas_are_told_that_a_leaf_chains_to(authority: Authority, now: datetime) -> None:
    leaf = issue(authority, client_request("c"), now=now).certificate_pem
    other = make_authority("other", now=now).pem
    (signer,) = certificates.signers(leaf, other + authority.pem)
    assert certificates.fingerprints(signer) == certificates.fingerprints(authority.pem)
    assert certificates.signers(leaf, other) == []
    assert certificates.signers(leaf, other, [other, leaf]) == []
    assert len(certificates.each(other + authority.pem)) == len(certificates.fingerprints(other + authority.pem)) == 2


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # cryptography's own word of some of the damage
@given(st.integers(min_value=0, max_value=600), st.integers(min_value=0, max_value=255))
def test_a_damaged_ca_has_signed_nothing_or_is_told(
    authority: Authority, now: datetime, position: int, value: int
) -> None:
    leaf = issue(authority, client_request("c"), now=now).certificate_pem
    pem = bytearray(authority.pem)
    pem[position % len(pem)] = value
    try:
        assert len(certificates.signers(leaf, bytes(pem), [bytes(pem)])) <= 1
    except PkiError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either way is right


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("node-1", True),
        ("NODE-1", True),
        ("node-1.", True),
        ("node-2", False),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("fd00:0::1", True),
        ("a.example.com", True),
        ("A.Example.com", True),
        ("a.b.example.com", False),
        ("example.com", False),
        (".example.com", False),
        ("", False),
    ],
)
def test_whom_a_certificate_is_for(authority: Authority, now: datetime, name: str, named: bool) -> None:
    request = member_request("node-1", "10.0.0.1", extra_sans=("*.example.com", "fd00::1"))
    info = certificates.describe(issue(authority, request, now=now).certificate_pem)
    assert info.names(name) is named


def test_what_a_certificate_allows(authority: Authority, now: datetime) -> None:
    client = certificates.describe(issue(authority, client_request("c"), now=now).certificate_pem)
    assert (client.allows("clientAuth"), client.allows("serverAuth")) == (True, False)
    assert certificates.describe(authority.pem).allows("serverAuth"), "no extended usage is any"
