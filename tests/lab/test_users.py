"""Whoever logs in, whatever the login shell, however the way: deploys end the same, and refusals are told apart."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Host
from nornir.core.plugins.connections import ConnectionPluginRegister

from nornir_etcd.connections.ssh import CONNECTION_NAME, EtcdSsh
from nornir_etcd.exceptions import CommandTimeout, ConnectionLost
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.items import WriteFile
from nornir_etcd.remote.push import push
from tests.lab.workspace import ETCDCTL, MANIFEST, Workspace
from tests.unit.test_passwords import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nornir_etcd.lab import Lab
    from tests.lab.workspace import Run

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
USER = "operator-1"
PASSWORD = "Ünd so-weiter 'NOT SHOWN' $(exit)"  # noqa: S105 - the point of the tests
HOME = f"/opt/{USER}"
SHELLS = {"node-1": "zsh", "node-2": "fish", "node-3": "tcsh"}
NOISY = {"zsh": ".zshenv", "fish": ".config/fish/config.fish", "tcsh": ".tcshrc", "bash": ".bashrc", "dash": ".profile"}


class Users:
    """A user on every host of the lab, and what is done to it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.lab = workspace.lab
        self.key = self.lab.key_file

    def add(self, node: str, *, shell: str = "dash", sudo: str = "NOPASSWD: ALL") -> None:
        """Add the user, its key and its rule in sudoers; its start-up file prints, and sets a wide umask."""
        path = shutil.which(shell)
        public = self.key.with_suffix(".pub").read_text()
        noise = f"{HOME}/{NOISY[shell]}"
        rule = f"{USER} ALL=(ALL) {sudo}" if sudo else ""
        self.lab.run(
            node,
            f"useradd -m -d {HOME} -s {path} {USER} && mkdir -p -m 700 {HOME}/.ssh && mkdir -p $(dirname {noise})\n"
            f"chpasswd <<'END'\n{USER}:{PASSWORD}\nEND\n"
            f"cat >{HOME}/.ssh/authorized_keys <<'END'\n{public}END\n"
            f"printf 'echo Welcome to the machine\\numask 0\\n' >{noise}; chown -R {USER} {HOME}\n"
            f"echo '{rule}' >/etc/sudoers.d/lab; chmod 440 /etc/sudoers.d/lab",
        )

    def remove(self, node: str) -> None:
        self.lab.run(node, f"rm -f /etc/sudoers.d/lab; userdel -r {USER} 2>/dev/null || true", check=False)

    def inventory(self, hosts: dict[str, dict[str, Any]] | None = None, **extras: Any) -> None:
        """Write an inventory in which the user logs in; `hosts` changes the extras of single ones."""
        self.workspace.inventory()
        path = self.workspace.directory / "hosts.yaml"
        found = yaml.safe_load(path.read_text())
        for name, host in found.items():
            own = extras | (hosts or {}).get(name, {})
            host["username"] = own.pop("username", USER)
            host["data"] = own.pop("data", {})
            host["connection_options"] = {"netmiko": {"extras": own}}
            if "port" in own:
                host["port"] = own.pop("port")
            if "password" in own:
                host["password"] = own.pop("password")
        path.write_text(yaml.safe_dump(found))

    def told(self, run: Run) -> str:
        """Everything that a run has told anyone."""
        files = ("nornir.log", "report.json")
        return run.out + run.err + "".join((self.workspace.directory / name).read_text() for name in files)


@pytest.fixture
def by_sudo(users: Users) -> Iterator[tuple[Host, Config]]:
    """The first host as a user whose sudo wants a password sees it, with a pty of sudo's own (Debian's default)."""
    users.add("node-1", sudo="ALL")
    users.lab.run("node-1", f"echo 'Defaults:{USER} use_pty' >>/etc/sudoers.d/lab")
    extras = {"key_file": str(users.key), "alt_key_file": str(users.lab.known_hosts), "secret": PASSWORD}
    ConnectionPluginRegister.register(CONNECTION_NAME, EtcdSsh)
    options = {"netmiko": ConnectionOptions(extras=extras)}
    host = Host("node-1", hostname=users.lab.nodes[0].address, username=USER, connection_options=options)
    yield host, Config()
    host.close_connections()


