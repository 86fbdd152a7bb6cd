"""Which tool is asked about a snapshot, and what of its answers counts.

The tools here are scripts: what real ones say of real files is held by tests/contract/test_snapshots.py. No etcdctl of
3.6, which has lost the command, can be had from the registries that tests use: it prints the help of `snapshot`, and
ends well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.etcdutl import FileStatus, snapshot_status
from nornir_etcd.exceptions import SnapshotError

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = 'echo \'{"hash":4174231686,"revision":2,"totalKey":9,"totalSize":20480}\''
HELP = "echo 'Usage: etcdctl snapshot [command]'"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH: a folder without any tool."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write(folder: Path, name: str, script: str, head: str = "#!/bin/sh\n") -> None:
    (folder / name).write_text(f"{head}{script}\n", encoding="utf-8")
    (folder / name).chmod(0o700)


def ask(tmp_path: Path, timeout: float = 20) -> FileStatus | None:
    return snapshot_status(tmp_path / "a.db", timeout=timeout)


def test_where_there_is_no_tool_nothing_is_told(tools: Path, tmp_path: Path) -> None:
    assert list(tools.iterdir()) == []
    assert ask(tmp_path) is None


def test_etcdutl_is_asked_before_etcdctl(tools: Path, tmp_path: Path) -> None:
    write(tools, "etcdctl", ANSWER)
    assert ask(tmp_path) == FileStatus("etcdctl", 4174231686, 2, 9, 20480)
    write(tools, "etcdutl", ANSWER)
    assert ask(tmp_path) == FileStatus("etcdutl", 4174231686, 2, 9, 20480)


@pytest.mark.parametrize("said", [HELP, "true", "echo 5", "echo null", "echo '{\"hash\":1}'", "echo '{\"hash\":'"])
def test_a_tool_without_the_command_is_passed_over(tools: Path, tmp_path: Path, said: str) -> None:
    write(tools, "etcdutl", said)
    assert ask(tmp_path) is None
    write(tools, "etcdctl", ANSWER)
    assert ask(tmp_path) == FileStatus("etcdctl", 4174231686, 2, 9, 20480)


def test_a_tool_that_this_machine_cannot_run_is_passed_over(tools: Path, tmp_path: Path) -> None:
    write(tools, "etcdutl", "", head="\x7fELF of another machine")
    write(tools, "etcdctl", ANSWER)
    assert ask(tmp_path) == FileStatus("etcdctl", 4174231686, 2, 9, 20480)


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("Error: invalid database", "invalid database"),
        (
            "Deprecated: Use `etcdutl snapshot status` instead.\n\nError: file size too small 3000",
            "file size too small",
        ),
        ("panic: freepages: page 0\n\ngoroutine 96 [running]:\nx.go:5", "panic: freepages: page 0; it is damaged"),
        ("", "exit code 2"),
    ],
)
def test_a_tool_that_cannot_read_the_file_says_why_in_one_line(
    tools: Path, tmp_path: Path, stderr: str, told: str
) -> None:
    write(tools, "etcdutl", f"cat >&2 <<'END'\n{stderr}\nEND\nexit 2".replace("cat ", "/bin/cat "))
    with pytest.raises(SnapshotError) as caught:
        ask(tmp_path)
    line = str(caught.value)
    assert line.startswith(f"snapshot {tmp_path}/a.db: wanted a database that {tools}/etcdutl can read, found ")
    assert told in line
    assert "\n" not in line


def test_a_tool_that_does_not_end_is_ended(tools: Path, tmp_path: Path) -> None:
    write(tools, "etcdutl", "exec /bin/sleep 60")
    began = time.monotonic()
    with pytest.raises(SnapshotError, match=r"wanted an answer of \S+/etcdutl within 0.2 s, found none"):
        ask(tmp_path, timeout=0.2)
    assert time.monotonic() - began < 10


def test_the_operators_environment_does_not_change_the_tool(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETCDCTL_API", "2")
    monkeypatch.setenv("ETCDCTL_WRITE_OUT", "table")
    write(tools, "etcdctl", f'[ "$ETCDCTL_API$ETCDCTL_WRITE_OUT" = 3 ] && {ANSWER}')
    assert ask(tmp_path) == FileStatus("etcdctl", 4174231686, 2, 9, 20480)


def test_the_file_is_named_by_its_whole_path(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tools, "etcdutl", f'[ "$*" = "snapshot status --write-out=json {tmp_path}/-x.db" ] && {ANSWER}')
    monkeypatch.chdir(tmp_path)
    assert snapshot_status((tmp_path / "-x.db").relative_to(tmp_path), timeout=20) is not None
