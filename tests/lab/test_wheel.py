"""The wheel, as somebody has it who installed it from an index: in an empty environment, outside the source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.lab import Lab

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path, timeout: float = 240, code: int = 0) -> str:
    """Run a command with no way to find the source tree, hold it to an exit code and return what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(  # noqa: S603 - the program under test, and pip
        [str(word) for word in argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == code, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist as an installer does it where there is no wheel."""
    built = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", built, cwd=ROOT)
    (sdist,) = built.glob("*.tar.gz")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check"),
        *("--no-deps", "--no-build-isolation", "--wheel-dir", built, sdist),
        cwd=built,
    )
    (made,) = built.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment that had nothing in it before the wheel, with what the wheel says it needs."""
    made = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", made, cwd=made)
    python = made / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--disable-pip-version-check", wheel, cwd=made)
    yield made / "bin"
    shutil.rmtree(made)  # 200 MB, and pytest keeps the folders of three runs


def test_the_wheel_holds_the_package_and_the_workspace_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    laid_out = {name.removeprefix("nornir_etcd/_workspace/") for name in names if "/_workspace/" in name}
    for name in ("config.yaml", "inventory/hosts.yaml", "runbooks/deploy.py", "templates/etcd.yaml.j2"):
        assert name in laid_out
    assert "nornir_etcd/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"nornir_etcd"}
    assert not [name for name in names if name.endswith((".pyc", ".log", ".pem"))]


def test_init_and_deploy_work_outside_the_source_tree(fresh_lab: Lab, environment: Path, tmp_path: Path) -> None:
    workspace, program = tmp_path / "workspace", environment / "nornir-etcd"
    found = run(environment / "python", "-c", "import nornir_etcd; print(nornir_etcd.__file__)", cwd=tmp_path)
    assert Path(found).is_relative_to(environment.parent)
    assert len(run(program, "init", workspace, cwd=tmp_path).splitlines()) == 3
    edit(workspace / "inventory", fresh_lab)

    planned = run(program, "deploy", "--dry-run", "--output", "report.json", cwd=workspace)
    assert "start-member" in planned
    assert json.loads((workspace / "report.json").read_text())["clusters"][0]["outcome"] == "planned"
    assert fresh_lab.run("node-1", "ls /etc/kubernetes/manifests").stdout == ""

    run(program, "deploy", "--output", "report.json", cwd=workspace)
    report = json.loads((workspace / "report.json").read_text())
    assert [member["healthy"] for member in report["clusters"][0]["members"]] == [True, True, True]
    again = run(environment / "python", "runbooks/deploy.py", cwd=workspace)
    assert "nothing changed" in again


def edit(inventory: Path, lab: Lab) -> None:
    """Do what `init` told its user to do: name the hosts, and who logs in with which key."""
    hosts = {node.name: {"hostname": node.address, "groups": ["etcd"]} for node in lab.nodes}
    (inventory / "hosts.yaml").write_text(yaml.safe_dump(hosts), encoding="utf-8")
    groups = yaml.safe_load((inventory / "groups.yaml").read_text(encoding="utf-8"))
    groups["etcd"]["connection_options"]["netmiko"]["extras"] |= {
        "key_file": str(lab.key_file),
        "system_host_keys": False,
        "alt_host_keys": True,
        "alt_key_file": str(lab.known_hosts),
    }
    (inventory / "groups.yaml").write_text(yaml.safe_dump(groups), encoding="utf-8")
