"""Faults of Nornir's configuration and inventory files."""

from __future__ import annotations

from pathlib import Path

import pytest
from nornir.core import Nornir
from nornir.core.inventory import Defaults, Groups, Host, Hosts

from nornir_etcd.configuration import init_nornir
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.workflows.inventory import WholeInventory, whole_inventory

HOSTS = "node-1: {hostname: 192.0.2.11, groups: [etcd]}\n"
CONFIG = """
inventory:
  plugin: SimpleInventory
  options: {host_file: hosts.yaml, group_file: groups.yaml, defaults_file: defaults.yaml}
logging: {enabled: false}
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good workspace, and the working directory."""
    for name, content in {"config.yaml": CONFIG, "hosts.yaml": HOSTS, "groups.yaml": "etcd: {}\n"}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def faults() -> tuple[str, ...]:
    """Return what is wrong with the workspace."""
    with pytest.raises(InventoryError) as caught:
        init_nornir(Path("config.yaml"))
    assert not any("\n" in line for line in caught.value.problems)
    return caught.value.problems


BAD_FILES = {
    "list of hosts": ("hosts.yaml", b"- node-1\n", "hosts.yaml: wanted a mapping, found a list"),
    "text for hosts": ("hosts.yaml", b"node-1\n", "hosts.yaml: wanted a mapping, found text"),
    "broken hosts": ("hosts.yaml", b"node-1: [\n", "hosts.yaml: line 2: wanted YAML, "),
    "binary hosts": ("hosts.yaml", bytes(range(256)), "hosts.yaml: wanted YAML as utf-8 text, found other bytes"),
    "control character": ("hosts.yaml", b"node-1: \x1b[2J\n", "hosts.yaml: wanted YAML as utf-8 text, "),
    "UTF-16 hosts": ("hosts.yaml", HOSTS.encode("utf-16"), "hosts.yaml: wanted YAML as utf-8 text, "),
    "twice the same": ("hosts.yaml", b"a: {}\na: {}\n", 'hosts.yaml: line 2: wanted YAML, found duplicate key "a"'),
    "object": ("hosts.yaml", b"a: !!python/object/apply:os.system [x]\n", "hosts.yaml: line 1: wanted YAML, "),
    "host of text": ("hosts.yaml", b"node-1: x\n", "hosts.yaml: node-1: wanted a mapping, found text"),
    "host of nothing": ("hosts.yaml", b"node-1:\n", "hosts.yaml: node-1: wanted a mapping, found nothing"),
    "host with a number": ("hosts.yaml", b"1: {groups: [etcd]}\n", "hosts.yaml: 1: wanted text, found a number"),
    "port of text": ("hosts.yaml", b"a: {port: '22'}\n", "hosts.yaml: a: port: wanted a number, found text"),
    "groups of text": ("hosts.yaml", b"a: {groups: etcd}\n", "hosts.yaml: a: groups: wanted a list, found text"),
    "list of data": ("hosts.yaml", b"a: {data: [x]}\n", "hosts.yaml: a: data: wanted a mapping, found a list"),
    "variable beside data": (
        "hosts.yaml",
        b"a: {etcd_version: 3.5.16-0}\n",
        "hosts.yaml: a: etcd_version: no such key; a variable stands under data",
    ),
    "options of text": (
        "hosts.yaml",
        b"a: {connection_options: {netmiko: x}}\n",
        "hosts.yaml: a: connection_options: netmiko: wanted a mapping, found text",
    ),
    "unknown group": (
        "hosts.yaml",
        b"a: {groups: [etdc]}\n",
        "host a: groups: wanted a group of the inventory (etcd), found 'etdc'",
    ),
    "group in itself": (
        "groups.yaml",
        b"etcd: {groups: [b]}\nb: {groups: [etcd]}\n",
        "group etcd: groups: wanted no circle, found that the group is in itself",
    ),
    "list of defaults": ("defaults.yaml", b"data: [a]\n", "defaults.yaml: data: wanted a mapping, found a list"),
    "broken configuration": ("config.yaml", b"a: [\n", "config.yaml: line 2: wanted YAML, "),
    "binary configuration": ("config.yaml", bytes(range(256)), "config.yaml: wanted YAML as utf-8 text, "),
    "empty configuration": ("config.yaml", b"", "config.yaml: wanted a mapping, "),
    "list as configuration": ("config.yaml", b"- a\n", "config.yaml: wanted a mapping, "),
    "missing hosts": (
        "config.yaml",
        b"inventory: {options: {host_file: inventory/hosts.yaml}}\n",
        "inventory/hosts.yaml: wanted a file that can be read, found: No such file or directory",
    ),
}


