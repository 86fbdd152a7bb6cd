from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.leaf import Leaf, apiserver_request, client_request, issue, member_request
from nornir_etcd.pki.renewal import due
from nornir_etcd.signers.local import CertificateStore, Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime.now(timezone.utc).replace(microsecond=0)  # certificates hold whole seconds
REQUEST = member_request("node-1", "10.0.0.1")
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority("ca", now=NOW)


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Leaf:
    return issue(authority, REQUEST, now=NOW)


@pytest.fixture
def store(tmp_path: Path) -> CertificateStore:
    return CertificateStore(tmp_path / "certs" / "example")


@pytest.fixture
def filled(store: CertificateStore, authority: Authority, leaf: Leaf) -> CertificateStore:
    store.write_authority(authority)
    store.write_leaf("node-1", leaf)
    store.write_client(issue(authority, client_request("nornir-etcd"), now=NOW))
    return store


@pytest.fixture
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    yield
    os.seteuid(0)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o7777 for path in sorted(folder.rglob("*"))}


def test_looking_makes_nothing(store: CertificateStore, tmp_path: Path) -> None:
    content = store.read()
    store.check_writable()
    assert (content.ca, content.leaves, content.client) == (Pair(), {}, Pair())
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_read_again(filled: CertificateStore, authority: Authority, leaf: Leaf) -> None:
    content = filled.read()
    assert content.ca == Pair(authority.pem, keys.dump(authority.key))
    assert content.leaves == {"node-1": Pair(leaf.certificate_pem, leaf.key_pem)}
    assert content.authority(now=NOW).certificate == authority.certificate
    client = content.client
    request = client_request("nornir-etcd")
    reason = due(client.certificate, client.key, ca_pem=authority.pem, request=request, now=NOW, renew_days=30)
    assert reason is None


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folders_are_0700_and_files_0600_under_any_umask(
    store: CertificateStore, authority: Authority, leaf: Leaf, umask: int
) -> None:
    before = os.umask(umask)
    try:
        store.write_authority(authority)
        store.write_leaf("node-1", leaf)
        store.write_client(leaf)
    finally:
        os.umask(before)
    assert store.directory.stat().st_mode & 0o7777 == 0o700
    files = [".lock", "ca-key.pem", "ca.pem", "client-key.pem", "client.pem"]
    members = ["members/node-1-key.pem", "members/node-1.pem"]
    assert modes(store.directory) == {**dict.fromkeys(files + members, 0o600), "members": 0o700}


def test_keys_never_show_in_the_repr_of_what_was_read(filled: CertificateStore) -> None:
    shown = repr(filled.read())
    assert "BEGIN CERTIFICATE" in shown
    assert "PRIVATE KEY" not in shown


@pytest.mark.parametrize("names", [("ca.pem", "ca-key.pem"), ("ca.crt", "ca.key"), ("ca.crt", "ca-key.pem")])
def test_a_ca_is_found_under_the_names_of_cfssl_and_kubeadm(
    store: CertificateStore, authority: Authority, names: tuple[str, str]
) -> None:
    put_ca(store, authority, *names)
    assert store.read().authority(now=NOW).certificate == authority.certificate


def put_ca(store: CertificateStore, authority: Authority, certificate: str, key: str) -> None:
    store.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (store.directory / certificate).write_bytes(authority.pem)
    (store.directory / key).touch(mode=0o600)
    (store.directory / key).write_bytes(keys.dump(authority.key))


def test_the_same_ca_under_both_names_is_one_ca(filled: CertificateStore, authority: Authority) -> None:
    put_ca(filled, authority, "ca.crt", "ca.key")
    (filled.directory / "ca.crt").write_bytes(authority.pem.replace(b"\n", b"\r\n"))
    assert filled.read().authority(now=NOW).certificate == authority.certificate


def test_two_different_cas_are_refused(filled: CertificateStore) -> None:
    put_ca(filled, make_authority("other", now=NOW), "ca.crt", "ca.key")
    with pytest.raises(PkiError, match=r"CA: wanted one, found ca.pem and ca.crt, which differ; move away"):
        filled.read()


