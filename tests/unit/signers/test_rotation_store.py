"""The controller's folder in a CA rotation: what signs, what is trusted, what stays, and what a kill leaves."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.certificate import fingerprints
from nornir_etcd.pki.leaf import client_request, issue
from nornir_etcd.signers import files
from nornir_etcd.signers.local import CertificateStore

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(tz=timezone.utc)


def ca(name: str) -> Authority:
    return make_authority(name, now=NOW)


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    """A folder with the cluster's CA and a client certificate of it."""
    made = CertificateStore(tmp_path / "certs")
    made.write_authority(ca("cluster CA"))
    made.write_client(issue(made.read().authority(now=NOW), client_request("client"), now=NOW))
    return made


def subject(store: CertificateStore) -> str:
    return store.read().authority(now=NOW).certificate.subject.rfc4514_string()


def test_without_a_word_the_clusters_ca_signs_and_is_trusted(store: CertificateStore) -> None:
    content = store.read()
    assert content.trusted == content.ca.certificate
    assert store.cacert() == store.directory / "ca.pem"


def test_a_rotation_in_the_folder(store: CertificateStore) -> None:
    former, new = store.read().ca.certificate, ca("etcd CA")
    assert former is not None
    store.add_authority("etcd-1", new)
    assert subject(store) == "CN=cluster CA"
    assert store.read().trusted == former + new.pem
    assert store.cacert() == store.directory / "trusted.pem"
    assert fingerprints(store.cacert().read_bytes()) == fingerprints(former) | fingerprints(new.pem)

    store.switch_signer(now=NOW)
    assert subject(store) == "CN=etcd CA"
    assert store.read().trusted == former + new.pem, "the same bytes: no host gets a new file for it"

    store.retire_former()
    assert store.read().trusted == new.pem
    assert store.cacert() == store.directory / "authorities/etcd-1/ca.pem"
    assert not (store.directory / "trusted.pem").exists()
    assert (store.directory / "ca.pem").read_bytes() == former, "the former CA stays"
    assert former in store.read().known


def test_keys_and_folders_are_their_owners_alone(store: CertificateStore) -> None:
    store.add_authority("etcd-1", ca("etcd CA"))
    folder = store.directory / "authorities"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder / "etcd-1")] == [0o700, 0o700]
    assert (folder / "etcd-1/ca-key.pem").stat().st_mode & 0o777 == 0o600


def test_the_first_ca_of_a_cluster_without_certificates_is_trusted_alone(tmp_path: Path) -> None:
    store = CertificateStore(tmp_path / "certs")
    store.write_authority(ca("cluster CA"))
    store.add_authority("etcd-1", ca("etcd CA"))
    assert subject(store) == "CN=etcd CA"
    assert store.read().trust.trusted == ("etcd-1",)


def test_no_phase_is_left_out(store: CertificateStore) -> None:
    with pytest.raises(PkiError, match="wanted the phase trust-both, found settled"):
        store.switch_signer(now=NOW)
    with pytest.raises(PkiError, match="wanted the phase new-leaves, found settled"):
        store.retire_former()
    store.add_authority("etcd-1", ca("etcd CA"))
    with pytest.raises(PkiError, match="found one, or a rotation under way"):
        store.add_authority("etcd-2", ca("another"))
    with pytest.raises(PkiError, match="wanted the phase new-leaves, found trust-both"):
        store.retire_former()


def test_a_ca_that_is_there_is_not_overwritten(store: CertificateStore) -> None:
    store.add_authority("etcd-1", ca("etcd CA"))
    store.switch_signer(now=NOW)
    store.retire_former()
    with pytest.raises(PkiError, match="wanted none, to write a new CA"):
        store.add_authority("etcd-1", ca("another"))


@pytest.mark.parametrize("last", range(1, 8))
def test_a_write_that_ends_anywhere_leaves_a_phase_that_can_be_worked_with(
    store: CertificateStore, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    done = 0

    def stage(path: Path, content: bytes, real: object = files._stage) -> None:
        nonlocal done
        done += 1
        if done == last:
            raise KeyboardInterrupt
        assert callable(real)
        real(path, content)

    monkeypatch.setattr(files, "_stage", stage)
    try:
        for change in (
            lambda: store.add_authority("etcd-1", ca("etcd CA")),
            lambda: store.switch_signer(now=NOW),
            store.retire_former,
        ):
            change()
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()
    content = store.read()
    assert content.authority(now=NOW)
    assert store.cacert().is_file()
    assert content.trusted is not None
    assert fingerprints(content.trusted) <= fingerprints(store.cacert().read_bytes())


def test_a_trusted_ca_that_is_gone_is_named(store: CertificateStore) -> None:
    store.add_authority("etcd-1", ca("etcd CA"))
    (store.directory / "authorities/etcd-1/ca.pem").unlink()
    with pytest.raises(PkiError, match=r"authorities/etcd-1/ca\.pem: wanted a CA that is trusted, found none"):
        store.read()


def test_a_key_of_a_ca_that_others_can_read_is_refused(store: CertificateStore) -> None:
    store.add_authority("etcd-1", ca("etcd CA"))
    (store.directory / "authorities/etcd-1/ca-key.pem").chmod(0o644)
    with pytest.raises(PkiError, match="open to other users: wanted mode 0600, found mode 0644"):
        store.read()


def test_a_new_ca_that_cannot_sign_does_not_become_the_signer(store: CertificateStore) -> None:
    store.add_authority("etcd-1", ca("etcd CA"))
    path = store.directory / "authorities/etcd-1/ca-key.pem"
    encrypted = keys.dump(keys.load(path.read_bytes()), b"PASS-NOT-SHOWN")
    for content, found in ((encrypted, "wanted its passphrase, found none"), (None, "found the certificate alone")):
        path.unlink()
        if content is not None:
            path.touch(mode=0o600)
            path.write_bytes(content)
        with pytest.raises(PkiError, match=found):
            store.switch_signer(now=NOW)
        assert store.read().trust.phase == "trust-both"
