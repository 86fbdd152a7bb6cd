"""Boot a lab host: its namespaces, its mounts, its services, and an init that reaps.

Run as `python -I boot.py SPEC`, SPEC being a JSON file (see `Spec`). The launching process ends as soon as the host's
init runs. That init is PID 1 of the host: when it is killed the kernel kills all else in the host, containers and
their shims included, and mounts, interfaces and addresses go with the last process.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


class Service(TypedDict):
    """A process of the host: its arguments and the file in the host that gets its output."""

    argv: list[str]
    log: str


class Spec(TypedDict):
    """A host: what it is called, what it sees in place of the machine's own directories, and what runs in it."""

    hostname: str
    overlays: list[tuple[str, str, str]]  # directory, upper, work
    binds: list[tuple[str, str]]  # source, target
    directories: dict[str, int]  # made after the mounts, with these modes
    environment: dict[str, str]
    services: list[Service]


def mount(source: str, target: str, kind: str | None, flags: int = 0, data: str = "") -> None:
    """Make a mount; an OSError names the target."""
    arguments = (source.encode(), target.encode(), kind.encode() if kind else None)
    if _libc.mount(*arguments, ctypes.c_ulong(flags), data.encode()) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {kind or 'bind'} {source}: {os.strerror(error)}", target)


def mount_all(spec: Spec) -> None:
    """Make every mount of the host; none is seen outside it."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    for directory, upper, work in spec["overlays"]:
        mount("overlay", directory, "overlay", 0, f"lowerdir={directory},upperdir={upper},workdir={work}")
    for source, target in spec["binds"]:
        mount(source, target, None, MS_BIND)
    mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
    mount("proc", "/proc", "proc")
    for path, mode in spec["directories"].items():
        Path(path).mkdir(parents=True, exist_ok=True)
        Path(path).chmod(mode)


def start(service: Service, environment: dict[str, str]) -> None:
    """Start a service in a session of its own."""
    Path(service["log"]).parent.mkdir(parents=True, exist_ok=True)
    with Path(service["log"]).open("ab") as log:
        subprocess.Popen(
            service["argv"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd="/",
            start_new_session=True,
        )


def reap() -> None:
    """Be PID 1: collect whatever ends, for as long as anything runs."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def main() -> None:
    """Leave the machine's namespaces and become the host's init."""
    spec: Spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
    if _libc.unshare(flags) != 0:
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    if os.fork():
        os._exit(0)
    os.umask(0o022)
    mount_all(spec)
    socket.sethostname(spec["hostname"])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, env=spec["environment"])
    for service in spec["services"]:
        start(service, spec["environment"])
    reap()


if __name__ == "__main__":
    main()
