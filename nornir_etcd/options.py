"""The options that every runbook takes, as a command and as a script, and what is done with them."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from nornir_etcd.exceptions import InventoryError, NornirEtcdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir.core import Nornir
    from nornir.core.inventory import Host

    from nornir_etcd.report.model import Report

USAGE = 2
"""Exit code of a usage or inventory error: nothing has been touched."""


@dataclass(frozen=True)
class Options:
    """What was said on the command line."""

    config: Path
    filters: tuple[str, ...]
    names: tuple[str, ...]
    settings: tuple[str, ...]
    dry_run: bool
    accept_downtime: bool
    output: Path | None
    verbose: bool

    def init_nornir(self) -> Nornir:
        """Return Nornir as `--config` describes it.

        Raises:
            InventoryError: the configuration or the inventory cannot be read.
        """
        from nornir import InitNornir  # noqa: PLC0415 - `--help` needs none of it

        if not self.config.is_file():
            raise InventoryError(
                f"--config: wanted a file, found none at {self.config}; start where config.yaml lies, or name it"
            )
        try:
            return InitNornir(config_file=str(self.config))
        except NornirEtcdError:
            raise
        except Exception as error:  # whatever YAML, pydantic and inventory plugins raise on bad input
            said = " ".join(str(error).split()) or type(error).__name__
            raise InventoryError(f"{self.config}: Nornir cannot read it or the inventory it names: {said}") from error

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments that `certs`, `deploy` and `verify` have in common.

        Raises:
            InventoryError: an option is malformed.
        """
        return {"hosts": self._selected(nr), "overrides": dict(_pairs("--set", self.settings))}

    def _selected(self, nr: Nornir) -> list[str] | None:
        if not self.names and not self.filters:
            return None
        rules = _pairs("--filter", self.filters)
        unknown = [name for name in self.names if name not in nr.inventory.hosts]
        chosen = [
            name
            for name, host in nr.inventory.hosts.items()
            if (not self.names or name in self.names) and host.has_parent_group("etcd") and _matches(host, rules)
        ]
        return chosen + unknown


def _pairs(option: str, given: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return key and value of each KEY=VALUE, naming all that are none."""
    wrong = [text for text in given if not text.partition("=")[1] or not text.partition("=")[0].strip()]
    if wrong:
        raise InventoryError(*(f"{option}: wanted KEY=VALUE, found '{text}'" for text in wrong))
    return [(key.strip(), value) for key, _, value in (text.partition("=") for text in given)]


def _matches(host: Host, rules: list[tuple[str, str]]) -> bool:
    for key, value in rules:
        found = host.get(key)
        values = found if isinstance(found, list) else [found]
        if value not in [str(one) for one in values]:
            return False
    return True


def command(main: Callable[[Options], Report]) -> Callable[..., None]:
    """Return a Typer command that calls `main` with its options, draws the report and exits with its code."""

    def run(  # noqa: PLR0913, PLR0917 - one parameter for each option
        config: Annotated[Path, typer.Option(metavar="FILE", help="Nornir's configuration.")] = Path("config.yaml"),
        filters: Annotated[
            Optional[list[str]],  # noqa: UP045 - Typer reads it at run time, on Python 3.10 too
            typer.Option("--filter", metavar="KEY=VALUE", help="Only hosts with this value may change. Repeatable."),
        ] = None,
        hosts: Annotated[str, typer.Option(metavar="NAME,...", help="Only these hosts may change.")] = "",
        settings: Annotated[
            Optional[list[str]],  # noqa: UP045 - as above
            typer.Option("--set", metavar="KEY=VALUE", help="A variable above the inventory. Repeatable."),
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Print the plan with its diffs, touch nothing.")
        ] = False,
        accept_downtime: Annotated[
            bool, typer.Option("--accept-downtime", help="The only member of a cluster may be stopped.")
        ] = False,
        output: Annotated[
            Optional[Path],  # noqa: UP045 - as above
            typer.Option(metavar="FILE", help="Also write the report, as JSON."),
        ] = None,
        verbose: Annotated[
            bool, typer.Option("-v", "--verbose", help="All findings, all diffs, the result of every task.")
        ] = False,
    ) -> None:
        names = tuple(name.strip() for name in hosts.split(",") if name.strip())
        chosen = (tuple(filters or ()), names, tuple(settings or ()))
        options = Options(config, *chosen, dry_run, accept_downtime, output, verbose)
        raise SystemExit(_finish(main, options))

    run.__doc__ = main.__doc__
    return run


def script(main: Callable[[Options], Report]) -> None:
    """Run a runbook script: the options are those of `nornir-etcd`, and so are report and exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command(main))
    app()


def _finish(main: Callable[[Options], Report], options: Options) -> int:
    from rich.console import Console  # noqa: PLC0415 - `--help` needs none of it

    from nornir_etcd.report.console import report_view  # noqa: PLC0415

    try:
        _check_output(options.output)
        report = main(options)
        Console().print(report_view(report, verbose=options.verbose))
        if options.output:
            _write(options.output, report)
    except InventoryError as error:
        return _say(*error.problems)
    except NornirEtcdError as error:
        return _say(str(error))
    return report.exit_code


def _say(*lines: str) -> int:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)  # noqa: T201 - a command line's own voice
    return USAGE


def _check_output(path: Path | None) -> None:
    """Find out before the run, not after it, that a report cannot be written."""
    if path is None:
        return
    if path.is_dir() or not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise InventoryError(f"--output: wanted a file in a folder that can be written, found {path}")


def _write(path: Path, report: Report) -> None:
    """Write the report by a rename, so that a reader never sees half of one."""
    from nornir_etcd.report.document import to_json  # noqa: PLC0415 - `--help` needs none of it

    descriptor, staged = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(to_json(report))
    Path(staged).chmod(0o644)
    Path(staged).replace(path)


@contextmanager
def watched(nr: Nornir, options: Options) -> Iterator[Nornir]:
    """Yield a Nornir that shows what it does: progress on a terminal, or with -v the result of every task."""
    from rich.console import Console  # noqa: PLC0415 - `--help` needs none of it

    if options.verbose:
        # Importing it wraps stdout for good (colorama), so it is imported only where a person asked for it.
        from nornir_utils.plugins.processors.print_result import PrintResult  # noqa: PLC0415

        yield nr.with_processors([*nr.processors, PrintResult()])
        return
    from nornir_etcd.progress import ProgressProcessor  # noqa: PLC0415

    with ProgressProcessor(Console(stderr=True)) as progress:
        yield nr.with_processors([*nr.processors, progress])
