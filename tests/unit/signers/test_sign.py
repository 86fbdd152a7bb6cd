"""Who signs, and that what a signer returns is looked at before it is used.

The cfssl of these tests is a stand-in, a script: a real one makes none of these faults. What the real one does is held
in tests/contract/test_interop_cfssl.py.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.acceptance import faults
from nornir_etcd.pki.authority import Authority, load_authority, make_authority
from nornir_etcd.pki.leaf import LeafRequest, issue, member_request
from nornir_etcd.signers import cfssl
from nornir_etcd.signers.sign import sign
from tests.unit.builders import make_cluster
from tests.unit.pki.made import intermediate

if TYPE_CHECKING:
    from nornir_etcd.settings import Settings

NOW = datetime.now(timezone.utc)
REQUEST = member_request("node-1", "10.0.0.1")

SCRIPT = """#!{python}
import datetime, json, os, pathlib, sys, time
seen = pathlib.Path({seen!r})
if sys.argv[1] == "version":
    print({version!r})
    raise SystemExit
with seen.open("a") as file:
    json.dump([sys.argv[1:], dict(os.environ)], file)
{before}
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
words = dict(word.partition("=")[::2] for word in sys.argv[2:-1])
ca = x509.load_pem_x509_certificate(pathlib.Path(words["-ca"]).read_bytes())
ca_key = serialization.load_pem_private_key(pathlib.Path(words["-ca-key"]).read_bytes(), None)
csr = x509.load_pem_x509_csr(pathlib.Path(sys.argv[-1]).read_bytes())
profile = json.loads(pathlib.Path(words["-config"]).read_text())["signing"]["default"]
first, last = (datetime.datetime.fromisoformat(profile[name][:-1]) for name in ("not_before", "not_after"))
subject, key, names = csr.subject, csr.public_key(), list(csr.extensions)
usages = [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
{change}
made = x509.CertificateBuilder(ca.subject, subject, key, x509.random_serial_number(), first, last)
for extension in names:
    made = made.add_extension(extension.value, critical=False)
made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False).sign(ca_key, hashes.SHA256())
print(json.dumps({{"cert": made.public_bytes(serialization.Encoding.PEM).decode()}}))
"""


class Signer:
    """A stand-in for cfssl in a folder of its own, with one thing changed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder / "tools", folder / "seen.json"
        self.folder.mkdir()

    def write(self, *, before: str = "", change: str = "", version: str = "Version: 1.6.5\nRuntime: go1.22.0") -> None:
        text = SCRIPT.format(python=sys.executable, seen=str(self.seen), version=version, before=before, change=change)
        (self.folder / "cfssl").write_text(text)
        (self.folder / "cfssl").chmod(0o755)

    def settings(self, **data: Any) -> Settings:
        return make_cluster(1, **{"cert_signer": "cfssl", "cfssl_dir": str(self.folder), **data}).members[0].settings


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority("example-etcd-ca", now=NOW)


def refused(authority: Authority, settings: Settings, request: LeafRequest = REQUEST) -> str:
    with pytest.raises(PkiError) as caught:
        sign(authority, request, settings, now=NOW)
    line = str(caught.value)
    assert "\n" not in line
    assert "BEGIN" not in line
    return line


def test_the_program_itself_signs_by_default(authority: Authority) -> None:
    leaf = sign(authority, REQUEST, make_cluster(1).members[0].settings, now=NOW)
    assert faults(leaf.certificate_pem, leaf.key_pem, trusted_pem=authority.pem, request=REQUEST, now=NOW) == []


