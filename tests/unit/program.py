"""The real program, run as a user runs it."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = str(Path(sys.executable).with_name("nornir-etcd"))
ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "runbooks"
TIMEOUT = 60
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
"""What a run gets of this process's environment: nothing that changes how rich or Nornir behave."""


@dataclass(frozen=True)
class Done:
    """What a run left behind."""

    code: int
    out: str
    err: str


def start(*argv: str, cwd: Path, env: Mapping[str, str] | None = None, **streams: Any) -> subprocess.Popen[bytes]:
    """Start a command with an environment of its own."""
    chosen = {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(env or {})
    return subprocess.Popen(argv, cwd=cwd, env=chosen, **streams)  # noqa: S603 - the program under test


def run(*argv: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> Done:
    """Run a command to its end, its output on pipes."""
    process = start(*argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            process.kill()
    return Done(process.returncode, out.decode(), err.decode())


def run_on_terminal(
    *argv: str, cwd: Path, stream: Literal["stdout", "stderr"], env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command to its end with one stream on a terminal; return its exit code and what the terminal got."""
    master, slave = pty.openpty()
    streams = {"stdin": slave, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: slave}
    read: list[bytes] = []
    process = start(*argv, cwd=cwd, env={"TERM": "xterm-256color", **(env or {})}, **streams)
    os.close(slave)
    reader = threading.Thread(target=_drain, args=(master, read))
    reader.start()
    with process:
        try:
            code = process.wait(timeout=TIMEOUT)
        finally:
            process.kill()
    reader.join(TIMEOUT)
    os.close(master)
    return code, b"".join(read).decode()


def full_device(folder: Path) -> Path:
    """Return a device on which nothing fits, of the test's own.

    Never /dev/full itself: a program at fault that replaces what it is to write to would, as root, take it from the
    whole machine.
    """
    return _device(folder / "full", 7)


def null_device(folder: Path) -> Path:
    """Return a device that takes everything and keeps nothing, of the test's own."""
    return _device(folder / "null", 3)


def _device(path: Path, minor: int) -> Path:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))  # https://docs.kernel.org/admin-guide/devices.html
        path.open("wb").close()
    except PermissionError:  # not root, or a file system without devices
        pytest.skip("no devices can be made here")
    return path


def _drain(master: int, read: list[bytes]) -> None:
    while True:
        try:
            read.append(os.read(master, 65536))
        except OSError:  # EIO: the last holder of the terminal is gone
            return
        if not read[-1]:
            return
