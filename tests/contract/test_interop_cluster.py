"""Three real etcd with mutual TLS on both ports, with certificates of either signer under CAs of every origin."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority, load_authority, make_authority
from tests.contract.etcd_cluster import EtcdCluster, etcd_binary
from tests.contract.signed import SignedCa, cfssl_ca, kubeadm_ca, now, run, settings
from tests.unit.pki.made import intermediate

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.pki.keys import KeyType

pytestmark = pytest.mark.contract

PASSPHRASE = b"PASS-NOT-SHOWN"


def forms_a_cluster(folder: Path, authority: Authority, signer: str, cfssl: Path, key_type: KeyType) -> EtcdCluster:
    """Start three members, wait until each answers gRPC, write and read by Go; return them, stopped."""
    ca = SignedCa(folder / "pki", authority, settings(signer, cfssl), key_type)
    with EtcdCluster(folder, 3, ca=ca) as cluster:
        cluster.wait_healthy()  # by gRPC, which trusts what ca.pem holds
        assert cluster.nodes[2].process is not None
        files = cluster.client_files
        told = run(
            *(etcd_binary().with_name("etcdctl"), f"--cacert={ca.path}", f"--cert={files.cert}", f"--key={files.key}"),
            f"--endpoints={','.join(node.client_url for node in cluster.nodes)}",
            *("endpoint", "status", "-w", "fields"),
            cwd=folder,
        )
        assert told.count('"IsLearner" : false') == 3
        (root,) = certificates.each(authority.pem)[-1:]
        (folder / "root.pem").write_bytes(root)
        for node in cluster.nodes:
            for port in (node.client_port, node.peer_port):
                told = run(
                    *("openssl", "s_client", "-connect", f"{node.address}:{port}", "-CAfile", "root.pem"),
                    *("-cert", files.cert, "-key", files.key, "-verify_return_error", "-verify_ip", node.address),
                    cwd=folder,
                    stdin="",
                )
                assert "Verify return code: 0 (ok)" in told
    return cluster


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "rsa-2048"])
@pytest.mark.parametrize("kind", [("ecdsa", 256), ("rsa", 2048)])
def test_leaves_that_cfssl_signed_with_its_own_ca_serve_a_cluster(
    kind: tuple[str, int], key_type: KeyType, cfssl: Path, tmp_path: Path
) -> None:
    authority = load_authority(*cfssl_ca(cfssl, tmp_path, *kind), now=now())
    forms_a_cluster(tmp_path, authority, "cfssl", cfssl, key_type)


def test_leaves_under_a_ca_of_kubeadm_serve_a_cluster(cfssl: Path, tmp_path: Path) -> None:
    authority = load_authority(*kubeadm_ca(tmp_path), now=now())
    forms_a_cluster(tmp_path, authority, "local", cfssl, "rsa-2048")


@pytest.mark.parametrize("signer", ["local", "cfssl"])
def test_leaves_under_an_intermediate_ca_with_an_encrypted_key_serve_a_cluster(
    signer: str, cfssl: Path, tmp_path: Path
) -> None:
    root = make_authority("root", now=now(), key_type="rsa-2048")
    lower = intermediate(intermediate(root, "upper", now=now()), "lower", now=now())
    authority = load_authority(lower.pem, keys.dump(lower.key, PASSPHRASE), now=now(), passphrase=PASSPHRASE)
    forms_a_cluster(tmp_path, authority, signer, cfssl, "ecdsa-p256")


def test_gos_anchor_may_be_an_intermediate_ca_and_a_client_may_trust_the_root_alone(
    cfssl: Path, tmp_path: Path
) -> None:
    """Why a bundle has to hold the way to the root, and a leaf's file what is between."""
    root = make_authority("root", now=now())
    authority = load_authority((made := intermediate(root, "middle", now=now())).pem, keys.dump(made.key), now=now())
    ca = SignedCa(tmp_path / "pki", authority, settings("local", cfssl))
    middle, _ = certificates.each(authority.pem)
    for name, pem in (("middle.pem", middle), ("root.pem", root.pem)):
        (tmp_path / name).write_bytes(pem)
    with EtcdCluster(tmp_path, ca=ca) as cluster:
        cluster.wait_healthy()
        (node,), files = cluster.nodes, cluster.client_files
        for name in ("middle.pem", "root.pem"):
            run(
                *(etcd_binary().with_name("etcdctl"), f"--cacert={name}", f"--cert={files.cert}", f"--key={files.key}"),
                *(f"--endpoints={node.client_url}", "endpoint", "health"),
                cwd=tmp_path,
            )
        command = (shutil.which("openssl") or "openssl", "s_client", "-connect", f"{node.address}:{node.client_port}")
        options = ("-cert", files.cert, "-key", files.key)
        told = run(*command, *options, "-CAfile", "middle.pem", cwd=tmp_path, stdin="")
        assert "Verify return code: 2 (unable to get issuer certificate)" in told
        told = run(*command, *options, "-CAfile", "root.pem", cwd=tmp_path, stdin="")
        assert "Verify return code: 0 (ok)" in told
