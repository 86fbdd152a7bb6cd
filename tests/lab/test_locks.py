"""One operator at a time, on lab hosts: operators are processes of their own, with one inventory."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.exceptions import ConnectionLost
from nornir_etcd.remote.host_lock import FOLDER, HostLock, take_host_lock
from tests.lab.test_users import PASSWORD, USER, by_sudo, users
from tests.lab.workspace import ETCDCTL, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

    from nornir_etcd.lab import Lab
    from tests.lab.test_users import Users

__all__ = ["by_sudo", "users"]  # fixtures

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
ROUNDS = 12
HOLDERS = "pgrep -fc 'IFS= read -r [s]ign' || true"
PROGRAM = """
import sys, time
from nornir import InitNornir
from nornir_etcd import clusters_in
from nornir_etcd.exceptions import LocksRefused
from nornir_etcd.locks import cluster_locks
from nornir_etcd.observe import observe

nr = InitNornir(config_file="config.yaml")
(cluster,), _ = clusters_in(nr.inventory)
observe(nr, cluster)  # as a run does before: sessions are open
print("ready", flush=True)
for line in sys.stdin:
    started = time.monotonic()
    try:
        with cluster_locks(nr, cluster, runbook="deploy", etcd="etcd" in line) as locks:
            print(f"had {time.monotonic() - started:.3f} {locks.lost()}{locks.notes or ''}", flush=True)
            for line in sys.stdin:
                if line == "end\\n":
                    break
                print("lost " + locks.lost(), flush=True)
            started = time.monotonic()
        print(f"ended {time.monotonic() - started:.3f}", flush=True)
    except LocksRefused as error:
        print("refused", *error.problems, sep="\\t", flush=True)
