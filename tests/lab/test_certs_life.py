"""Certificates for life, under a writer: renewed without a restart, their CA replaced without an outage.

The writer puts a key through each member in turn every 10 ms, opens new connections all the time, and reads all of it
back from every member at the end.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.pki.authority import Authority, load_authority, make_authority
from nornir_etcd.pki.leaf import client_request, issue, member_request
from nornir_etcd.signers.local import CertificateStore
from tests.faults.boundaries import Watched
from tests.lab.workspace import ETCDCTL, Run, Workspace
from tests.lab.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab
    from tests.lab.verdict import Verdict

pytestmark = pytest.mark.lab

OWN = ("--set", "etcd_ca=dedicated")
READY = ("--clients-trust-new", "--clients-use-new")
MAX_RUNS = 60
NODES = ("node-1", "node-2", "node-3")


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory(data={"etcd_timeout": 5})
    return made


def certs(workspace: Workspace, *words: str, code: int = 0) -> Run:
    """Run a command of certs and hold it to an exit code."""
    run = workspace.run("certs", *words)
    assert run.code == code, f"{run.out}\n{run.err}"
    return run


def folder(workspace: Workspace) -> Path:
    return workspace.directory / "certs/example"


def authority(workspace: Workspace, place: Path | None = None) -> Authority:
    """Return the cluster's CA, or the one in a folder."""
    where = place or folder(workspace)
    pair = ((where / name).read_bytes() for name in ("ca.pem", "ca-key.pem"))
    return load_authority(*pair, now=datetime.now(tz=timezone.utc))


def client(workspace: Workspace, name: str, by: Authority, trusted: bytes) -> tuple[Path, Path, Path]:
    """Write the files of a client of etcd: what it trusts, its certificate and its key."""
    leaf = issue(by, client_request(name), now=datetime.now(tz=timezone.utc))
    paths = tuple(workspace.directory / f"{name}.{part}" for part in ("ca", "crt", "key"))
    for path, content in zip(paths, (trusted, leaf.certificate_pem, leaf.key_pem), strict=True):
        path.write_bytes(content)
    return paths[0], paths[1], paths[2]


def writer(workspace: Workspace, *identities: tuple[Path, Path, Path]) -> Writer:
    endpoints = [f"https://{node.address}:2379" for node in workspace.lab.nodes]
    return Writer(workspace.directory / "writer", endpoints, identities)


def serials(workspace: Workspace) -> dict[str, set[str]]:
    """The serials of what each member serves on its two ports."""
    report = certs(workspace, "status", *OWN if (folder(workspace) / "trust.json").exists() else ()).cluster
    return {
        member["name"]: {one["serial"] for one in member["certificates"] if one["place"] in {"client", "peer"}}
        for member in report["members"]
    }


def nothing_was_lost(verdict: Verdict) -> None:
    assert verdict.ok, verdict.judgement
    assert not verdict.failed_twice, verdict.failed_twice[:3]


def test_every_certificate_is_renewed_under_load_and_no_member_restarted(workspace: Workspace) -> None:
    workspace.deploy()
    before, containers = serials(workspace), workspace.containers()
    ca = authority(workspace)
    with writer(workspace, client(workspace, "writer", ca, ca.pem)) as writing:
        run = certs(workspace, "renew", "--force")
        writing.wait(10)
        verdict = writing.stop()
    assert {step["action"] for step in run.cluster["plan"]} == {"issue-client", "issue-certificate", "place-files"}
    assert not any(step["disruptive"] for step in run.cluster["plan"])
    after = serials(workspace)
    assert all(len(one) == 1 for one in after.values())
    assert not any(before[name] & after[name] for name in NODES)
    assert workspace.containers() == containers
    nothing_was_lost(verdict)
    assert sum(one.made for one in verdict.handshakes) > 3
    assert certs(workspace, "renew").cluster["outcome"] == "unchanged"


def test_a_renewal_within_days_leaves_alone_what_holds_longer(workspace: Workspace) -> None:
    workspace.inventory(data={"etcd_cert_days": 100})
    workspace.deploy()
    assert certs(workspace, "renew", "--within", "90").cluster["outcome"] == "unchanged"
    planned = certs(workspace, "renew", "--within", "101", "--dry-run")
    assert planned.cluster["outcome"] == "planned"
    assert "expires in 99 days, renewed below 101" in planned.steps("issue-certificate")[0]["reason"]


