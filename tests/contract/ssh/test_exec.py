"""Scripts on a real host: streams, exit statuses, deadlines, and sessions that break."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.connections.ssh import connect
from nornir_etcd.exceptions import CommandFailed, CommandMissing, CommandTimeout, ConnectionLost, RemoteError
from nornir_etcd.remote.exec import _stream, run_script
from nornir_etcd.remote.privilege import AS_LOGIN, by_sudo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Server
    from nornir.core.configuration import Config

    from nornir_etcd.remote.completed import Completed

    Run = Callable[..., Completed]

BINARY = bytes(range(256))


@pytest.fixture
def on_host(sshd: Server, config: Config) -> Iterator[Run]:
    host = sshd.host()
    yield lambda script, deadline=60, **options: run_script(host, config, script, deadline=deadline, **options)
    host.close_connections()


def test_streams_are_binary_and_apart(on_host: Run) -> None:
    done = on_host("cat; printf '\\377warn\\n' >&2; exit 3", payload=BINARY, check=False)
    assert (done.exit_status, done.stdout, done.stderr) == (3, BINARY, b"\xffwarn\n")


def test_five_megabytes_go_both_ways_at_once(on_host: Run) -> None:
    payload = os.urandom(5 * 1024 * 1024)
    done = on_host("tee /dev/stderr", payload=payload)
    assert done.stdout == payload
    assert done.stderr == payload


def test_a_script_that_reads_nothing_of_a_large_payload_ends(on_host: Run) -> None:
    assert on_host("echo done", payload=bytes(5 * 1024 * 1024)).stdout == b"done\n"


def test_take_reads_exactly_what_is_asked_for(on_host: Run) -> None:
    done = on_host(
        f"take 5 2>/dev/null; echo; take 0; take {100_000} 2>/dev/null | wc -c; cat",
        payload=b"12345" + bytes(100_000) + b"end",
    )
    assert done.stdout == b"12345\n100000\nend"


def test_the_script_finds_a_plain_environment(on_host: Run) -> None:
    done = on_host('umask; echo "$LC_ALL"; echo "$PATH"')
    umask, locale, path = done.stdout.decode().split()
    assert (int(umask, 8), locale) == (0o077, "C")
    assert path.endswith(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")


def test_a_failed_script_is_told_with_its_status_and_last_lines(on_host: Run) -> None:
    with pytest.raises(CommandFailed) as caught:
        on_host("for i in 1 2 3 4 5 6 7; do printf 'line\\033[31m %s\\n' $i >&2; done; exit 5", purpose="the survey")
    assert str(caught.value) == (
        "node-1: the survey failed: wanted exit status 0, found exit status 5: "
        "line [31m 3 | line [31m 4 | line [31m 5 | line [31m 6 | line [31m 7"
    )


@pytest.mark.parametrize("script", ["nosuch-crictl ps", "/opt/nosuch-crictl ps", "x=$(nosuch-crictl) || exit $?"])
def test_a_missing_command_is_named(on_host: Run, script: str) -> None:
    with pytest.raises(CommandMissing, match=r"nosuch-crictl is not on the host"):
        on_host(script)


def test_a_script_killed_by_a_signal_is_no_lost_session(on_host: Run) -> None:
    with pytest.raises(CommandFailed, match="killed by a signal"):
        on_host("kill -KILL $$")


def test_a_deadline_ends_the_script_and_its_children(on_host: Run, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(CommandTimeout, match=r"wanted an end within 2 s, found waiting \| still waiting"):
        on_host(
            f"echo waiting >&2; echo still waiting >&2; sleep 61 & echo $! $$ > {tmp_path}/pids; sleep 62", deadline=2
        )
    assert time.monotonic() - started < 10
    assert not [pid for pid in (tmp_path / "pids").read_text().split() if alive(int(pid))]


def test_a_script_that_ignores_sigterm_is_ended_too(on_host: Run, tmp_path: Path) -> None:
    with pytest.raises(CommandTimeout):
        on_host(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.2; done", deadline=2)
    assert ends(int((tmp_path / "pid").read_text()))


def test_the_session_serves_on_after_a_deadline(on_host: Run, sshd: Server) -> None:
    with pytest.raises(CommandTimeout):
        on_host("sleep 60", deadline=0.3)
    assert on_host("echo on").stdout == b"on\n"
    assert sshd.handshakes == 1


def test_a_host_that_hangs_is_given_up_soon_after_the_deadline(on_host: Run, sshd: Server) -> None:
    on_host("true")
    sessions = sshd.sessions()
    for pid in sessions:
        os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    try:
        with pytest.raises(CommandTimeout):
            on_host("true", deadline=0.5)
    finally:
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - started < 10


def test_endless_output_is_cut_off(on_host: Run) -> None:
    with pytest.raises(CommandFailed, match=r"too much output: wanted at most 100000 bytes"):
        on_host("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", output_limit=100_000)
    assert on_host("echo on").stdout == b"on\n"


def test_a_session_that_breaks_is_told_apart_and_not_waited_for(on_host: Run, sshd: Server) -> None:
    on_host("true")

    def break_it() -> None:
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)

    threading.Timer(0.5, break_it).start()
    started = time.monotonic()
    with pytest.raises(ConnectionLost, match="whether it finished is unknown"):
        on_host("sleep 30")
    assert time.monotonic() - started < 5


def test_a_login_shell_that_runs_nothing_is_told_apart(start_sshd: Callable[..., Server], config: Config) -> None:
    host = start_sshd("ForceCommand echo This account is not available.").host()
    with pytest.raises(CommandFailed, match=r"the host ran no shell script: .*This account is not available"):
        run_script(host, config, "echo hello", deadline=10)
    host.close_connections()


def test_what_start_up_files_print_is_no_output(start_sshd: Callable[..., Server], config: Config) -> None:
    noisy = 'ForceCommand echo welcome; echo fortune >&2; eval "$SSH_ORIGINAL_COMMAND"'
    host = start_sshd(noisy).host()
    done = run_script(host, config, "echo hello", deadline=10)
    assert (done.stdout, done.stderr) == (b"hello\n", b"")
    host.close_connections()


def test_too_many_channels_are_told_apart(start_sshd: Callable[..., Server], config: Config) -> None:
    host = start_sshd("MaxSessions 1").host()
    session = connect(host, config).remote_conn_pre
    assert session is not None
    channel = session.get_transport().open_session()
    with pytest.raises(RemoteError, match="MaxSessions"):
        run_script(host, config, "true", deadline=5)
    channel.close()
    host.close_connections()


def test_a_channel_leaves_no_file_descriptor(on_host: Run) -> None:
    on_host("true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        on_host("true")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


SUDO = """#!/bin/sh
# Wants no password and leaves its line on stdin, as sudo does with NOPASSWD.
while [ "$1" != sh ]; do shift; done
exec "$@"
"""
WAYS = {"as login": AS_LOGIN, "sudo": by_sudo(None, ""), "sudo with a password": by_sudo("!$(exit 9)'\"", "0f" * 16)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox", "zsh", "fish", "tcsh"])
def test_every_login_shell_runs_the_command_line(shell: str, way: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    command = [shell, *(["sh"] if shell == "busybox" else []), "-c", WAYS[way].command]
    stream = WAYS[way].lead + _stream("printf '%s\\n' \"it's $(take 3 2>/dev/null)\"; cat", b"abc" + BINARY)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(  # noqa: S603 - the shell under test
        command, input=stream, capture_output=True, timeout=20, check=True, env=environment
    )
    assert done.stdout.partition(b"=\n")[2] == b"it's abc\n" + BINARY


@pytest.mark.parametrize("cut", [1, 5, 100, 300])
def test_a_script_that_arrives_in_part_is_not_started(tmp_path: Path, cut: int) -> None:
    stream = _stream("\n".join([f"echo x > {tmp_path}/file; rm {tmp_path}/other"] * 10), b"")
    done = subprocess.run(  # noqa: S603 - a shell
        ["/bin/sh", "-c", AS_LOGIN.command], input=stream[:-cut], capture_output=True, timeout=20, check=False
    )
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def ends(pid: int) -> bool:
    """Whether a process ends: the signal is sent at the deadline, and a busy machine takes its time to deliver it."""
    patience = time.monotonic() + 10
    while alive(pid) and time.monotonic() < patience:
        time.sleep(0.05)
    return not alive(pid)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False
