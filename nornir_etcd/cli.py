"""`nornir-etcd`: one command per runbook, and the lab."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nornir_etcd.lab.cli import app as lab
from nornir_etcd.options import Options, command, watched

if TYPE_CHECKING:
    from nornir_etcd.report.model import Report

app = typer.Typer(
    name="nornir-etcd",
    help="Deploy, verify and operate the etcd of a Kubernetes control plane.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(lab, name="lab", help="Hosts on this machine to try everything on (needs root).")


def certs(options: Options) -> Report:
    """Issue the certificates that are due and place them on their hosts."""
    from nornir_etcd import workflows  # noqa: PLC0415 - `--help` needs none of it

    with watched(options.init_nornir(), options) as nr:
        return workflows.certs(nr, **options.arguments(nr), dry_run=options.dry_run)


def deploy(options: Options) -> Report:
    """Bring every cluster to what the inventory asks for: certificates, static Pods, verification."""
    from nornir_etcd import workflows  # noqa: PLC0415 - as above

    with watched(options.init_nornir(), options) as nr:
        return workflows.deploy(
            nr, **options.arguments(nr), dry_run=options.dry_run, accept_downtime=options.accept_downtime
        )


def verify(options: Options) -> Report:
    """Check every cluster and change nothing."""
    from nornir_etcd import workflows  # noqa: PLC0415 - as above

    with watched(options.init_nornir(), options) as nr:
        return workflows.verify(nr, **options.arguments(nr))


for runbook in (certs, deploy, verify):
    app.command(runbook.__name__)(command(runbook))


@app.command()
def schema() -> None:
    """Print the JSON Schema of the report."""
    from nornir_etcd.report.document import schema as report_schema  # noqa: PLC0415 - as above

    print(json.dumps(report_schema(), indent=2))  # noqa: T201 - what was asked for


@app.command()
def show(
    report: Annotated[typer.FileText, typer.Argument(help="A report as --output wrote it.")],
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="All findings and all diffs.")] = False,
) -> None:
    """Draw a report that was written before."""
    from rich.console import Console  # noqa: PLC0415 - as above

    from nornir_etcd.report.console import report_view  # noqa: PLC0415 - as above
    from nornir_etcd.report.document import from_json  # noqa: PLC0415 - as above

    try:
        Console().print(report_view(from_json(report.read()), verbose=verbose))
    except ValueError as error:
        print(f"error: {report.name}: wanted a report of nornir-etcd, found {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from error


def main() -> None:
    """Run the command line."""
    app()
