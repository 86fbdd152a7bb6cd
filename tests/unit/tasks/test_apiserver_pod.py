"""What counts as ready, and which containers a manifest that was just written is about to replace."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import pytest

from nornir_etcd.apiserver import ApiServer
from nornir_etcd.connections import https
from nornir_etcd.exceptions import ConnectionLost, EtcdUnreachable, NornirEtcdError, RemoteError
from nornir_etcd.observation import Container, FileState, HostObservation
from nornir_etcd.tasks.apiserver_pod import _ask, _outdated
from tests.unit.builders import make_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.remote.tunnel import Tunnel

SERVER = ApiServer("", "", "", (), "", ())
REFUSED = EtcdUnreachable("https://127.0.0.1:6443", wanted="a connection", found="connection refused")


class Session:
    """A fake: no API server that answers as these do can be had from Debian or PyPI."""

    dial = None

    def __init__(self, said: int | NornirEtcdError) -> None:
        self.said = said

    @contextmanager
    def session(self, *_: object, **__: object) -> Iterator[Session]:
        """Connect, or fail to."""
        if isinstance(self.said, NornirEtcdError):
            raise self.said
        yield self

    def get(self, path: str) -> https.Answer:
        """Answer as it was told to."""
        assert path == "/readyz"
        assert isinstance(self.said, int)
        return https.Answer(self.said, b"")


def ask(said: int | NornirEtcdError, monkeypatch: pytest.MonkeyPatch, server: ApiServer = SERVER) -> object:
    session = Session(said)
    monkeypatch.setattr(https, "session", session.session)
    return _ask(cast("Tunnel", session), server)


@pytest.mark.parametrize(
    ("said", "ready", "words"),
    [
        (200, True, "/readyz on port 6443: HTTP 200"),
        (500, False, "/readyz on port 6443: HTTP 500"),
        (REFUSED, False, "/readyz on port 6443: connection refused"),
        (401, None, "its readiness could not be asked: /readyz answers strangers with HTTP 401"),
        (403, None, "its readiness could not be asked: /readyz answers strangers with HTTP 403"),
        (RemoteError("sshd lets nobody through"), None, "its readiness could not be asked: sshd lets nobody through"),
    ],
)
def test_it_is_ready_where_it_says_so_and_unknown_where_it_cannot_be_asked(
    said: int | NornirEtcdError, ready: bool | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(said, monkeypatch) == (ready, words)


def test_a_session_that_broke_says_nothing_of_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConnectionLost):
        ask(ConnectionLost("the SSH session broke"), monkeypatch)


@pytest.mark.parametrize(("written", "outdated"), [(1000, ["old"]), (1100, ["new", "old"]), (600, []), (800, [])])
def test_a_manifest_written_a_moment_ago_replaces_what_is_older(written: int, outdated: list[str]) -> None:
    """The kubelet had 300 s (etcd_start_timeout) for any that is older."""
    (member,) = make_cluster(1).members
    containers = tuple(
        Container(name, "CONTAINER_RUNNING", "kube-apiserver-m1", 0, "", at * 10**9)
        for name, at in (("new", 1050), ("old", 900))
    )
    host = HostObservation("m1", clock=1110.0)
    manifest = FileState("file", mtime=float(written))
    assert [one.id for one in _outdated(member, host, manifest, containers)] == outdated
