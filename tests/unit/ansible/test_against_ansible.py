"""Whole inventories, host by host, against what `ansible-inventory --list` says of the same files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.ansible import sources
from nornir_etcd.ansible.variables import variables_of
from nornir_etcd.ansible.vars_files import VarsFiles
from tests.unit.ansible.theirs import DATA, SHAPES, as_json, groups_of, listed


def ours(paths: list[Path], play: list[Path] | None = None) -> dict[str, dict[str, Any]]:
    """What each host's variables come to."""
    inventory = sources.read(paths)
    files = VarsFiles(sources.directories(paths), play or [])
    found = {
        host: {name: one.value.value for name, one in variables_of(inventory, host, files).items()}
        for host in inventory.hosts
    }
    assert files.faults == []
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_host_has_the_variables_that_ansible_gives_it(shape: str, tmp_path: Path) -> None:
    wanted = listed([DATA / shape], tmp_path)["_meta"]["hostvars"]
    found = ours([DATA / shape])
    assert found.keys() >= wanted.keys()
    assert {name: as_json(values) for name, values in found.items()} == {
        name: as_json(wanted.get(name, {})) for name in found
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_every_host_is_in_the_groups_that_ansible_has_it_in(shape: str) -> None:
    inventory = sources.read([DATA / shape])
    wanted = groups_of([DATA / shape])
    assert {host: [group.name for group in inventory.groups_of(host)] for host in inventory.hosts} == wanted


def test_several_sources_come_to_what_they_come_to_in_ansible(tmp_path: Path) -> None:
    paths = [DATA / "directory", DATA / "precedence" / "hosts", DATA / "flat" / "hosts"]
    wanted = listed(paths, tmp_path)["_meta"]["hostvars"]
    assert as_json(ours(paths)) == as_json(wanted)


def test_files_beside_the_playbook_count_as_they_do_in_ansible(tmp_path: Path) -> None:
    path, play = DATA / "playbook" / "inventory" / "hosts.ini", DATA / "playbook"
    wanted = listed([path], tmp_path, "--playbook-dir", str(play))["_meta"]["hostvars"]
    assert as_json(ours([path], [play])) == as_json(wanted)
    assert wanted["m1"]["where"] == "playbook"


GROUPS = ("a", "b", "c", "d")
NAMES = ("x", "y")
SETS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 99), max_size=2)
ENTITIES = st.sampled_from((*GROUPS, "all", "ungrouped"))
HOSTS = st.sampled_from(("h", "i"))
PAIRS = st.tuples(st.sampled_from(GROUPS), st.sampled_from(GROUPS)).filter(lambda pair: pair[0] < pair[1])
TREES = st.fixed_dictionaries(
    {
        "children": st.lists(PAIRS),
        "hosts": st.lists(st.tuples(ENTITIES, HOSTS), min_size=1),
        "inline": st.dictionaries(ENTITIES, SETS),
        "priorities": st.dictionaries(st.sampled_from(GROUPS), st.integers(-2, 9), max_size=2),
        "group_vars": st.dictionaries(ENTITIES, SETS),
        "own": st.dictionaries(HOSTS, SETS),
        "host_vars": st.dictionaries(HOSTS, SETS),
    }
)


def written(tree: dict[str, Any], folder: Path) -> Path:
    """Write an inventory in INI."""
    lines = [f"[{group}]" for group in GROUPS]
    for group, host in tree["hosts"]:
        own = tree["own"].get(host, {})
        lines += [f"[{group}]", " ".join([host, *(f"{name}=own{value}" for name, value in own.items())])]
    for parent, child in tree["children"]:
        lines += [f"[{parent}:children]", child]
    for group, values in tree["inline"].items():
        lines += [f"[{group}:vars]", *(f"{name}={value}" for name, value in values.items())]
    for group, priority in tree["priorities"].items():
        lines += [f"[{group}:vars]", f"ansible_group_priority={priority}"]
    path = folder / "hosts"
    path.write_text("\n".join(lines), encoding="utf-8")
    for kind in ("group_vars", "host_vars"):
        (folder / kind).mkdir()
        for name, values in tree[kind].items():
            content = {variable: f"{kind}{value}" for variable, value in values.items()}
            (folder / kind / f"{name}.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_whatever_sets_a_variable_the_one_holds_that_holds_in_ansible(tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(tree, Path(folder))
        loader = DataLoader()
        manager = InventoryManager(loader=loader, sources=[str(path)])
        variables = VariableManager(loader=loader, inventory=manager)
        wanted = {
            name: {
                key: value
                for key, value in variables.get_vars(host=host, include_hostvars=False, stage="all").items()
                if key in NAMES
            }
            for name, host in manager.hosts.items()
        }
        assert as_json(ours([path])) == as_json(wanted)
