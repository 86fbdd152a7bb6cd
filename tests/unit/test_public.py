"""What the package promises to those who import it."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

import pytest
from nornir.core.task import Result, Task

import nornir_etcd
from nornir_etcd import report, tasks, workflows
from nornir_etcd.cluster import Cluster
from tests.unit.program import run

if TYPE_CHECKING:
    from types import ModuleType

MYPY_TIMEOUT = 300
"""Seconds; it reads all that we import, 20 s without a cache on two busy cores."""
SAID = {"peer_url", "member_id"}
"""What a change of membership is about: no default could be right."""
EATEN = {"name", "severity_level", "raise_on_error", "on_good", "on_failed"}
"""Nornir's `run` takes these for itself; a task never sees them."""

USER = """
from nornir import InitNornir
from nornir.core.task import Result, Task

from nornir_etcd import InventoryError, NornirEtcdError, Report, certs, deploy, verify
from nornir_etcd.tasks import place_files, write_manifest
from nornir_etcd.workflows.inventory import clusters_in

nr = InitNornir(config_file="config.yaml")
try:
    report: Report = deploy(nr, hosts=["master-1"], overrides={"etcd_version": "3.5.16-0"}, dry_run=True)
except InventoryError as error:
    problems: tuple[str, ...] = error.problems
except NornirEtcdError as error:
    line: str = error.remedy
code: int = certs(nr).exit_code + verify(nr, hosts={"master-1"}).exit_code
for cluster in report.clusters:
    for finding in cluster.findings:
        word: str = finding.severity.value


def mine(task: Task) -> Result:
    (cluster, *_), _warnings = clusters_in(task.nornir.inventory)
    task.run(task=place_files, cluster=cluster, dry_run=True)
    return write_manifest(task, cluster)
"""
MISUSE = """
from nornir import InitNornir

from nornir_etcd import deploy, verify

deploy(InitNornir(), host=["master-1"])
verify(InitNornir(), dry_run=True)
deploy("config.yaml")
from nornir_etcd import no_such_name
"""


@pytest.mark.parametrize("module", [nornir_etcd, report, tasks, workflows], ids=lambda module: module.__name__)
def test_what_is_public_is_sorted_and_there(module: ModuleType) -> None:
    assert module.__all__ == sorted(module.__all__)
    assert all(getattr(module, name).__doc__ for name in module.__all__)


def test_the_package_holds_to_what_it_promises() -> None:
    assert nornir_etcd.__all__ == [
        "InventoryError",
        "NornirEtcdError",
        "Report",
        "WholeInventory",
        "certs",
        "certs_renew",
        "certs_rotate_ca",
        "certs_status",
        "clusters_in",
        "deploy",
        "members_apply",
        "members_plan",
        "members_status",
        "upgrade",
        "verify",
    ]
    assert set(nornir_etcd.__all__) <= set(dir(nornir_etcd))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = nornir_etcd.nothing


@pytest.mark.parametrize("name", tasks.__all__)
def test_a_public_task_is_a_nornir_task(name: str) -> None:
    task = getattr(tasks, name)
    hints = inspect.get_annotations(task)
    first, *others = inspect.signature(task).parameters.values()
    assert first.name == "task"
    assert {hints["task"], hints["return"]} == {Task.__name__, Result.__name__}
    assert [one.name for one in others][:1] == ["cluster"], "a task has the whole cluster, never the selected hosts"
    assert hints["cluster"] == Cluster.__name__
    assert not {one.name for one in others} & EATEN
    for one in others[1:]:
        assert one.default is not one.empty or one.name in SAID, "usable with the cluster alone"
    assert not any(isinstance(one.default, (list, dict, set)) for one in others), "one default for all threads"


@pytest.mark.parametrize("name", tasks.__all__)
def test_a_public_task_says_what_it_takes_and_gives(name: str) -> None:
    task = getattr(tasks, name)
    others = list(inspect.signature(task).parameters)[1:]
    text = inspect.getdoc(task) or ""
    assert all(f"    {other}: " in text for other in others)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the type checker says of two users' programs, strictly, as the package is installed."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "right.py").write_text(USER, encoding="utf-8")
    (folder / "wrong.py").write_text(MISUSE, encoding="utf-8")
    argv = (sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", "cache")
    return run(*argv, "right.py", "wrong.py", cwd=folder, timeout=MYPY_TIMEOUT).out.splitlines()


def test_a_users_program_is_typed(said: list[str]) -> None:
    assert [line for line in said if not line.startswith("wrong.py:")] == []


def test_a_users_mistakes_are_seen(said: list[str]) -> None:
    lines = [line.split(":")[1] for line in said if line.startswith("wrong.py:") and ": error: " in line]
    assert lines == ["6", "7", "8", "9"]
