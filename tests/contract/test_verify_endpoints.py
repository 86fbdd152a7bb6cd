"""verify on the command line without any inventory: a real etcd, its endpoints and a client certificate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.contract.etcd_cluster import EtcdCluster
from tests.unit.program import PROGRAM, Done, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.contract

SOUND = ("--check", "cluster", "--check", "client", "--check", "member.*", "--skip", "member.disk")
"""What holds of members that are healthy, however old their release and however short-lived their certificates."""


@pytest.fixture
def three(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three members, healthy."""
    with EtcdCluster(tmp_path, 3) as cluster:
        cluster.wait_healthy()
        yield cluster


def verify(cluster: EtcdCluster, *words: str) -> Done:
    """Run verify with nothing but endpoints and certificates."""
    endpoints = ",".join(node.client_url for node in cluster.nodes)
    files = cluster.client_files
    options = ("--cacert", str(cluster.ca.path), "--cert", str(files.cert), "--key", str(files.key))
    return run(PROGRAM, "verify", "--endpoints", endpoints, *options, *words, cwd=cluster.directory)


def test_endpoints_alone_are_verified_and_nothing_is_left_behind_but_the_reports(three: EtcdCluster) -> None:
    before = {path.name for path in three.directory.iterdir()}
    done = verify(three, *SOUND, "--output", "report.json", "--output", "etcd.prom")
    assert (done.code, done.err) == (0, "")
    assert {path.name for path in three.directory.iterdir()} - before == {"report.json", "etcd.prom"}
    (cluster,) = json.loads((three.directory / "report.json").read_text(encoding="utf-8"))["clusters"]
    assert [member["healthy"] for member in cluster["members"]] == [True] * 3
    assert {one["severity"] for one in cluster["findings"]} == {"ok"}
    assert {"cluster.hash", "member.db.size", "member.unhealthy"} <= {one["code"] for one in cluster["findings"]}
    assert cluster["mesh"] == [], "of peer ports nothing is known"


def test_a_member_that_is_down_is_critical_and_every_doubt_is_told(three: EtcdCluster) -> None:
    three.nodes[2].stop()
    nagios = verify(three, *SOUND, "--exit-style", "nagios", "--output", "report.json")
    assert (nagios.code, nagios.err) == (2, "")
    assert nagios.out.startswith("ETCD CRITICAL - verify: 2 of 3 members healthy, ")
    (cluster,) = json.loads((three.directory / "report.json").read_text(encoding="utf-8"))["clusters"]
    gone = {one["code"]: one["severity"] for one in cluster["findings"] if three.nodes[2].address in one["subject"]}
    assert gone["client.unreachable"] == gone["member.unhealthy"] == "critical"
    assert gone["member.db.size"] == "unknown"


def test_what_does_not_fit_is_told_before_anything_is_asked(three: EtcdCluster) -> None:
    other = str(three.directory / "none.pem")
    wrong = verify(three, "--cacert", other)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith(f"error: cacert: {other}: wanted a file that can be read, found: No such file")
