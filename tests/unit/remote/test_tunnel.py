"""The tunnel's near end, and what a refused channel means; the rest needs an sshd (tests/contract/ssh)."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import cast

import paramiko
import pytest
from nornir.core.configuration import Config
from nornir.core.inventory import Host

from nornir_etcd.exceptions import RemoteError
from nornir_etcd.remote.link import Link
from nornir_etcd.remote.tunnel import Tunnel, _refused, open_tunnel, opened_tunnel
from tests.unit.program import run


def refused(code: int, said: str) -> Exception:
    return _refused(Host("node-1"), "2001:db8::1", 2379, paramiko.ChannelException(code, "Connect failed"), said)


@pytest.mark.parametrize("said", ["Connection refused", "connect failed: Connection refused"])
def test_a_port_that_refuses_is_an_answer(said: str) -> None:
    assert isinstance(refused(2, said), ConnectionRefusedError)


@pytest.mark.parametrize(("code", "said"), [(2, ""), (2, "No route to host"), (4, "out of memory")])
def test_what_else_keeps_a_channel_from_opening_says_nothing_of_the_port(code: int, said: str) -> None:
    error = refused(code, said)
    assert isinstance(error, RemoteError)
    found = (said or "Connect failed").lower()
    assert str(error).startswith(
        "node-1: port [2001:db8::1]:2379 could not be looked at through SSH: "
        f"wanted a connection from the host itself, found {found}; "
    )


def test_a_host_has_one_tunnel_that_is_closed_with_its_connections() -> None:
    host = Host("node-1")
    assert opened_tunnel(host) is None
    tunnel = open_tunnel(host, Config())
    assert open_tunnel(host, Config()) is tunnel
    assert opened_tunnel(host) is tunnel
    host.close_connections()
    assert opened_tunnel(host) is None


def test_a_tunnel_that_was_never_used_has_no_trouble_and_closes_twice() -> None:
    tunnel = Tunnel(Host("node-1"), Config())
    assert tunnel.trouble() is None
    tunnel.close()
    tunnel.close()


def test_a_program_that_is_interrupted_leaves_no_folder_behind(tmp_path: Path) -> None:
    program = (
        "from nornir_etcd.options import _interrupted\n"
        "from nornir_etcd.remote.listener import Listener\n"
        "print(Listener('192.0.2.1:2379', print).target, flush=True)\n"
        "_interrupted()\n"
    )
    done = run(sys.executable, "-c", program, cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert done.code == 130
    folder = Path(done.out.strip().removeprefix("unix:")).parent
    assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


class DeadChannel:
    """Stands for a channel whose session dies while it is closed: paramiko's close then raises EOFError.

    A fake, since the moment between its look at the session and its write cannot be hit on purpose.
    """

    def recv(self, _size: int) -> bytes:
        return b""

    def sendall(self, _data: bytes) -> None:
        raise EOFError

    def close(self) -> None:
        raise EOFError


def test_a_link_whose_session_dies_while_it_is_closed_ends_and_leaves_nothing_open() -> None:
    near, own = socket.socketpair()
    ended: list[Link] = []
    link = Link(own, cast("paramiko.Channel", DeadChannel()), ended.append)
    with near:
        link.start()
        link.join(5)
        assert ended == [link]
        assert own.fileno() == -1
