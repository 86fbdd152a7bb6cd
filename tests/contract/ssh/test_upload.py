"""Large files to a real host: whole, in pieces, gone on with after whatever cut them off."""

from __future__ import annotations

import hashlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.exceptions import CommandFailed, ConnectionLost
from nornir_etcd.remote import upload as upload_module
from nornir_etcd.remote.upload import standing, upload, use

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Server
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

CHUNK = 256 * 1024


class Bytes:
    """A source of bytes that are there."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.read = 0

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def sha256_to(self, stop: int) -> str:
        return hashlib.sha256(self.content[:stop]).hexdigest()

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        self.read += stop - start
        yield self.content[start:stop]


@pytest.fixture
def host(sshd: Server) -> Iterator[Host]:
    host = sshd.host()
    yield host
    host.close_connections()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if os.geteuid():
        pytest.skip("needs root: the folder is root's")
    path = tmp_path / "with space" / "images"
    path.parent.mkdir()
    monkeypatch.setattr(upload_module, "FOLDER", str(path))
    monkeypatch.setattr(upload_module, "CHUNK", CHUNK)
    return path


@pytest.fixture
def source() -> Bytes:
    return Bytes(os.urandom(5 * CHUNK + 1234))


def bring(host: Host, config: Config, source: Bytes, told: list[int] | None = None, *, room: int = 0) -> str:
    tell = told.append if told is not None else lambda _: None
    return upload(host, config, source, room=room, purpose="load of etcd", tell=tell)


def test_it_arrives_whole_is_used_and_leaves_nothing(
    host: Host, config: Config, folder: Path, source: Bytes, tmp_path: Path
) -> None:
    told: list[int] = []
    path = bring(host, config, source, told)
    assert told == [0, *range(CHUNK, 5 * CHUNK + 1, CHUNK), source.size]
    assert folder.stat().st_mode & 0o777 == 0o700
    use(host, config, source.sha256, f"cp '{path}' '{tmp_path}/used'", deadline=20, purpose="load")
    assert (tmp_path / "used").read_bytes() == source.content
    assert not folder.exists()


def test_what_a_killed_run_has_brought_is_gone_on_with(host: Host, config: Config, folder: Path, source: Bytes) -> None:
    class Killed(BaseException):
        """The controller was killed."""

    def die(done: int) -> None:
        if done >= 2 * CHUNK:
            raise Killed

    with pytest.raises(Killed):
        upload(host, config, source, room=0, purpose="load", tell=die)
    # What was under way arrives in part.
    (part,) = folder.iterdir()
    with part.open("ab") as stream:
        stream.write(source.content[2 * CHUNK : 2 * CHUNK + 100])
    source.read = 0
    told: list[int] = []
    path = bring(host, config, source, told)
    assert told[0] == 2 * CHUNK + 100
    assert source.read == source.size - told[0]
    use(host, config, source.sha256, f"[ -s '{path}' ]", deadline=20, purpose="load")


def test_a_session_that_breaks_is_opened_anew(
    host: Host, sshd: Server, config: Config, folder: Path, source: Bytes
) -> None:
    broken = []

    def cut(done: int) -> None:
        if done >= CHUNK * (1 + 2 * len(broken)) and len(broken) < 2:
            broken.append(done)
            for pid in sshd.sessions():
                os.kill(pid, signal.SIGKILL)

    path = upload(host, config, source, room=0, purpose="load", tell=cut)
    assert len(broken) == 2
    assert sshd.handshakes == 3
    use(host, config, source.sha256, f"[ -s '{path}' ]", deadline=20, purpose="load")
    assert not folder.exists()


def test_a_session_that_breaks_again_and_again_ends_it(
    host: Host, sshd: Server, config: Config, folder: Path, source: Bytes
) -> None:
    def cut(_: int) -> None:
        for pid in sshd.sessions():
            os.kill(pid, signal.SIGKILL)

    source.pieces = lambda *_: iter([b""])  # type: ignore[method-assign] # no byte of progress
    with pytest.raises((ConnectionLost, CommandFailed)):
        upload(host, config, source, room=0, purpose="load", tell=cut)
    assert sshd.handshakes <= upload_module.TRIES
    assert folder.exists()


@pytest.mark.parametrize("damage", [b"other bytes", b"x" * (6 * CHUNK)])
def test_what_is_there_and_is_no_beginning_of_it_is_not_gone_on_with(
    host: Host, config: Config, folder: Path, source: Bytes, damage: bytes
) -> None:
    folder.mkdir()
    (folder / f"{source.sha256}.part").write_bytes(damage)
    told: list[int] = []
    path = bring(host, config, source, told)
    assert told[0] == 0
    use(host, config, source.sha256, f"[ -s '{path}' ]", deadline=20, purpose="load")


def test_a_file_of_another_sha256_is_never_used(host: Host, config: Config, folder: Path, source: Bytes) -> None:
    part = folder / os.path.basename(bring(host, config, source))  # noqa: PTH119 - a name on the host
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    with pytest.raises(CommandFailed, match="had another SHA-256 and was removed: run again"):
        use(host, config, source.sha256, "touch /nowhere/used", deadline=20, purpose="load")
    assert not part.exists()


def test_a_file_whose_use_failed_stays_for_the_next_attempt(
    host: Host, config: Config, folder: Path, source: Bytes
) -> None:
    bring(host, config, source)
    with pytest.raises(CommandFailed, match="no space left"):
        use(host, config, source.sha256, "echo no space left >&2; false", deadline=20, purpose="load")
    told: list[int] = []
    bring(host, config, source, told)
    assert told == [source.size]
    assert folder.exists()


def test_a_host_without_room_gets_nothing(host: Host, config: Config, folder: Path, source: Bytes) -> None:
    with pytest.raises(
        CommandFailed, match=r"^node-1: load of etcd: space in .*: wanted 1\d* MB free, .* found \d+ MB"
    ):
        bring(host, config, source, room=10**18)
    assert not list(folder.iterdir())


def test_a_folder_that_others_have_laid_out_is_not_used(
    host: Host, config: Config, folder: Path, source: Bytes, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    folder.symlink_to(tmp_path / "theirs")
    with pytest.raises(CommandFailed, match="is a link, a folder of root is wanted"):
        bring(host, config, source)
    folder.unlink()
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(CommandFailed, match="is not of root"):
        bring(host, config, source)


def test_what_nobody_has_gone_on_with_for_long_is_removed(
    host: Host, config: Config, folder: Path, source: Bytes
) -> None:
    folder.mkdir()
    for name, age in (("old.part", 9 * 86400), ("new.part", 3600)):
        (folder / name).touch()
        then = (folder / name).stat().st_mtime - age
        os.utime(folder / name, (then, then))
    bring(host, config, source)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["new.part", f"{source.sha256}.part"])


@pytest.mark.parametrize("text", ["", "x", "1", "1 x", "-1 2 3", "² 1"])
def test_an_answer_that_is_none_is_not_read_as_one(text: str) -> None:
    assert standing(text) is None
