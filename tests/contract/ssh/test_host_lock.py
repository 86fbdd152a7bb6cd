"""The lock of a host on a real one: who comes second, who dies, whose network is cut."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.connections.ssh import connect
from nornir_etcd.exceptions import CommandFailed, CommandMissing, CommandTimeout, RemoteError
from nornir_etcd.remote import host_lock
from nornir_etcd.remote.exec import _stream, run_script
from nornir_etcd.remote.host_lock import HostLock, take_host_lock
from nornir_etcd.remote.privilege import AS_LOGIN, by_sudo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Server
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

SECONDS = 3
SOON = 10.0  # seconds that a busy machine may take for what happens at once

OTHER = """
import sys, time
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Host
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir_etcd.connections.ssh import CONNECTION_NAME, EtcdSsh
from nornir_etcd.remote.host_lock import take_host_lock

port, user, keys, folder, seconds = sys.argv[1:]
ConnectionPluginRegister.register(CONNECTION_NAME, EtcdSsh)
files = {"key_file": keys + "/user", "alt_key_file": keys + "/known_hosts", "ssh_config_file": None}
host = Host("node-1", hostname="127.0.0.1", port=int(port), username=user,
            connection_options={"netmiko": ConnectionOptions(extras=files)})
lock = take_host_lock(host, Config(), "the other", seconds=int(seconds), folder=folder)
print("taken", flush=True)
for _ in range(600):
    lock.sign()
    time.sleep(0.2)
    print("lost:" + lock.lost(), flush=True)
"""
"""An operator in a process of its own, that can be killed and stopped."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def take(sshd: Server, config: Config, folder: Path) -> Iterator[Callable[..., HostLock | str]]:
    """Takes the lock of the host, each time over a session of its own."""
    hosts: list[Host] = []

    def taking(note: str = "somebody", seconds: int = SECONDS) -> HostLock | str:
        hosts.append(sshd.host())
        return take_host_lock(hosts[-1], config, note, seconds=seconds, folder=str(folder))

    yield taking
    for host in hosts:
        host.close_connections()


