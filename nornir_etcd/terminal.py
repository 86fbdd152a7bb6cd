"""Asks on a terminal: for a secret, or whether to go on."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import threading

from nornir_etcd.exceptions import InventoryError

_ASKING = threading.Lock()
"""Clusters go side by side, and one is asked about at a time."""


def is_there() -> bool:
    """Return whether somebody can be asked. In CI nobody is, whatever it has for a terminal."""
    return os.environ.get("CI") != "true" and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Ask whether to go on, and return whether the answer is yes; no answer is none.

    Args:
        question: one line.
    """
    with _ASKING:
        print(f"{question}\nGo on? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201 - a command line's own voice
        return sys.stdin.readline().strip().lower() in {"y", "yes"}


def ask(option: str, secret: str, *, instead: str, twice: bool = False) -> str:
    """Ask for a secret and return the answer, which is not shown.

    Args:
        option: the option of the command line that asks.
        secret: what is asked for, in a few words: "password for sudo".
        instead: what to do where nobody can be asked.
        twice: ask again and compare, where a slip would be found too late.

    Raises:
        InventoryError: there is no terminal to ask on (CI is never asked), nothing was answered, or the second answer
            differs.
        KeyboardInterrupt: whoever was asked had enough.
    """
    if not is_there():
        raise InventoryError(f"{option}: wanted a terminal, found none; {instead}")
    # A handler that ends the process at once would leave the terminal without echo.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = getpass.getpass(f"{secret[0].upper()}{secret[1:]}: ")
        again = getpass.getpass(f"The {secret} again: ") if answer and twice else answer
    except EOFError:
        answer = again = ""
    finally:
        signal.signal(signal.SIGINT, before)
    if not answer:
        raise InventoryError(f"{option}: wanted the {secret}, found none")
    if answer != again:
        raise InventoryError(f"{option}: wanted the {secret} twice, found another one the second time")
    return answer
