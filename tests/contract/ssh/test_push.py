"""Pushes to a real host: what arrives, and what does not when the session breaks."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.exceptions import CommandFailed, ConnectionLost
from nornir_etcd.remote.items import MakeDirectory, MakeLink, SwitchDirectory, WriteFile
from nornir_etcd.remote.push import push

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Server
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

KEY = b"KEY-NOT-SHOWN"


@pytest.fixture
def host(sshd: Server) -> Iterator[Host]:
    host = sshd.host()
    yield host
    host.close_connections()


def test_files_switch_together_and_again(host: Host, config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "pki" / "etcd"
    for content in (KEY, KEY, b"another"):
        push(
            host,
            config,
            [
                MakeDirectory(str(folder), 0o700),
                SwitchDirectory(str(folder), (("etcd-key.pem", content, 0o600), ("etcd.pem", b"cert", 0o644))),
                MakeLink(f"{tmp_path}/pki/etcd.pem", "etcd/etcd.pem"),
            ],
            deadline=20,
        )
        assert (folder / "etcd-key.pem").read_bytes() == content
        assert (tmp_path / "pki/etcd.pem").read_bytes() == b"cert"
        assert len(list(folder.iterdir())) == 4
        assert (folder / "etcd-key.pem").stat().st_mode & 0o777 == 0o600


def test_a_large_file_arrives_whole(host: Host, config: Config, tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    push(host, config, [WriteFile(f"{tmp_path}/big", content, 0o600)], deadline=60)
    assert (tmp_path / "big").read_bytes() == content


def test_a_push_that_cannot_succeed_names_path_and_reason(host: Host, config: Config, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    with pytest.raises(CommandFailed, match=rf"push: {tmp_path}/dir: is a directory, a file is wanted$"):
        push(host, config, [WriteFile(f"{tmp_path}/dir", b"", 0o600)], deadline=20)


def test_a_push_whose_session_breaks_changes_nothing(host: Host, config: Config, sshd: Server, tmp_path: Path) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "a").write_text("old")
    (folder / "slow").mkdir()
    items = [WriteFile(f"{folder}/a", b"new", 0o600), WriteFile(f"{folder}/b", bytes(64_000_000), 0o600)]

    def break_it() -> None:
        for _ in range(500):
            if list(folder.glob(".nornir-etcd-*-2")):
                break
            time.sleep(0.01)
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)

    breaker = threading.Thread(target=break_it)
    breaker.start()
    with pytest.raises(ConnectionLost):
        push(host, config, items, deadline=30)
    breaker.join(timeout=10)
    for _ in range(250):
        if not list(folder.glob(".nornir-etcd-*")):
            break
        time.sleep(0.02)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "slow"]
    assert (folder / "a").read_text() == "old"


def test_no_content_is_logged(host: Host, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    push(host, config, [WriteFile(f"{tmp_path}/key", KEY, 0o600)], deadline=20)
    assert caplog.records
    assert "NOT-SHOWN" not in caplog.text


def test_nothing_to_push_opens_no_session(host: Host, config: Config, sshd: Server) -> None:
    push(host, config, [], deadline=20)
    assert sshd.handshakes == 0
