from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab.host.volumes import check

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["Directory", "File", "Socket", "CharDevice", "BlockDevice"])
def test_what_is_missing_is_complained_of_and_not_made(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "member"
    assert str(check(str(target), kind)).startswith(f"hostPath type check failed: {target} is not a ")
    assert not target.exists()


def test_what_may_be_created_is() -> None:
    assert check("/proc/self/nosuch/file", "FileOrCreate") == "open /proc/self/nosuch/file: no such file or directory"


def test_a_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    assert check(str(tmp_path / "a/b"), "DirectoryOrCreate") is None
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o755


def test_a_file_is_made(tmp_path: Path) -> None:
    assert check(str(tmp_path / "file"), "FileOrCreate") is None
    assert (tmp_path / "file").read_bytes() == b""


def test_the_right_kind_passes_and_another_does_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        kinds = {
            "Directory": tmp_path,
            "File": tmp_path / "file",
            "Socket": tmp_path / "socket",
            "CharDevice": "/dev/null",
        }
        for kind, path in kinds.items():
            assert check(str(path), kind) is None
            assert [other for other in kinds if other != kind and check(str(path), other) is None] == []


def test_no_type_checks_nothing_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    assert check(str(tmp_path / "nosuch"), "") is None
    assert check(str(tmp_path), "Folder") == "hostPath type check failed: Folder is an invalid volume type"
