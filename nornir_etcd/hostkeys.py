"""SSH host keys and the known_hosts file in which they are trusted (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nornir_etcd.exceptions import HostKeyChanged, InventoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MODE = 0o644


def fingerprint(blob: str) -> str:
    """Return the fingerprint of a key in base64, as ssh-keygen -l prints it."""
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except binascii.Error:
        return "(no readable key)"
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


@dataclass(frozen=True)
class HostKey:
    """A public key of a host.

    Args:
        name: the host as known_hosts has it: its address, `[address]:port` where the port is not 22.
        kind: `ssh-ed25519` and so on.
        blob: the key in base64.
    """

    name: str
    kind: str
    blob: str

    @property
    def fingerprint(self) -> str:
        """What `fingerprint` makes of it."""
        return fingerprint(self.blob)

    @property
    def line(self) -> str:
        """The line of known_hosts."""
        return f"{self.name} {self.kind} {self.blob}\n"


@dataclass(frozen=True)
class Entry:
    """A line of known_hosts that names keys.

    Args:
        number: of the line, from 1.
        revoked: the key is one never to be accepted.
        names: as they stand there, hashed ones included.
        kind: as for `HostKey`.
        blob: likewise.
    """

    number: int
    revoked: bool
    names: tuple[str, ...]
    kind: str
    blob: str

    def is_of(self, name: str) -> bool:
        """Return whether the line is about a host. Patterns (`*`, `?`, `!`) are not: no session goes by them."""
        return any(_hashes_to(one, name) if one.startswith("|1|") else one == name for one in self.names)


def _hashes_to(hashed: str, name: str) -> bool:
    """Return whether a hashed name, |1|salt|HMAC-SHA1, is that of a host."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed.split("|")[2:])
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def parse(text: str) -> tuple[Entry, ...]:
    """Return the entries of a known_hosts file. Lines of another form and certificate authorities are left out."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        revoked = fields[:1] == ["@revoked"]
        fields = fields[1:] if revoked else fields
        if len(fields) >= 3 and not fields[0].startswith(("#", "@")):  # noqa: PLR2004 - names, kind, key
            found.append(Entry(number, revoked, tuple(fields[0].split(",")), fields[1], fields[2]))
    return tuple(found)


Standing = Literal["new", "known"]


def standings(host: str, offered: Sequence[HostKey], entries: Sequence[Entry], path: Path) -> dict[HostKey, Standing]:
    """Return for each key that a host offers whether it is known already.

    Keys are new where none of the host's is known, or beside one that is known and still offered: whatever else is
    not known belongs to a host that is not the one that was trusted.

    Args:
        host: the host's name in the inventory.
        offered: all its keys, at least one.
        entries: of the known_hosts file.
        path: that file.

    Raises:
        HostKeyChanged: a key is another than the known one, or is revoked.
    """
    name = offered[0].name
    known = [entry for entry in entries if entry.is_of(name) and not entry.revoked]
    revoked = {entry.blob: entry for entry in entries if entry.revoked}
    matching = {key for key in offered if any((key.kind, key.blob) == (entry.kind, entry.blob) for entry in known)}
    for key in offered:
        rival = revoked.get(key.blob) or next((entry for entry in known if entry.kind == key.kind), None)
        if rival is None and not matching and known:
            rival = known[0]
        if rival is not None and (key not in matching or rival.revoked):
            was = f"{rival.kind} {fingerprint(rival.blob)}"
            raise HostKeyChanged(
                "the host key is revoked" if rival.revoked else "the host key has changed",
                host=host,
                wanted=f"another than {was}" if rival.revoked else was,
                found=f"{key.kind} {key.fingerprint}",
                remedy="find out why (reinstalled host, wrong address, or interception); where it is right, remove "
                f"line {rival.number} of {path} (`ssh-keygen -R '{name}' -f {path}`) and trust the host again",
            )
    return {key: "known" if key in matching else "new" for key in offered}


def read(path: Path) -> str:
    """Return the text of a known_hosts file, empty where there is none.

    Raises:
        InventoryError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as cause:
        raise InventoryError(f"{path}: wanted a known_hosts file that can be read, found: {cause}") from cause


def add(path: Path, keys: Iterable[HostKey]) -> None:
    """Add keys to a known_hosts file, by a rename; what is in it stays as it is.

    Raises:
        InventoryError: it cannot be read or written.
    """
    target = path.resolve()
    before = read(target)
    lines = "".join(dict.fromkeys(key.line for key in keys))
    text = before + ("\n" if before and not before.endswith("\n") else "") + lines
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else MODE
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        staged = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            staged.chmod(mode)
            staged.replace(target)
        except OSError:
            staged.unlink()
            raise
    except OSError as cause:
        raise InventoryError(f"{path}: wanted a file that can be written, found: {cause.strerror}") from cause
