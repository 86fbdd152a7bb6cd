"""What schedule/ has, against a real etcd: its metrics are there by these names, and the CronJob's command works."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.contract.etcd_cluster import EtcdCluster, Node, loopback_addresses
from tests.unit.program import PROGRAM, ROOT, run
from tests.unit.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.contract

SCHEDULE = ROOT / "schedule"
PROBES = 60
"""Seconds; peers probe each other every few."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members: one alone has no round trips to tell of."""
    folder = tmp_path_factory.mktemp("schedule")
    nodes = [Node(f"m{number}", address, folder) for number, address in enumerate(loopback_addresses(3))]
    with EtcdCluster(folder, nodes=nodes) as cluster:
        cluster.wait_healthy()
        yield cluster


def metrics(cluster: EtcdCluster) -> str:
    """What a member tells Prometheus."""
    files = cluster.client_files
    context = ssl.create_default_context(cafile=str(cluster.ca.path))
    context.load_cert_chain(files.cert, files.key)
    with urllib.request.urlopen(f"{cluster.nodes[0].client_url}/metrics", context=context, timeout=10) as answer:  # noqa: S310 - ours
        text: str = answer.read().decode()
    return text


def test_the_command_of_the_cron_job_verifies_and_its_metrics_are_sound(cluster: EtcdCluster, tmp_path: Path) -> None:
    job = yaml.safe_load((SCHEDULE / "kubernetes" / "cronjob.yaml").read_text(encoding="utf-8"))
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    files = cluster.client_files
    here = {
        "--endpoints": ",".join(node.client_url for node in cluster.nodes),
        "--cacert": str(cluster.ca.path),
        "--cert": str(files.cert),
        "--key": str(files.key),
    }
    names = [argument.partition("=")[0] for argument in container["args"]]
    argv = [f"{name}={here[name]}" if name in here else name for name in names]
    done = run(PROGRAM, *argv, "--output", "etcd.prom", cwd=tmp_path)
    assert done.code == 1, done.err  # the releases of the test's etcd are known to be bad
    text = (tmp_path / "etcd.prom").read_text(encoding="utf-8")
    assert text.count("\nnornir_etcd_member_healthy{") == 3
    assert "nornir_etcd_member_ssh_reachable{" not in text
    assert "\nx509_cert_not_after{" in text
    promtool = need("promtool", "prometheus")
    checked = subprocess.run(  # noqa: S603 - Prometheus' own tool
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_etcd_has_the_metrics_that_the_rules_read(cluster: EtcdCluster) -> None:
    """A member is stopped, since what failed between peers is told of only where something did."""
    document = yaml.safe_load((SCHEDULE / "rules" / "etcd.rules.yaml").read_text(encoding="utf-8"))
    (group,) = (group for group in document["groups"] if group["name"] == "etcd")
    texts = [re.sub(r'"[^"]*"', "", rule["expr"]) for rule in group["rules"]]
    read = {name for text in texts for name in re.findall(r"\b(?:etcd|grpc)_\w+(?={)", text)}
    assert len(read) > 8
    cluster.nodes[-1].stop()
    deadline = time.monotonic() + PROBES
    while missing := read - set(re.findall(r"^(\w+)(?=[ {])", metrics(cluster), re.MULTILINE)):
        assert time.monotonic() < deadline, missing
        time.sleep(0.5)