@pytest.fixture
def users(fresh_lab: Lab, tmp_path: Path) -> Iterator[Users]:
    if missing := [name for name in ("sudo", *SHELLS.values()) if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}; .ci/packages lab installs them")
    made = Users(Workspace(fresh_lab, tmp_path))
    for node in NODES:
        made.remove(node)
    yield made
    for node in NODES:
        made.remove(node)


def healthy(run: Run) -> bool:
    return [member["healthy"] for member in run.cluster["members"]] == [True, True, True]


def owners(lab: Lab, node: str) -> set[str]:
    found = "find /etc/kubernetes /var/lib/etcd -maxdepth 3 -printf '%U:%G %M\\n' | sort -u"
    rows = [line.split() for line in lab.run(node, found).stdout.splitlines()]
    assert not [mode for _, mode in rows if mode[0] != "l" and (mode[5] == "w" or mode[8] == "w")], rows
    return {owner for owner, _ in rows}


def test_users_of_any_shell_deploy_by_sudo_and_leave_what_root_would(users: Users) -> None:
    for node, shell in SHELLS.items():
        users.add(node, shell=shell)
    users.inventory()
    assert healthy(users.workspace.deploy())
    for node in NODES:
        assert owners(users.lab, node) == {"0:0"}
        assert users.lab.run(node, f"stat -c %a {MANIFEST}").stdout == "600\n"
    assert users.lab.run("node-1", f"{ETCDCTL} member list -w table").stdout.count("started") == 3
    assert users.workspace.deploy().cluster["outcome"] == "unchanged"


