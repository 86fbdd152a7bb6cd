"""`nornir-etcd init`, and which template a workspace has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nornir_etcd import workspace
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.workspace import find_template, lay_out
from tests.unit.program import PROGRAM, ROOT, run

if TYPE_CHECKING:
    from pathlib import Path

LAID_OUT = [
    "config.yaml",
    "inventory/defaults.yaml",
    "inventory/groups.yaml",
    "inventory/hosts.yaml",
    "notebooks/ops.ipynb",
    "runbooks/certs.py",
    "runbooks/deploy.py",
    "runbooks/verify.py",
    "schedule/cron/nornir-etcd-verify",
    "schedule/kubernetes/cronjob.yaml",
    "schedule/rules/etcd.rules.test.yaml",
    "schedule/rules/etcd.rules.yaml",
    "schedule/systemd/nornir-etcd-verify.service",
    "schedule/systemd/nornir-etcd-verify.timer",
    "templates/etcd.yaml.j2",
]


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file of a directory, by its path in it."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def test_init_lays_out_the_whole_workspace_and_says_in_three_lines_what_is_next(tmp_path: Path) -> None:
    done = run(PROGRAM, "init", "my workspace", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert [line[:3] for line in done.out.splitlines()] == ["1. ", "2. ", "3. "]
    assert "cd 'my workspace'" in done.out
    laid_out = files_of(tmp_path / "my workspace")
    assert set(LAID_OUT) <= laid_out.keys()
    assert all(content == (ROOT / name).read_bytes() for name, content in laid_out.items())
    assert not [name for name in laid_out if name.endswith(".pyc")]


def test_a_workspace_that_was_laid_out_is_one_that_the_program_takes(tmp_path: Path) -> None:
    lay_out(tmp_path)
    done = run(PROGRAM, "deploy", "--hosts", "nobody", cwd=tmp_path)
    assert done.code == 2
    assert done.err == "error: --hosts: nobody is no host of the group etcd; there are master-1, master-2, master-3\n"


def test_init_names_everything_in_the_way_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine", encoding="utf-8")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yaml").symlink_to("nowhere")
    (tmp_path / "templates").write_text("a file", encoding="utf-8")
    before = files_of(tmp_path)
    done = run(PROGRAM, "init", ".", cwd=tmp_path)
    assert done.code == 2
    assert [line.split(":")[1].strip() for line in done.err.splitlines()] == [
        "config.yaml",
        "inventory/hosts.yaml",
        "templates",
    ]
    assert done.out == ""
    assert files_of(tmp_path) == before
    assert not (tmp_path / "runbooks").exists()


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(PROGRAM, "init", "file", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: file: wanted nothing there yet")


def test_a_layout_that_cannot_be_finished_takes_back_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    (shipped / "inventory").mkdir(parents=True)
    (shipped / "config.yaml").touch()
    (shipped / "inventory" / ("x" * 200)).touch()
    monkeypatch.setattr(workspace, "_SHIPPED", shipped)
    deep = tmp_path
    while len(str(deep)) < 3900:  # config.yaml still fits into the longest path there is (4096), the other does not
        deep /= "d" * 100
    with pytest.raises(InventoryError, match="File name too long"):
        lay_out(deep)
    assert not (deep / "config.yaml").exists()


def test_the_template_of_the_workspace_goes_before_the_one_of_the_package(tmp_path: Path) -> None:
    assert find_template("etcd.yaml.j2", [tmp_path]) == ROOT / "templates" / "etcd.yaml.j2"
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "etcd.yaml.j2").touch()
    assert find_template("etcd.yaml.j2", [tmp_path]) == tmp_path / "templates" / "etcd.yaml.j2"


def test_a_template_that_is_nowhere_is_named_with_the_places_looked_at(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"template no\.j2: not found, looked for .*templates/no\.j2, "):
        find_template("no.j2", [tmp_path])
