from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority, load_authority, make_authority
from nornir_etcd.pki.leaf import client_request, issue, member_request
from tests.unit.pki.made import intermediate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenSsl = Callable[..., str]


def test_a_new_ca_is_valid_for_ten_years_and_dated_back(authority: Authority, now: datetime) -> None:
    info = certificates.describe(authority.pem)
    assert info.is_ca
    assert info.subject == info.issuer == "example-etcd-ca"
    assert info.not_before == now.replace(microsecond=0) - timedelta(minutes=5)
    assert info.not_after == now.replace(microsecond=0) + timedelta(days=3650)
    assert certificates.signed_by(authority.pem, authority.pem)


def test_openssl_sees_a_ca(authority: Authority, openssl: OpenSsl, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    text = openssl("x509", "-in", "ca.pem", "-noout", "-text")
    assert "X509v3 Basic Constraints: critical\n                CA:TRUE" in text
    assert "X509v3 Key Usage: critical\n                Digital Signature, Certificate Sign, CRL Sign" in text
    assert "X509v3 Subject Key Identifier" in text
    assert openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "ca.pem") == "ca.pem: OK\n"


def test_a_ca_comes_back_from_its_pem(authority: Authority, now: datetime) -> None:
    again = load_authority(authority.pem, keys.dump(authority.key), now=now)
    assert again.certificate == authority.certificate
    assert again.pem == authority.pem


def test_the_key_of_a_ca_never_shows_in_its_repr(authority: Authority) -> None:
    assert "rivateKey" not in repr(authority)


@pytest.mark.parametrize("serial", ["0", "0x1234"])  # older kubeadm numbered its CA 0
@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")
def test_a_ca_that_kubeadm_wrote_signs(serial: str, openssl: OpenSsl, tmp_path: Path, now: datetime) -> None:
    openssl("genrsa", "-traditional", "-out", "ca.key", "2048")
    openssl(
        *("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-subj", "/CN=kubernetes", "-days", "3650"),
        *("-set_serial", serial, "-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign"),
        *("-addext", "subjectAltName=DNS:kubernetes"),
    )
    assert b"BEGIN RSA PRIVATE KEY" in (tmp_path / "ca.key").read_bytes()
    _signs(tmp_path / "ca.crt", tmp_path / "ca.key", openssl, now)


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1", "secp521r1"])
def test_a_ca_that_cfssl_wrote_signs(curve: str, openssl: OpenSsl, tmp_path: Path, now: datetime) -> None:
    openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", "ca-key.pem")
    openssl(
        *("req", "-x509", "-new", "-key", "ca-key.pem", "-out", "ca.pem", "-days", "1825"),
        *("-subj", "/C=CN/ST=BeiJing/L=BeiJing/O=k8s/OU=System/CN=kubernetes"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )
    assert b"BEGIN EC PRIVATE KEY" in (tmp_path / "ca-key.pem").read_bytes()
    _signs(tmp_path / "ca.pem", tmp_path / "ca-key.pem", openssl, now)


def test_an_ed25519_ca_without_key_identifier_and_key_usage_signs(
    openssl: OpenSsl, tmp_path: Path, now: datetime
) -> None:
    (tmp_path / "bare.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n[v3]\nbasicConstraints=CA:TRUE\n")
    openssl("genpkey", "-algorithm", "ED25519", "-out", "ca-key.pem")
    openssl(
        *("req", "-x509", "-new", "-config", "bare.cnf", "-extensions", "v3", "-key", "ca-key.pem"),
        *("-out", "ca.pem", "-subj", "/CN=bare", "-days", "10", "-addext", "subjectKeyIdentifier=none"),
    )
    assert "Key Identifier" not in openssl("x509", "-in", "ca.pem", "-noout", "-text")
    _signs(tmp_path / "ca.pem", tmp_path / "ca-key.pem", openssl, now)


def _signs(certificate: Path, key: Path, openssl: OpenSsl, now: datetime) -> None:
    # openssl dates its certificates with the present second, which is a little later than the session's `now`.
    authority = load_authority(certificate.read_bytes(), key.read_bytes(), now=now + timedelta(minutes=30))
    leaf = issue(authority, member_request("node-1", "10.0.0.1"), now=now + timedelta(minutes=30))
    assert certificates.signed_by(leaf.certificate_pem, authority.pem)
    path = certificate.with_name("leaf.pem")
    path.write_bytes(leaf.certificate_pem)
    later = str(int((now + timedelta(hours=1)).timestamp()))
    for purpose in ("sslserver", "sslclient"):
        openssl("verify", "-attime", later, "-CAfile", certificate, "-purpose", purpose, path)


def test_the_first_certificate_of_a_bundle_signs(authority: Authority, now: datetime) -> None:
    other = make_authority("old", now=now)
    loaded = load_authority(authority.pem + other.pem, keys.dump(authority.key), now=now)
    assert loaded.certificate == authority.certificate
    assert loaded.pem == authority.pem + other.pem


def test_a_leaf_is_refused_as_ca(authority: Authority, now: datetime) -> None:
    leaf = issue(authority, client_request("nornir-etcd"), now=now)
    with pytest.raises(PkiError, match=r"CA certificate 'nornir-etcd': wanted a CA \(basicConstraints CA:TRUE\)"):
        load_authority(leaf.certificate_pem, leaf.key_pem, now=now)


def test_a_ca_that_may_not_sign_certificates_is_refused(openssl: OpenSsl, tmp_path: Path, now: datetime) -> None:
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"),
        *("-out", "ca.crt", "-subj", "/CN=crl-only", "-addext", "keyUsage=critical,cRLSign"),
    )
    with pytest.raises(PkiError, match="'crl-only': wanted the key usage keyCertSign"):
        load_authority((tmp_path / "ca.crt").read_bytes(), (tmp_path / "ca.key").read_bytes(), now=now)


