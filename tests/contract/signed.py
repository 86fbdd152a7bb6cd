"""CAs of other tools, and clusters whose certificates the program's own signers made."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from nornir_etcd.pki.leaf import client_request, member_request
from nornir_etcd.signers.sign import sign
from tests.contract.etcd_cluster import Files, TestCa
from tests.unit.builders import make_cluster

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nornir_etcd.pki.authority import Authority
    from nornir_etcd.pki.keys import KeyType
    from nornir_etcd.settings import Settings

TIMEOUT = 60  # seconds: keys of 4096 bits


def now() -> datetime:
    """Return the present time."""
    return datetime.now(timezone.utc)


def run(*argv: str | Path, cwd: Path, stdin: str | None = None) -> str:
    """Run a tool to its end and return what it prints; the test fails where it does."""
    done = subprocess.run(  # noqa: S603 - a tool of the tests', with arguments of their own
        [str(word) for word in argv], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cfssl_ca(cfssl: Path, folder: Path, algorithm: str, size: int) -> tuple[bytes, bytes]:
    """Return certificate and key of a CA that cfssl made, as its users do: gencert -initca."""
    key = {"algo": algorithm, **({"size": size} if size else {})}
    request = {"CN": "kubernetes", "key": key, "names": [{"C": "CN", "L": "BeiJing", "O": "k8s", "OU": "System"}]}
    made = json.loads(run(cfssl, "gencert", "-initca", "-loglevel=3", "-", cwd=folder, stdin=json.dumps(request)))
    return made["cert"].encode(), made["key"].encode()


def kubeadm_ca(folder: Path) -> tuple[bytes, bytes]:
    """Return ca.crt and ca.key as kubeadm writes them: RSA 2048, PKCS#1, no critical extension but two."""
    run("openssl", "genrsa", "-traditional", "-out", "ca.key", "2048", cwd=folder)
    run(
        *("openssl", "req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-subj", "/CN=kubernetes"),
        *("-days", "3650", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "subjectAltName=DNS:kubernetes"),
        *("-addext", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign"),
        cwd=folder,
    )
    return (folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes()


def settings(signer: str, cfssl: Path | None = None) -> Settings:
    """Return the settings of a member whose cluster has this signer."""
    data: dict[str, Any] = {"cert_signer": signer}
    if cfssl is not None:
        data["cfssl_dir"] = str(cfssl.parent)
    return make_cluster(1, **data).members[0].settings


class SignedCa(TestCa):
    """What an EtcdCluster gets its certificates from: a CA, through one of the program's signers."""

    __test__ = False

    def __init__(  # the CA is there already
        self, directory: Path, authority: Authority, by: Settings, key_type: KeyType = "ecdsa-p256"
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.authority, self.by, self.key_type = directory, authority, by, key_type
        self.path = directory / "ca.pem"
        self.path.write_bytes(authority.pem)

    def leaf(self, name: str, sans: Sequence[str] = (), *, end_days: float = 30) -> Files:
        """Have a certificate signed: of a member where there are names, else of a client."""
        key_type, days = self.key_type, int(end_days)
        request = client_request(name, days, key_type)
        if sans:
            request = member_request(name, sans[2], days=days, key_type=key_type)  # name, localhost, address, ...
        made = sign(self.authority, request, self.by, now=now())
        files = Files(self.directory / f"{name}.pem", self.directory / f"{name}-key.pem")
        files.cert.write_bytes(made.certificate_pem)
        files.key.touch(mode=0o600)
        files.key.write_bytes(made.key_pem)
        return files