@pytest.mark.parametrize(("name", "content", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_told_by_its_place(workspace: Path, name: str, content: bytes, said: str) -> None:
    (workspace / name).write_bytes(content)
    assert faults()[0].startswith(said)


def test_every_fault_of_every_file_is_told_at_once(workspace: Path) -> None:
    (workspace / "hosts.yaml").write_text("a: {port: x, hostnam: y}\nb: {groups: [no]}\nc: []\n", encoding="utf-8")
    (workspace / "groups.yaml").write_text("etcd: {data: 1}\n", encoding="utf-8")
    told = faults()
    assert {line.partition(":")[0] for line in told} == {"hosts.yaml", "groups.yaml"}
    assert len(told) == 4


def test_no_value_of_a_bad_inventory_is_told(workspace: Path) -> None:
    for content in (
        "a: {password: [hunter2]}\n",
        "a: {password: hunter2, password: hunter2}\n",
        "a: {password: [hunter2\n",
    ):
        (workspace / "hosts.yaml").write_text(content, encoding="utf-8")
        assert "hunter2" not in " ".join(faults())


def test_good_files_are_nornirs(workspace: Path) -> None:
    (workspace / "hosts.yaml").write_text(
        "node-1:\n  hostname: 192.0.2.11\n  port: 22\n  groups: [etcd]\n  data: {1: one, rack: }\n"
        "  connection_options: {netmiko: {extras: {use_keys: true}}}\nnode-2: {}\nnode-3: {groups: , data: }\n",
        encoding="utf-8",
    )
    nr = init_nornir(Path("config.yaml"))
    assert list(nr.inventory.hosts) == ["node-1", "node-2", "node-3"]
    assert nr.inventory.hosts["node-1"].port == 22


def test_files_that_may_be_missing_may_be_missing(workspace: Path) -> None:
    (workspace / "groups.yaml").unlink()
    assert faults() == ("host node-1: groups: wanted a group of the inventory (none), found 'etcd'",)
    (workspace / "hosts.yaml").write_text("node-1: {}\n", encoding="utf-8")
    assert list(init_nornir(Path("config.yaml")).inventory.hosts) == ["node-1"]


def test_an_inventory_is_loaded_again_only_where_some_of_it_was_filtered_out(workspace: Path) -> None:
    (workspace / "hosts.yaml").write_text("node-1: {}\nnode-2: {}\n", encoding="utf-8")
    nr = init_nornir(Path("config.yaml"))
    assert whole_inventory(nr) is nr.inventory
    assert list(whole_inventory(nr.filter(name="node-2")).hosts) == ["node-1", "node-2"]


def test_a_filtered_nornir_whose_inventory_cannot_be_loaded_again_is_refused(workspace: Path) -> None:
    (workspace / "hosts.yaml").write_text("node-1: {}\nnode-2: {}\n", encoding="utf-8")
    filtered = init_nornir(Path("config.yaml")).filter(name="node-2")
    (workspace / "hosts.yaml").unlink()
    with pytest.raises(InventoryError, match=r"to load the inventory again.*hosts\.yaml.*WholeInventory"):
        whole_inventory(filtered)


def test_an_inventory_made_in_memory_is_taken_for_whole_where_it_says_so() -> None:
    hosts = Hosts({"node-1": Host("node-1")})
    nr = Nornir(WholeInventory(hosts, Groups(), Defaults()))
    assert whole_inventory(nr) is nr.inventory