def test_a_key_of_another_ca_is_refused(authority: Authority, now: datetime) -> None:
    other = make_authority("other", now=now)
    with pytest.raises(PkiError, match="found a key of another certificate"):
        load_authority(authority.pem, keys.dump(other.key), now=now)


@pytest.mark.parametrize(("days", "found"), [(3651, "one that expired on"), (-1, "one that is valid from")])
def test_a_ca_outside_its_dates_is_refused(authority: Authority, now: datetime, days: int, found: str) -> None:
    with pytest.raises(PkiError, match=found):
        load_authority(authority.pem, keys.dump(authority.key), now=now + timedelta(days=days))


@pytest.mark.parametrize("pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_an_unreadable_ca_is_refused(authority: Authority, now: datetime, pem: bytes) -> None:
    with pytest.raises(PkiError, match="wanted a certificate in PEM"):
        load_authority(pem, keys.dump(authority.key), now=now)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_common_name_that_cannot_stand_in_a_certificate_is_refused(name: str, now: datetime) -> None:
    with pytest.raises(PkiError, match="wanted 1 to 64 characters"):
        make_authority(name, now=now)


def test_the_key_of_a_ca_may_have_a_passphrase(authority: Authority, now: datetime) -> None:
    closed = keys.dump(authority.key, b"PASS-NOT-SHOWN")
    again = load_authority(authority.pem, closed, now=now, passphrase=b"PASS-NOT-SHOWN")
    assert again.certificate == authority.certificate
    for wrong in (None, b"other"):
        with pytest.raises(PkiError, match="private key: wanted its passphrase, found ") as caught:
            load_authority(authority.pem, closed, now=now, passphrase=wrong)
        assert "NOT-SHOWN" not in str(caught.value)


def test_an_intermediate_ca_without_its_issuers_is_refused(authority: Authority, now: datetime) -> None:
    upper = intermediate(authority, "upper", now=now)
    lower = intermediate(upper, "lower", now=now)
    alone, middle, root = certificates.each(lower.pem)
    other = make_authority("other", now=now).pem
    for pem in (alone, alone + middle, alone + root, alone + middle + other):
        with pytest.raises(PkiError) as caught:
            load_authority(pem, keys.dump(lower.key), now=now)
        assert str(caught.value) == (
            "CA certificate 'lower': wanted a self-signed CA, or an intermediate one with its issuers after it in the "
            "same file, found one issued by 'upper' and no way from it to a root; append the certificates of its "
            "issuers, the root last: gRPC and OpenSSL trust nothing without it"
        )


@pytest.mark.parametrize("order", [1, -1])
def test_an_intermediate_ca_with_its_issuers_signs_and_its_leaves_hold_the_way_up(
    authority: Authority, now: datetime, openssl: OpenSsl, tmp_path: Path, order: int
) -> None:
    upper = intermediate(authority, "upper", now=now)
    lower = intermediate(upper, "lower", now=now)
    own, *above = certificates.each(lower.pem)
    loaded = load_authority(own + b"".join(above[::order]), keys.dump(lower.key), now=now)
    leaf = issue(loaded, member_request("node-1", "10.0.0.1"), now=now)
    subjects = [certificates.describe(one).subject for one in certificates.each(leaf.certificate_pem)]
    assert subjects == ["node-1", "lower", "upper"]

    (tmp_path / "bundle.pem").write_bytes(loaded.pem)
    (tmp_path / "root.pem").write_bytes(authority.pem)
    (tmp_path / "own.pem").write_bytes(own)
    (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
    for purpose in ("sslserver", "sslclient"):
        verify = ("verify", "-x509_strict", "-purpose", purpose)
        openssl(*verify, "-CAfile", "bundle.pem", "leaf.pem")  # what is served after the leaf is not even needed
        openssl(*verify, "-CAfile", "root.pem", "-untrusted", "leaf.pem", "leaf.pem")
        openssl(*verify, "-CAfile", "own.pem", "leaf.pem", fails=True)  # why it is refused without its issuers


def test_a_root_hands_out_leaves_alone(authority: Authority, now: datetime) -> None:
    assert authority.served_pem == b""
    assert len(certificates.each(issue(authority, client_request("c"), now=now).certificate_pem)) == 1


def test_a_ca_ends_with_the_first_of_its_issuers(authority: Authority, now: datetime) -> None:
    upper = intermediate(authority, "upper", now=now, days=10)
    lower = intermediate(upper, "lower", now=now, days=100)
    loaded = load_authority(lower.pem, keys.dump(lower.key), now=now)
    assert loaded.not_after == upper.certificate.not_valid_after_utc
    with pytest.raises(PkiError, match="CA certificate 'upper': wanted a valid CA, found one that expired on"):
        load_authority(lower.pem, keys.dump(lower.key), now=now + timedelta(days=11))
