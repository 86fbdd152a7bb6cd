"""A question whether to go on."""

from __future__ import annotations

import io

import pytest

from nornir_etcd import terminal


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Type something."""
    monkeypatch.setattr("sys.stdin", io.StringIO(request.param))


@pytest.mark.parametrize("typed", ["y\n", "Y\n", "yes\n", " Yes \n", "y"], indirect=True)
@pytest.mark.usefixtures("typed")
def test_only_a_yes_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal.confirm("example: next master-2")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "example: next master-2\nGo on? [y/N] "), "stdout is the report's"


@pytest.mark.parametrize("typed", ["", "\n", "n\n", "no\n", "yo\n", "y n\n"], indirect=True)
@pytest.mark.usefixtures("typed")
def test_anything_else_and_no_answer_at_all_do_not() -> None:
    assert not terminal.confirm("example: next master-2")


def test_in_ci_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert not terminal.is_there()
