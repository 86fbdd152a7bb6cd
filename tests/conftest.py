"""What all tests share: how long each group took, told at the end."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

TESTS = Path(__file__).parent


def group_of(nodeid: str) -> str:
    """Return the group of a test: its first folder below tests/."""
    parts = Path(nodeid.partition("::")[0]).parts
    return parts[1] if len(parts) > 2 else "tests"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds and the number of tests of each group."""
    seconds: defaultdict[str, float] = defaultdict(float)
    tests: defaultdict[str, set[str]] = defaultdict(set)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[group_of(report.nodeid)] += report.duration
                tests[group_of(report.nodeid)].add(report.nodeid)
    terminalreporter.section("time of each group")
    for group in sorted(seconds):
        terminalreporter.write_line(f"{group}: {seconds[group]:.1f} s, {len(tests[group])} tests")
