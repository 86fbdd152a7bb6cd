"""What a signer gets: a request that says who the leaf is for, and holds no private key."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from cryptography import x509

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import keys
from nornir_etcd.pki.leaf import LeafRequest, client_request, member_request
from nornir_etcd.pki.request import signing_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenSsl = Callable[..., str]


@pytest.mark.parametrize("key_type", get_args(keys.KeyType)[:3])  # rsa-4096 takes seconds and differs by its size only
def test_openssl_reads_the_request_of_a_member(key_type: keys.KeyType, openssl: OpenSsl, tmp_path: Path) -> None:
    key = keys.make(key_type)
    pem = signing_request(member_request("node-1", "fd00::1", ["*.example.com"]), key)
    assert b"PRIVATE KEY" not in pem
    (tmp_path / "leaf.csr").write_bytes(pem)
    text = openssl("req", "-in", "leaf.csr", "-noout", "-text", "-verify")
    assert "Certificate request self-signature verify OK" in text
    assert "Subject: CN = node-1\n" in text
    names = "DNS:node-1, DNS:localhost, DNS:*.example.com"
    assert f"{names}, IP Address:FD00:0:0:0:0:0:0:1, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1\n" in text
    assert x509.load_pem_x509_csr(pem).public_key() == key.public_key()


def test_the_request_of_a_client_names_no_host() -> None:
    csr = x509.load_pem_x509_csr(signing_request(client_request("nornir-etcd"), keys.make("ecdsa-p256")))
    assert list(csr.extensions) == []


@pytest.mark.parametrize("request_", [LeafRequest("x" * 65, "client"), LeafRequest("x", "client", ("ä.example",))])
def test_a_name_that_cannot_stand_in_a_certificate_is_refused(request_: LeafRequest) -> None:
    with pytest.raises(PkiError):
        signing_request(request_, keys.make("ecdsa-p256"))
