"""Who may know whom: the house's import rules, held over everything a module imports, directly or not."""

from __future__ import annotations

import ast
import sys
from collections import deque
from functools import cache
from pathlib import Path

import pytest

import nornir_etcd
from tests.unit.program import run

PACKAGE = "nornir_etcd"
HOUSE = Path(nornir_etcd.__file__).parent.parent
WORLD = frozenset({"nornir", "netmiko", "paramiko", "grpc", "etcd3", "socket", "subprocess"})
"""What has to do with hosts and networks."""
PURE = (
    *(
        "exceptions",
        "ansible",
        "apiserver",
        "apiserver_edit",
        "settings",
        "cluster",
        "versions",
        "flags",
        "manifest",
        "layout",
        "hold",
        "holder",
        "observation",
        "survey",
        "surroundings",
        "walmeta",
        "metrics",
        "yamltext",
    ),
    *("pki", "plan", "checks", "report"),
)
"""Rooms that decide and draw, and know nothing of the world."""


def modules(house: Path) -> dict[str, Path]:
    """Return the file of every module of the package."""
    found = {}
    for path in sorted((house / PACKAGE).rglob("*.py")):
        parts = path.relative_to(house).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room(module: str) -> str:
    """Return the room of a module: its first name below the package."""
    return module.split(".")[1] if "." in module else ""


@cache
def imported(house: Path, module: str) -> frozenset[str]:
    """Return what a module itself imports, at its top or in a function, but not for the type checker alone.

    An import of one of our modules imports the packages above it as well.
    """
    ours = modules(house)
    visitor = _Imports()
    visitor.visit(ast.parse(ours[module].read_text(encoding="utf-8")))
    names = set()
    for name in visitor.names:
        if name.partition(".")[0] != PACKAGE:
            names.add(name.partition(".")[0])
            continue
        parts = name.split(".")
        names |= {above for count in range(1, len(parts) + 1) if (above := ".".join(parts[:count])) in ours}
    return frozenset(names - {module})


class _Imports(ast.NodeVisitor):
    def __init__(self) -> None:
        self.names: list[str] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.names += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert not node.level, "a relative import"
        self.names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]

    def visit_If(self, node: ast.If) -> None:
        checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for one in node.orelse if checked else [node.test, *node.body, *node.orelse]:
            self.visit(one)


def road(house: Path, module: str, forbidden: frozenset[str]) -> list[str]:
    """Return the shortest chain of imports from a module to something forbidden; empty where there is none."""
    ours = modules(house)
    ahead, seen = deque([[module]]), {module}
    while ahead:
        chain = ahead.popleft()
        for name in sorted(imported(house, chain[-1]) - seen):
            if name in forbidden:
                return [*chain, name]
            if name in ours:
                seen.add(name)
                ahead.append([*chain, name])
    return []


def importers(house: Path, *targets: str) -> set[str]:
    """Return the rooms that import one of the targets themselves; a target of ours stands for all below it."""
    found = set()
    for module in modules(house):
        for name in imported(house, module):
            if any(name == target or name.startswith(f"{target}.") for target in targets):
                found.add(room(module))
    return found


@pytest.mark.parametrize("module", [name for name in modules(HOUSE) if room(name) in PURE])
def test_a_pure_module_does_not_know_the_world(module: str) -> None:
    assert road(HOUSE, module, WORLD) == []


def test_every_pure_room_is_there() -> None:
    assert set(PURE) <= {room(module) for module in modules(HOUSE)}


def test_the_pure_half_loads_nothing_of_the_world_when_it_is_imported(tmp_path: Path) -> None:
    """What others' packages import counts too, but for socket and subprocess, which the standard library imports."""
    names = [name for name in modules(HOUSE) if room(name) in PURE]
    loaded = f"[name for name in {sorted(WORLD - {'socket', 'subprocess'})} if name in sys.modules]"
    env = {"PYTHONPATH": str(HOUSE)}  # this house, not another that is installed
    done = run(sys.executable, "-c", f"import sys, {', '.join(names)}; print({loaded})", cwd=tmp_path, env=env)
    assert (done.out, done.err) == ("[]\n", "")


def test_workflows_alone_knows_both_the_planner_and_the_tasks() -> None:
    knows_tasks = importers(HOUSE, "nornir_etcd.tasks") - {"tasks"}
    knows_planner = importers(HOUSE, "nornir_etcd.plan.planner") - {"plan"}
    knows_checks = importers(HOUSE, "nornir_etcd.checks") - {"checks"}
    assert knows_tasks == knows_planner == knows_checks == {"workflows"}


def test_the_lab_knows_nothing_of_the_rest_and_only_the_command_line_knows_the_lab() -> None:
    for module in modules(HOUSE):
        if room(module) == "lab":
            others = {room(name) for name in imported(HOUSE, module) if name.startswith(f"{PACKAGE}.")}
            assert others <= {"lab"}, module
    assert importers(HOUSE, "nornir_etcd.lab") - {"lab"} == {"cli"}


@pytest.mark.parametrize(
    ("thing", "rooms"),
    [
        ("paramiko", {"connections", "remote"}),
        ("netmiko", {"connections"}),
        ("grpc", {"connections", "lab"}),
        ("etcd3", {"connections"}),
        ("rich", {"report", "progress"}),
        ("typer", {"cli", "options", "lab", "hosts_cli", "images_cli", "report_cli"}),
        ("nornir_utils", {"progress"}),
        ("nornir_jinja2", {"tasks"}),
    ],
)
def test_a_library_is_known_to_its_rooms_alone(thing: str, rooms: set[str]) -> None:
    assert importers(HOUSE, thing) == rooms


def test_the_rules_see_through_modules_functions_and_packages(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "plan/__init__.py": "import paramiko.transport\n",
        "plan/good.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import socket\n",
        "checks.py": "from nornir_etcd.helper import one\n",
        "helper.py": "def one():\n    from nornir_etcd.plan import good\n",
        "report.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import grpc\nelse:\n    import grpc\n",
        "pki.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import grpc\n",
    }
    for name, text in files.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert road(tmp_path, "nornir_etcd.checks", WORLD) == [
        "nornir_etcd.checks",
        "nornir_etcd.helper",
        "nornir_etcd.plan",
        "paramiko",
    ]
    assert road(tmp_path, "nornir_etcd.report", WORLD) == ["nornir_etcd.report", "grpc"]
    assert road(tmp_path, "nornir_etcd.plan.good", WORLD) == []
    assert road(tmp_path, "nornir_etcd.pki", WORLD) == []
    assert importers(tmp_path, "nornir_etcd.plan") == {"helper"}
