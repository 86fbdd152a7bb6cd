"""How scripts become root's: the command lines, what is read of a probe, and sudo's refusals told apart."""

from __future__ import annotations

import subprocess

import pytest

from nornir_etcd.exceptions import AuthenticationFailed, CommandFailed
from nornir_etcd.remote.privilege import AS_LOGIN, by_sudo, no_sudo, refusal, verdict

PASSWORD = "PASS-NOT-SHOWN"  # noqa: S105 - the point of the test
TOKEN = "0123456789abcdef"  # noqa: S105 - a mark in a stream


def test_a_password_is_neither_in_the_command_line_nor_in_the_repr() -> None:
    way = by_sudo(PASSWORD, TOKEN)
    assert PASSWORD not in way.command + repr(way)
    assert way.lead == f"{PASSWORD}\n{TOKEN}\n".encode()


def test_without_a_password_nothing_goes_before_the_script() -> None:
    assert by_sudo(None, TOKEN).lead == b""
    assert by_sudo(None, TOKEN).command == f"sudo -n {AS_LOGIN.command}"


@pytest.mark.parametrize("password", ["two\nlines", "two\rlines", "nul\0"])
def test_a_password_of_several_lines_is_refused_without_showing_it(password: str) -> None:
    with pytest.raises(ValueError, match="of one line") as caught:
        by_sudo(password, TOKEN)
    assert password not in str(caught.value)


def piped(stdin: bytes, shell: str = "sh") -> subprocess.CompletedProcess[bytes]:
    """What sudo's shell does with its stdin."""
    command = by_sudo(PASSWORD, TOKEN).command.removeprefix("sudo -k -S -p '' ")
    return subprocess.run(  # noqa: S603 - the shell under test
        [shell, "-c", command], input=stdin, capture_output=True, timeout=20, check=False
    )


@pytest.mark.parametrize("left", [b"", f"{PASSWORD}\n".encode(), b"echo never\n\n"])
def test_what_sudo_leaves_of_the_password_is_never_run(left: bytes) -> None:
    done = piped(left + f"{TOKEN}\ncat; exit 7\nrest\x00\xff".encode("latin-1"))
    assert (done.returncode, done.stdout, done.stderr) == (7, b"rest\x00\xff", b"")


def test_nothing_after_the_script_is_taken_for_another(tmp_path: object) -> None:
    done = piped(f"{TOKEN}\necho once\n{TOKEN}\necho twice {tmp_path}\n".encode())
    assert done.stdout == b"once\n"


@pytest.mark.parametrize("stdin", [b"", f"{PASSWORD}\n".encode(), f"{PASSWORD}\n{TOKEN}\n".encode()])
def test_a_stream_that_is_cut_runs_nothing(stdin: bytes) -> None:
    done = piped(stdin)
    assert done.stdout == done.stderr == b""


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"root\n", ("root", b"")),
        (b"missing\n", ("missing", b"")),
        (b"free\n", ("free", b"")),
        (b"asked\nsudo: a password is required\n", ("refused", b"sudo: a password is required\n")),
        (b"asked\nsudo: a password is required\n=tried=\ntaken\n\n", ("password", b"")),
        (b"asked\nsudo: a password is required\n=tried=\nSorry, try again.\n", ("refused", b"Sorry, try again.\n")),
        (b"asked\nsudo: sorry, tty\n=tried=\nother\n", ("refused", b"sudo: sorry, tty\n")),
        (b"", ("refused", b"")),
    ],
)
def test_a_probe_is_read(answer: bytes, found: tuple[str, bytes]) -> None:
    assert verdict(answer) == found


@pytest.mark.parametrize(
    ("said", "thing"),
    [
        ("sudo: a password is required", "sudo wants a password and none is given"),
        ("sudo: interactive authentication is required", "sudo wants a password and none is given"),
        (
            "Sorry, try again.\n\nsudo: no password was provided\nsudo: 1 incorrect password attempt",
            "sudo refused the password",
        ),
        ("sudo: Maximum 3 incorrect authentication attempts", "sudo refused the password"),
        ("eve is not in the sudoers file.  This incident will be reported.", "the user is not in sudoers"),
        ("sudo: I'm sorry eve. I'm afraid I can't do that", "the user is not in sudoers"),
        (
            "Sorry, user eve is not allowed to execute '/bin/sh -c :' as root on node-1.",
            "sudo does not let the user run sh",
        ),
        ("sudo: sorry, you must have a tty to run sudo", "sudo wants a terminal"),
        (
            "sudo: account validation failure, is your account locked?\nsudo: a password is required",
            "sudo says that the account is locked or expired",
        ),
        (
            "sudo: Account or password is expired, reset your password and try again\nsudo: no password was provided",
            "sudo says that the account is locked or expired",
        ),
        ("The account is locked due to 3 failed logins.", "sudo says that the account is locked or expired"),
    ],
)
def test_sudos_refusals_are_told_apart(said: str, thing: str) -> None:
    error = refusal("node-1", "eve", said.encode())
    assert isinstance(error, AuthenticationFailed)
    assert (error.host, error.thing) == ("node-1", thing)
    assert said.splitlines()[-1].split("  ")[0] in error.found.replace("  ", " ")
    assert error.remedy


def test_a_variable_that_is_not_set_is_named() -> None:
    error = refusal("node-1", "eve", b"sudo: a password is required", "SUDO_PASSWORD")
    assert "wanted it in the environment variable SUDO_PASSWORD (etcd_sudo_password_env)" in str(error)


def test_anything_else_is_told_in_sudos_own_words() -> None:
    said = b"sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set"
    error = refusal("node-1", "eve", said)
    assert isinstance(error, CommandFailed)
    assert "nosuid" in error.found


def test_a_host_without_sudo_is_told_apart() -> None:
    assert str(no_sudo("node-1", "eve")).startswith("node-1: sudo is not on the host: wanted root, or sudo for eve")
