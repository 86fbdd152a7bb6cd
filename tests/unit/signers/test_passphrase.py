"""Where the passphrase of the CA's key comes from, and that nothing of it is told."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.exceptions import PkiError
from nornir_etcd.signers import passphrase
from nornir_etcd.signers.passphrase import ca_passphrase
from tests.unit.builders import make_cluster

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.settings import Settings

SECRET = b"PASS-NOT-SHOWN"
VARIABLE = "TEST_CA_PASSPHRASE"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def settings(**data: Any) -> Settings:
    return make_cluster(1, **data).members[0].settings


def test_none_is_named_and_none_was_asked_for() -> None:
    assert ca_passphrase(settings()) is None


def test_it_is_in_the_variable_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    named = settings(etcd_ca_passphrase_env=VARIABLE)
    monkeypatch.setenv(VARIABLE, os.fsdecode(SECRET + b" \xff"))
    assert ca_passphrase(named) == SECRET + b" \xff", "as it stands there, whatever its encoding"
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(PkiError) as caught:
        ca_passphrase(named)
    assert str(caught.value) == (
        f"environment variable {VARIABLE} (etcd_ca_passphrase_env): wanted a passphrase of 1 to 1023 bytes, "
        "found an empty one"
    )
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(
        PkiError, match=r"found no such variable; set it where this program is started, or give --ask-ca"
    ):
        ca_passphrase(named)


@pytest.mark.parametrize(
    ("content", "found"),
    [(SECRET, SECRET), (SECRET + b"\n", SECRET), (SECRET + b"\n\n", SECRET + b"\n"), (b" x \n", b" x ")],
)
def test_it_is_in_the_file_that_the_settings_name_less_one_newline(
    tmp_path: Path, content: bytes, found: bytes
) -> None:
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    path.write_bytes(content)
    assert ca_passphrase(settings(etcd_ca_passphrase_file=str(path))) == found


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(SECRET)
    path.chmod(mode)
    with pytest.raises(PkiError) as caught:
        ca_passphrase(settings(etcd_ca_passphrase_file=str(path)))
    line = f"{path} is open to other users: wanted mode 0600, found mode {mode:04o}; chmod 600 {path}"
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "wanted a file with the passphrase of the CA's key, found none"),
        (b"", "wanted a passphrase of 1 to 1023 bytes, found an empty one"),
        (b"\n", "wanted a passphrase of 1 to 1023 bytes, found an empty one"),
        (b"x" * 1024, "wanted a passphrase of 1 to 1023 bytes, found 1024 bytes"),
    ],
)
def test_a_file_that_holds_none_is_told(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "passphrase"
    if content is not None:
        path.touch(mode=0o600)
        path.write_bytes(content)
    with pytest.raises(PkiError) as caught:
        ca_passphrase(settings(etcd_ca_passphrase_file=str(path)))
    assert str(caught.value) == f"{path} (etcd_ca_passphrase_file): {told}"


def test_a_link_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "link").symlink_to("file")
    for name, told in (("link", "wanted a file, found a link"), (".", "wanted a file, found a folder")):
        with pytest.raises(PkiError, match=told):
            ca_passphrase(settings(etcd_ca_passphrase_file=str(tmp_path / name)))


@needs_root
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.touch(mode=0o600)
    os.chown(path, 65534, -1)
    with pytest.raises(PkiError, match="wanted owner 0, found owner 65534"):
        ca_passphrase(settings(etcd_ca_passphrase_file=str(path)))


def test_the_answer_goes_before_what_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal is a fake: that it is asked for real is held in test_passwords."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(passphrase, "_asked", [])
    prompts: list[str] = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: prompts.append(prompt) or "ä")
    passphrase.ask_ca_passphrase()
    assert ca_passphrase(settings(etcd_ca_passphrase_env=VARIABLE)) == "ä".encode()
    assert prompts == ["Passphrase of the CA's key: ", "The passphrase of the CA's key again: "]
