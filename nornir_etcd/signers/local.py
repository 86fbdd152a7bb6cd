"""The certificates of one cluster on the controller: a folder that only its owner can read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import Authority, load_authority
from nornir_etcd.signers import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from nornir_etcd.pki.leaf import Leaf

CA_CERTIFICATES = ("ca.pem", "ca.crt")  # as cfssl and as kubeadm name it; ours are named as cfssl's
CA_KEYS = ("ca-key.pem", "ca.key")

# A member called x-key would have its certificate where the key of x is. 64 is what a common name can hold.
_MEMBER = re.compile(r"(?!.*-key\Z)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key in PEM; None where the file is missing."""

    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StoreContent:
    """What a certificate store holds."""

    directory: Path
    ca: Pair
    leaves: dict[str, Pair]  # by member name
    client: Pair  # the controller's own

    def authority(self, *, now: datetime) -> Authority:
        """Return the CA, to issue with. Leaves that are there can be used without it.

        Args:
            now: the time at which it must be valid, aware.

        Raises:
            PkiError: where it or its key is missing or unusable.
        """
        if self.ca.certificate is None or self.ca.key is None:
            raise PkiError(
                f"{self.directory}: nothing can be issued",
                wanted="the CA's certificate and its key",
                found="the certificate alone" if self.ca.certificate else "no CA",
                remedy=f"put the CA's files there as {CA_CERTIFICATES[0]} and {CA_KEYS[0]} (mode 0600)",
            )
        try:
            return load_authority(self.ca.certificate, self.ca.key, now=now)
        except PkiError as error:
            thing = f"{self.directory}: {error.thing}"
            raise PkiError(thing, wanted=error.wanted, found=error.found, remedy=error.remedy) from error


class CertificateStore:
    """The folder of one cluster on the controller.

    It holds `ca.pem` and `ca-key.pem` (or kubeadm's `ca.crt` and `ca.key`), `client.pem` and `client-key.pem`
    of the controller itself, and `members/NAME.pem` and `members/NAME-key.pem`.

    Args:
        directory: the folder; made by the first write.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._members = directory / "members"

    def read(self) -> StoreContent:
        """Return what is there; nothing is made or changed.

        Raises:
            PkiError: where a folder or key is open to others or belongs to another user, a file cannot be read, two
                different CAs are there, or a CA's key without its certificate.
        """
        files.check_folder(self.directory)
        files.check_folder(self._members)
        return StoreContent(
            directory=self.directory,
            ca=self._read_ca(),
            leaves={name: _read_pair(self._members, name) for name in self._names()},
            client=_read_pair(self.directory, "client"),
        )

    def own(self, content: StoreContent) -> dict[str, bytes]:
        """Return the controller's own certificates by path: its client's, and the CA's.

        Args:
            content: what `read` gave.
        """
        ca = next((name for name in CA_CERTIFICATES if (self.directory / name).is_file()), CA_CERTIFICATES[0])
        client, _ = _paths(self.directory, "client")
        found = {f"{client}": content.client.certificate, f"{self.directory / ca}": content.ca.certificate}
        return {path: pem for path, pem in found.items() if pem is not None}

    def client_files(self) -> dict[str, str]:
        """Return the paths with which the controller itself asks etcd: cacert, cert and key.

        Raises:
            PkiError: where one of them is missing.
        """
        found = [self.directory / name for name in CA_CERTIFICATES if (self.directory / name).is_file()]
        paths = [*found[:1], *_paths(self.directory, "client")]
        if not found or not all(path.is_file() for path in paths):
            raise PkiError(
                f"{self.directory}",
                wanted="a CA and a client certificate of the controller",
                found="none",
                remedy="run certs or deploy first, or name them under connection_options.etcd.extras",
            )
        return dict(zip(("cacert", "cert", "key"), map(str, paths), strict=True))

    def check_writable(self) -> None:
        """Check that the store can be written, or made, without doing either.

        Raises:
            PkiError: where it cannot.
        """
        for folder in (self.directory, self._members):
            files.check_folder(folder)
            nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
            if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK, effective_ids=True):
                raise PkiError(f"{self.directory}", wanted="a folder that can be written", found=f"{nearest}: cannot")

    def write_authority(self, authority: Authority) -> None:
        """Write a new CA. One that is there is never overwritten.

        Raises:
            PkiError: where there is a CA already or it cannot be written.
        """
        with files.writing(self.directory, self._members):
            if self._read_ca().certificate is not None:
                raise PkiError(f"{self.directory}: CA", wanted="none, to write a new one", found="one")
            certificate, key = (self.directory / name for name in (CA_CERTIFICATES[0], CA_KEYS[0]))
            files.write_pair((certificate, authority.pem), (key, keys.dump(authority.key)))

    def write_leaf(self, name: str, leaf: Leaf) -> None:
        """Write the certificate and key of a member.

        Raises:
            PkiError: where the name cannot be a file's name or they cannot be written.
        """
        if not _MEMBER.fullmatch(name):
            raise PkiError(
                f"member '{name}'",
                wanted="a name of up to 64 letters, digits, '.', '_' and '-' that does not end in '-key'",
                found="one that cannot name its certificate's file",
            )
        self._write(self._members, name, leaf)

    def write_client(self, leaf: Leaf) -> None:
        """Write the certificate and key of the controller itself.

        Raises:
            PkiError: where they cannot be written.
        """
        self._write(self.directory, "client", leaf)

    def _write(self, folder: Path, name: str, leaf: Leaf) -> None:
        with files.writing(self.directory, self._members):
            certificate, key = _paths(folder, name)
            files.write_pair((certificate, leaf.certificate_pem), (key, leaf.key_pem))

    def _read_ca(self) -> Pair:
        certificate = self._one_of(CA_CERTIFICATES, files.read_certificate)
        key = self._one_of(CA_KEYS, files.read_key)
        if certificate is not None or key is None:
            return Pair(certificate, key)
        if self._unfinished(key):
            return Pair()
        raise PkiError(
            f"{self.directory}: CA",
            wanted="its certificate and its key",
            found="the key alone",
            remedy=f"put its certificate there as {CA_CERTIFICATES[0]}, or move the key away",
        )

    def _one_of(self, names: tuple[str, str], read: Callable[[Path], bytes | None]) -> bytes | None:
        """Return the content of the file that is there, of two that must not differ."""
        first, second = (read(self.directory / name) for name in names)
        if first is not None and second is not None and first.split() != second.split():
            raise PkiError(
                f"{self.directory}: CA",
                wanted="one",
                found=f"{names[0]} and {names[1]}, which differ",
                remedy="move away what is not this cluster's",
            )
        return second if first is None else first

    def _unfinished(self, key: bytes) -> bool:
        """Return whether the key is that of a CA which a killed run was about to write: it has signed nothing yet."""
        pending = files.read_certificate(files.staged(self.directory / CA_CERTIFICATES[0]))
        return pending is not None and certificates.load(pending).public_key() == keys.load(key).public_key()

    def _names(self) -> list[str]:
        stems = (path.stem.removesuffix("-key") for path in self._members.glob("*.pem"))
        return sorted({stem for stem in stems if _MEMBER.fullmatch(stem)})


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}-key.pem"


def _read_pair(folder: Path, name: str) -> Pair:
    certificate, key = _paths(folder, name)
    return Pair(files.read_certificate(certificate), files.read_key(key))
