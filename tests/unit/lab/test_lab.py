from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nornir_etcd.lab import Lab, LabError, network
from nornir_etcd.lab.cli import app
from nornir_etcd.lab.disk import Disk

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("delay", ["", "7s", "7-", "-7", "7-17-27", "a"])
def test_a_delay_is_seconds_or_a_range(delay: str) -> None:
    with pytest.raises(LabError, match="wanted seconds"):
        Lab("x", delay=delay)


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a" * 31])
def test_a_name_can_do_no_harm_in_a_path(name: str) -> None:
    with pytest.raises(LabError, match="wanted up to 30"):
        Lab(name)


@pytest.mark.parametrize("hosts", [0, -1, 201])
def test_the_number_of_hosts_has_bounds(hosts: int) -> None:
    with pytest.raises(LabError, match="wanted 1 to 200"):
        Lab("x", hosts=hosts)


@pytest.mark.parametrize("docker", [-1, 4])
def test_no_more_hosts_have_docker_than_there_are(docker: int) -> None:
    with pytest.raises(LabError, match="wanted 0 to 3"):
        Lab("x", hosts=3, docker=docker)


def test_addresses_differ_from_host_to_host_and_lab_to_lab() -> None:
    pairs = [(index, host) for index in (0, 1, 99) for host in (1, 2, 11, 210)]
    assert len({network.address(*pair) for pair in pairs}) == len(pairs)
    assert len({network.address6(*pair) for pair in pairs}) == len(pairs)
    assert network.address6(1, 11) == "fd77:6e65:1::b"


def test_interface_names_fit_the_kernel() -> None:
    assert len(network.veth(max(network.POOL), network.FIRST_NODE + network.MAX_HOSTS)) < 16


def test_a_path_of_a_host_has_its_place_on_the_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    assert disk.inside("/etc/hosts") == tmp_path / "upper/etc/hosts"
    assert disk.inside("/usr/local/bin/crictl") == tmp_path / "upper/usr-local/bin/crictl"
    with pytest.raises(ValueError, match="/usr/bin"):
        disk.inside("/usr/bin/x")


def test_a_lab_that_is_not_up_is_one_line_and_exit_code_2() -> None:
    done = CliRunner().invoke(app, ["ssh", "node-1", "--name", "nosuch"])
    assert done.exit_code == 2
    assert done.stderr == "lab nosuch: not up; nornir-etcd lab up --name nosuch\n"


def test_without_root_the_lab_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = CliRunner().invoke(app, ["up"])
    assert done.exit_code == 2
    assert "needs root" in done.stderr


def test_the_lab_imports_nothing_of_the_program() -> None:
    """Held against what is really imported, transitively: with the package's own __init__ left out of the way."""
    program = """
import sys, types
package = types.ModuleType("nornir_etcd"); package.__path__ = ["nornir_etcd"]; sys.modules["nornir_etcd"] = package
import nornir_etcd.lab.cli
import nornir_etcd.lab.host.kubelet, nornir_etcd.lab.host.crictl, nornir_etcd.lab.host.gateway
print(*(name for name in sys.modules if name.startswith(("nornir_etcd.", "nornir.", "netmiko", "paramiko", "etcd3"))))
"""
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert [name for name in done.stdout.split() if not name.startswith("nornir_etcd.lab")] == []


def test_no_etcd_version_but_the_default_is_written_in_the_lab() -> None:
    found = {
        version
        for path in (ROOT / "nornir_etcd/lab").rglob("*.py")
        for version in re.findall(r"\b3\.[3-9]\.\d+\b", path.read_text(encoding="utf-8"))
    }
    assert found == {"3.5.16"}
