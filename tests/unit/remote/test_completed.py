"""Which error a finished script amounts to."""

from __future__ import annotations

import pytest

from nornir_etcd.exceptions import CommandFailed, CommandMissing
from nornir_etcd.remote.completed import Completed, failure, last_lines


@pytest.mark.parametrize(
    "line",
    [
        "sh: 2: eval: crictl: not found",  # dash
        "sh: 7: crictl: not found",
        "sh: 2: exec: crictl: not found",
        "bash: line 2: crictl: command not found",
        "environment: line 2: crictl: command not found",  # bash, in a function
        "bash: line 2: exec: crictl: not found",
        "sh: eval: line 1: crictl: not found",  # busybox
        "sh: crictl: not found",
    ],
)
def test_the_missing_command_is_named_whatever_the_shell(line: str) -> None:
    error = failure(Completed(127, b"", f"{line}\n".encode(), 0.1), "node-1", "the survey")
    assert isinstance(error, CommandMissing)
    assert str(error).startswith("node-1: the survey: crictl is not on the host: wanted crictl in the PATH")


@pytest.mark.parametrize(
    "line", ["sh: 2: eval: /opt/bin/crictl: not found", "bash: line 2: /opt/bin/crictl: No such file or directory"]
)
def test_a_missing_path_is_named_whole(line: str) -> None:
    error = failure(Completed(127, b"", line.encode(), 0.1), "node-1", "the survey")
    assert isinstance(error, CommandMissing)
    assert error.remedy == "install /opt/bin/crictl"


def test_status_127_of_something_else_is_a_plain_failure() -> None:
    error = failure(Completed(127, b"", b"own words", 0.1), "node-1", "the survey")
    assert type(error) is CommandFailed
    assert error.found == "exit status 127: own words"


def test_success_is_no_error() -> None:
    assert failure(Completed(0, b"", b"a warning", 0.1), "node-1", "the survey") is None


def test_last_lines_are_few_printable_and_short() -> None:
    stderr = b"\n".join([b"1", b"2", b"\x1b[31mred\x07\xff", b"", b"x" * 1000, b"5", b"6", b"7\r\n"])
    lines = last_lines(stderr).split(" | ")
    assert lines == ["[31mred \ufffd", "x" * 300, "5", "6", "7"]


def test_output_is_not_in_the_repr() -> None:
    assert "SECRET" not in repr(Completed(0, b"SECRET", b"SECRET", 0.1))