def test_a_ca_that_does_not_fit_its_key_is_refused_with_its_folder(
    store: CertificateStore, authority: Authority
) -> None:
    put_ca(store, authority, "ca.crt", "ca.key")
    (store.directory / "ca.key").write_bytes(keys.dump(make_authority("other", now=NOW).key))
    content = store.read()
    with pytest.raises(PkiError, match=f"{store.directory}: CA certificate 'ca': wanted the private key"):
        content.authority(now=NOW)


def test_a_ca_is_never_overwritten(filled: CertificateStore, authority: Authority) -> None:
    with pytest.raises(PkiError, match="CA: wanted none, to write a new one, found one"):
        filled.write_authority(make_authority("other", now=NOW))
    assert filled.read().ca.certificate == authority.pem


def test_a_ca_key_alone_is_refused_and_kept(store: CertificateStore, authority: Authority) -> None:
    put_ca(store, authority, "ca.pem", "ca-key.pem")
    (store.directory / "ca.pem").unlink()
    for call in (store.read, lambda: store.write_authority(make_authority("other", now=NOW))):
        with pytest.raises(PkiError, match=r"found the key alone; put its certificate there as ca.pem"):
            call()
    assert (store.directory / "ca-key.pem").read_bytes() == keys.dump(authority.key)


def test_without_the_ca_key_good_leaves_are_used_and_none_is_issued(filled: CertificateStore) -> None:
    (filled.directory / "ca-key.pem").unlink()
    content = filled.read()
    pair = content.leaves["node-1"]
    reason = due(pair.certificate, pair.key, ca_pem=content.ca.certificate, request=REQUEST, now=NOW, renew_days=30)
    assert reason is None
    with pytest.raises(PkiError, match=r"found the certificate alone; put the CA's files there as ca.pem and ca-key"):
        content.authority(now=NOW)


def test_without_a_ca_none_is_issued(store: CertificateStore) -> None:
    content = store.read()
    with pytest.raises(PkiError, match=r"nothing can be issued: .*found no CA"):
        content.authority(now=NOW)


KEYS = ["ca-key.pem", "client-key.pem", "members/node-1-key.pem"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_open_to_others_is_refused_with_the_remedy(filled: CertificateStore, key: str, mode: int) -> None:
    path = filled.directory / key
    path.chmod(mode)
    with pytest.raises(PkiError) as caught:
        filled.read()
    line = f"{path} is open to other users: wanted mode 0600, found mode {mode:04o}; chmod 600 {path}"
    assert str(caught.value) == line


def test_a_key_that_nobody_can_write_is_accepted(filled: CertificateStore) -> None:
    (filled.directory / "ca-key.pem").chmod(0o400)
    assert filled.read().ca.key


@pytest.mark.parametrize("folder", ["", "members", "apiservers"])
def test_a_folder_open_to_others_is_refused(filled: CertificateStore, leaf: Leaf, folder: str) -> None:
    filled.write_apiserver("node-1", leaf)
    path = filled.directory / folder
    path.chmod(0o750)
    for call in (filled.read, filled.check_writable, lambda: filled.write_apiserver("node-1", leaf)):
        with pytest.raises(PkiError, match=f"wanted mode 0700, found mode 0750; chmod 700 {path}"):
            call()


@pytest.mark.parametrize("key", KEYS)
def test_a_link_in_place_of_a_key_is_refused(filled: CertificateStore, key: str, tmp_path: Path) -> None:
    path = filled.directory / key
    path.rename(tmp_path / "elsewhere.pem")
    path.symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(PkiError, match=f"{path}: wanted a file, found a link"):
        filled.read()


def test_a_link_in_place_of_the_folder_is_refused(filled: CertificateStore, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(filled.directory)
    with pytest.raises(PkiError, match="wanted a folder, found a link"):
        CertificateStore(tmp_path / "link").read()


@pytest.mark.parametrize(
    ("make", "found"), [(os.mkfifo, "a device, pipe or socket"), (os.mkdir, "a folder")], ids=["pipe", "folder"]
)
@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    filled: CertificateStore, name: str, make: Callable[[Path], None], found: str
) -> None:
    path = filled.directory / name
    path.unlink()
    make(path)
    with pytest.raises(PkiError, match=f"{path}: wanted a file, found {found}"):
        filled.read()


@needs_root
def test_a_key_of_another_user_is_refused(filled: CertificateStore) -> None:
    path = filled.directory / "members/node-1-key.pem"
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(PkiError, match=f"wanted owner 0, found owner {NOBODY}; chown 0 {path}"):
        filled.read()


@needs_root
def test_a_folder_of_another_user_is_refused(filled: CertificateStore) -> None:
    os.chown(filled.directory, NOBODY, NOBODY)
    with pytest.raises(PkiError, match=f"found owner {NOBODY}"):
        filled.read()


@needs_root
@pytest.mark.usefixtures("as_nobody")
def test_a_folder_that_cannot_be_made_is_told_before_anything_is_done() -> None:
    with pytest.raises(PkiError, match=r"wanted a folder that can be written, found /usr: cannot"):
        CertificateStore(Path("/usr/certs/example")).check_writable()


def test_a_folder_below_a_file_is_told(tmp_path: Path, leaf: Leaf) -> None:
    (tmp_path / "file").touch()
    store = CertificateStore(tmp_path / "file" / "certs")
    for call in (store.read, store.check_writable, lambda: store.write_client(leaf)):
        with pytest.raises(PkiError, match="Not a directory"):
            call()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "node-key", "a\0b", "a\n", "é"])
