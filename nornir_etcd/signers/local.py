"""The certificates of one cluster on the controller: a folder that only its owner can read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki import trust as trusts
from nornir_etcd.pki.authority import Authority, load_authority
from nornir_etcd.pki.trust import CLUSTER, Trust
from nornir_etcd.signers import files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from nornir_etcd.pki.leaf import Leaf

CA_CERTIFICATES = ("ca.pem", "ca.crt")  # as cfssl and as kubeadm name it; ours are named as cfssl's
CA_KEYS = ("ca-key.pem", "ca.key")
TRUST = "trust.json"
BUNDLE = "trusted.pem"
ROLES = "etcd"  # etcd.pem and etcd-key.pem, as the Ansible role has them in the same folder

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
    ca: Pair  # the one that signs
    leaves: dict[str, Pair]  # by member name
    client: Pair  # the controller's own
    apiservers: dict[str, Pair] = field(default_factory=dict)  # clients: the API servers', by host name
    trust: Trust = field(default_factory=Trust)
    others: Mapping[str, Pair] = field(default_factory=dict)  # the other CAs by name, those trusted no more included

    @property
    def trusted(self) -> bytes | None:
        """The CAs that are trusted, in one PEM; None where there is none yet."""
        known = {**self.others, self.trust.signer: self.ca}
        found = [pem for name in self.trust.trusted if (pem := known[name].certificate) is not None]
        return (
            b"".join(pem if pem.endswith(b"\n") else pem + b"\n" for pem in found[:-1]) + found[-1] if found else None
        )

    @property
    def known(self) -> list[bytes]:
        """The certificates of all CAs that are there, whether trusted or not any more."""
        pairs = (self.ca, *self.others.values())
        return [pair.certificate for pair in pairs if pair.certificate is not None]

    def authority(self, *, now: datetime, passphrase: bytes | None = None) -> Authority:
        """Return the CA, to issue with. Leaves that are there can be used without it.

        Args:
            now: the time at which it must be valid, aware.
            passphrase: of its key; None where it has none.

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
            return load_authority(self.ca.certificate, self.ca.key, now=now, passphrase=passphrase)
        except PkiError as error:
            thing = f"{self.directory}: {error.thing}"
            raise PkiError(thing, wanted=error.wanted, found=error.found, remedy=error.remedy) from error