def test_cfssl_gets_no_private_key_in_arguments_or_files_and_nothing_of_the_environment(
    authority: Authority, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer.write()
    monkeypatch.setenv("CA_PASSPHRASE", "PASS-NOT-SHOWN")
    leaf = sign(authority, REQUEST, signer.settings(), now=NOW)
    assert certificates.describe(leaf.certificate_pem).ip_addresses == REQUEST.ip_addresses
    words, environment = json.loads(signer.seen.read_text())
    assert set(environment) <= {"PATH", "LC_CTYPE"}  # Python adds the latter to itself
    assert "-ca-key=/dev/stdin" in words
    assert "PRIVATE" not in str(words)
    folder = Path(words[-1]).parent
    assert not folder.exists(), "nothing is left of what cfssl was given"


def test_a_ca_key_with_a_passphrase_and_an_intermediate_ca_are_signed_with_by_cfssl_too(
    authority: Authority, signer: Signer
) -> None:
    signer.write()
    middle = intermediate(authority, "middle", now=NOW)
    loaded = load_authority(middle.pem, keys.dump(middle.key, b"secret"), now=NOW, passphrase=b"secret")
    leaf = sign(loaded, REQUEST, signer.settings(), now=NOW)
    assert [certificates.describe(one).subject for one in certificates.each(leaf.certificate_pem)] == [
        "node-1",
        "middle",
    ]


CHANGES = {
    "names = []": "lacks the names node-1, localhost, 10.0.0.1, 127.0.0.1, ::1",
    "key = ec.generate_private_key(ec.SECP256R1()).public_key()": "the certificate does not match its key",
    "last = ca.not_valid_after_utc.replace(tzinfo=None) + datetime.timedelta(days=1)": "outlives its CA 'example-etcd",
    "usages = usages[:1]": "lacks the usage clientAuth",
    "last = first + datetime.timedelta(minutes=1)": "expired on ",
    "first += datetime.timedelta(hours=1)": "not valid before ",
    "ca_key = ec.generate_private_key(ec.SECP256R1())": "not signed by the CA 'example-etcd-ca' but by 'example",
    "subject = ca.subject": "is for 'example-etcd-ca'",
    "names.append(type('E', (), {'value': x509.BasicConstraints(True, None)}))": "is a CA itself",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_leaf_that_would_be_refused_is_refused_here_with_its_fault(
    authority: Authority, signer: Signer, change: str
) -> None:
    signer.write(change=change)
    line = refused(authority, signer.settings())
    found = CHANGES[change]
    assert line.startswith(
        "certificate of 'node-1' from the signer cfssl: wanted what was asked for, "
        f"found one that peers or clients would refuse: {found}"
    )
    assert line.endswith("; nothing was written")


def test_every_fault_is_named(authority: Authority, signer: Signer) -> None:
    signer.write(change="names, usages = [], usages[1:]")
    line = refused(authority, signer.settings())
    assert "lacks the names node-1, localhost, 10.0.0.1, 127.0.0.1, ::1; lacks the usage serverAuth; " in line


@pytest.mark.parametrize(
    "printed",
    [b"", b"no JSON", b"[]", b'"x"', b"{}", b'{"cert": 5}', b'{"cert": "damaged"}', b"\xff\x00", b"[" * 50_000],
    ids=lambda printed: repr(printed[:20]),
)
def test_what_is_no_certificate_is_told(authority: Authority, signer: Signer, tmp_path: Path, printed: bytes) -> None:
    (tmp_path / "printed").write_bytes(printed)
    signer.write(before=f"os.write(1, pathlib.Path({str(tmp_path / 'printed')!r}).read_bytes()); raise SystemExit")
    line = refused(authority, signer.settings())
    assert line == (
        f"{signer.folder}/cfssl sign: wanted a JSON object with a certificate in PEM as its cert, "
        f"found {len(printed)} bytes that are none; see whether it is cfssl"
    )


def test_a_signer_that_fails_is_told_with_its_last_words(authority: Authority, signer: Signer) -> None:
    signer.write(before=r"os.write(2, b'a\nb\n\x1b[31mc\n d \n'); raise SystemExit(3)")
    assert refused(authority, signer.settings()) == f"{signer.folder}/cfssl sign: found exit code 3: b | [31mc | d"
    signer.write(before="raise SystemExit(4)")
    assert refused(authority, signer.settings()) == f"{signer.folder}/cfssl sign: found exit code 4: nothing said"


def test_a_signer_that_tells_the_cas_key_is_not_repeated(authority: Authority, signer: Signer) -> None:
    signer.write(before="sys.stderr.write(sys.stdin.read()); raise SystemExit(1)")
    assert refused(authority, signer.settings()).endswith(
        "sign: found exit code 1: left out, since it tells of a private key"
    )


def test_a_signer_that_hangs_is_ended_with_all_that_it_has_started(
    authority: Authority, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    monkeypatch.setattr(cfssl, "TIMEOUT", 2)
    signer.write(
        before=f"import subprocess; one = subprocess.Popen(['sleep', '60']); pathlib.Path({str(child)!r})"
        ".write_text(str(one.pid)); time.sleep(60)"
    )
    begun = time.monotonic()
    assert refused(authority, signer.settings()) == f"{signer.folder}/cfssl sign: wanted an end within 2 s, found none"
    assert time.monotonic() - begun < 20
    deadline = time.monotonic() + 10
    while _runs(int(child.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_missing_program_is_told_with_where_it_was_looked_for(
    authority: Authority, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert refused(authority, signer.settings()) == (
        f"cfssl (cert_signer): wanted it at {signer.folder}/cfssl (cfssl_dir) or in PATH, found neither; "
        "put it there, or set cert_signer to local"
    )


def test_a_program_in_path_is_used_where_cfssl_dir_has_none(
    authority: Authority, signer: Signer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signer.write()
    monkeypatch.setenv("PATH", f"{signer.folder}:{os.environ['PATH']}")
    settings = signer.settings(cfssl_dir=str(tmp_path / "none"))
    assert cfssl.find(settings) == str(signer.folder / "cfssl")
    sign(authority, REQUEST, settings, now=NOW)


def test_a_relative_cfssl_dir_is_of_the_working_directory(
    authority: Authority, signer: Signer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    signer.write()
    monkeypatch.chdir(tmp_path)
    sign(authority, REQUEST, signer.settings(cfssl_dir="tools"), now=NOW)


def test_a_program_that_cannot_be_run_is_told_and_none_in_path_takes_its_place(
    authority: Authority, signer: Signer
) -> None:
    (signer.folder / "cfssl").write_bytes(b"\x7fELF")
    line = refused(authority, signer.settings())
    assert line.startswith(f"{signer.folder}/cfssl version: wanted a program that runs on this machine, found Perm")
    (signer.folder / "cfssl").chmod(0o755)
    assert "Exec format error" in refused(authority, signer.settings())


@pytest.mark.parametrize(
    "version", ["Version: 1.6.5\nRuntime: go1.22.0", "Version: dev\nRuntime: go1.24.4", "Version: v1.6.5"]
)
def test_the_version_wanted_and_a_build_without_one_are_taken(signer: Signer, version: str) -> None:
    signer.write(version=version)
    assert cfssl.find(signer.settings()) == str(signer.folder / "cfssl")


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("Version: 1.6.4\nRuntime: go1.22.0", "version 1.6.4"),
        ("Version: 1.6.50", "version 1.6.50"),
        ("", "a program that names no version"),
        ("busybox", "a program that names no version"),
    ],
)
def test_another_version_is_refused_in_one_line(authority: Authority, signer: Signer, version: str, found: str) -> None:
    signer.write(version=version)
    assert refused(authority, signer.settings()) == (
        f"{signer.folder}/cfssl: wanted cfssl 1.6.5 (cfssl_version), found {found}; "
        "set cfssl_version to the one that is to be used, or cfssl_dir to where it is"
    )
    assert not signer.seen.exists(), "it was never asked to sign"


def test_an_expired_ca_signs_nothing(signer: Signer) -> None:
    signer.write()
    short = make_authority("short", days=1, now=NOW - timedelta(days=2))
    for settings in (signer.settings(), make_cluster(1).members[0].settings):
        assert "wanted a valid CA, found one that expired on" in refused(short, settings)
    assert not signer.seen.exists()


def test_a_leaf_issued_here_is_the_same_but_for_its_key_as_one_by_the_signer(
    authority: Authority, signer: Signer
) -> None:
    signer.write()
    ours = certificates.describe(issue(authority, REQUEST, now=NOW).certificate_pem)
    theirs = certificates.describe(sign(authority, REQUEST, signer.settings(), now=NOW).certificate_pem)
    for name in ("subject", "issuer", "dns_names", "ip_addresses", "usages", "not_before", "not_after", "key_type"):
        assert getattr(ours, name) == getattr(theirs, name)
