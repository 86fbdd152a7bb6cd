"""Which files are read, and what is said of those that cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nornir_etcd.ansible import sources
from nornir_etcd.exceptions import InventoryError
from tests.unit.ansible.theirs import DATA

if TYPE_CHECKING:
    from pathlib import Path


def refused(path: Path, content: bytes | str = b"", mode: int = 0o644) -> str:
    """The one line in which a file is refused, from its name on."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    with pytest.raises(InventoryError) as caught:
        sources.read([path])
    (line,) = caught.value.problems
    assert line.startswith(str(path))
    return line.removeprefix(str(path.parent) + "/")


def test_a_program_is_refused_with_the_way_to_its_hosts(tmp_path: Path) -> None:
    line = refused(tmp_path / "inventory.py", "#!/usr/bin/env python3\nprint('{}')\n", 0o755)
    assert line == (
        "inventory.py: wanted an INI or YAML inventory, found a program (a dynamic one); save what it says: "
        f"`ansible-inventory -i {tmp_path}/inventory.py --list --yaml > hosts.yaml`"
    )
    assert "found a program" in refused(tmp_path / "elf", b"\x7fELF\x02\x01\xff\xfe", 0o755)


def test_the_configuration_of_a_plugin_is_refused(tmp_path: Path) -> None:
    line = refused(tmp_path / "aws_ec2.yml", "plugin: amazon.aws.aws_ec2\nregions: [x]\n")
    assert "found the configuration of a plugin (a dynamic one); save what it says" in line


def test_a_static_inventory_may_be_executable_as_on_file_systems_where_all_is(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("[etcd]\nm1\n", encoding="utf-8")
    path.chmod(0o777)
    assert sources.read([path]).members("etcd") == ["m1"]


def test_what_is_neither_ini_nor_yaml_is_told_in_one_line(tmp_path: Path) -> None:
    assert refused(tmp_path / "hosts", "<xml> nothing = of it</xml>\n") == (
        "hosts: wanted an INI or YAML inventory, found neither; as INI, line 1: "
        "wanted NAME=VALUE behind the host <xml>, found a word without ="
    )
    assert refused(tmp_path / "bytes", b"\xff\xfe\x00") == "bytes: wanted text in UTF-8, found other bytes"
    assert refused(tmp_path / "list.yml", "- a\n- b\n") == (
        "list.yml: wanted a YAML inventory, a mapping of groups, found something else or nothing"
    )
    assert refused(tmp_path / "open.yml", "all: [\n").startswith("open.yml:2: wanted YAML, ")
    assert refused(tmp_path / "hosts.toml", "[etcd]\n").startswith(
        "hosts.toml: wanted an INI or YAML inventory, found TOML"
    )
    assert "found one of Ansible's vault" in refused(tmp_path / "vault.ini", "$ANSIBLE_VAULT;1.1;AES256\n3636\n")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InventoryError) as caught:
        sources.read([tmp_path / "a", tmp_path / "b"])
    assert caught.value.problems == tuple(
        f"{tmp_path}/{name}: wanted a file that can be read, found: No such file or directory" for name in "ab"
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(InventoryError, match=r"wanted an inventory of Ansible's, found no file of one"):
        sources.read([tmp_path / "empty"])


YAML = """\
1: {}
etcd:
  hosts: [m1]
  vars: {ansible_group_priority: high}
  host: {m2: {}}
all:
  hosts:
    3:
    m[2:1]:
    m4: [hunter2]
  children:
    all:
"""


def test_all_faults_of_a_yaml_inventory_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(YAML, encoding="utf-8")
    with pytest.raises(InventoryError) as caught:
        sources.read([path])
    assert [line.removeprefix(f"{path}: ") for line in caught.value.problems] == [
        "wanted the name of a group, 50 groups deep at most, found 1",
        "group etcd: hosts: wanted a mapping, found something else",
        "group etcd: ansible_group_priority: wanted a whole number, found 'high'",
        "group all: wanted the name of a host, found 3; put it in quotes",
        "group all: wanted a range whose end is not before its beginning, found [2:1]",
        "group all: host m4: wanted a mapping of variables, found something else",
        "wanted no circle, found that the group 'all' is in itself",
    ]


def test_what_ansible_passes_over_with_a_warning_is_known(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("etcd: {hosts: {m1: }, host: {m2: }}\nversion: 2\n", encoding="utf-8")
    assert sources.read([path]).ignored == [
        f"{path}: group etcd: host: none of vars, children, hosts",
        f"{path}: version: no group, since it is no mapping of hosts, children and vars",
    ]


def test_a_group_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(InventoryError) as caught:
        sources.read([DATA / "directory"]).members("masters")
    (line,) = caught.value.problems
    assert line.startswith("wanted the group masters, whose hosts are the members of etcd, found none; ")
    assert line.endswith("; has etcd, site, workers; put theirs into [masters:children]")
