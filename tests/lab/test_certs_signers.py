"""Certificates signed by cfssl with a CA whose key is encrypted, on lab hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab import cache
from nornir_etcd.pki import keys
from tests.lab import leaks
from tests.lab.workspace import ETCDCTL, Run, Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

NODES = ("node-1", "node-2", "node-3")
PASSPHRASE = "PASS-NOT-SHOWN"  # noqa: S105 - the point of the test
PKI = "/etc/kubernetes/pki"
CFSSL = """\
#!/bin/sh
printf '%s\\n' "$*" >>{record}
exec {real} "$@"
"""


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    """Its cfssl is the lab's own, behind a script that keeps a record of what it was started with."""
    made = Workspace(fresh_lab, tmp_path)
    passphrase = tmp_path / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(f"{PASSPHRASE}\n")
    program = tmp_path / "bin/cfssl"
    program.parent.mkdir()
    program.write_text(CFSSL.format(record=tmp_path / "cfssl.log", real=cache.ready().cfssl))
    program.chmod(0o755)
    settings = {"cert_signer": "cfssl", "cfssl_dir": str(program.parent), "etcd_ca_passphrase_file": str(passphrase)}
    made.inventory(data=settings)
    return made


def signatures(workspace: Workspace) -> int:
    """Count how often cfssl was started to sign."""
    record = (workspace.directory / "cfssl.log").read_text()
    assert set(record.split()) >= {"version", "sign"}
    return sum(line.startswith("sign ") for line in record.splitlines())


def secrets(workspace: Workspace) -> list[str]:
    """The passphrase, every key as it lies in the folder, and the CA's key as it is without its passphrase."""
    encrypted = (workspace.directory / "certs/example/ca-key.pem").read_bytes()
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in encrypted
    plain = keys.dump(keys.load(encrypted, PASSPHRASE.encode())).decode()
    bare = [line for line in plain.splitlines() if not line.startswith("-----")]
    return [PASSPHRASE, *bare, *leaks.keys(workspace.directory / "certs")]


def serials(run: Run) -> dict[str, set[str]]:
    """The serials of what each member serves on its two ports."""
    return {
        member["name"]: {one["serial"] for one in member["certificates"] if one["place"] in {"client", "peer"}}
        for member in run.cluster["members"]
    }


def holds(workspace: Workspace) -> None:
    """The role's own two commands, and openssl on every host, find a sound cluster."""
    lab = workspace.lab
    assert lab.run("node-1", f"{ETCDCTL} member list -w table").stdout.count("started") == 3
    health = lab.run("node-3", f"{ETCDCTL} endpoint health --cluster")
    assert (health.stdout + health.stderr).count("is healthy") == 3
    for node in NODES:
        for purpose in ("sslserver", "sslclient"):
            verify = f"openssl verify -x509_strict -purpose {purpose} -CAfile {PKI}/etcd/ca.pem {PKI}/etcd.pem"
            assert lab.run(node, verify).stdout.strip() == f"{PKI}/etcd.pem: OK"


def test_cfssl_signs_a_deployment_and_its_renewal_and_no_secret_is_told(workspace: Workspace) -> None:
    first, arguments = leaks.watched(workspace, "deploy")
    assert first.code == 0, first.out + first.err
    assert first.amiss == []
    assert signatures(workspace) == 4, "three members and the controller"
    known = secrets(workspace)
    leaks.hold_nothing(workspace, first, arguments, known)
    holds(workspace)

    before, containers = {node: workspace.fingerprint(node) for node in NODES}, workspace.containers()
    second = workspace.deploy()
    assert (second.cluster["outcome"], second.cluster["plan"]) == ("unchanged", [])
    assert {node: workspace.fingerprint(node) for node in NODES} == before
    assert signatures(workspace) == 4

    served = serials(workspace.run("certs", "status"))
    renewed, arguments = leaks.watched(workspace, "certs", "renew", "--force")
    assert renewed.code == 0, renewed.out + renewed.err
    assert signatures(workspace) == 8
    leaks.hold_nothing(workspace, renewed, arguments, [*known, *secrets(workspace)])
    now = serials(workspace.run("certs", "status"))
    assert all(len(now[node]) == 1 and not now[node] & served[node] for node in NODES)
    assert workspace.containers() == containers
    holds(workspace)
    assert workspace.verify().amiss == []
    told = (workspace.directory / "cfssl.log").read_text()
    assert not [secret for secret in secrets(workspace) if secret in told]
