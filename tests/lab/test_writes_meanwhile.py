"""What an operation costs the clients of a cluster: nothing that was acknowledged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.workspace import Workspace
from tests.lab.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab


def test_a_roll_and_new_certificates_lose_no_acknowledged_write(fresh_lab: Lab, tmp_path: Path) -> None:
    workspace = Workspace(fresh_lab, tmp_path)
    workspace.inventory()
    workspace.deploy()
    certs = tmp_path / "certs/example"
    identity = (certs / "ca.pem", certs / "client.pem", certs / "client-key.pem")
    urls = [f"https://{node.address}:2379" for node in fresh_lab.nodes]
    with Writer(tmp_path / "writer", urls, [identity]) as writer:
        renewed = workspace.run("certs", "--set", 'etcd_extra_sans=["etcd.example.org"]')
        assert renewed.code == 0, renewed.out + renewed.err
        writer.wait(25)  # each member over a connection made since
        rolls = time.time()
        workspace.deploy(
            "--set", 'etcd_extra_sans=["etcd.example.org"]', "--set", "etcd_quota_backend_bytes=3221225472"
        )
        rolled = time.time()
        writer.wait(25)
        verdict = writer.stop()
    assert verdict.ok, verdict.judgement
    assert [failure for failure in verdict.failed_twice if not rolls < failure.first.time < rolled] == []
    before = [failure for failure in verdict.failed if failure.first.time < rolls]
    assert len(before) <= len(urls), before  # a handshake that straddles the switch
    assert {failure.first.endpoint for failure in verdict.failed if failure.first.time > rolls} == set(urls)
