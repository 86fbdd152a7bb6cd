"""INI inventories: what their values are, and what is wrong with them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory.ini import InventoryModule
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.ansible import ini
from nornir_etcd.ansible.inventory import Inventory
from nornir_etcd.exceptions import InventoryError


def plain(value: Any) -> Any:
    """A value without what Ansible has attached to it; whether it has made lists of tuples depends on its release."""
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key) if isinstance(key, str) else key: plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, str) else value


def theirs(text: str) -> InventoryData:
    """What Ansible makes of an inventory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hosts"
        path.write_bytes(text.encode())
        data = InventoryData()
        InventoryModule().parse(data, DataLoader(), str(path))
        data.reconcile_inventory()
        return data


def read(text: str) -> Inventory:
    """What we make of it."""
    inventory = Inventory()
    ini.read(text, "hosts", inventory)
    return inventory


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)
PIECES = st.lists(
    st.sampled_from([*"01279._-+=#\"'\\,: ()[]{}", "True", "true", "None", "yes", "0x1f", "1e3", "3.5.16-0", "a"]),
    max_size=8,
).map("".join)


@given(LITERALS.map(repr) | PIECES | st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_value_is_what_it_is_in_ansible(text: str) -> None:
    content = f"[etcd:vars]\nx={' '.join(text.split())}\n[etcd]\n"
    try:
        ours = read(content)
    except InventoryError as error:
        if "bytes" not in str(error):  # which Ansible keeps as surrogates
            with pytest.raises(AnsibleParserError):
                theirs(content)
        return
    assert repr(ours.groups["etcd"].variables["x"].value) == repr(plain(theirs(content).groups["etcd"].vars["x"]))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("3.5.16-0", "3.5.16-0"),
        ("007", "007"),
        ("True", True),
        ("true", "true"),
        ("yes", "yes"),
        ("None", None),
        ("'quoted'", "quoted"),
        ("[1, (2, 3)]", [1, [2, 3]]),
        ("{'max-txn-ops': 256}", {"max-txn-ops": 256}),
        ("3 # of them", 3),
        ("three # of them", "three # of them"),
        ("", ""),
        ("b'bytes'", "bytes"),
    ],
)
def test_a_value_is_a_python_literal_or_text(text: str, value: object) -> None:
    assert repr(ini.value_of(text)) == repr(value)


LINES = st.lists(
    st.sampled_from(
        [
            *(
                "[etcd]",
                "[ etcd ]",
                "[etcd:vars]",
                "[all:children]",
                "[k8s:children] # all",
                "[k8s:vars]",
                "[k8s]",
                "[x:y]",
            ),
            *(
                "m1",
                "m2 a=1",
                "m[1:3] b='x y' c={{ d }}",
                "etcd",
                "k8s",
                "m4:2222 a=2 # comment",
                "# comment",
                "; too",
                "",
            ),
            *(
                "a = 1",
                "b=[1, 2]",
                "noise",
                "m5 a",
                "m6 a='1",
                "é=ü",
                "etcd # child",
                "a=b=c",
                "ansible_group_priority=5",
            ),
            "all",
        ]
    ),
    max_size=10,
)


@given(LINES)
def test_any_inventory_is_read_as_ansible_reads_it_or_refused(lines: list[str]) -> None:
    try:
        ours = read("\n".join(lines))
    except InventoryError as error:
        assert all(problem.startswith("hosts:") for problem in error.problems)  # noqa: PT017 - one of two good ends
        return
    data = theirs("\n".join(lines))
    inner = {"inventory_file", "inventory_dir"}
    assert list(ours.hosts) == list(data.hosts)
    for name, host in data.hosts.items():
        wanted = {key: plain(value) for key, value in host.vars.items() if key not in inner}
        assert {key: value.value for key, value in ours.hosts[name].items()} == wanted
        groups = sorted(
            (one for one in host.groups if one.name != "all"), key=lambda one: (one.depth, one.priority, one.name)
        )
        assert [one.name for one in ours.groups_of(name)] == [one.name for one in groups]
    for name, group in data.groups.items():
        wanted = {key: plain(value) for key, value in group.vars.items() if key not in inner}
        assert {key: value.value for key, value in ours.groups[name].variables.items()} == wanted
        assert ours.groups[name].priority == group.priority


BAD = """\
[etcd]
m1 ansible_host
m[3:1]
m2 note='open
[etcd:members]
[et cd]
[k8s:children]
nobody
bad name
[ghost:vars]
a=1
b
"""


def test_all_faults_of_a_file_are_told_at_once_each_with_its_line() -> None:
    with pytest.raises(InventoryError) as caught:
        read(BAD)
    assert caught.value.problems == (
        "hosts:2: wanted NAME=VALUE behind the host m1, found a word without =",
        "hosts:3: wanted a range whose end is not before its beginning, found [3:1]",
        "hosts:4: wanted a host and NAME=VALUE of it, found no closing quotation",
        "hosts:5: wanted [etcd], [etcd:children] or [etcd:vars], found [etcd:members]",
        "hosts:6: wanted [GROUP], [GROUP:children] or [GROUP:vars], found '[et cd]'",
        "hosts:9: wanted the name of a group in [k8s:children], found 'bad name'",
        "hosts:12: wanted NAME=VALUE in [ghost:vars], found no =",
        "hosts:8: wanted a group that is there, found none named 'nobody' for [k8s:children]; add [nobody]",
        "hosts:10: wanted a group that is there, found none named 'ghost' for [ghost:vars]; add [ghost]",
    )


def test_no_value_is_told_where_a_line_is_wrong() -> None:
    with pytest.raises(InventoryError) as caught:
        read("[etcd]\nm1 hunter2 ansible_password=hunter2\nm2 ansible_password='hunter2\n[etcd:vars]\nhunter2")
    assert "hunter2" not in str(caught.value)


def test_a_group_in_itself_is_refused() -> None:
    with pytest.raises(InventoryError) as caught:
        read("[a:children]\nb\n[b:children]\na\n")
    assert caught.value.problems == ("hosts:4: wanted no circle, found that the group 'a' is in itself",)
