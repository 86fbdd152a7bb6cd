"""What scripts for hosts have in common. Pure: no I/O."""

from __future__ import annotations

from shlex import quote

_FAILING = r"""
newline='
'
fail() { printf '@work@: %s: %s\n' "$1" "$2" >&2; exit 1; }
attempt() {
    at=$1; shift
    why=$("$@" 2>&1 >/dev/null) || fail "$at" "${why%%"$newline"*}"
}
"""


def failing(work: str) -> str:
    """Return the shell functions by which a script fails, in one line that names a path.

    `fail PATH REASON` ends the script; `attempt PATH COMMAND...` runs a command and ends the script with the first line
    of what it says where it fails.

    Args:
        work: what the script does, in one word that a shell leaves alone.
    """
    return _FAILING.strip().replace("@work@", work)


def call(function: str, *arguments: str) -> str:
    """Return a line of a script that calls a function or command with these arguments, quoted."""
    return " ".join([function, *map(quote, arguments)])
