"""The passphrase of the CA's private key: asked for, or where the settings name it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd import terminal
from nornir_etcd.exceptions import PkiError
from nornir_etcd.signers import files

if TYPE_CHECKING:
    from nornir_etcd.settings import Settings

_MOST = 1023
"""Bytes that OpenSSL takes (PEM_BUFSIZE less one, as cryptography holds to it)."""

_asked: list[bytes] = []
"""The answer, for as long as the process lives: every cluster of a run is asked about once."""


def ask_ca_passphrase() -> None:
    """Ask on the terminal, twice: a slip would lock the key of a CA that is made with it.

    The answer goes before what the settings name.

    Raises:
        InventoryError: there is no terminal to ask on, nothing was answered, or the two answers differ.
        KeyboardInterrupt: whoever was asked had enough.
    """
    instead = "name a file in etcd_ca_passphrase_file, or an environment variable in etcd_ca_passphrase_env"
    answer = terminal.ask("--ask-ca-passphrase", "passphrase of the CA's key", instead=instead, twice=True)
    _asked[:] = [os.fsencode(answer)]


def ca_passphrase(settings: Settings) -> bytes | None:
    """Return the passphrase of the CA's key; None where none was asked for and the settings name none.

    Args:
        settings: of a member of the cluster.

    Raises:
        PkiError: where what the settings name is not there, is empty, or is a file that others can read.
    """
    if _asked:
        return _checked(_asked[0], "--ask-ca-passphrase")
    if settings.etcd_ca_passphrase_env is not None:
        return _of_variable(settings.etcd_ca_passphrase_env)
    if settings.etcd_ca_passphrase_file is not None:
        return _of_file(Path(settings.etcd_ca_passphrase_file))
    return None


def _of_variable(name: str) -> bytes:
    thing = f"environment variable {name} (etcd_ca_passphrase_env)"
    found = os.environ.get(name)
    if found is None:
        remedy = "set it where this program is started, or give --ask-ca-passphrase"
        raise PkiError(thing, wanted="the passphrase of the CA's key", found="no such variable", remedy=remedy)
    return _checked(os.fsencode(found), thing)


def _of_file(path: Path) -> bytes:
    thing = f"{path} (etcd_ca_passphrase_file)"
    found = files.read_key(path)
    if found is None:
        raise PkiError(thing, wanted="a file with the passphrase of the CA's key", found="none")
    return _checked(found.removesuffix(b"\n"), thing)


def _checked(passphrase: bytes, thing: str) -> bytes:
    if 0 < len(passphrase) <= _MOST:
        return passphrase
    found = f"{len(passphrase)} bytes" if passphrase else "an empty one"
    raise PkiError(thing, wanted=f"a passphrase of 1 to {_MOST} bytes", found=found)
