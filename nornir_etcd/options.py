"""The options that every runbook takes, as a command and as a script, and what becomes of them."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nornir_etcd.events import EventFile
from nornir_etcd.exceptions import InventoryError, NornirEtcdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir.core import Nornir
    from nornir.core.inventory import Host

    from nornir_etcd.report.model import Report

USAGE = 2
"""Exit code of a usage or inventory error: nothing has been touched."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as of any command: 128 and the signal's number."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What was said on the command line."""

    config: Path
    filters: tuple[str, ...]
    hosts: tuple[str, ...]
    settings: tuple[str, ...]
    dry_run: bool
    accept_downtime: bool
    output: Path | None
    verbose: bool
    events: Path | None = None
    ask_sudo_password: bool = False

    @contextmanager
    def nornir(self) -> Iterator[Nornir]:
        """Yield Nornir as `--config` describes it. It shows what it does: progress, or with -v every result.

        Raises:
            InventoryError: the configuration or the inventory cannot be read.
        """
        from nornir_etcd.configuration import init_nornir  # noqa: PLC0415 - `--help` needs none of it
        from nornir_etcd.progress import ProgressProcessor, ResultProcessor  # noqa: PLC0415

        nr = init_nornir(self.config)
        if self.ask_sudo_password:
            from nornir_etcd.passwords import ask_sudo_password  # noqa: PLC0415

            ask_sudo_password(nr)
        if self.verbose:
            yield nr.with_processors([*nr.processors, ResultProcessor()])
            return
        with ProgressProcessor() as progress:
            yield nr.with_processors([*nr.processors, progress])

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments that `certs`, `deploy` and `verify` have in common.

        Raises:
            InventoryError: an option is malformed, or the file of --events cannot be written.
        """
        return {
            "hosts": self._selected(nr),
            "overrides": dict(_pairs("--set", self.settings)),
            "events": EventFile(self.events) if self.events else None,
        }

    def _selected(self, nr: Nornir) -> list[str] | None:
        """Return the hosts that may change. Those that do not exist are left in, for the runbook to refuse."""
        if not self.hosts and not self.filters:
            return None
        rules, found = _pairs("--filter", self.filters), nr.inventory.hosts
        members = [name for name, host in found.items() if host.has_parent_group("etcd")]
        return [name for name in self.hosts or members if name not in found or _matches(found[name], rules)]


def _pairs(option: str, given: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return key and value of each KEY=VALUE, naming all that are none."""
    pairs = [(key.strip(), sign, value) for key, sign, value in (text.partition("=") for text in given)]
    wrong = [text for text, (key, sign, _) in zip(given, pairs, strict=True) if not key or not sign]
    if wrong:
        raise InventoryError(*(f"{option}: wanted KEY=VALUE, found '{text}'" for text in wrong))
    return [(key, value) for key, _, value in pairs]


def _matches(host: Host, rules: list[tuple[str, str]]) -> bool:
    """Whether the host has each of these values, or has it in a list. Case does not count: YAML's true is True here."""
    for key, wanted in rules:
        found = host.get(key)
        if wanted.lower() not in [str(one).lower() for one in (found if isinstance(found, list) else [found])]:
            return False
    return True


def command(main: Callable[[Options], Report]) -> Callable[..., None]:
    """Return a Typer command that calls `main` with its options, draws the report and exits with its code."""

    def run(  # noqa: PLR0913, PLR0917 - one parameter for each option
        config: Annotated[Path, typer.Option(metavar="FILE", help="Nornir's configuration.")] = Path("config.yaml"),
        filters: Annotated[
            list[str] | None,
            typer.Option("--filter", metavar="KEY=VALUE", help="Only hosts with this value may change. Repeatable."),
        ] = None,
        hosts: Annotated[str, typer.Option(metavar="NAME,...", help="Only these hosts may change.")] = "",
        settings: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="A variable above the inventory. Repeatable."),
        ] = None,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Print the plan with its diffs, touch nothing.")
        ] = False,
        accept_downtime: Annotated[
            bool, typer.Option("--accept-downtime", help="The only member of a cluster may be stopped.")
        ] = False,
        output: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report, as JSON.")] = None,
        events: Annotated[
            Path | None,
            typer.Option(metavar="FILE", help="Append what is begun and ended while it works, as JSON lines."),
        ] = None,
        ask_sudo_password: Annotated[
            bool, typer.Option("-K", "--ask-sudo-password", help="Ask for the password for sudo on the hosts.")
        ] = False,
        verbose: Annotated[
            bool, typer.Option("-v", "--verbose", help="All findings, all diffs, the result of every task.")
        ] = False,
    ) -> None:
        names = tuple(name.strip() for name in hosts.split(",") if name.strip())
        chosen = (tuple(filters or ()), names, tuple(settings or ()))
        options = Options(config, *chosen, dry_run, accept_downtime, output, verbose, events, ask_sudo_password)
        raise SystemExit(_run(main, options))

    run.__doc__ = main.__doc__
    return run


