"""`nornir-etcd report`: what there is to do with a report that was written before."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nornir_etcd.options import USAGE

if TYPE_CHECKING:
    from nornir_etcd.report.model import Report

WORSE = 1
"""Exit code of `diff`: something got worse."""
FORMATS = ("text", "json")

app = typer.Typer(help="Reports that were written before.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    report: Annotated[typer.FileText, typer.Argument(help="A report as --output wrote it; - for stdin.")],
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="All findings and all diffs.")] = False,
) -> None:
    """Draw a report."""
    from nornir_etcd.report.console import print_report  # noqa: PLC0415 - `--help` needs none of it

    print_report(_read(report), verbose=verbose)


@app.command()
def diff(
    before: Annotated[typer.FileText, typer.Argument(help="The earlier report.")],
    after: Annotated[typer.FileText, typer.Argument(help="The later one.")],
    form: Annotated[str, typer.Option("--format", metavar="text|json", help="How it is printed.")] = "text",
) -> None:
    """Tell what got better or worse from one report to another. Exit code 1 where anything got worse."""
    from nornir_etcd.report.diff import differences, got_worse, to_json, to_text  # noqa: PLC0415 - as above

    if form not in FORMATS:
        _refuse(f"--format: wanted {' or '.join(FORMATS)}, found '{form}'")
    found = differences(_read(before), _read(after))
    sys.stdout.write((to_json if form == "json" else to_text)(found))
    raise SystemExit(WORSE if got_worse(found) else 0)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a report."""
    from nornir_etcd.report.document import schema as report_schema  # noqa: PLC0415 - as above

    print(json.dumps(report_schema(), indent=2))  # noqa: T201 - what was asked for


def _read(file: typer.FileText) -> Report:
    from nornir_etcd.report.document import from_json  # noqa: PLC0415 - as above

    try:
        return from_json(file.read())
    except ValueError as error:
        _refuse(f"{file.name}: wanted a report of nornir-etcd, found {error}")


def _refuse(line: str) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)  # noqa: T201 - a command line's own voice
    raise SystemExit(USAGE)
