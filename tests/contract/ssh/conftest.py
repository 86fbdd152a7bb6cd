"""A real sshd on loopback for each test, and Nornir inventories that point at it."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Host
from nornir.core.plugins.connections import ConnectionPluginRegister

from nornir_etcd.connections.ssh import CONNECTION_NAME, EtcdSsh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
LIFETIME = 120  # seconds after which timeout(1) ends an sshd that a killed test left behind


def execute(*command: str | Path) -> str:
    return subprocess.run(  # noqa: S603 - ssh-keygen
        [str(part) for part in command], check=True, capture_output=True, text=True, timeout=20
    ).stdout


@dataclass
class Server:
    """One sshd, its keys, and how to reach it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    @property
    def handshakes(self) -> int:
        return self.log.count("Accepted publickey")

    def fingerprint(self, key: str) -> str:
        return execute("ssh-keygen", "-lf", self.folder / f"{key}.pub").split()[1]

    def sessions(self) -> list[int]:
        """Process ids of the sshd processes that serve connections, parents first."""
        found = children(self.process.pid)  # of timeout(1): the listening sshd
        for pid in found:
            found += [child for child in children(pid) if name_of(child).startswith("sshd")]
        return found[1:]

    def host(self, name: str = "node-1", **extras: object) -> Host:
        options = {
            "key_file": str(self.folder / "user"),
            "alt_key_file": str(self.folder / "known_hosts"),
            "ssh_config_file": None,
        }
        return Host(
            name,
            hostname="127.0.0.1",
            port=self.port,
            username=getpass.getuser(),
            connection_options={"netmiko": ConnectionOptions(extras=options | extras)},
        )


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("sshd does not listen")


@pytest.fixture
def start_sshd(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts sshd with further lines of configuration."""
    if SSHD is None:
        pytest.skip("needs sshd (Debian: openssh-server)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, where systemd has not made it
    servers: list[Server] = []

    def start(*configuration: str) -> Server:
        port = free_port()
        folder = tmp_path / f"sshd-{port}"
        folder.mkdir(mode=0o700)
        execute("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host")
        execute("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "user")
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        public = (folder / "host.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
        lines = [
            f"ListenAddress 127.0.0.1:{port}",
            f"HostKey {folder / 'host'}",
            f"AuthorizedKeysFile {folder / 'authorized_keys'}",
            f"PidFile {folder / 'pid'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "PermitRootLogin prohibit-password",
            *configuration,
        ]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        with (folder / "sshd.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - sshd
                [
                    "/usr/bin/timeout",
                    "-k",
                    "1",
                    str(LIFETIME),
                    str(SSHD),
                    "-D",
                    "-e",
                    "-f",
                    str(folder / "sshd_config"),
                ],
                stderr=log,
                start_new_session=True,
            )
        server = Server(folder, port, process)
        servers.append(server)
        wait_for_port(port)
        return server

    yield start
    for server in servers:
        for pid in server.sessions():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        server.process.terminate()
        server.process.wait(timeout=10)


@pytest.fixture
def sshd(start_sshd: Callable[..., Server]) -> Server:
    return start_sshd()


@pytest.fixture(autouse=True)
def _registered() -> None:
    ConnectionPluginRegister.register(CONNECTION_NAME, EtcdSsh)


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
def run() -> Callable[..., str]:
    return execute


@pytest.fixture
def unused_port() -> int:
    return free_port()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says anything."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(5)
        yield int(server.getsockname()[1])