def test_the_ca_is_replaced_under_load_and_either_certificate_works_until_the_last_phase(workspace: Workspace) -> None:
    workspace.deploy()
    former = authority(workspace)
    old = client(workspace, "old", former, former.pem)
    with writer(workspace, old) as writing:
        first = certs(workspace, "rotate-ca", *OWN)
        assert "run this again with --clients-trust-new" in first.out
        assert first.cluster["authority"]["phase"] == "trust-both"
        (place,) = (folder(workspace) / "authorities").iterdir()
        new_ca, both = authority(workspace, place), (folder(workspace) / "trusted.pem").read_bytes()
        old[0].write_bytes(both)
        new = client(workspace, "new", new_ca, both)
        writing.change(identities=[old, new])
        writing.wait(40)
        second = certs(workspace, "rotate-ca", *OWN, "--clients-trust-new")
        assert second.cluster["authority"]["phase"] == "new-leaves"
        assert not second.steps("replace-manifest"), "new certificates restart nobody"
        writing.wait(40)
        writing.change(identities=[new])
        third = certs(workspace, "rotate-ca", *OWN, *READY)
        writing.wait(40)
        verdict = writing.stop()
    nothing_was_lost(verdict)
    for run in (first, second, third):
        for step in run.steps("replace-manifest"):
            began = datetime.fromisoformat(step["started_at"]).timestamp()
            gaps = verdict.gaps_between(began, began + step["seconds"])
            assert max((gap.seconds for gap in gaps), default=0.0) < 5, "at most one election's pause"
    assert {(one.identity, bool(one.made)) for one in verdict.handshakes} >= {(str(old[1]), True), (str(new[1]), True)}
    assert third.cluster["authority"] == {
        "kind": "dedicated",
        "phase": "settled",
        "signer": third.cluster["authority"]["signer"],
        "trusted": [third.cluster["authority"]["signer"]],
    }
    files = f"--cacert={new[0]} --cert={old[1]} --key={old[2]}"
    get = f"ETCDCTL_API=3 {ETCDCTL.split()[0]} --endpoints=https://{workspace.lab.nodes[0].address}:2379 {files} get x"
    root = workspace.lab.root("node-1")
    for path in (*old, *new):  # the host sees a folder of its own
        (root / "tmp" / path.name).write_bytes(path.read_bytes())
    get = get.replace(f"{workspace.directory}/", "/tmp/")  # noqa: S108 - the lab host's own
    assert workspace.lab.run("node-1", get, check=False).returncode, "the former CA's certificates are refused"
    assert workspace.lab.run("node-1", get.replace("/old.", "/new.")).returncode == 0
    assert (folder(workspace) / "ca.pem").read_bytes() == former.pem, "the cluster's CA is as it was"
    assert workspace.run("verify", *OWN).amiss == []
    assert certs(workspace, "rotate-ca", *OWN, *READY).cluster["outcome"] == "unchanged"


def test_a_rotation_that_is_killed_at_every_boundary_is_completed_by_the_same_command(workspace: Workspace) -> None:
    workspace.deploy()
    former = authority(workspace)
    command = ("certs", "rotate-ca", *OWN, *READY)
    struck: set[tuple[str, str]] = set()
    with writer(workspace, client(workspace, "writer", former, former.pem)) as writing:
        for _ in range(MAX_RUNS):
            with Watched(workspace, *command) as run:
                event = run.next()
                while event is not None and (event["event"], event["step"].rpartition("/")[2]) in struck:
                    event = run.next()
                run.kill()
                if event is None:
                    assert run.process.returncode == 0, (workspace.directory / "out").read_text()
                    break
                struck.add((event["event"], event["step"].rpartition("/")[2]))
            follow(workspace, writing)
        else:
            raise AssertionError(f"no run got through: {struck}")
        writing.wait(10)
        verdict = writing.stop()
    nothing_was_lost(verdict)
    actions = {"add-ca", "switch-signer", "retire-ca", "issue-certificate", "place-files", "replace-manifest"}
    assert {("step-started", action) for action in actions} | {
        ("step-finished", action) for action in actions
    } <= struck
    assert certs(workspace, "status", *OWN).cluster["authority"]["phase"] == "settled"
    assert workspace.run("verify", *OWN).amiss == []


def follow(workspace: Workspace, writing: Writer) -> None:
    """Let the writer be a client as a rotation wants it by now: it trusts both CAs, or has a certificate of the new."""
    places = list((folder(workspace) / "authorities").glob("*/ca.pem"))
    if not places:
        return
    former, new = authority(workspace), authority(workspace, places[0].parent)
    writing.change(identities=[client(workspace, "writer", former, former.pem + new.pem)])
    if '"cluster",' not in (folder(workspace) / "trust.json").read_text():
        writing.change(identities=[client(workspace, "writer2", new, former.pem + new.pem)])


def test_certificates_that_have_expired_on_all_members_are_renewed_and_the_cluster_is_back(
    workspace: Workspace,
) -> None:
    now = datetime.now(tz=timezone.utc)
    ca = make_authority("example CA", now=now - timedelta(days=500))  # leaves that have expired want an older one
    CertificateStore(folder(workspace)).write_authority(ca)
    workspace.deploy()
    workspace.lab.run("node-1", f"{ETCDCTL} put before expiry")
    for node in workspace.lab.nodes:
        leaf = issue(ca, member_request(node.name, node.address), now=now - timedelta(days=400))
        for place, name in ((folder(workspace) / "members", node.name), (host_folder(workspace, node.name), "etcd")):
            (place / f"{name}.pem").write_bytes(leaf.certificate_pem)
            (place / f"{name}-key.pem").write_bytes(leaf.key_pem)
    # Connections that are open live on; a restart, as of a node, ends them.
    before = workspace.containers()
    for node in NODES:
        workspace.lab.kill(node)
        workspace.lab.start(node)
    down = workspace.run("verify")
    assert {one["subject"] for one in down.findings("cert.expiring", "critical")} == set(NODES), down.out
    assert down.findings("cluster.quorum", "critical") or down.findings("cluster.quorum", "unknown"), down.out
    certs(workspace, "renew")
    for node in NODES:
        workspace.await_restart(node, before[node])
    assert "expiry" in workspace.lab.run("node-2", f"{ETCDCTL} get before").stdout
    assert workspace.verify().amiss == []


def host_folder(workspace: Workspace, node: str) -> Path:
    """Return the folder of etcd's files on a host, as this machine sees it."""
    folder = workspace.lab.root(node) / "etc/kubernetes/pki/etcd"
    return folder / (folder / "..data").readlink()
