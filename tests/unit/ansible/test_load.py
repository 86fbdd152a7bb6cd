"""Whatever is in the files, they are loaded or refused in lines."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.ansible.inventory_files import files_of, left_out
from nornir_etcd.ansible.load import load
from nornir_etcd.exceptions import InventoryError

NAMES = st.sampled_from(
    [
        *("etcd_extra_args", "ca_dir", "deploy_name", "etcd_waivers", "x", "y", "ansible_host", "ansible_port"),
        *(
            "ansible_user",
            "ansible_password",
            "ansible_become_password",
            "ansible_ssh_common_args",
            "ansible_connection",
        ),
        *(
            "ansible_group_priority",
            "ansible_become",
            "ansible_ssh_private_key_file",
            "ansible_host_key_checking",
            7,
            None,
        ),
    ]
)
SCALARS = st.sampled_from(
    [
        *(None, True, 0, 22, -1, 1.5, "", "a", "a b", "22", "-J b", "-o ProxyJump=a,b:2", "-o", "'", "ssh", "\n", "é"),
        *(
            "{{ x }}",
            "{{ y }}",
            "{{ x.y }}",
            "{{ groups }}",
            "{{ hostvars }}",
            "{{ hostvars.m1.x }}",
            "{{ hostvars.m2.y }}",
        ),
        *("{{", "{% for", "{{ 1/0 }}", "{{ x | bool }}", "{{ lookup('env', 'A') }}", "{{ ansible_host }}", "{# c #}"),
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2), max_leaves=4
)
VARIABLES = st.dictionaries(NAMES, VALUES, max_size=4)
HOSTS = st.sampled_from(["m1", "m2", "m[1:2]", "m[2:1]", "m1:22", "etcd", 3, ""])
GROUPS = st.sampled_from(["etcd", "all", "ungrouped", "masters", "a-b"])
GROUP: st.SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries(
        {}, optional={"hosts": st.dictionaries(HOSTS, VARIABLES | SCALARS, max_size=2), "vars": VARIABLES}
    ),
    lambda inner: st.fixed_dictionaries({"children": st.dictionaries(GROUPS, inner | SCALARS, max_size=2)}),
    max_leaves=3,
)
FILES = st.fixed_dictionaries(
    {"hosts.yml": st.dictionaries(GROUPS, GROUP | VALUES, min_size=1, max_size=3)},
    optional={"group_vars/etcd.yml": VALUES, "group_vars/all.yml": VARIABLES, "host_vars/m1.yml": VARIABLES},
)
PLAYS = st.none() | st.lists(
    st.fixed_dictionaries(
        {"hosts": GROUPS | st.just("etcd")}, optional={"vars": VARIABLES | VALUES, "roles": st.just(["etcd"]) | VALUES}
    ),
    max_size=2,
)


@settings(max_examples=300, deadline=None)
@given(FILES, PLAYS)
def test_any_files_are_loaded_or_refused_in_lines(files: dict[str, Any], plays: list[Any] | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in {
            "hosts": {"etcd": {"hosts": {"m1": {}, "m2": {}}}},
            **files,
            "play/etcd.yml": plays,
        }.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(yaml.safe_dump(content), encoding="utf-8")
        try:
            playbook = Path(folder, "play/etcd.yml") if plays is not None else None
            carried = load([Path(folder, "hosts"), Path(folder, "hosts.yml")], playbook)
        except InventoryError as error:
            assert error.problems  # noqa: PT017 - one of two good ends
            assert not [line for line in error.problems if "\n" in line or not line]  # noqa: PT017 - see above
            return
        lines = left_out(carried)
        assert not [line for line in lines if "\n" in line]
        assert {"inventory/hosts.yaml", "inventory/groups.yaml"} <= files_of(carried).keys()
