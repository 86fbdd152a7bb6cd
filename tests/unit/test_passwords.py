"""The password for sudo and the passphrase of the CA's key, asked for on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import termios
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.program import PROGRAM, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "PASS-NOT-SHOWN"  # noqa: S105 - the point of the test


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """One member at an address where nothing is."""
    extras = "{ssh_strict: false, conn_timeout: 1}"
    host = f"{{hostname: 127.0.0.1, port: 1, groups: [etcd], connection_options: {{netmiko: {{extras: {extras}}}}}}}"
    (tmp_path / "hosts.yaml").write_text(f"node-1: {host}\n")
    (tmp_path / "groups.yaml").write_text("etcd: {}\n")
    logging = "{log_file: nornir.log, level: DEBUG, loggers: [nornir, nornir_etcd, netmiko, paramiko]}"
    (tmp_path / "config.yaml").write_text(f"logging: {logging}\n")
    return tmp_path


class Terminal:
    """The program with a terminal of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self.controller, self.end = pty.openpty()
        streams = {"stdin": self.end, "stdout": self.end, "stderr": self.end}
        self.process = start(PROGRAM, *words, cwd=folder, env=environment, start_new_session=True, **streams)
        self.shown = b""

    def read_until(self, text: bytes) -> None:
        deadline = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self.process.poll() is None, self.shown
            if select.select([self.controller], [], [], 0.1)[0]:
                self.shown += os.read(self.controller, 4096)

    def ended(self) -> int:
        reader = threading.Thread(target=self._drain)
        reader.start()
        code = self.process.wait(30)
        os.write(self.end, b"\0end\0")
        reader.join(30)
        return code

    def _drain(self) -> None:
        while not self.shown.endswith(b"\0end\0"):
            self.shown += os.read(self.controller, 4096)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.controller)
        os.close(self.end)

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.end)[3] & termios.ECHO)


@pytest.fixture
def terminal(workspace: Path) -> Iterator[Terminal]:
    made = Terminal(workspace, "verify", "--ask-sudo-password", "--output", "report.json")
    yield made
    made.close()


def test_a_password_is_asked_for_once_and_shown_nowhere(terminal: Terminal, workspace: Path) -> None:
    terminal.read_until(b"Password for sudo")
    assert not terminal.echoes
    os.write(terminal.controller, f"{PASSWORD}\n".encode())
    assert terminal.ended() in {1, 4}  # nothing of it could be verified
    assert terminal.echoes
    assert terminal.shown.count(b"Password for sudo") == 1
    assert b"refused" in terminal.shown
    told = terminal.shown.decode() + (workspace / "nornir.log").read_text() + (workspace / "report.json").read_text()
    assert PASSWORD not in told


def test_an_interrupt_while_it_is_asked_for_gives_the_echo_back(terminal: Terminal) -> None:
    terminal.read_until(b"Password for sudo")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ended() == 130
    assert terminal.echoes


def test_no_answer_is_an_error(terminal: Terminal) -> None:
    terminal.read_until(b"Password for sudo")
    os.write(terminal.controller, b"\n")
    assert terminal.ended() == 2
    assert b"--ask-sudo-password: wanted the password for sudo on the hosts, found none" in terminal.shown


def test_without_a_terminal_nothing_is_asked(workspace: Path) -> None:
    done = run(PROGRAM, "verify", "-K", cwd=workspace)
    assert done.code == 2
    assert done.err.startswith("error: --ask-sudo-password: wanted a terminal, found none; ")


def test_ci_is_never_asked(workspace: Path) -> None:
    controller, end = pty.openpty()
    process = start(
        PROGRAM, "verify", "-K", cwd=workspace, env={"CI": "true"}, stdin=end, stdout=end, stderr=subprocess.PIPE
    )
    _, err = process.communicate(timeout=60)
    os.close(controller)
    os.close(end)
    assert process.returncode == 2
    assert b"wanted a terminal, found none" in err


def test_both_secrets_are_asked_for_the_passphrase_twice_and_shown_nowhere(workspace: Path) -> None:
    terminal = Terminal(workspace, "verify", "--ask-ca-passphrase", "--ask-sudo-password")
    try:
        terminal.read_until(b"Password for sudo on the hosts: ")
        os.write(terminal.controller, f"{PASSWORD}\n".encode())
        for prompt in (b"Passphrase of the CA's key: ", b"The passphrase of the CA's key again: "):
            terminal.read_until(prompt)
            assert not terminal.echoes
            os.write(terminal.controller, f"CA-{PASSWORD}\n".encode())
        assert terminal.ended() in {1, 4}  # nothing of it could be verified
        assert terminal.echoes
        assert PASSWORD not in terminal.shown.decode() + (workspace / "nornir.log").read_text()
    finally:
        terminal.close()


def test_no_passphrase_and_no_terminal_are_errors_that_name_the_other_ways(workspace: Path) -> None:
    done = run(PROGRAM, "certs", "--ask-ca-passphrase", cwd=workspace)
    assert done.code == 2
    assert done.err == (
        "error: --ask-ca-passphrase: wanted a terminal, found none; name a file in etcd_ca_passphrase_file, or an "
        "environment variable in etcd_ca_passphrase_env\n"
    )


def test_a_passphrase_that_is_another_the_second_time_is_an_error(workspace: Path) -> None:
    terminal = Terminal(workspace, "certs", "--ask-ca-passphrase")
    try:
        for prompt, answer in ((b"Passphrase of", f"{PASSWORD}\n"), (b"The passphrase of", f"{PASSWORD}x\n")):
            terminal.read_until(prompt)
            os.write(terminal.controller, answer.encode())
        assert terminal.ended() == 2
        assert b"wanted the passphrase of the CA's key twice, found another one the second time" in terminal.shown
        assert PASSWORD.encode() not in terminal.shown
    finally:
        terminal.close()
    assert not (workspace / "certs").exists()
