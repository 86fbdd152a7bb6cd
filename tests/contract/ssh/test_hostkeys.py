"""Host keys as a real sshd offers them, and `nornir-etcd hosts trust`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from nornir_etcd.connections.ssh import connect
from nornir_etcd.connections.ssh_hostkeys import fetch_keys
from nornir_etcd.exceptions import HostRefused, HostUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Server
    from nornir.core.configuration import Config

PROGRAM = Path(sys.executable).with_name("nornir-etcd")


@pytest.fixture
def three_keys(start_sshd: Callable[..., Server], tmp_path: Path, run: Callable[..., str]) -> Server:
    """An sshd with a key of each kind, in a known_hosts file that knows none."""
    lines = []
    for kind in ("rsa", "ecdsa"):
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / kind)
        lines.append(f"HostKey {tmp_path / kind}")
    server = start_sshd(*lines)
    (server.folder / "known_hosts").unlink()
    return server


def workspace(server: Server, folder: Path, **extras: object) -> None:
    """Write an inventory with the server as its only host."""
    options = {"key_file": str(server.folder / "user"), "ssh_strict": True} | extras
    host = {
        "hostname": "127.0.0.1",
        "port": server.port,
        "groups": ["etcd"],
        "connection_options": {"netmiko": {"extras": options}},
    }
    (folder / "hosts.yaml").write_text(yaml.safe_dump({"node-1": host}))
    (folder / "groups.yaml").write_text("etcd: {}\n")
    (folder / "config.yaml").write_text("logging: {enabled: false}\n")


def trust(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the program under test
        [str(PROGRAM), "hosts", "trust", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_every_kind_of_key_is_fetched_without_a_login(
    three_keys: Server, config: Config, run: Callable[..., str], tmp_path: Path
) -> None:
    keys = fetch_keys(three_keys.host(), config)
    files = [three_keys.folder / "host.pub", tmp_path / "ecdsa.pub", tmp_path / "rsa.pub"]
    assert [key.fingerprint for key in keys] == [run("ssh-keygen", "-lf", path).split()[1] for path in files]
    assert {key.name for key in keys} == {f"[127.0.0.1]:{three_keys.port}"}
    assert three_keys.handshakes == 0


def test_keys_are_fetched_through_the_jump_host_of_the_ssh_config(sshd: Server, config: Config) -> None:
    ssh_config = sshd.folder / "ssh_config"
    jump = f"-i {sshd.folder}/user -p {sshd.port} -o UserKnownHostsFile={sshd.folder}/known_hosts"
    ssh_config.write_text(f"Host *\n  ProxyCommand ssh -F none {jump} -W 127.0.0.1:{sshd.port} 127.0.0.1\n")
    (key,) = fetch_keys(sshd.host(ssh_config_file=str(ssh_config)), config)
    assert key.fingerprint == sshd.fingerprint("host")
    ssh_config.write_text("Host *\n  ProxyCommand sh -c 'echo no way through >&2'\n")
    with pytest.raises(HostUnreachable, match=r"^node-1: .*\(proxy: no way through\)"):
        fetch_keys(sshd.host(ssh_config_file=str(ssh_config)), config)


def test_a_host_without_a_server_is_told_apart(sshd: Server, config: Config, unused_port: int) -> None:
    host = sshd.host()
    host.port = unused_port
    with pytest.raises(HostRefused, match=r"^node-1: "):
        fetch_keys(host, config)


def test_trusted_keys_open_the_next_session(three_keys: Server, config: Config, tmp_path: Path) -> None:
    path = three_keys.folder / "known_hosts"
    workspace(three_keys, tmp_path, alt_host_keys=True, alt_key_file=str(path))
    unconfirmed = trust(tmp_path)
    assert unconfirmed.returncode == 2
    assert "wanted a terminal to confirm on, or --yes" in unconfirmed.stderr
    assert not path.exists()
    done = trust(tmp_path, "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("new") == 3
    assert three_keys.fingerprint("host") in done.stdout
    assert len(path.read_text().splitlines()) == 3
    connect(three_keys.host(), config).disconnect()
    again, before = trust(tmp_path), path.read_text()
    assert (again.returncode, again.stdout.count("known ("), path.read_text()) == (0, 3, before)


def test_a_changed_key_is_refused_and_nothing_is_overwritten(sshd: Server, tmp_path: Path) -> None:
    path = sshd.folder / "known_hosts"
    path.write_text(f"[127.0.0.1]:{sshd.port} {(sshd.folder / 'user.pub').read_text()}")
    before = path.read_text()
    workspace(sshd, tmp_path, alt_host_keys=True, alt_key_file=str(path))
    done = trust(tmp_path, "--yes")
    assert done.returncode == 3
    assert sshd.fingerprint("host") in done.stderr
    assert sshd.fingerprint("user") in done.stderr
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {path}" in done.stderr
    assert path.read_text() == before


def test_a_workspace_that_names_no_file_is_told_how(sshd: Server, tmp_path: Path) -> None:
    workspace(sshd, tmp_path)
    done = trust(tmp_path, "--yes", "--hosts", "node-1")
    assert done.returncode == 0, done.stderr
    assert "`alt_key_file: known_hosts` into connection_options.netmiko.extras" in done.stdout
    assert (tmp_path / "known_hosts").read_text().startswith(f"[127.0.0.1]:{sshd.port} ssh-ed25519 ")
    unknown = trust(tmp_path, "--yes", "--hosts", "node-9")
    assert (unknown.returncode, unknown.stderr) == (2, "error: --hosts: node-9 is no host of the inventory\n")


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 3), (b"\n", 3)])
def test_a_terminal_is_asked(sshd: Server, tmp_path: Path, answer: bytes, code: int) -> None:
    workspace(sshd, tmp_path, alt_key_file="known_hosts")
    controller, terminal = pty.openpty()
    process = subprocess.Popen(  # noqa: S603 - the program under test
        [str(PROGRAM), "hosts", "trust"], cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    timer = threading.Timer(60, process.kill)
    timer.start()
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(controller, 4096)
    os.write(controller, answer)
    assert process.wait() == code
    timer.cancel()
    timer.join()
    os.close(controller)
    assert sshd.fingerprint("host").encode() in shown
    assert (tmp_path / "known_hosts").exists() == (code == 0)
