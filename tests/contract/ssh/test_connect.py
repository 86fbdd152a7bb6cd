"""Sessions with a real sshd: what is shared, what is refused, and in which words."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from nornir.core.inventory import ConnectionOptions, Group, ParentGroups

from nornir_etcd.connections.ssh import CONNECTION_NAME, connect
from nornir_etcd.exceptions import (
    AuthenticationFailed,
    HostKeyChanged,
    HostKeyUnknown,
    HostRefused,
    HostUnreachable,
    InventoryError,
)
from nornir_etcd.remote.exec import run_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Server
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

MARK = f"{os.getpid()}-NOT-SHOWN"  # other tests, which run beside these, have words of their own in their arguments
SECRET = f"PASS-{MARK}"


def test_one_handshake_serves_many_commands_and_threads(sshd: Server, config: Config) -> None:
    host, results = sshd.host(), []

    def work(number: int) -> None:
        results.append(run_script(host, config, f"sleep 0.1; echo {number}", deadline=20).stdout)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    for number in range(3):
        work(number)
    assert sorted(results) == sorted(b"%d\n" % number for number in [*range(8), *range(3)])
    assert sshd.handshakes == 1
    host.close_connections()


def test_a_dead_session_is_opened_again(sshd: Server, config: Config) -> None:
    host = sshd.host()
    first = connect(host, config)
    assert connect(host, config) is first
    for pid in sshd.sessions():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not first.is_alive())
    assert run_script(host, config, "echo up", deadline=10).stdout == b"up\n"
    assert sshd.handshakes == 2
    host.close_connections()


def test_the_plugin_works_alone(sshd: Server, config: Config) -> None:
    host = sshd.host()
    host.connection_options[CONNECTION_NAME] = host.connection_options.pop("netmiko")
    session = host.get_connection(CONNECTION_NAME, config)
    assert session.is_alive()
    host.close_connections()
    assert not session.is_alive()


def test_a_hosts_key_file_does_not_drop_its_groups_other_options(sshd: Server, config: Config) -> None:
    host = sshd.host()
    extras = host.connection_options["netmiko"].extras or {}
    alternative = {"alt_key_file": extras.pop("alt_key_file")}
    host.groups = ParentGroups([Group("etcd", connection_options={"netmiko": ConnectionOptions(extras=alternative)})])
    connect(host, config)
    assert "alt_key_file" not in (host.connection_options["netmiko"].extras or {})
    host.close_connections()


def test_no_session_is_opened_without_a_key_check(sshd: Server, config: Config) -> None:
    (sshd.folder / "known_hosts").write_text("")
    fingerprint = sshd.fingerprint("host")
    with pytest.raises(HostKeyUnknown) as caught:
        connect(sshd.host(), config)
    assert str(caught.value).startswith(f"node-1: unknown host key: wanted a key of [127.0.0.1]:{sshd.port} in ")
    assert f"found ssh-ed25519 {fingerprint}" in str(caught.value)
    assert str(sshd.folder / "known_hosts") in caught.value.wanted
    assert "`nornir-etcd hosts trust`" in caught.value.remedy
    assert sshd.handshakes == 0


def test_the_check_is_switched_off_in_so_many_words(sshd: Server, config: Config) -> None:
    (sshd.folder / "known_hosts").write_text("")
    host = sshd.host(ssh_strict=False)
    connect(host, config)
    host.close_connections()


def test_a_changed_host_key_is_refused_with_both_fingerprints(sshd: Server, config: Config) -> None:
    other = (sshd.folder / "user.pub").read_text()
    (sshd.folder / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {other}")
    with pytest.raises(HostKeyChanged) as caught:
        connect(sshd.host(), config)
    assert caught.value.wanted == f"ssh-ed25519 {sshd.fingerprint('user')}"
    assert caught.value.found == f"ssh-ed25519 {sshd.fingerprint('host')}"
    assert str(caught.value).startswith("node-1: the host key has changed")


def test_a_broken_known_hosts_file_is_named(sshd: Server, config: Config) -> None:
    (sshd.folder / "known_hosts").write_text("host ssh-rsa A\n")
    with pytest.raises(InventoryError, match="is no readable known_hosts file"):
        connect(sshd.host(), config)


def test_a_key_that_is_not_authorized_is_refused(sshd: Server, config: Config) -> None:
    (sshd.folder / "authorized_keys").write_text("")
    with pytest.raises(AuthenticationFailed) as caught:
        connect(sshd.host(password=SECRET), config)
    text = str(caught.value)
    assert text.startswith("node-1: authentication failed: wanted user ")
    assert sshd.fingerprint("user") in text
    assert "it accepts: publickey" in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file or directory"),
        ("nonsense", "no key of type Ed25519, ECDSA or RSA in it"),
        ("encrypted", "it is encrypted and no passphrase is set"),
    ],
)
def test_an_unusable_key_file_is_told_apart(
    sshd: Server, config: Config, content: str | None, found: str, run: Callable[..., str]
) -> None:
    key = sshd.folder / "other"
    if content == "encrypted":
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key)
    elif content is not None:
        key.write_text(content)
    with pytest.raises(AuthenticationFailed) as caught:
        connect(sshd.host(key_file=str(key), use_keys=True), config)
    assert caught.value.found == found
    assert (caught.value.host, caught.value.thing) == ("node-1", f"key file {key} cannot be used")


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa", "rsa-pem", "passphrase"])
def test_every_kind_of_key_opens_a_session(sshd: Server, config: Config, kind: str, run: Callable[..., str]) -> None:
    key = sshd.folder / "other"
    form = ["-m", "PEM"] if kind == "rsa-pem" else []
    phrase = "open sesame" if kind == "passphrase" else ""
    kind = {"rsa-pem": "rsa", "passphrase": "ecdsa"}.get(kind, kind)
    run("ssh-keygen", "-q", "-t", kind, *form, "-N", phrase, "-f", key)
    shutil.copy(f"{key}.pub", sshd.folder / "authorized_keys")
    host = sshd.host(key_file=str(key), **({"passphrase": phrase} if phrase else {}))
    connect(host, config)
    host.close_connections()


def test_a_refused_port_is_told_apart(sshd: Server, config: Config, unused_port: int) -> None:
    host = sshd.host()
    host.port = unused_port
    with pytest.raises(HostRefused, match=rf"^node-1: no SSH session with 127.0.0.1:{unused_port}: .*refused"):
        connect(host, config)


def test_a_name_that_does_not_resolve_is_told_apart(sshd: Server, config: Config) -> None:
    host = sshd.host()
    host.hostname = "node-1.invalid"
    with pytest.raises(HostUnreachable, match=r"wanted a name that resolves, found node-1\.invalid"):
        connect(host, config)


def test_a_server_that_never_answers_is_given_up_in_time(sshd: Server, config: Config, silent_port: int) -> None:
    host = sshd.host(banner_timeout=0.5)
    host.port = silent_port
    started = time.monotonic()
    with pytest.raises(HostUnreachable, match=r"node-1: no SSH session with .*banner"):
        connect(host, config)
    assert time.monotonic() - started < 5


def test_a_connection_that_is_never_accepted_is_given_up_in_time(sshd: Server, config: Config) -> None:
    with socket.socket() as full, contextlib.ExitStack() as fillers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        host = sshd.host(conn_timeout=0.5)
        host.port = full.getsockname()[1]
        with pytest.raises(HostUnreachable, match=r"wanted an answer within 0\.5 s, found none"):
            connect(host, config)


def test_a_jump_host_of_the_ssh_config_is_used(sshd: Server, config: Config) -> None:
    ssh_config = sshd.folder / "ssh_config"
    jump = f"-i {sshd.folder}/user -p {sshd.port} -o UserKnownHostsFile={sshd.folder}/known_hosts"
    ssh_config.write_text(f"Host *\n  ProxyCommand ssh -F none {jump} -W 127.0.0.1:{sshd.port} 127.0.0.1\n")
    host = sshd.host(ssh_config_file=str(ssh_config))
    assert run_script(host, config, "echo through", deadline=10).stdout == b"through\n"
    assert sshd.handshakes == 2
    host.close_connections()


def test_a_jump_host_that_dies_ends_the_session(sshd: Server, config: Config) -> None:
    ssh_config = sshd.folder / "ssh_config"
    python = f"import socket,sys,os,threading as t;s=socket.create_connection(('127.0.0.1',{sshd.port}))"
    relay = sshd.folder / "relay.py"
    relay.write_text(
        f"{python}\n"
        "t.Thread(target=lambda: [os.write(1, d) for d in iter(lambda: s.recv(65536), b'')], daemon=True).start()\n"
        "for d in iter(lambda: os.read(0, 65536), b''): s.sendall(d)\n"
    )
    ssh_config.write_text(f"Host *\n  ProxyCommand {sys.executable} {relay}\n")
    host = sshd.host(ssh_config_file=str(ssh_config))
    session = connect(host, config)
    assert session._proxy is not None
    session._proxy._process.kill()
    wait_until(lambda: not session.is_alive())
    assert run_script(host, config, "echo again", deadline=10).stdout == b"again\n"
    host.close_connections()


def test_what_a_failed_proxy_says_is_in_the_error(sshd: Server, config: Config) -> None:
    ssh_config = sshd.folder / "ssh_config"
    ssh_config.write_text("Host *\n  ProxyCommand sh -c 'echo no way through >&2'\n")
    with pytest.raises(HostUnreachable, match=r"\(proxy: no way through\)"):
        connect(sshd.host(ssh_config_file=str(ssh_config)), config)


def test_a_failed_session_prints_nothing_and_leaves_no_thread(
    sshd: Server, config: Config, capfd: pytest.CaptureFixture[str], silent_port: int
) -> None:
    (sshd.folder / "authorized_keys").write_text("")
    with pytest.raises(AuthenticationFailed):
        connect(sshd.host(), config)
    silent = sshd.host(banner_timeout=0.3)
    silent.port = silent_port
    with pytest.raises(HostUnreachable):
        connect(silent, config)
    wait_until(lambda: threading.active_count() == 1)
    assert capfd.readouterr() == ("", "")


def test_no_secret_is_logged(sshd: Server, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    host: Host = sshd.host(password=SECRET, secret=f"SUDO-{SECRET}")
    done = run_script(
        host,
        config,
        f"# SCRIPT-{MARK}\ncat; cat /proc/*/cmdline 2>/dev/null; true",
        payload=f"PAY-{MARK}".encode(),
        deadline=10,
    )
    host.close_connections()
    assert len(caplog.records) > 10
    for secret in (SECRET, f"SCRIPT-{MARK}", f"PAY-{MARK}"):
        assert secret not in caplog.text + repr(done)
    assert done.stdout.startswith(f"PAY-{MARK}".encode())
    assert done.stdout.count(MARK.encode()) == 1  # nothing of it in any process's arguments


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(250):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("did not come true in 5 s")
