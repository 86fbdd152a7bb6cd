"""How a script becomes root's on a host: as root, by sudo, or by sudo with a password. Pure: no I/O.

A login that is not root's is asked first what it may do (`PROBE`); `verdict` reads the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from nornir_etcd.exceptions import AuthenticationFailed, CommandFailed, CommandMissing, RemoteError
from nornir_etcd.remote.completed import last_lines

VARIABLE = "etcd_sudo_password_env"
"""The variable of the inventory that names an environment variable of the controller."""

_SHELL = """sh -c 'IFS= read -r boot; eval "$boot"'"""
# sudo that wants no password leaves the password's line on stdin: what comes before the token is thrown away.
_SHELL_AFTER_LEAD = (
    """sh -c 'while IFS= read -r boot; do [ "$boot" = {token} ] && """
    """IFS= read -r boot && {{ eval "$boot"; exit; }}; done'"""
)

_SOURCES = (
    f"set netmiko's secret in connection_options.netmiko.extras, or {VARIABLE} to the name of an environment variable, "
    "or give --ask-sudo-password"
)


@dataclass(frozen=True)
class Way:
    """How scripts are run on a host.

    Args:
        command: the whole command line that the login shell gets. `read` takes one line from stdin and nothing beyond
            it (POSIX), the line takes the script, the script what follows it: nothing is in argv and no login shell
            (bash, dash, zsh, fish, tcsh) has to quote or expand anything.
        lead: what goes to stdin before that line; it may hold a password.
        by_sudo: whether sudo stands between.
    """

    command: str
    lead: bytes = field(default=b"", repr=False)
    by_sudo: bool = False


AS_LOGIN = Way(_SHELL)
"""As the user that logs in."""

PROBE = """\
[ "$(id -u)" -ne 0 ] || { echo root; exit; }
command -v sudo >/dev/null || { echo missing; exit; }
why=$(sudo -n sh -c : 2>&1 </dev/null) && { echo free; exit; }
echo asked; printf '%s\\n' "$why"
"""
"""Says whether root is had without a password; a second line and on are sudo's own."""

PROBE_PASSWORD = f"""{PROBE}
echo =tried=
why=$(sudo -k -S -p '' sh -c : 2>&1) && echo taken
printf '%s\\n' "$why"
"""
"""The same, and then with the password that is its payload: one line, so that a wrong one is tried once."""

_ASKED = re.compile(r"a password is required|interactive authentication is required")
# sudo's own words in the C locale, and sudo-rs' (src/common/error.rs, src/pam/error.rs) where it has others; the first
# that fits holds, since "a password is required" also ends what sudo says of a locked account.
_REFUSALS = (
    (r"must have a tty", "sudo wants a terminal", "no requiretty for the user", "set `Defaults:{user} !requiretty`"),
    (
        r"is your account locked|account is locked|[Aa]ccount .*expired|validation failure|locked due to",
        "sudo says that the account is locked or expired",
        "an account in use",
        "unlock or renew the account of {user} on the host",
    ),
    (
        r"not in the sudoers file|I'm afraid I can't do that",
        "the user is not in sudoers",
        "{user} in sudoers",
        "allow {user} to run sh as root, in /etc/sudoers.d",
    ),
    (
        r"is not allowed to execute|may not run",
        "sudo does not let the user run sh",
        "{user} allowed to run sh as root",
        "allow {user} to run sh as root, in /etc/sudoers.d",
    ),
    (
        r"incorrect (?:password|authentication) attempt|no password was provided|try again",
        "sudo refused the password",
        "the password of {user}",
        "correct netmiko's secret, or what it was taken from; this was one failed attempt on the host",
    ),
    (_ASKED.pattern, "sudo wants a password and none is given", "a password, or NOPASSWD in sudoers", _SOURCES),
)


def by_sudo(password: str | None, token: str) -> Way:
    """Return how scripts run by sudo.

    Args:
        password: for sudo; None where it wants none.
        token: random letters and digits.

    Raises:
        ValueError: the password has a line break in it.
    """
    if password is None:
        return Way(f"sudo -n {_SHELL}", by_sudo=True)
    if not set(password).isdisjoint("\r\n\0"):
        raise ValueError("a password of one line is wanted")
    # -k: a password that sudo remembers would make it leave ours unread at one time and not at another.
    command = f"sudo -k -S -p '' {_SHELL_AFTER_LEAD.format(token=token)}"
    return Way(command, f"{password}\n{token}\n".encode(), by_sudo=True)


def verdict(answer: bytes) -> tuple[Literal["root", "free", "password", "missing", "refused"], bytes]:
    """Read what a probe printed.

    Args:
        answer: its stdout.

    Returns:
        `root`: the login is root's. `free`: sudo wants no password. `password`: it takes the one given. `missing`:
        there is no sudo. `refused`: none of these, with what sudo said of it.
    """
    first, _, said = answer.partition(b"\n")
    before, tried, after = said.partition(b"=tried=\n")
    if first == b"root":
        return "root", b""
    if first == b"free":
        return "free", b""
    if first == b"missing":
        return "missing", b""
    if tried and after.startswith(b"taken\n"):
        return "password", b""
    return "refused", after if tried and _ASKED.search(before.decode(errors="replace")) else before


def refusal(host: str, user: str, said: bytes, unset: str | None = None) -> RemoteError:
    """Return the error that sudo's words amount to.

    Args:
        host: the host's name in the inventory.
        user: who logged in.
        said: what sudo wrote.
        unset: the environment variable that was to hold the password and does not.
    """
    text = said.decode(errors="replace")
    if unset and _ASKED.search(text):
        return AuthenticationFailed(
            "sudo wants a password and none is given",
            host=host,
            wanted=f"it in the environment variable {unset} ({VARIABLE})",
            found="no such variable, or an empty one",
            remedy="export it before the run",
        )
    found = last_lines(said) or "nothing on stderr"
    for pattern, thing, wanted, remedy in _REFUSALS:
        if re.search(pattern, text):
            return AuthenticationFailed(
                thing, host=host, wanted=wanted.format(user=user), found=found, remedy=remedy.format(user=user)
            )
    return CommandFailed(
        "sudo failed", host=host, wanted=f"root for {user}", found=found, remedy="try `sudo -n id` on the host"
    )


def no_sudo(host: str, user: str) -> RemoteError:
    """Return the error of a login that is not root's, on a host without sudo."""
    return CommandMissing(
        "sudo is not on the host",
        host=host,
        wanted=f"root, or sudo for {user}",
        found="no sudo in the PATH of a non-interactive shell",
        remedy="install sudo, or log in as root",
    )