nr.close_connections()
"""


class Operator:
    """A process that takes and frees the locks as it is told; killed at the end of the `with` block."""

    def __init__(self, workspace: Workspace) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - the program above
            [sys.executable, "-c", PROGRAM],
            cwd=workspace.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Operator:  # noqa: PYI034 - Self came with Python 3.11
        assert self.said() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def told(self, word: str) -> str:
        self.tell(word)
        return self.said()

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


def nothing_is_left(lab: Lab) -> bool:
    return all(lab.run(node, f"{HOLDERS}; cat {FOLDER}/lock").stdout == "0\n" for node in NODES)


def test_who_comes_second_is_told_and_a_killed_run_is_succeeded_at_once(workspace: Workspace) -> None:
    workspace.deploy()
    with ExitStack() as stack:
        first, second = (stack.enter_context(Operator(workspace)) for _ in range(2))
        assert re.fullmatch(r"had [\d.]+ ", first.told("take etcd"))
        assert first.told("lost") == "lost "
        assert "root" in workspace.lab.run("node-1", f"{ETCDCTL} get --print-value-only nornir-etcd/lock").stdout
        assert workspace.lab.run("node-1", f"stat -c '%U %a' {FOLDER} {FOLDER}/lock").stdout == "root 700\nroot 600\n"
        word, *lines = second.told("take etcd").split("\t")
        assert word == "refused"
        by = rf"held by \S+@\S+ \(pid {first.process.pid}, deploy\) since \d\d:\d\d:\d\d UTC; wait until it has ended; "
        assert len(lines) == 3
        for node, line in zip(NODES, lines, strict=True):
            assert re.match(rf"{node}: the host is locked: {by}", line), line

        first.process.kill()
        started = time.monotonic()
        while (said := second.told("take etcd")).startswith("refused"):
            assert time.monotonic() - started < 10, said
        assert second.told("lost") == "lost "
        assert second.told("end").startswith("ended ")
    assert nothing_is_left(workspace.lab)
    assert workspace.lab.run("node-1", f"{ETCDCTL} get nornir-etcd/lock").stdout == ""


def test_two_that_race_for_three_hosts_never_both_have_them(workspace: Workspace) -> None:
    won = 0
    with ExitStack() as stack:
        racers = [stack.enter_context(Operator(workspace)) for _ in range(2)]
        for _ in range(ROUNDS):
            for racer in racers:
                racer.tell("take")
            said = [racer.said() for racer in racers]
            winners = [racer for racer, words in zip(racers, said, strict=True) if words.startswith("had ")]
            assert len(winners) <= 1, said
            for racer in winners:
                won += 1
                assert racer.told("lost") == "lost "
                assert racer.told("end").startswith("ended ")
    assert won >= ROUNDS // 2
    assert nothing_is_left(workspace.lab)


def test_what_cannot_be_locked_is_told_and_nothing_is_held(workspace: Workspace) -> None:
    workspace.deploy()
    lab = workspace.lab
    with Operator(workspace) as first:
        flock = lab.run("node-2", "command -v flock").stdout.strip()
        lab.run("node-2", f"mount --bind /dev/null {flock}")
        try:
            said = first.told("take etcd")
        finally:
            lab.run("node-2", f"umount {flock}")
        wanted = "wanted flock in the PATH of a non-interactive shell, found no such command"
        line = f"node-2: lock of the host: flock is not on the host: {wanted}; install flock (Debian, RHEL: util-linux)"
        assert said == f"refused\t{line}"
        assert nothing_is_left(lab)

        lab.run("node-1", f"{ETCDCTL} put nornir-etcd/lock 'by hand'")
        said = first.told("take etcd")
        by = "held by somebody who has left the note 'by hand'; wait until it has ended; "
        assert said.startswith(f"refused\texample: etcd is locked (key nornir-etcd/lock): {by}")
        assert nothing_is_left(lab)
        lab.run("node-1", f"{ETCDCTL} del nornir-etcd/lock")

        lab.run("node-1", f"{ETCDCTL} user add root:x && {ETCDCTL} user grant-role root root && {ETCDCTL} auth enable")
        said = first.told("take etcd")
        assert said.startswith("had ")
        assert "example: the hosts' locks are held alone, etcd takes no lock: found PERMISSION_DENIED " in said
        assert "grant the user of the client certificate readwrite on the key nornir-etcd/lock" in said
        assert first.told("end").startswith("ended ")
    assert nothing_is_left(lab)


def test_a_session_that_is_killed_is_a_lost_lock(workspace: Workspace) -> None:
    with Operator(workspace) as first:
        assert first.told("take").startswith("had ")
        workspace.lab.run("node-2", "pkill -KILL -f '[s]shd: root@notty'")
        ends = time.monotonic() + 10
        while (said := first.told("lost")) == "lost ":
            assert time.monotonic() < ends
            time.sleep(0.1)
        assert said.startswith("lost node-2: the lock of the host is lost, last held for certain at ")
        assert first.told("end").startswith("ended ")
    assert nothing_is_left(workspace.lab)


def test_a_lock_is_held_by_sudo_with_a_password(users: Users, by_sudo: tuple[Host, Config]) -> None:
    host, config = by_sudo
    seconds = 3
    lock = take_host_lock(host, config, "me", seconds=seconds, deadline=20)
    assert isinstance(lock, HostLock)
    assert take_host_lock(host, config, "other", seconds=seconds) == "me"
    assert users.lab.run("node-1", f"stat -c '%U %a' {FOLDER} {FOLDER}/lock").stdout == "root 700\nroot 600\n"
    for _ in range(3 * seconds):
        lock.sign()
        time.sleep(0.5)
        assert lock.lost() == ""
    arguments = users.lab.run("node-1", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    assert PASSWORD not in arguments
    lock.free()
    lock.close(10)
    assert users.lab.run("node-1", HOLDERS).stdout == "0\n"

    left = take_host_lock(host, config, "me", seconds=60)
    assert isinstance(left, HostLock)
    users.lab.run("node-1", f"pkill -KILL -f '[s]shd: {USER}'")
    again, ends = None, time.monotonic() + 10
    while not isinstance(again, HostLock):
        assert time.monotonic() < ends
        with suppress(ConnectionLost):  # the end of the session may not have come here yet
            again = take_host_lock(host, config, "again", seconds=seconds)
    time.sleep(seconds + 2)
    assert "has ended" in again.lost(), "nobody sent a sign of life"
    assert users.lab.run("node-1", HOLDERS).stdout == "0\n"