def rarely_collect_garbage() -> None:
    """Set Python's collector for a process that ends with its command: a third of the CPU time of a short run is its.

    Some 80,000 objects are imported and live to the end. By default (700, 10, 10) they are looked through again and
    again, and at the exit once more, each one; frozen objects are left to the operating system.
    """
    gc.set_threshold(100_000, 10, 10)
    atexit.register(gc.freeze)


def script(main: Callable[[Options], Report]) -> None:
    """Run a runbook script: the options are those of `nornir-etcd`, and so are report and exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command(main))
    rarely_collect_garbage()
    app()


def _run(main: Callable[[Options], Report], options: Options) -> int:
    """Call `main`, write and draw its report, and return the exit code."""
    signal.signal(signal.SIGINT, _interrupted)
    logging.lastResort = logging.NullHandler()  # what Nornir and paramiko log goes to the log, if anywhere
    try:
        _check_output(options.output)
        report = main(options)
    except InventoryError as error:
        return _say(*error.problems)
    except NornirEtcdError as error:
        return _say(str(error))
    except KeyboardInterrupt:  # while a password was asked for
        _interrupted()
    except Exception as error:
        logger.exception("the run ended early")
        return _say(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}; see the log")

    from nornir_etcd.report.console import print_report  # noqa: PLC0415 - `--help` needs none of it

    try:
        _write(options.output, report)
    except OSError as error:
        return _say(f"--output: {options.output}: {error.strerror}")
    finally:
        print_report(report, verbose=options.verbose)
    return report.exit_code


def _say(*lines: str) -> int:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)  # noqa: T201 - a command line's own voice
    return USAGE


def _interrupted(*_: object) -> NoReturn:
    """End at once: threads that wait for a host would hold the process for as long as that takes.

    Nothing is lost by it: a run that was killed goes on by observing and planning again.
    """
    cursor = "\033[?25h" if sys.stderr.isatty() else ""  # progress hides it
    print(f"{cursor}\nerror: interrupted; the next run goes on from what the hosts show", file=sys.stderr)  # noqa: T201
    if listener := sys.modules.get("nornir_etcd.remote.listener"):  # loaded by a run that has come so far
        listener.remove_folders()
    os._exit(INTERRUPTED)


def _check_output(path: Path | None) -> None:
    """Find out before the run, not after it, that a report cannot be written."""
    if path is None or (path.exists() and not path.is_dir() and os.access(path, os.W_OK)):
        return
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise InventoryError(f"--output: wanted a file in a folder that can be written, found {path}")


def _write(path: Path | None, report: Report) -> None:
    """Write the report by a rename, so that a reader never sees half of one.

    Raises:
        OSError: it cannot be written.
    """
    from nornir_etcd.report.document import to_json  # noqa: PLC0415 - `--help` needs none of it

    if path is None:
        return
    if path.exists() and not path.is_file():  # such as /dev/stdout: a rename would put a file in its place
        path.write_text(to_json(report), encoding="utf-8")
        return
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    staged = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(to_json(report))
        staged.chmod(0o644)
        staged.replace(target)
    except OSError:
        staged.unlink()
        raise
