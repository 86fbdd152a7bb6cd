"""Asks for a secret on a terminal."""

from __future__ import annotations

import getpass
import os
import signal
import sys

from nornir_etcd.exceptions import InventoryError


def ask(option: str, secret: str, *, instead: str) -> str:
    """Ask for a secret and return the answer, which is not shown.

    Args:
        option: the option of the command line that asks.
        secret: what is asked for, in a few words: "password for sudo".
        instead: what to do where nobody can be asked.

    Raises:
        InventoryError: there is no terminal to ask on (CI is never asked), or nothing was answered.
        KeyboardInterrupt: whoever was asked had enough.
    """
    if os.environ.get("CI") == "true" or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InventoryError(f"{option}: wanted a terminal, found none; {instead}")
    # A handler that ends the process at once would leave the terminal without echo.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        answer = getpass.getpass(f"{secret[0].upper()}{secret[1:]}: ")
    except EOFError:
        answer = ""
    finally:
        signal.signal(signal.SIGINT, before)
    if not answer:
        raise InventoryError(f"{option}: wanted the {secret}, found none")
    return answer