def test_a_member_whose_name_is_no_file_name_is_refused(filled: CertificateStore, leaf: Leaf, name: str) -> None:
    before = modes(filled.directory)
    with pytest.raises(PkiError, match="cannot name its certificate's file"):
        filled.write_leaf(name, leaf)
    assert modes(filled.directory) == before


@given(name=st.text(max_size=70) | st.text("abK19._-/", max_size=70))
def test_a_leaf_never_leaves_its_folder_and_never_takes_anothers_place(
    tmp_path_factory: pytest.TempPathFactory, leaf: Leaf, name: str
) -> None:
    store = CertificateStore(tmp_path_factory.getbasetemp() / "names")
    try:
        store.write_leaf(name, leaf)
    except PkiError:
        return
    assert store.read().leaves[name] == Pair(leaf.certificate_pem, leaf.key_pem)
    members = {path.name for path in (store.directory / "members").iterdir()}
    assert {f"{name}.pem", f"{name}-key.pem"} <= members
    assert {path.name for path in store.directory.iterdir()} == {".lock", "members"}


def test_an_api_servers_pair_is_kept_beside_its_members(filled: CertificateStore, authority: Authority) -> None:
    members = filled.read().leaves
    assert filled.read().apiservers == {}
    client = issue(authority, apiserver_request(), now=NOW)
    filled.write_apiserver("node-1", client)
    content = filled.read()
    assert (content.leaves, content.apiservers) == (members, {"node-1": Pair(client.certificate_pem, client.key_pem)})
    found = modes(filled.directory)
    assert (found["apiservers"], found["apiservers/node-1-key.pem"]) == (0o700, 0o600)
    with pytest.raises(PkiError, match="cannot name its certificate's file"):
        filled.write_apiserver("../x", client)
    (filled.directory / "apiservers/node-1-key.pem").chmod(0o640)
    with pytest.raises(PkiError, match="is open to other users"):
        filled.read()


def test_half_a_pair_is_read_as_half_a_pair(filled: CertificateStore, leaf: Leaf) -> None:
    (filled.directory / "members/node-1.pem").unlink()
    assert filled.read().leaves == {"node-1": Pair(None, leaf.key_pem)}


