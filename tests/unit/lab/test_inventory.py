from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from nornir import InitNornir

from nornir_etcd.lab import Node, inventory

if TYPE_CHECKING:
    from nornir.core import Nornir

LAB: Any = SimpleNamespace(
    key_file=Path("/run/lab/id_ed25519"),
    known_hosts=Path("/run/lab/known_hosts"),
    nodes=[
        Node("node-1", "10.77.0.11", "fd77::b", "containerd"),
        Node("node-2", "10.77.0.12", "fd77::c", "docker"),
    ],
)


def load(directory: Path, **options: Any) -> Nornir:
    given: dict[str, Any] = {"groups": {}, "hosts": {}, "defaults": {}, "ipv6": False} | options
    ipv6 = given.pop("ipv6")
    contents = inventory.contents(LAB, given["groups"], given["hosts"], given["defaults"], ipv6=ipv6)
    return InitNornir(config_file=str(inventory.write(directory / "new", contents)))


def test_nornir_loads_it_and_would_check_host_keys(tmp_path: Path) -> None:
    nr = load(tmp_path)
    assert {name: host.hostname for name, host in nr.inventory.hosts.items()} == {
        "node-1": "10.77.0.11",
        "node-2": "10.77.0.12",
    }
    parameters = nr.inventory.hosts["node-1"].get_connection_parameters("netmiko")
    assert (parameters.username, parameters.platform) == ("root", "linux")
    assert parameters.extras == {
        "use_keys": True,
        "key_file": "/run/lab/id_ed25519",
        "ssh_strict": True,
        "alt_host_keys": True,
        "alt_key_file": "/run/lab/known_hosts",
    }


def test_data_of_groups_hosts_and_defaults_is_there(tmp_path: Path) -> None:
    nr = load(
        tmp_path,
        groups={"etcd": {"data": {"etcd_version": "1"}}, "more": {"data": {"a": 1}}},
        hosts={"node-1": {"deploy_name": "first"}, "node-2": None},
        defaults={"registry": "r"},
    )
    assert list(nr.inventory.hosts) == ["node-1"]
    host = nr.inventory.hosts["node-1"]
    assert [host["deploy_name"], host["etcd_version"], host["registry"]] == ["first", "1", "r"]
    assert nr.inventory.groups["more"]["a"] == 1
    assert host.get_connection_parameters("netmiko").extras


def test_a_host_with_docker_says_so_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    hosts = load(tmp_path).inventory.hosts
    assert {name: host.get("container_runtime") for name, host in hosts.items()} == {
        "node-1": None,
        "node-2": "docker",
    }
    other = load(tmp_path, hosts={"node-2": {"container_runtime": "containerd"}}).inventory.hosts["node-2"]
    assert other["container_runtime"] == "containerd"


@pytest.mark.parametrize(("ipv6", "address"), [(False, "10.77.0.11"), (True, "fd77::b")])
def test_either_family_of_addresses_can_be_had(tmp_path: Path, ipv6: bool, address: str) -> None:
    assert load(tmp_path, ipv6=ipv6).inventory.hosts["node-1"].hostname == address