def test_sudo_with_a_password_deploys_and_tells_the_password_nobody(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in NODES:
        users.add(node, sudo="ALL")
    users.lab.run("node-3", "echo 'Defaults !use_pty, timestamp_timeout=5' >>/etc/sudoers.d/lab")
    by_variable = {"secret": None, "data": {"etcd_sudo_password_env": "LAB_SUDO_PASSWORD"}}
    users.inventory({"node-1": by_variable}, secret=PASSWORD)
    refused = users.workspace.deploy(code=3)
    assert "wanted it in the environment variable LAB_SUDO_PASSWORD" in " ".join(refused.cluster["refusals"])
    monkeypatch.setenv("LAB_SUDO_PASSWORD", PASSWORD)
    run = users.workspace.deploy("-v")
    assert healthy(run)
    assert PASSWORD not in users.told(run)
    for node in NODES:
        assert owners(users.lab, node) == {"0:0"}
        # The workspace and these very tests may lie in /tmp too.
        ours = "--exclude-dir=tests --exclude-dir='pytest-of-*' --exclude-dir=.git"
        logged = users.lab.run(node, f"grep -rlF {ours} 'NOT SHOWN' /var/log /etc/kubernetes /tmp || true").stdout
        assert logged == ""
    assert users.workspace.deploy().cluster["outcome"] == "unchanged"


def test_a_password_asked_for_on_the_terminal_is_every_hosts(users: Users) -> None:
    for node in NODES:
        users.add(node, sudo="ALL")
    users.inventory()
    directory = users.workspace.directory
    terminal = Terminal(directory, "deploy", "-K", "--output", "report.json")
    terminal.read_until(b"Password for sudo")
    os.write(terminal.controller, f"{PASSWORD}\n".encode())
    assert terminal.ended() == 0, terminal.shown.decode()
    terminal.close()
    told = [terminal.shown.decode(), (directory / "nornir.log").read_text(), (directory / "report.json").read_text()]
    assert not [text for text in told if PASSWORD in text]
    assert users.workspace.deploy(code=3).cluster["outcome"] == "refused"  # it was kept nowhere


def test_what_keeps_a_user_from_root_is_told_apart(users: Users) -> None:
    for node in NODES:
        users.add(node, sudo="ALL")
    users.lab.run("node-3", "echo >/etc/sudoers.d/lab")
    users.inventory({"node-2": {"secret": ""}, "node-1": {"secret": "WRONG-NOT-SHOWN"}}, secret=PASSWORD)
    run = users.workspace.deploy(code=3)
    first, second, third = run.cluster["refusals"]
    assert first.startswith("node-1: sudo refused the password: wanted the password of operator-1, found ")
    assert "1 incorrect password attempt" in first
    assert second.startswith("node-2: sudo wants a password and none is given: ")
    assert "--ask-sudo-password" in second
    assert third.startswith("node-3: the user is not in sudoers: wanted operator-1 in sudoers, found ")
    assert "NOT-SHOWN" not in users.told(run)

    users.lab.run("node-1", "echo 'Defaults requiretty' >>/etc/sudoers.d/lab")
    users.lab.run("node-2", f"echo '{USER} ALL=(ALL) NOPASSWD: /bin/ls' >/etc/sudoers.d/lab")
    users.lab.run("node-3", f"echo '{USER} ALL=(ALL) ALL' >/etc/sudoers.d/lab; chage -E 0 {USER}")
    users.inventory(secret=PASSWORD)
    first, second, third = users.workspace.deploy(code=3).cluster["refusals"]
    assert first.startswith("node-1: sudo wants a terminal: wanted no requiretty for the user, found ")
    assert second.startswith("node-2: sudo does not let the user run sh: ")
    assert "authentication failed" in third or "locked or expired" in third  # sshd itself may refuse the account

    users.lab.run("node-1", "mount --bind /dev/null /usr/bin/sudo")
    try:
        (gone,) = users.workspace.deploy("--hosts", "node-1", code=3).cluster["refusals"][:1]
    finally:
        users.lab.run("node-1", "umount /usr/bin/sudo")
    assert gone.startswith("node-1: sudo is not on the host: wanted root, or sudo for operator-1")


def test_a_busybox_userland_with_a_noisy_login_and_a_foreign_locale_is_enough(users: Users) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("not installed: busybox; .ci/packages lab installs it")
    rc = "export PATH=/opt/busybox:$PATH LANG=de_DE.UTF-8 LC_ALL=tr_TR.UTF-8; umask 0; echo noise; echo noise >&2"
    make = f"mkdir -p /opt/busybox && {busybox} --install -s /opt/busybox && rm -f /opt/busybox/ip && echo '{rc}'"
    for node in NODES:
        users.lab.run(node, f"{make} >/root/.bashrc")
    try:
        users.workspace.inventory()
        assert healthy(users.workspace.deploy())
        assert users.workspace.deploy().cluster["outcome"] == "unchanged"
        assert owners(users.lab, "node-1") == {"0:0"}
    finally:
        for node in NODES:
            users.lab.run(node, "rm -rf /opt/busybox; : >/root/.bashrc")


def test_a_password_a_passphrase_and_an_agent_open_sessions(
    users: Users, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in NODES:
        users.add(node, sudo="ALL")
    started = "/usr/sbin/sshd -f /etc/ssh/lab_sshd_config -o PasswordAuthentication=yes -o PidFile=/run/second.pid"
    users.lab.run("node-1", f"{started} -p 2222 -o Banner=/etc/issue")
    known = users.lab.known_hosts.read_text()
    address = users.lab.nodes[0].address
    line = next(line for line in known.splitlines() if line.startswith(f"{address},")).split(" ", 1)[1]
    (tmp_path / "known").write_text(f"{known}[{address}]:2222 {line}\n")
    locked = tmp_path / "locked"
    shutil.copy(users.key, locked)
    change = ["ssh-keygen", "-q", "-p", "-N", "pass phrase", "-f", str(locked)]
    subprocess.run(change, check=True, timeout=20)  # noqa: S603 - ssh-keygen
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)  # noqa: S603, S607
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        add = ["/bin/sh", "-c", 'for i in 1 2 3 4 5 6 7 8 9; do ssh-add -q "$0" && exit; sleep 0.3; done', users.key]
        subprocess.run(add, capture_output=True, check=True, timeout=20)  # noqa: S603 - the agent may not listen yet
        assert subprocess.run(["ssh-add", "-l"], capture_output=True, check=True, timeout=20).stdout  # noqa: S607
        no_key = {"use_keys": False, "key_file": None}
        users.inventory(
            {
                "node-1": {**no_key, "password": PASSWORD, "port": 2222},
                "node-2": {"key_file": str(locked), "passphrase": "pass phrase"},
                "node-3": {**no_key, "allow_agent": True},
            },
            secret=PASSWORD,
            alt_key_file=str(tmp_path / "known"),
        )
        run = users.workspace.deploy()
        assert healthy(run)
        assert PASSWORD not in users.told(run)
    finally:
        agent.terminate()
        agent.wait(10)
        users.lab.run("node-1", "kill $(cat /run/second.pid)")


def test_a_jump_host_carries_trust_and_a_deploy(users: Users, tmp_path: Path) -> None:
    for node in NODES:
        users.add(node)
        users.lab.run(node, ": >/var/log/sshd.log")
    jump = users.lab.nodes[0].address
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host {jump}\n  User {USER}\n  IdentityFile {users.key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {users.lab.known_hosts}\n"
        f"Host {users.lab.nodes[1].address} {users.lab.nodes[2].address}\n  ProxyJump {jump}\n"
    )
    users.inventory(ssh_config_file=str(config), alt_key_file="known_hosts")
    missing = users.workspace.deploy(code=3)
    assert "`nornir-etcd hosts trust`" in " ".join(missing.cluster["refusals"])
    trusted = users.workspace.finish(users.workspace.start("hosts", "trust", "--yes"))
    assert trusted.code == 0, trusted.err
    assert trusted.out.count("ssh-ed25519") == 3
    assert healthy(users.workspace.deploy())
    for node in NODES[1:]:
        came = users.lab.run(node, f"grep 'Accepted publickey for {USER}' /var/log/sshd.log").stdout
        assert {line.split(" from ")[1].split()[0] for line in came.splitlines()} == {jump}


def test_a_deadline_ends_what_sudo_runs_and_streams_stay_binary(users: Users, by_sudo: tuple[Host, Config]) -> None:
    host, config = by_sudo
    content = bytes(range(256)) * 4000
    done = run_script(host, config, "id -u >&2; cat; exit 5", payload=content, deadline=20, check=False)
    assert (done.exit_status, done.stderr, done.stdout == content) == (5, b"0\n", True)
    with pytest.raises(CommandTimeout):
        run_script(host, config, "sleep 4321 & sleep 4322", deadline=1)
    assert users.lab.run("node-1", "pgrep -f 'sleep 432[12]$' || true").stdout == ""
    logged = users.lab.run("node-1", "grep -c 'Accepted publickey for operator-1' /var/log/sshd.log").stdout
    assert run_script(host, config, "echo on", deadline=20).stdout == b"on\n"
    again = users.lab.run("node-1", "grep -c 'Accepted publickey for operator-1' /var/log/sshd.log").stdout
    assert logged == again


def test_a_push_by_sudo_whose_session_breaks_changes_nothing(users: Users, by_sudo: tuple[Host, Config]) -> None:
    host, config = by_sudo
    users.lab.run("node-1", "mkdir -m 700 /etc/kubernetes/pushed; echo old >/etc/kubernetes/pushed/a")
    strike = (
        "for i in $(seq 600); do [ -e /etc/kubernetes/pushed/.nornir-etcd-*-2 ] && break; sleep 0.02; done; "
        f"pkill -KILL -f 'sshd: {USER}'"
    )
    folder = "/etc/kubernetes/pushed"
    items = [WriteFile(f"{folder}/a", b"new", 0o600), WriteFile(f"{folder}/b", bytes(64_000_000), 0o600)]
    with ThreadPoolExecutor(1) as pool:
        breaker = pool.submit(users.lab.run, "node-1", strike, check=False)
        with pytest.raises(ConnectionLost):
            push(host, config, items, deadline=60)
        breaker.result()
    left = "for i in $(seq 200); do ls -A /etc/kubernetes/pushed | grep -q nornir || break; sleep 0.05; done"
    assert users.lab.run("node-1", f"{left}; ls -A {folder}; cat {folder}/a").stdout == "a\nold\n"
