"""What a playbook sets for the members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nornir_etcd.ansible.playbook import read
from nornir_etcd.exceptions import InventoryError
from tests.unit.ansible.theirs import DATA

if TYPE_CHECKING:
    from pathlib import Path


def test_vars_files_and_what_stands_beside_the_role_go_before_vars() -> None:
    play = read(DATA / "playbook" / "site.yml", {"etcd_nodes"})
    assert (play.group, play.remote_user) == ("etcd_nodes", "admin")
    assert {name: play.variables[name].value for name in ("deploy_name", "mirror", "etcd_cert_days")} == {
        "deploy_name": "production",
        "mirror": "harbor",
        "etcd_cert_days": 730,
    }
    assert play.notes == [
        f"{DATA}/playbook/etcd.yml: vars_prompt: nothing is asked for; put the values into the inventory"
    ]


def test_a_play_for_the_group_counts_where_none_has_the_role(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text("- {hosts: all, vars: {a: 1}}\n- {hosts: etcd, vars: {b: 2}}\n- {hosts: [etcd], vars: {c: 3}}\n")
    assert sorted(read(path, {"etcd"}).variables) == ["b", "c"]


@pytest.mark.parametrize("way", ["import_role", "ansible.builtin.include_role"])
def test_a_role_that_a_task_calls_counts(way: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(
        f"- {{hosts: masters, tasks: [{{debug: }}, {{{way}: {{name: infra.etcd}}, vars: {{a: 1}}}}]}}\n",
        encoding="utf-8",
    )
    play = read(path, {"masters"})
    assert (play.group, play.variables["a"].value) == ("masters", 1)


ROLE = "roles: [{role: company.etcd}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {hosts: web}", "wanted a play with the role etcd or for the group etcd, found none"),
        ("hosts: etcd", "wanted a playbook, a list of plays, found something else or nothing"),
        (f"- {{hosts: 'etcd:!m3', {ROLE}}}", "hosts: wanted the name of a group of the inventory, found 'etcd:!m3'"),
        (f"- {{hosts: nobody, {ROLE}}}", "hosts: wanted the name of a group of the inventory, found 'nobody'"),
        (
            f"- {{hosts: etcd, {ROLE}}}\n- {{hosts: etcd2, {ROLE}}}",
            "hosts: wanted one group in all plays of etcd, found etcd and etcd2",
        ),
        (
            f"- {{hosts: etcd, {ROLE}, vars: {{a: 1}}}}\n- {{hosts: etcd, {ROLE}, vars: {{a: true}}}}",
            "a: wanted one value in all plays of etcd, found another in ",
        ),
        (
            f"- {{hosts: etcd, {ROLE}, remote_user: a}}\n- {{hosts: etcd, {ROLE}, remote_user: b}}",
            "remote_user: wanted one in all plays of etcd, found a, b",
        ),
        (f"- {{hosts: etcd, {ROLE}, vars: [a]}}", "vars: wanted a mapping of variables, found something else"),
        ("- import_playbook: '{{ x }}'", "import_playbook: wanted the path of a playbook, found '{{ x }}'"),
        ("- {hosts: etcd, vars: {x: !vault abc}}", "wanted a value that can be read, found one of Ansible's vault"),
    ],
)
def test_what_is_wrong_with_a_playbook_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InventoryError) as caught:
        read(path, {"etcd", "etcd2"})
    (line,) = caught.value.problems
    assert line.startswith(f"{path}:")
    assert said in line


def test_a_playbook_that_imports_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text("- import_playbook: p.yml\n", encoding="utf-8")
    with pytest.raises(InventoryError, match="import_playbook: wanted the path of a playbook"):
        read(path, {"etcd"})


def test_what_is_not_read_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    (tmp_path / "roles" / "etcd" / "defaults").mkdir(parents=True)
    path.write_text(
        "- {hosts: etcd, roles: [etcd], vars_files: ['{{ x }}.yml', [a, b]], environment: {A: b}}\n", encoding="utf-8"
    )
    assert [note.removeprefix(f"{tmp_path}/").partition(" is not read")[0] for note in read(path, {"etcd"}).notes] == [
        "roles/etcd/defaults: not read; put what differs from the role as it comes into inventory/groups.yaml",
        "p.yml: environment: commands on the hosts get no variables",
        "p.yml: vars_files: '{{ x }}.yml'",
        "p.yml: vars_files: ['a', 'b']",
    ]
