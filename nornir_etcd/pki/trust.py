"""Which CA signs and which ones are trusted: what a CA rotation changes, one phase after the other. Pure.

A rotation is three changes of this, each made when every member runs with the one before (etcd reads its trusted CA at
start alone: https://etcd.io/docs/v3.5/op-guide/security/):

    settled     the former CA signs and is trusted
    trust-both  the former CA signs, both are trusted
    new-leaves  the new CA signs, both are trusted
    settled     the new CA signs and is trusted
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from nornir_etcd.exceptions import PkiError

CLUSTER = "cluster"
"""The CA of the Kubernetes cluster, with which more than etcd is signed: it is used, and never replaced."""

Phase = Literal["settled", "trust-both", "new-leaves"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MOST = 2


@dataclass(frozen=True)
class Trust:
    """CAs by name, the one that came first standing first.

    Attributes:
        signer: which one signs.
        trusted: which ones members and clients trust: one, or in a rotation the former and the new one.
    """

    signer: str = CLUSTER
    trusted: tuple[str, ...] = (CLUSTER,)

    @property
    def phase(self) -> Phase:
        """Where a rotation stands."""
        if len(self.trusted) == 1:
            return "settled"
        return "trust-both" if self.signer == self.trusted[0] else "new-leaves"

    def adding(self, name: str) -> Trust:
        """Return what follows on settled: a new CA is trusted as well."""
        return Trust(self.signer, (*self.trusted, name))

    def switched(self) -> Trust:
        """Return what follows on trust-both: the new CA signs."""
        return Trust(self.trusted[-1], self.trusted)

    def retired(self) -> Trust:
        """Return what follows on new-leaves: the former CA is trusted no more."""
        return Trust(self.signer, (self.signer,))


def dump(trust: Trust) -> bytes:
    """Return it as a file's content."""
    return (json.dumps({"signer": trust.signer, "trusted": trust.trusted}, indent=1) + "\n").encode()


def load(text: bytes, where: str) -> Trust:
    """Return what a file says.

    Args:
        text: its content.
        where: its path, for the error.

    Raises:
        PkiError: where it says nothing of the kind.
    """
    try:
        said = json.loads(text)
        signer, trusted = said["signer"], said["trusted"]
        sound = all(isinstance(name, str) and _NAME.fullmatch(name) for name in (signer, *trusted))
        if sound and 1 <= len(set(trusted)) == len(trusted) <= _MOST and signer in trusted:
            return Trust(signer, tuple(trusted))
    except (ValueError, TypeError, KeyError):
        pass
    raise PkiError(
        where,
        wanted="which CA signs and which ones are trusted",
        found="something else",
        remedy="put the file back as it was: it alone tells how far a CA rotation has come",
    )
