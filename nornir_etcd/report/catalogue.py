"""The list of checks as a table, as Markdown and as JSON. Pure but for printing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nornir_etcd.report.console import LOG_WIDTH
from nornir_etcd.report.markdown import table, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Entry:
    """One kind of finding, as it is listed.

    Attributes:
        code: stable, such as `member.unstarted`.
        asks: the question that it answers.
        reads: `host`, `endpoint`, both or neither.
        worst: the worst that it may come to.
        settings: the variables that hold its thresholds, with their defaults.
        rule: where the rule comes from; empty where it is plain.
    """

    code: str
    asks: str
    reads: tuple[str, ...]
    worst: str
    settings: Mapping[str, str]
    rule: str


HEADINGS = ("check", "question", "worst", "reads", "settings", "rule")


def print_table(entries: Sequence[Entry]) -> None:
    """Print a table in the width of a terminal, or a line for each check."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH, color_system=None)
    drawn = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in HEADINGS:
        drawn.add_column(heading, overflow="fold", no_wrap=heading in ("check", "worst"))
    for entry in entries:
        drawn.add_row(*(Text(cell) for cell in _cells(entry)))
    with console.capture() as captured:
        console.print(drawn)
    for line in captured.get().splitlines():
        print(line.rstrip())  # noqa: T201 - what was asked for


def print_markdown(entries: Sequence[Entry]) -> None:
    """Print a table in Markdown."""
    print(table(HEADINGS, ([text(cell) for cell in _cells(entry)] for entry in entries)))  # noqa: T201 - as above


def print_json(entries: Sequence[Entry]) -> None:
    """Print a list of objects."""
    print(json.dumps([asdict(entry) for entry in entries], indent=2, ensure_ascii=False))  # noqa: T201 - as above


FORMS: dict[str, Callable[[Sequence[Entry]], None]] = {
    "table": print_table,
    "markdown": print_markdown,
    "json": print_json,
}


def _cells(entry: Entry) -> tuple[str, ...]:
    settings = ", ".join(f"{name} ({default})" for name, default in entry.settings.items())
    return (entry.code, entry.asks, entry.worst, ", ".join(entry.reads), settings, entry.rule)
