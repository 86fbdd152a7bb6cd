"""openssl and cfssl read every file that the controller's folder holds, of every kind of key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

import pytest

from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki.authority import load_authority, make_authority
from nornir_etcd.pki.keys import KeyType
from nornir_etcd.pki.leaf import client_request, member_request
from nornir_etcd.signers.local import CertificateStore
from nornir_etcd.signers.sign import sign
from tests.contract.signed import cfssl_ca, kubeadm_ca, now, run, settings

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.pki.authority import Authority

pytestmark = pytest.mark.contract

SIGNERS = ("local", "cfssl")
MEMBERS = {"node-1": "10.0.0.1", "node-2": "fd00::2", "node-3": "node-3.example.com"}


def fill(folder: Path, authority: Authority, signer: str, cfssl: Path, key_type: KeyType) -> CertificateStore:
    """Write all that a cluster of three has, as the workflows do."""
    store, by = CertificateStore(folder / "certs"), settings(signer, cfssl)
    store.write_authority(authority)
    store.write_client(sign(authority, client_request("nornir-etcd", key_type=key_type), by, now=now()))
    for name, address in MEMBERS.items():
        store.write_leaf(name, sign(authority, member_request(name, address, key_type=key_type), by, now=now()))
    return store


def check(store: CertificateStore, cfssl: Path) -> None:
    """Have openssl and cfssl look at every file of a store."""
    folder = store.directory
    paths = sorted(path for path in folder.rglob("*.pem") if not path.name.endswith("-key.pem"))
    assert len(paths) == len(MEMBERS) + 2
    for path in paths:
        purposes = {"ca": [], "client": ["sslclient"]}.get(path.stem, ["sslserver", "sslclient"])
        for purpose in purposes or ["any"]:
            told = run("openssl", "verify", "-purpose", purpose, "-CAfile", "ca.pem", path, cwd=folder)
            assert told == f"{path}: OK\n"
        assert "Certificate:" in run("openssl", "x509", "-in", path, "-noout", "-text", cwd=folder)
        key = path.with_name(f"{path.stem}-key.pem")
        public = run("openssl", "x509", "-in", path, "-noout", "-pubkey", cwd=folder)
        assert run("openssl", "pkey", "-in", key, "-pubout", cwd=folder) == public
        info = certificates.describe(path.read_bytes())
        told = json.loads(run(cfssl, "certinfo", "-cert", path, cwd=folder))
        assert told["subject"]["common_name"] == info.subject
        assert tuple(told.get("sans", ())) == (*info.dns_names, *info.ip_addresses)
        assert told["not_after"] == f"{info.not_after:%Y-%m-%dT%H:%M:%SZ}"
        if address := MEMBERS.get(path.stem):
            option = "-verify_hostname" if address.endswith(".com") else "-verify_ip"
            run("openssl", "verify", option, address, "-CAfile", "ca.pem", path, cwd=folder)


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("key_type", get_args(KeyType))
def test_openssl_and_cfssl_read_what_is_written_under_our_own_ca(
    key_type: KeyType, signer: str, cfssl: Path, tmp_path: Path
) -> None:
    authority = make_authority("example CA", now=now(), key_type=key_type)
    check(fill(tmp_path, authority, signer, cfssl, key_type), cfssl)


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("kind", [("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048), ("ed25519", 0)])
def test_a_ca_that_cfssl_made_signs(kind: tuple[str, int], signer: str, cfssl: Path, tmp_path: Path) -> None:
    authority = load_authority(*cfssl_ca(cfssl, tmp_path, *kind), now=now())
    check(fill(tmp_path, authority, signer, cfssl, "ecdsa-p256"), cfssl)


@pytest.mark.parametrize("signer", SIGNERS)
def test_a_ca_that_kubeadm_made_signs(signer: str, cfssl: Path, tmp_path: Path) -> None:
    authority = load_authority(*kubeadm_ca(tmp_path), now=now())
    check(fill(tmp_path, authority, signer, cfssl, "rsa-2048"), cfssl)


def test_what_cfssl_signs_does_not_outlive_a_short_ca_and_differs_in_nothing_from_ours(
    cfssl: Path, tmp_path: Path
) -> None:
    authority = make_authority("short CA", now=now(), days=3)
    request, moment = member_request("node-1", "10.0.0.1", ["*.example.com"], key_type="rsa-2048"), now()
    texts = []
    for signer in SIGNERS:
        leaf = sign(authority, request, settings(signer, cfssl), now=moment)
        info = certificates.describe(leaf.certificate_pem)
        assert info.not_after == authority.not_after
        (tmp_path / "leaf.pem").write_bytes(leaf.certificate_pem)
        text = run("openssl", "x509", "-in", "leaf.pem", "-noout", "-text", cwd=tmp_path)
        lines = {line.strip() for line in text.split("X509v3 extensions:")[1].splitlines()}
        texts.append({line for line in lines if not set(line) <= set("0123456789abcdefABCDEF:")})
    assert texts[0] == texts[1]