def test_a_second_run_that_writes_is_refused_and_not_waited_for(filled: CertificateStore, leaf: Leaf) -> None:
    with (filled.directory / ".lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(PkiError, match="wanted one run that writes, found another one at it"):
            filled.write_leaf("node-1", leaf)
        filled.read()
    filled.write_leaf("node-1", leaf)


@pytest.mark.parametrize(("limit", "file"), [(100, "node-1.pem"), (1500, "node-1-key.pem")])  # bytes
def test_a_full_disk_leaves_what_was_there(
    filled: CertificateStore, authority: Authority, limit: int, file: str
) -> None:
    before, files = filled.read(), modes(filled.directory)
    leaf = issue(authority, member_request("node-1", "10.0.0.1", key_type="rsa-2048"), now=NOW)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(PkiError, match=f"members/{file} cannot be written: found File too large"):
            filled.write_leaf("node-1", leaf)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert filled.read() == before
    assert modes(filled.directory) == files


# Writes as a run does, and is killed before the N-th time that it touches the folder.
KILLED = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from nornir_etcd.pki.authority import make_authority
from nornir_etcd.pki.leaf import issue, member_request
from nornir_etcd.signers.local import CertificateStore

what, folder, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
store, now = CertificateStore(Path(folder)), datetime.fromisoformat(sys.argv[4])
if what == "leaf":
    leaf = issue(store.read().authority(now=now), member_request("node-1", "10.0.0.1"), now=now)
else:
    authority = make_authority("killed", now=now)

def hook(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(arguments[0]).startswith(folder):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
if what == "leaf":
    store.write_leaf("node-1", leaf)
else:
    store.write_authority(authority)
"""
ENOUGH = 40


def killed(what: str, folder: Path, touches: int) -> bool:
    argv = [sys.executable, "-c", KILLED, what, folder, str(touches), NOW.isoformat()]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)  # noqa: S603 - the script above
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


def test_a_run_killed_anywhere_while_it_writes_a_leaf_is_gone_on_with(tmp_path: Path, authority: Authority) -> None:
    old = issue(authority, member_request("node-1", "10.0.0.1", days=1), now=NOW)
    reasons = set()
    for touches in range(ENOUGH):
        store = CertificateStore(tmp_path / str(touches))
        store.write_authority(authority)
        store.write_leaf("node-1", old)
        alive = not killed("leaf", store.directory, touches)
        reasons.add(_reason(store, authority))
        store.write_leaf("node-1", issue(authority, REQUEST, now=NOW))
        assert _reason(store, authority) is None
        assert not list(store.directory.rglob("*.new"))
        if alive:
            break
    assert alive
    assert reasons == {"expires in 1 day, renewed below 30", "the certificate does not match its key", None}


def _reason(store: CertificateStore, authority: Authority) -> str | None:
    pair = store.read().leaves["node-1"]
    return due(pair.certificate, pair.key, ca_pem=authority.pem, request=REQUEST, now=NOW, renew_days=30)


def test_a_run_killed_anywhere_while_it_writes_a_ca_is_gone_on_with(tmp_path: Path) -> None:
    states = set()
    for touches in range(ENOUGH):
        store = CertificateStore(tmp_path / str(touches))
        alive = not killed("authority", store.directory, touches)
        states.add(tuple(name for name in ("ca-key.pem", "ca.pem") if (store.directory / name).exists()))
        if store.read().ca.certificate is None:
            store.write_authority(make_authority("again", now=NOW))
        store.read().authority(now=datetime.now(timezone.utc))
        assert not list(store.directory.rglob("*.new"))
        if alive:
            break
    assert alive
    assert states == {(), ("ca-key.pem",), ("ca-key.pem", "ca.pem")}


def test_until_the_controller_has_a_certificate_it_asks_etcd_with_the_one_that_the_role_has_made(
    store: CertificateStore, authority: Authority, leaf: Leaf
) -> None:
    store.write_authority(authority)
    with pytest.raises(PkiError, match="run certs or deploy first"):
        store.client_files()
    for name, content in (("etcd.pem", leaf.certificate_pem), ("etcd-key.pem", leaf.key_pem)):
        (store.directory / name).write_bytes(content)
    assert Path(store.client_files()["key"]).name == "etcd-key.pem"
    assert store.read().client == Pair(), "it is none of its own"
    store.write_client(leaf)
    assert Path(store.client_files()["cert"]).name == "client.pem"
