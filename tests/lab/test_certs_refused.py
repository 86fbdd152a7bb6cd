"""What no certificate is made or placed from: one line says why, and neither host nor controller has changed."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from nornir_etcd.lab import cache
from nornir_etcd.pki import keys
from nornir_etcd.pki.authority import make_authority
from tests.lab.workspace import Workspace
from tests.unit.pki.made import intermediate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODE = "node-1"
NOW = datetime.now(tz=timezone.utc)
PASSPHRASE = b"PASS-NOT-SHOWN"
FORGER = """\
#!/bin/sh
# cfssl, which is told to sign beyond the end of the CA.
for word in "$@"; do
    case $word in -config=*) sed -i 's/"not_after": "20/"not_after": "21/' "${{word#-config=}}" ;; esac
done
exec {real} "$@"
"""
CLOCK = """\
#!/bin/sh
case $1 in
+%s.%N) exec {real} -d '-{ago} seconds' +%s.%N ;;
*) exec {real} "$@" ;;
esac
"""


@dataclass(frozen=True)
class Bad:
    """Something that is wrong, and what is said of it.

    Attributes:
        told: part of the line.
        settings: with --set.
        ca: in place of the certificate in the folder.
        key: in place of its key.
        mode: of the key's file.
        code: the exit code.
    """

    told: str
    settings: tuple[str, ...] = ()
    ca: bytes | None = None
    key: bytes | None = None
    mode: int = 0o600
    code: int = 3


def state(workspace: Workspace) -> tuple[dict[str, tuple[int, int, str]], str]:
    """Everything in the controller's folder and of etcd's on the host, with inodes and times."""
    folder = workspace.directory / "certs"
    own = {
        str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns, digest(path))
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }
    return own, workspace.fingerprint(NODE)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@contextmanager
def folder_with(workspace: Workspace, bad: Bad) -> Iterator[None]:
    """Put what is wrong into the controller's folder, and take it out again."""
    folder, kept = workspace.directory / "certs/example", workspace.directory / "kept"
    shutil.copytree(folder, kept)
    for name, content in (("ca.pem", bad.ca), ("ca-key.pem", bad.key)):
        if content is not None:
            (folder / name).write_bytes(content)
    (folder / "ca-key.pem").chmod(bad.mode)
    try:
        yield
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)


def refused(workspace: Workspace, bad: Bad, *command: str) -> None:
    """Hold a run to be refused in one line, with nothing changed."""
    before, containers = state(workspace), workspace.containers()
    words = [word for setting in bad.settings for word in ("--set", setting)]
    run = workspace.run(*command, *words)
    assert run.code == bad.code, f"{bad.told}\n{run.out}\n{run.err}"
    if bad.code == 3:
        steps = [step for step in run.cluster["plan"] if step["status"] == "failed"]
        lines = [*run.cluster["refusals"], *(step["error"] for step in steps), *filter(None, [run.cluster["error"]])]
        assert not [step for step in run.cluster["plan"] if step["status"] == "done"]
    else:
        lines = run.err.splitlines()
        assert run.out == ""
    assert len(lines) == 1, lines
    assert bad.told in lines[0], lines
    assert "\n" not in lines[0]
    assert "Traceback" not in run.out + run.err
    assert state(workspace) == before, bad.told
    assert workspace.containers() == containers


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    """One member is wanted, and the controller's folder has a CA for it."""
    made = Workspace(fresh_lab, tmp_path)
    made.inventory(hosts={"node-2": None, "node-3": None})
    folder = tmp_path / "certs/example"
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o700)
    ca = make_authority("example CA", now=NOW)
    (folder / "ca.pem").write_bytes(ca.pem)
    (folder / "ca-key.pem").touch(mode=0o600)
    (folder / "ca-key.pem").write_bytes(keys.dump(ca.key))
    return made


def bad_ones(workspace: Workspace) -> list[Bad]:
    """What no deployment is begun with."""
    folder = workspace.directory / "certs/example"
    own = keys.load((folder / "ca-key.pem").read_bytes())
    root, old = make_authority("root", now=NOW), make_authority("example CA", now=NOW - timedelta(days=4000))
    below = intermediate(root, "example CA", now=NOW)
    return [
        Bad("CA certificate 'example CA': wanted the private key that belongs to it", key=keys.dump(root.key)),
        Bad(
            "found one issued by 'root' and no way from it to a root",
            ca=below.certificate.public_bytes(Encoding.PEM),
            key=keys.dump(below.key),
        ),
        Bad(
            "CA certificate 'example CA': wanted a valid CA, found one that expired", ca=old.pem, key=keys.dump(old.key)
        ),
        Bad("private key: wanted its passphrase, found none; of a CA's key name it", key=keys.dump(own, PASSPHRASE)),
        Bad(
            "private key: wanted its passphrase, found another",
            settings=(f"etcd_ca_passphrase_file={workspace.directory / 'wrong'}",),
            key=keys.dump(own, PASSPHRASE),
        ),
        Bad("certs/example/ca-key.pem is open to other users: wanted mode 0600, found mode 0644", mode=0o644),
        Bad("cfssl (cert_signer): wanted it at", settings=("cert_signer=cfssl", "cfssl_dir=none")),
        Bad("etcd_extra_sans", settings=('etcd_extra_sans=["not a name"]',), code=2),
        Bad("etcd_cert_days: wanted at most etcd_ca_days", settings=("etcd_ca_days=100",), code=2),
    ]


@contextmanager
def clock_in_the_past(lab: Lab, seconds: int) -> Iterator[None]:
    """Let a host's clock be behind. Hosts here have one kernel, and with it one clock: `date` on the host lies."""
    root = lab.root(NODE)
    (root / "root/date").write_text(CLOCK.format(real="/root/date.real", ago=seconds))
    (root / "root/date").chmod(0o755)
    lab.run(NODE, "cp /usr/bin/date /root/date.real; mount --bind /root/date /usr/bin/date")
    try:
        yield
    finally:
        lab.run(NODE, "umount /usr/bin/date; rm /root/date /root/date.real")


def test_bad_input_is_refused_before_anything_is_touched(workspace: Workspace) -> None:
    (workspace.directory / "wrong").touch(mode=0o600)
    (workspace.directory / "wrong").write_text("another")
    behind, bad_input = Bad("preflight.clock"), bad_ones(workspace)
    for bad in bad_input:
        with folder_with(workspace, bad):
            refused(workspace, bad, "deploy")
    with clock_in_the_past(workspace.lab, 600):
        refused(workspace, behind, "certs")

    workspace.deploy()
    mismatch, encrypted = bad_input[0], bad_input[3]
    with folder_with(workspace, mismatch):
        refused(workspace, mismatch, "certs", "renew", "--force")
    with folder_with(workspace, encrypted):
        refused(workspace, encrypted, "certs", "renew", "--force", "--dry-run")
    with clock_in_the_past(workspace.lab, 600):
        refused(workspace, behind, "certs", "renew", "--force")
    forger = workspace.directory / "bin/cfssl"
    forger.parent.mkdir()
    forger.write_text(FORGER.format(real=cache.ready().cfssl))
    forger.chmod(0o755)
    settings = ("cert_signer=cfssl", f"cfssl_dir={forger.parent}")
    refused(workspace, Bad("outlives its CA 'example CA'", settings), "certs", "renew", "--force")
    assert workspace.verify().amiss == []
