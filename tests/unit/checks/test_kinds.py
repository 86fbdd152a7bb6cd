"""The list of checks: it has what there is, no more and no less."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import nornir_etcd
from nornir_etcd.checks import KINDS, VERIFY_KINDS
from nornir_etcd.checks.kinds import BOTH, Kind
from nornir_etcd.settings.model import Settings
from tests.unit.builders import deployed
from tests.unit.checks.seen import findings

PACKAGE = Path(nornir_etcd.__file__).parent
MODULES = sorted((PACKAGE / "checks").rglob("*.py"))
EVERY = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)


def calls(path: Path, name: str) -> list[ast.Call]:
    """Return every call of a name in a module."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    found = [node for node in nodes if isinstance(node, ast.Call)]
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == name]


def code_of(call: ast.Call) -> object:
    """Return the code that a Kind(...) declares."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    (code,) = named or call.args[:1]
    return ast.literal_eval(code)


def asked(path: Path) -> list[ast.expr]:
    """Return the code of every Check(...) of a module."""
    return [call.args[0] for call in calls(path, "Check")]


def literals(path: Path) -> set[str]:
    """Return the codes that a module's text names."""
    return {str(code.value) for code in asked(path) if isinstance(code, ast.Constant)}


def test_every_code_is_written_out_where_it_is_asked() -> None:
    assert [
        f"{path.relative_to(PACKAGE)}:{code.lineno}"
        for path in PACKAGE.rglob("*.py")
        for code in asked(path)
        if not isinstance(code, ast.Constant)
    ] == []


def test_every_code_is_declared_and_every_declared_code_is_asked() -> None:
    used = {code for path in PACKAGE.rglob("*.py") for code in literals(path)}
    assert used == {kind.code for kind in KINDS}


def test_a_code_is_declared_once_and_beside_the_check_that_asks_it() -> None:
    assert [code for code, count in Counter(kind.code for kind in KINDS).items() if count > 1] == []
    for path in MODULES:
        declared = {code_of(call) for call in calls(path, "Kind")}
        if path.parent.name != "preflight":  # declared together, in the order in which they are made
            assert declared == literals(path), path.name


def test_verify_makes_all_but_preflight() -> None:
    assert set(KINDS) - set(VERIFY_KINDS) == {kind for kind in KINDS if kind.code.startswith("preflight.")}


@EVERY
def test_a_kind_says_what_it_asks_in_one_line(kind: Kind) -> None:
    assert kind.asks.endswith("?")
    assert kind.asks == " ".join(kind.asks.split())
    assert kind.code == kind.code.lower()
    assert "." in kind.code
    assert kind.reads <= BOTH
    assert kind.worst in ("warning", "critical")


@EVERY
def test_the_settings_of_a_kind_are_variables_and_its_rule_is_a_source(kind: Kind) -> None:
    assert set(kind.settings) <= set(Settings.model_fields)
    assert not kind.rule or kind.rule == kind.rule.strip()


def test_what_a_healthy_cluster_has_is_declared() -> None:
    assert {code for code, _ in findings(deployed())} <= {kind.code for kind in VERIFY_KINDS}
