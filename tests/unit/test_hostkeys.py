"""Host keys: what a known_hosts file says of them, and how keys are added to it."""

from __future__ import annotations

import base64
import shutil
import subprocess
from typing import TYPE_CHECKING

import paramiko
import pytest

from nornir_etcd.exceptions import HostKeyChanged, InventoryError
from nornir_etcd.hostkeys import HostKey, add, fingerprint, parse, read, standings

if TYPE_CHECKING:
    from pathlib import Path

ED, ECDSA, RSA = "ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"


def key(kind: str = ED, content: str = "a", name: str = "192.0.2.1") -> HostKey:
    return HostKey(name, kind, base64.b64encode(f"{kind} {content}".encode()).decode())


def test_the_fingerprint_is_ssh_keygens(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen (Debian: openssh-client)")
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]
    subprocess.run(argv, check=True, timeout=20)  # noqa: S603 - ssh-keygen
    argv = ["ssh-keygen", "-lf", str(tmp_path / "key.pub")]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=20).stdout  # noqa: S603
    assert fingerprint((tmp_path / "key.pub").read_text().split()[1]) == said.split()[1]


def test_a_host_without_entries_is_new_and_one_with_all_is_known(tmp_path: Path) -> None:
    offered = [key(), key(RSA)]
    assert set(standings("node-1", offered, (), tmp_path).values()) == {"new"}
    entries = parse("".join(one.line for one in offered))
    assert set(standings("node-1", offered, entries, tmp_path).values()) == {"known"}


def test_a_further_kind_of_key_is_new_beside_a_known_one(tmp_path: Path) -> None:
    offered = [key(), key(RSA)]
    assert standings("node-1", offered, parse(key().line), tmp_path) == {offered[0]: "known", offered[1]: "new"}


@pytest.mark.parametrize(
    ("known", "offered"),
    [
        ([key(content="old")], [key(content="new")]),
        ([key(), key(RSA, "old")], [key(), key(RSA, "new")]),
        ([key(RSA)], [key(ED)]),  # what is known is not offered any more
        ([key(RSA), key(ECDSA)], [key(ED)]),
    ],
)
def test_a_changed_key_is_refused_with_both_fingerprints(
    known: list[HostKey], offered: list[HostKey], tmp_path: Path
) -> None:
    path = tmp_path / "known_hosts"
    with pytest.raises(HostKeyChanged) as caught:
        standings("node-1", offered, parse("# a comment\n" + "".join(one.line for one in known)), path)
    old = known[-1] if len(known) == len(offered) else known[0]
    assert caught.value.wanted == f"{old.kind} {old.fingerprint}"
    assert caught.value.found == f"{offered[-1].kind} {offered[-1].fingerprint}"
    assert f"ssh-keygen -R '192.0.2.1' -f {path}" in caught.value.remedy


def test_a_revoked_key_is_never_trusted(tmp_path: Path) -> None:
    for entries in (f"@revoked * {ED} {key().blob}\n", f"{key().line}@revoked {key().line}"):
        with pytest.raises(HostKeyChanged, match="node-1: the host key is revoked"):
            standings("node-1", [key()], parse(entries), tmp_path)


def test_a_hashed_entry_is_that_of_its_host(tmp_path: Path) -> None:
    hashed = paramiko.HostKeys.hash_host("[192.0.2.1]:2222")
    entries = parse(f"{hashed} {ED} {key().blob}\n|1|broken {ED} x\n|1|*|* {ED} x\n")
    mine = key(name="[192.0.2.1]:2222")
    assert standings("node-1", [mine], entries, tmp_path) == {mine: "known"}
    assert standings("node-1", [key()], entries, tmp_path) == {key(): "new"}


def test_other_ports_and_other_hosts_are_other_names(tmp_path: Path) -> None:
    entries = parse(key(content="other", name="[192.0.2.1]:2222,192.0.2.2,192.0.2.*").line)
    assert standings("node-1", [key()], entries, tmp_path) == {key(): "new"}


def test_lines_of_another_form_are_passed_over() -> None:
    text = f"\n# comment\n@cert-authority * {ED} AAAA\nhost\nhost {ED}\n  {key().line}"
    (entry,) = parse(text)
    assert (entry.number, entry.names, entry.kind) == (6, ("192.0.2.1",), ED)


def test_keys_are_added_after_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("# ours\n|1|x|y ssh-rsa AAAA comment")
    path.chmod(0o640)
    add(path, [key(), key(RSA), key()])
    assert path.read_text() == f"# ours\n|1|x|y ssh-rsa AAAA comment\n{key().line}{key(RSA).line}"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["known_hosts"]


def test_a_new_file_can_be_read_by_all_and_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    add(tmp_path / "link", [key()])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == key().line
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o644


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="wanted a known_hosts file that can be read"):
        read(tmp_path)
    with pytest.raises(InventoryError, match="wanted a file that can be written"):
        add(tmp_path / "nowhere/known_hosts", [key()])
