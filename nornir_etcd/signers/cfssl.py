"""Signs with cfssl, run on the controller.

cfssl gets a certificate signing request, never the leaf's private key. The CA's key goes to it through a pipe, its
standard input, which it reads as /dev/stdin: unencrypted it is on no disk and in no argument.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from datetime import timezone
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.leaf import USAGES_OF, Leaf, validity
from nornir_etcd.pki.request import signing_request

if TYPE_CHECKING:
    from datetime import datetime

    from nornir_etcd.pki.authority import Authority
    from nornir_etcd.pki.keys import PrivateKey
    from nornir_etcd.pki.leaf import LeafRequest
    from nornir_etcd.settings import Settings

TIMEOUT = 30
"""Seconds: cfssl takes some hundredths of one."""

UNSTAMPED = "dev"
"""What a cfssl says that was built without its Makefile, as distributions do (cli/version/version.go)."""

_USAGES = {"serverAuth": "server auth", "clientAuth": "client auth"}
"""cfssl's words (config/config.go, ExtKeyUsage)."""

_LAST_LINES = 3
_LINE_LENGTH = 300


def find(settings: Settings) -> str:
    """Return the path of the cfssl to use: of cfssl_dir, else of PATH.

    Raises:
        PkiError: where there is none, it cannot be run, or it is of another version than cfssl_version.
    """
    own = Path(settings.cfssl_dir).absolute() / "cfssl"
    program = str(own) if own.exists() else shutil.which("cfssl")
    if program is None:
        raise PkiError(
            "cfssl (cert_signer)",
            wanted=f"it at {own} (cfssl_dir) or in PATH",
            found="neither",
            remedy="put it there, or set cert_signer to local",
        )
    said = _run([program, "version"], b"").decode(errors="replace")
    words = dict(line.partition(":")[::2] for line in said.splitlines())
    found = words.get("Version", "").strip().removeprefix("v")
    if found not in {settings.cfssl_version, UNSTAMPED}:
        raise PkiError(
            program,
            wanted=f"cfssl {settings.cfssl_version} (cfssl_version)",
            found=f"version {_told(found.encode())}" if found else "a program that names no version",
            remedy="set cfssl_version to the one that is to be used, or cfssl_dir to where it is",
        )
    return program


def sign(authority: Authority, request: LeafRequest, program: str, *, now: datetime) -> Leaf:
    """Return a new key and what cfssl made of its signing request; nothing of it is checked here but its form.

    Args:
        authority: the CA that signs.
        request: what is wanted.
        program: path of cfssl.
        now: the present time, aware.

    Raises:
        PkiError: where cfssl fails, does not end in time, or returns no certificate.
    """
    key = keys.make(request.key_type)
    not_before, not_after = validity(authority, request, now=now)
    with tempfile.TemporaryDirectory(prefix="nornir-etcd-") as made:
        folder = Path(made)
        files = {
            "ca.pem": authority.certificate.public_bytes(Encoding.PEM),  # cfssl takes no bundle
            "config.json": json.dumps(_config(request, key, not_before, not_after)).encode(),
            "leaf.csr": signing_request(request, key),
        }
        for name, content in files.items():
            (folder / name).write_bytes(content)
        words = ["sign", "-loglevel=3", f"-ca={folder / 'ca.pem'}", "-ca-key=/dev/stdin"]
        words += [f"-config={folder / 'config.json'}", str(folder / "leaf.csr")]
        printed = _run([program, *words], keys.dump(authority.key))
    certificate = _certificate(printed, program)
    return Leaf(certificate + authority.served_pem, keys.dump(key))


def _config(request: LeafRequest, key: PrivateKey, not_before: datetime, not_after: datetime) -> dict[str, object]:
    """Return cfssl's configuration: one profile, with the dates as such, so that the CA's end is met to the second."""
    usages = ["digital signature", *(["key encipherment"] if isinstance(key, rsa.RSAPrivateKey) else [])]
    profile = {
        "usages": usages + [_USAGES[usage] for usage in USAGES_OF[request.usage]],
        "expiry": f"{request.days * 24}h",  # it wants one; the dates go before it (signer.FillTemplate)
        "not_before": _utc(not_before),
        "not_after": _utc(not_after),
    }
    return {"signing": {"default": profile}}


def _utc(time: datetime) -> str:
    return f"{time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _certificate(printed: bytes, program: str) -> bytes:
    """Return the certificate of what cfssl printed, a JSON object."""
    try:
        pem = json.loads(printed)["cert"].encode()
        (certificate, *_) = certificates.load_all(pem)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, PkiError):
        raise PkiError(
            f"{program} sign",
            wanted="a JSON object with a certificate in PEM as its cert",
            found=f"{len(printed)} bytes that are none",
            remedy="see whether it is cfssl",
        ) from None
    return certificate.public_bytes(Encoding.PEM)


def _run(argv: list[str], stdin: bytes) -> bytes:
    """Return what a program prints, run without any environment but PATH: a passphrase may stand there."""
    thing = " ".join(argv[:2])
    environment = {"PATH": os.environ.get("PATH", os.defpath)}
    try:
        process = subprocess.Popen(  # noqa: S603 - the program that the settings name, with arguments of our own
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        found = error.strerror or type(error).__name__
        raise PkiError(thing, wanted="a program that runs on this machine", found=found) from error
    with process:
        try:
            out, err = process.communicate(stdin, TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started, which would hold the pipes
            raise PkiError(thing, wanted=f"an end within {TIMEOUT} s", found="none") from None
    if process.returncode:
        raise PkiError(thing, found=f"exit code {process.returncode}: {_told(err) or 'nothing said'}")
    return out


def _told(stderr: bytes) -> str:
    """Return the last lines as one line; nothing of it where a private key may be among them."""
    if b"PRIVATE KEY" in stderr:
        return "left out, since it tells of a private key"
    text = "".join(
        letter if letter.isprintable() or letter == "\n" else " " for letter in stderr.decode(errors="replace")
    )
    lines = [line.strip()[:_LINE_LENGTH] for line in text.split("\n") if line.strip()]
    return " | ".join(lines[-_LAST_LINES:])
