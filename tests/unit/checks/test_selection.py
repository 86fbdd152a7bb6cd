"""Which findings are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from nornir_etcd.checks.kinds import BOTH, ENDPOINT, HOST, NOTHING, Kind
from nornir_etcd.checks.selection import EVERYTHING, matches, select
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.report.model import Finding, Severity

KINDS = (
    Kind("host.unreachable", "?", HOST, "critical"),
    Kind("container.down", "?", HOST, "critical"),
    Kind("cert.placed", "?", BOTH, "critical"),
    Kind("cert.expiring", "?", ENDPOINT, "critical"),
    Kind("cert.served.client", "?", BOTH, "critical"),
    Kind("cluster.size", "?", NOTHING, "warning"),
)
CODES = {kind.code for kind in KINDS}


def asked(**said: Any) -> set[str]:
    """Return the codes that such a selection asks for."""
    selection = select(KINDS, **said)
    return {code for code in CODES if selection.asks(code)}


def refused(**said: Any) -> tuple[str, ...]:
    """Return why such a selection is refused."""
    with pytest.raises(InventoryError) as caught:
        select(KINDS, **said)
    return caught.value.problems


@pytest.mark.parametrize(
    ("pattern", "code", "fits"),
    [
        ("cert.expiring", "cert.expiring", True),
        ("cert", "cert.expiring", True),
        ("cert.served", "cert.served.client", True),
        ("cert.*", "cert.served.client", True),
        ("*.unreachable", "host.unreachable", True),
        ("*", "host.unreachable", True),
        ("cert.exp", "cert.expiring", False),
        ("cer", "cert.expiring", False),
        ("cert.expiring.more", "cert.expiring", False),
        ("CERT", "cert.expiring", False),
        ("cert.?", "cert.expiring", False),
    ],
)
def test_a_pattern_is_a_code_its_first_words_or_a_glob(pattern: str, code: str, fits: bool) -> None:
    assert matches(pattern, code) is fits


def test_without_a_selection_everything_is_asked_for() -> None:
    assert asked() == CODES
    assert EVERYTHING.asks("a.kind.that.nobody.declared")
    assert select(KINDS).asks("a.kind.that.nobody.declared"), "a finding is never lost for want of a declaration"


def test_what_is_asked_for_is_added_up_and_what_is_skipped_taken_off() -> None:
    assert asked(check=["cert.served", "cluster"]) == {"cert.served.client", "cluster.size"}
    assert asked(skip=["cert"]) == CODES - {"cert.placed", "cert.expiring", "cert.served.client"}
    assert asked(check=["cert"], skip=["cert.served", "host.*"]) == {"cert.placed", "cert.expiring"}


def test_without_ssh_what_reads_hosts_is_left_out_and_named() -> None:
    selection = select(KINDS, ssh=False)
    assert selection.left_out == ("host.unreachable", "container.down", "cert.placed", "cert.served.client")
    assert {code for code in CODES if selection.asks(code)} == {"cert.expiring", "cluster.size"}
    assert select(KINDS, check=["cert"], ssh=False).left_out == ("cert.placed", "cert.served.client")


def test_a_pattern_that_fits_nothing_is_told_with_the_nearest_code() -> None:
    told = refused(check=["cert.expirng", "cert"], skip=["hots"])
    assert [line.partition(", ")[0] for line in told] == [
        "--check: no check has the code 'cert.expirng'; the nearest is cert.expiring",
        "--skip: no check has the code 'hots'; the nearest is host",
    ]


@pytest.mark.parametrize("pattern", ["", "[", "zzz", "cert.expiring\n", "x" * 1000])
def test_any_pattern_that_fits_nothing_is_refused_in_one_line(pattern: str) -> None:
    (line,) = refused(check=[pattern])
    assert "the nearest is " in line


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"skip": ["*"]}, "the selection leaves no check; `nornir-etcd checks` prints them all"),
        ({"check": ["cert"], "skip": ["cert.*"]}, "the selection leaves no check; "),
        ({"check": ["host"], "ssh": False}, "the selection leaves no check without SSH (host.unreachable need it); "),
    ],
)
def test_a_selection_that_leaves_nothing_is_refused_since_nothing_would_be_ok(said: dict[str, Any], told: str) -> None:
    (line,) = refused(**said)
    assert line.startswith(told)


def test_another_severity_is_refused() -> None:
    assert refused(min_severity="bad") == ("--min-severity: wanted warning or critical, found 'bad'",)


@pytest.mark.parametrize(
    ("least", "told"),
    [(None, "ok warning critical unknown"), ("warning", "warning critical unknown"), ("critical", "critical unknown")],
)
def test_what_is_unknown_is_told_whatever_is_hidden(least: Any, told: str) -> None:
    selection = select(KINDS, min_severity=least)
    findings = [Finding(code="a", severity=severity, subject="x", message="m") for severity in Severity]
    assert [one.severity.value for one in findings if selection.tells(one)] == told.split()