class CertificateStore:
    """The folder of one cluster on the controller.

    It holds `ca.pem` and `ca-key.pem` (or kubeadm's `ca.crt` and `ca.key`) of the cluster's CA, `client.pem` and
    `client-key.pem` of the controller itself, `members/NAME.pem` and `members/NAME-key.pem`, and in `apiservers` the
    same of the API servers, as clients of etcd, that run on the members' hosts.

    CAs of etcd's own are `authorities/NAME/ca.pem` and `ca-key.pem`. `trust.json` says which CA signs and which ones
    are trusted; without it, that is the cluster's. While two are trusted, `trusted.pem` holds both. A CA that is
    trusted no more stays where it is.

    Args:
        directory: the folder; made by the first write.
        passphrase: asked for that of the CA's key where one is read or written.
    """

    def __init__(self, directory: Path, passphrase: Callable[[], bytes | None] = lambda: None) -> None:
        self.directory = directory
        self._passphrase = passphrase
        self._members = directory / "members"
        self._authorities = directory / "authorities"
        self._apiservers = directory / "apiservers"

    def read(self) -> StoreContent:
        """Return what is there; nothing is made or changed.

        Raises:
            PkiError: where a folder or key is open to others or belongs to another user, a file cannot be read, two
                different CAs are there, or a CA's key without its certificate.
        """
        files.check_folder(self.directory)
        files.check_folder(self._members)
        files.check_folder(self._apiservers)
        trust, authorities = self._read_trust(), self._read_authorities()
        for name in trust.trusted:
            if name != CLUSTER and authorities.get(name, Pair()).certificate is None:
                path = self._authorities / name / CA_CERTIFICATES[0]
                raise PkiError(f"{path}", wanted="a CA that is trusted", found="none", remedy="put it back there")
        return StoreContent(
            directory=self.directory,
            ca=authorities.pop(trust.signer, Pair()),
            leaves=_read_pairs(self._members),
            client=_read_pair(self.directory, "client"),
            apiservers=_read_pairs(self._apiservers),
            trust=trust,
            others=authorities,
        )

    def authority(self, *, now: datetime) -> Authority:
        """Return the CA, to issue with.

        Args:
            now: the time at which it must be valid, aware.

        Raises:
            PkiError: where it, its key or the key's passphrase is missing or unusable.
        """
        return self.read().authority(now=now, passphrase=self._passphrase())

    def own(self, content: StoreContent) -> dict[str, bytes]:
        """Return the controller's own certificates by path: its client's, and those of the CAs that are trusted.

        Args:
            content: what `read` gave.
        """
        client, _ = _paths(self.directory, "client")
        known = {**content.others, content.trust.signer: content.ca}
        found = {f"{client}": content.client.certificate}
        found |= {f"{self._ca_path(name)}": known[name].certificate for name in content.trust.trusted}
        return {path: pem for path, pem in found.items() if pem is not None}

    def cacert(self) -> Path:
        """Return the path of the CAs by which the controller trusts the members, whether it is there or not.

        Raises:
            PkiError: which ones those are cannot be read.
        """
        trusted = self._read_trust().trusted
        return self._ca_path(trusted[0]) if len(trusted) == 1 else self.directory / BUNDLE

    def client_files(self) -> dict[str, str]:
        """Return the paths with which the controller itself asks etcd: cacert, cert and key.

        Until it has a certificate of its own, that is the one which the Ansible role has made for all members.

        Raises:
            PkiError: where one of them is missing.
        """
        own, roles = _paths(self.directory, "client"), _paths(self.directory, ROLES)
        paths = [self.cacert(), *(own if own[0].is_file() or not roles[0].is_file() else roles)]
        if not all(path.is_file() for path in paths):
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
        for folder in (self.directory, self._members, self._apiservers):
            files.check_folder(folder)
            nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
            if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK, effective_ids=True):
                raise PkiError(f"{self.directory}", wanted="a folder that can be written", found=f"{nearest}: cannot")

    def write_authority(self, authority: Authority) -> None:
        """Write a new CA of the cluster. One that is there is never overwritten.

        Raises:
            PkiError: where there is a CA already or it cannot be written.
        """
        with files.writing(self.directory, self._members):
            if self._read_ca().certificate is not None:
                raise PkiError(f"{self.directory}: CA", wanted="none, to write a new one", found="one")
            certificate, key = (self.directory / name for name in (CA_CERTIFICATES[0], CA_KEYS[0]))
            files.write_pair((certificate, authority.pem), (key, keys.dump(authority.key, self._passphrase())))

    def add_authority(self, name: str, authority: Authority) -> None:
        """Write a new CA of etcd's own, and trust it: beside the one that signs, or alone where none is in use yet.

        Args:
            name: of its folder, in lower-case letters, digits and dashes.
            authority: the CA.

        Raises:
            PkiError: there is one of that name, a rotation has been begun already, or it cannot be written.
        """
        folder = self._authorities / name
        with files.writing(self.directory, self._members, self._authorities, folder):
            content = self.read()
            if (folder / CA_CERTIFICATES[0]).exists() or content.trust.phase != "settled":
                raise PkiError(f"{folder}", wanted="none, to write a new CA", found="one, or a rotation under way")
            certificate, key = (folder / one for one in (CA_CERTIFICATES[0], CA_KEYS[0]))
            files.write_pair((certificate, authority.pem), (key, keys.dump(authority.key, self._passphrase())))
            in_use = content.client.certificate is not None or content.leaves
            self._write_trust(content.trust.adding(name) if in_use else Trust(name, (name,)))

    def switch_signer(self, *, now: datetime) -> None:
        """Let the new CA of a rotation sign from now on.

        Args:
            now: the time at which it must be valid, aware.

        Raises:
            PkiError: none is trusted beside the one that signs, it, its key or the key's passphrase is missing or
                unusable, or it cannot be written.
        """
        content = self.read()
        if content.trust.phase == "trust-both":  # there is no way back from a signer that cannot sign
            new = content.others.get(content.trust.trusted[-1], Pair())
            replace(content, ca=new).authority(now=now, passphrase=self._passphrase())
        self._go_on("trust-both", Trust.switched)

    def retire_former(self) -> None:
        """Trust the former CA of a rotation no more. Its files stay.

        Raises:
            PkiError: the new one does not sign yet, or it cannot be written.
        """
        self._go_on("new-leaves", Trust.retired)

    def write_leaf(self, name: str, leaf: Leaf) -> None:
        """Write the certificate and key of a member.

        Raises:
            PkiError: where the name cannot be a file's name or they cannot be written.
        """
        self._write(self._members, _checked(name), leaf)

    def write_apiserver(self, name: str, leaf: Leaf) -> None:
        """Write the certificate and key by which the API server on a member's host is a client of etcd.

        Raises:
            PkiError: where the host's name cannot be a file's name or they cannot be written.
        """
        self._write(self._apiservers, _checked(name), leaf)

    def write_client(self, leaf: Leaf) -> None:
        """Write the certificate and key of the controller itself.

        Raises:
            PkiError: where they cannot be written.
        """
        self._write(self.directory, "client", leaf)

    def _write(self, folder: Path, name: str, leaf: Leaf) -> None:
        with files.writing(self.directory, self._members, folder):
            certificate, key = _paths(folder, name)
            files.write_pair((certificate, leaf.certificate_pem), (key, leaf.key_pem))

    def _go_on(self, phase: trusts.Phase, change: Callable[[Trust], Trust]) -> None:
        with files.writing(self.directory, self._members):
            trust = self._read_trust()
            if trust.phase != phase:
                raise PkiError(f"{self.directory / TRUST}", wanted=f"the phase {phase}", found=trust.phase)
            self._write_trust(change(trust))

    def _read_trust(self) -> Trust:
        path = self.directory / TRUST
        text = files.read_certificate(path)  # it is as public as those
        return Trust() if text is None else trusts.load(text, str(path))

    def _write_trust(self, trust: Trust) -> None:
        """Write which CAs are trusted. The bundle comes first, and goes last: nobody reads it while one is trusted."""
        if len(trust.trusted) > 1:
            pems = [files.read_certificate(self._ca_path(name)) or b"" for name in trust.trusted]
            files.write_file(self.directory / BUNDLE, b"\n".join(pems))
        files.write_file(self.directory / TRUST, trusts.dump(trust))
        if len(trust.trusted) == 1:
            (self.directory / BUNDLE).unlink(missing_ok=True)

    def _read_authorities(self) -> dict[str, Pair]:
        """Return the CAs by name, the cluster's among them where there is one."""
        found = {CLUSTER: self._read_ca()}
        for folder in sorted(self._authorities.glob("*/")):
            files.check_folder(folder)
            certificate, key = (folder / one for one in (CA_CERTIFICATES[0], CA_KEYS[0]))
            found[folder.name] = Pair(files.read_certificate(certificate), files.read_key(key))
        return found

    def _ca_path(self, name: str) -> Path:
        if name != CLUSTER:
            return self._authorities / name / CA_CERTIFICATES[0]
        paths = [self.directory / one for one in CA_CERTIFICATES]
        return next((path for path in paths if path.is_file()), paths[0])

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
        if pending is None:
            return False
        return certificates.load(pending).public_key() == keys.load(key, self._passphrase()).public_key()


def _checked(name: str) -> str:
    if _MEMBER.fullmatch(name):
        return name
    raise PkiError(
        f"member '{name}'",
        wanted="a name of up to 64 letters, digits, '.', '_' and '-' that does not end in '-key'",
        found="one that cannot name its certificate's file",
    )


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}-key.pem"


def _read_pair(folder: Path, name: str) -> Pair:
    certificate, key = _paths(folder, name)
    return Pair(files.read_certificate(certificate), files.read_key(key))


def _read_pairs(folder: Path) -> dict[str, Pair]:
    """Return every pair in a folder, by name."""
    stems = {path.stem.removesuffix("-key") for path in folder.glob("*.pem")}
    return {stem: _read_pair(folder, stem) for stem in sorted(stems) if _MEMBER.fullmatch(stem)}
