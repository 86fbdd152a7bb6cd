"""Sessions to a real sshd, with nothing but an inventory of Ansible's."""

from __future__ import annotations

import getpass
import shutil
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.ansible_inventory import AnsibleInventory
from nornir_etcd.remote.exec import run_script

if TYPE_CHECKING:
    from pathlib import Path

    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

    from tests.contract.ssh.conftest import Server


@pytest.fixture
def home(sshd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home that knows the host's key."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    shutil.copy(sshd.folder / "known_hosts", folder / ".ssh" / "known_hosts")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


def member(sshd: Server, folder: Path, *more: str) -> Host:
    """The one member of an inventory of Ansible's."""
    words = [f"m1:{sshd.port}", "ansible_host=127.0.0.1", f"ansible_user={getpass.getuser()}"]
    (folder / "hosts").write_text("\n".join(["[etcd]", " ".join(words), "[etcd:vars]", *more]), encoding="utf-8")
    return AnsibleInventory(str(folder / "hosts")).load().hosts["m1"]


def said(host: Host, config: Config) -> bytes:
    """What a script says on the host."""
    try:
        return run_script(host, config, "echo there", deadline=10).stdout
    finally:
        host.close_connections()


@pytest.mark.usefixtures("home")
def test_the_key_that_ansible_names_opens_a_session(sshd: Server, tmp_path: Path, config: Config) -> None:
    host = member(sshd, tmp_path, f"ansible_ssh_private_key_file={sshd.folder}/user")
    assert said(host, config) == b"there\n"
    assert sshd.handshakes == 1


def test_without_one_it_is_the_users_own_as_with_ansible(
    sshd: Server, tmp_path: Path, config: Config, home: Path
) -> None:
    shutil.copy(sshd.folder / "user", home / ".ssh" / "id_ed25519")
    assert said(member(sshd, tmp_path), config) == b"there\n"


@pytest.mark.usefixtures("home")
def test_the_jump_host_of_its_arguments_for_ssh_is_used(sshd: Server, tmp_path: Path, config: Config) -> None:
    jump = f"-i {sshd.folder}/user -p {sshd.port} -o UserKnownHostsFile={sshd.folder}/known_hosts"
    host = member(
        sshd,
        tmp_path,
        f"ansible_ssh_private_key_file={sshd.folder}/user",
        f"ansible_ssh_common_args=-o ProxyCommand='ssh -F none {jump} -W %h:%p 127.0.0.1'",
    )
    assert said(host, config) == b"there\n"
    assert sshd.handshakes == 2
