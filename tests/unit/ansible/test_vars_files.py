"""Files of variables, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.ansible.vars_files import VarsFiles

if TYPE_CHECKING:
    from pathlib import Path


def test_faults_are_gathered_over_all_files_that_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "group_vars" / "etcd").mkdir(parents=True)
    (tmp_path / "group_vars" / "etcd" / "a.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n36\n", encoding="utf-8")
    (tmp_path / "group_vars" / "etcd" / "b.yml").write_text("- a\n", encoding="utf-8")
    (tmp_path / "group_vars" / "etcd" / "c.yml").write_text("c: 3\n", encoding="utf-8")
    (tmp_path / "group_vars" / "other.yml").write_text("x: [", encoding="utf-8")
    files = VarsFiles([tmp_path])
    assert {name: value.value for name, value in files.of(tmp_path, "group_vars", "etcd").items()} == {"c": 3}
    assert [line.partition(": ")[2].partition(",")[0] for line in files.faults] == [
        "wanted a file that can be read",
        "wanted a mapping of variables",
    ]
    assert not files.of(tmp_path, "host_vars", "/etc/passwd")
    assert not files.of(tmp_path, "host_vars", "m1")


def test_a_folder_beside_both_the_inventory_and_the_playbook_is_read_once(tmp_path: Path) -> None:
    assert VarsFiles([tmp_path], [tmp_path]).play == ()
