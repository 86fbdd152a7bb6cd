"""A host with kubeadm's files, read by the same one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nornir_etcd.layout import Foreign, Layout
from nornir_etcd.observation import FileState
from tests.unit.test_survey import SHELLS, Tree

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATES = ("etcd/server.crt", "etcd/peer.crt", "etcd/ca.crt", "ca.crt")
KEYS = ("etcd/server.key", "etcd/peer.key")


class Kubeadm(Tree):
    """A host's files as kubeadm lays them."""

    @property
    def paths(self) -> Layout:
        """Where etcd's files lie."""
        base = f"{self.root}/kubernetes"
        pki = f"{base}/pki"
        server, peer, trusted, general = (f"{pki}/{name}" for name in CERTIFICATES)
        foreign = Foreign(
            etcd=f"{pki}/etcd",
            certificate=server,
            key=f"{pki}/{KEYS[0]}",
            peer_certificate=peer,
            peer_key=f"{pki}/{KEYS[1]}",
            trusted_ca=trusted,
            peer_trusted_ca=trusted,
            ca=general,
            manifest=f"{base}/manifests/etcd.yaml",
        )
        return Layout(pki, base, f"{self.root}/lib/etcd", foreign)

    def deploy(self) -> None:
        """Leave what kubeadm leaves."""
        for name in (*CERTIFICATES, *KEYS):
            self.write(f"{self.paths.ca_dir}/{name}", f"content of {name}\n".encode(), 0o600 if name in KEYS else 0o644)
        self.write(self.paths.manifest, b"kind: Pod\n", 0o600)


@pytest.mark.parametrize("shell", SHELLS)
def test_certificates_are_read_and_of_keys_the_state_alone(shell: str, tmp_path: Path) -> None:
    tree = Kubeadm(tmp_path, shell=shell)
    tree.deploy()
    output = tree.output()
    for name in KEYS:
        assert f"content of {name}".encode() not in output
    seen, paths = tree.survey(), tree.paths
    assert seen.error is None
    folder = paths.ca_dir
    assert seen.texts == {
        **{f"{folder}/{name}": f"content of {name}\n" for name in CERTIFICATES},
        paths.manifest: "kind: Pod\n",
    }
    assert set(seen.files) == set(paths.observed)
    assert {path: seen.files[path].mode for path in paths.keys} == {f"{folder}/{name}": 0o600 for name in KEYS}
    assert seen.files[paths.data] == FileState("absent")