@contextmanager
def another(sshd: Server, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    where = [str(sshd.port), sshd.host().username or "", str(sshd.folder), str(folder), str(SECONDS)]
    argv = [sys.executable, "-c", OTHER, *where]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:  # noqa: S603 - our own
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "taken\n"
            yield process
        finally:
            process.kill()


def taken(take: Callable[..., HostLock | str], within: float) -> tuple[HostLock, float]:
    """Take the lock as soon as it is free, and say after how many seconds that was."""
    started = time.monotonic()
    while isinstance(found := take(), str):
        assert time.monotonic() - started < within, found
        time.sleep(0.05)
    return found, time.monotonic() - started


def processes(folder: Path) -> list[Path]:
    """The processes that have the lock's file open."""
    return [descriptors.parent for descriptors in Path("/proc").glob("[0-9]*/fd") if opened(descriptors, folder)]


def opened(descriptors: Path, folder: Path) -> bool:
    try:
        return any(str(folder) in str(one.readlink()) for one in descriptors.iterdir())
    except OSError:  # the process has ended, or is another user's
        return False


def test_who_comes_second_is_told_who_has_it_and_gets_it_after_its_end(
    take: Callable[..., HostLock | str], folder: Path
) -> None:
    first = take('it\'s "me" $(exit) %s \\n')
    assert isinstance(first, HostLock)
    assert take("other") == 'it\'s "me" $(exit) %s \\n'
    assert (folder.stat().st_mode & 0o777, (folder / "lock").stat().st_mode & 0o777) == (0o700, 0o600)
    first.free()
    first.close(SOON)
    assert (folder / "lock").read_text() == ""
    assert processes(folder) == []
    second = take("other")
    assert isinstance(second, HostLock)
    assert first.lost().endswith("it was freed")
    second.free()
    second.close(SOON)


def test_a_lock_lives_on_signs_of_life_and_commands_go_on_beside_it(
    sshd: Server, config: Config, folder: Path, take: Callable[..., HostLock | str]
) -> None:
    host = sshd.host()
    lock = take_host_lock(host, config, "me", seconds=SECONDS, folder=str(folder))
    assert isinstance(lock, HostLock)
    ends = time.monotonic() + 2.5 * SECONDS
    while time.monotonic() < ends:
        lock.sign()
        assert run_script(host, config, "echo beside", deadline=20).stdout == b"beside\n"
        time.sleep(0.3)
        assert lock.lost() == ""
    with pytest.raises(CommandTimeout):  # what is killed at its deadline is not the lock
        run_script(host, config, "sleep 60", deadline=0.3)
    assert lock.lost() == ""
    assert take() == "me"
    host.close_connections()
    taken(take, SOON)[0].free()


def test_a_holder_that_is_killed_frees_it_at_once(
    sshd: Server, folder: Path, take: Callable[..., HostLock | str]
) -> None:
    with another(sshd, folder) as process:
        assert take(seconds=60) == "the other"
        process.kill()
        lock, seconds = taken(take, SOON)
    assert seconds < SECONDS - 1, "it did not wait for signs of life"
    lock.free()
    lock.close(SOON)
    assert processes(folder) == []


def test_a_holder_that_is_cut_off_loses_it_in_time_and_knows(
    sshd: Server, folder: Path, take: Callable[..., HostLock | str]
) -> None:
    """A stopped process sends nothing and closes nothing, as one whose network is cut."""
    with another(sshd, folder) as process:
        process.send_signal(signal.SIGSTOP)
        lock, seconds = taken(take, SECONDS + SOON)
        assert seconds > SECONDS - 1
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        said = process.stdout.readline()
        while said == "lost:\n":
            said = process.stdout.readline()
        assert said.startswith("lost:node-1: the lock of the host is lost, last held for certain at ")
        assert lock.lost() == ""
    lock.free()


def test_a_session_that_breaks_is_a_lost_lock(
    sshd: Server, config: Config, folder: Path, take: Callable[..., HostLock | str]
) -> None:
    host = sshd.host()
    lock = take_host_lock(host, config, "me", seconds=60, folder=str(folder))
    assert isinstance(lock, HostLock)
    for pid in sshd.sessions():
        os.kill(pid, signal.SIGKILL)
    again, _ = taken(take, SOON)
    ends = time.monotonic() + SOON
    while not lock.lost():
        assert time.monotonic() < ends
        time.sleep(0.02)
    lock.sign()
    assert "has ended" in lock.lost()
    lock.free()
    lock.close(1)
    again.free()
    host.close_connections()


def test_two_that_race_never_both_get_it(take: Callable[..., HostLock | str]) -> None:
    for _ in range(5):
        with ThreadPoolExecutor(max_workers=4) as pool:
            had = [lock for lock in pool.map(lambda _: take(), range(4)) if isinstance(lock, HostLock)]
        assert len(had) == 1
        had[0].free()
        had[0].close(SOON)


def test_a_lock_leaves_no_file_descriptor(sshd: Server, config: Config, folder: Path) -> None:
    host = sshd.host()
    connect(host, config)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        lock = take_host_lock(host, config, "me", seconds=SECONDS, folder=str(folder))
        assert isinstance(lock, HostLock)
        assert take_host_lock(host, config, "me too", seconds=SECONDS, folder=str(folder)) == "me"
        lock.sign()
        lock.free()
        lock.close(SOON)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    host.close_connections()


@pytest.mark.parametrize("kind", ["link", "open to others", "file"])
def test_a_folder_that_is_not_roots_alone_is_refused(
    kind: str, take: Callable[..., HostLock | str], folder: Path
) -> None:
    if kind == "link":
        (folder.parent / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(folder.parent / "elsewhere")
    elif kind == "open to others":
        folder.mkdir(mode=0o777)
        folder.chmod(0o755)
    else:
        folder.touch()
    with pytest.raises(CommandFailed, match=r"node-1: lock of the host: .* cannot hold it: wanted a folder of root's"):
        take()


def test_a_session_without_a_further_channel_is_told_apart(
    start_sshd: Callable[..., Server], config: Config, folder: Path
) -> None:
    host = start_sshd("MaxSessions 1").host()
    lock = take_host_lock(host, config, "me", seconds=SECONDS, folder=str(folder))
    assert isinstance(lock, HostLock)
    with pytest.raises(RemoteError, match="raise MaxSessions"):
        run_script(host, config, "true", deadline=5)
    lock.free()
    lock.close(SOON)
    host.close_connections()


SUDO = """#!/bin/sh
# Wants no password and leaves its line on stdin, as sudo does with NOPASSWD.
while [ "$1" != sh ]; do shift; done
exec "$@"
"""
WAYS = {"as login": AS_LOGIN, "sudo": by_sudo(None, ""), "sudo with a password": by_sudo("not shown", "0f" * 16)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_every_shell_holds_it_and_lets_it_go(shell: str, way: str, tmp_path: Path, folder: Path) -> None:
    tools = userland(shell, tmp_path)
    (tools / "sudo").write_text(SUDO)
    (tools / "sudo").chmod(0o755)
    script = f"folder={folder} seconds=2 note=me{host_lock._SCRIPT}"
    stream = WAYS[way].lead + _stream(script, b"")
    started = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - the shell under test
        [tools / "sh", "-c", WAYS[way].command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": str(tools)},
        bufsize=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(stream)
        assert b"=nornir-etcd:" in lines(process)
        assert lines(process) == b"taken\n"
        held = subprocess.run(  # noqa: S603 - as above
            [tools / "sh", "-c", WAYS[way].command],
            input=stream,
            capture_output=True,
            env={"PATH": str(tools)},
            timeout=20,
            check=True,
        )
        assert held.stdout.endswith(b"held me\n")
        for _ in range(5):
            time.sleep(0.5)
            process.stdin.write(b"\n")
            assert lines(process) == b"\n"
        assert time.monotonic() - started > 2
        process.wait(timeout=20)  # its stdin stays open: it ends for want of a sign
    assert (folder / "lock").read_text() == ""


def lines(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def userland(shell: str, tmp_path: Path) -> Path:
    """A folder with the tools of the lock and nothing else; busybox' own where it is busybox', which has no flock."""
    tools = tmp_path / "bin"
    tools.mkdir()
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    own = {"sh", "stat", "timeout", "mkdir", "id", "dd"}
    for name in own:
        (tools / name).symlink_to(found if shell == "busybox" or name == "sh" else str(shutil.which(name)))
    (tools / "flock").symlink_to(str(shutil.which("flock")))
    return tools


@pytest.mark.parametrize("tool", ["flock", "timeout"])
def test_a_tool_that_is_missing_is_named(
    tool: str, take: Callable[..., HostLock | str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = host_lock._SCRIPT.replace("for tool in", f'command() {{ [ "$2" != {tool} ]; }}; for tool in')
    monkeypatch.setattr(host_lock, "_SCRIPT", f"\n{script}")
    with pytest.raises(CommandMissing, match=f"node-1: lock of the host: {tool} is not on the host"):
        take()
