"""The options that every runbook takes, as a command and as a script, and what becomes of them."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from inspect import Parameter, Signature
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_type_hints

import typer

from nornir_etcd import terminal
from nornir_etcd.events import EventFile
from nornir_etcd.exceptions import InventoryError, NornirEtcdError
from nornir_etcd.runlock import LockHeld, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nornir.core import Nornir
    from nornir.core.inventory import Host

    from nornir_etcd.report.model import Report

USAGE = 2
"""Exit code of a usage or inventory error: nothing has been touched."""
NOT_CHECKED = 4
"""Exit code where a required check could not be made."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as of any command: 128 and the signal's number."""

STYLES = (DEFAULT_STYLE := "default", "nagios")
"""What --exit-style may be."""

logger = logging.getLogger(__name__)

Chosen = TypeVar("Chosen", bound="Options")


@dataclass(frozen=True)
class Options:
    """What was said on the command line. Each field is an option; the default is what holds where it is not said."""

    config: Annotated[Path, typer.Option(metavar="FILE", help="Nornir's configuration.")] = Path("config.yaml")
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="KEY=VALUE", help="Only hosts with this value may change. Repeatable."),
    ] = None
    hosts: Annotated[str, typer.Option(metavar="NAME,...", help="Only these hosts may change.")] = ""
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A variable above the inventory. Repeatable."),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan with its diffs, touch nothing.")] = False
    accept_downtime: Annotated[
        bool, typer.Option("--accept-downtime", help="The only member of a cluster may be stopped.")
    ] = False
    output: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Also write the report: .json, .md, .html, .xml (JUnit) or .prom (Prometheus). Repeatable.",
        ),
    ] = None
    events: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append what is begun and ended while it works, as JSON lines."),
    ] = None
    ask_sudo_password: Annotated[
        bool, typer.Option("-K", "--ask-sudo-password", help="Ask for the password for sudo on the hosts.")
    ] = False
    ask_ca_passphrase: Annotated[
        bool, typer.Option("--ask-ca-passphrase", help="Ask for the passphrase of the CA's private key.")
    ] = False
    exit_style: Annotated[
        str,
        typer.Option(metavar="default|nagios", help="nagios: 0 ok, 1 warning, 2 critical, 3 unknown; a status line."),
    ] = DEFAULT_STYLE
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="All findings, all diffs, the result of every task.")
    ] = False

    @property
    def draws(self) -> bool:
        """Whether the run may show on stdout what it does: not where its first line is to be the status line."""
        return self.exit_style == DEFAULT_STYLE

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the options, as far as that is seen before the run."""
        if self.exit_style not in STYLES:
            yield f"--exit-style: wanted {' or '.join(STYLES)}, found '{self.exit_style}'"

    @contextmanager
    def nornir(self) -> Iterator[Nornir]:
        """Yield Nornir as `--config` describes it. It shows what it does: progress, or with -v every result.

        Raises:
            InventoryError: the configuration or the inventory cannot be read.
        """
        from nornir_etcd.progress import ProgressProcessor, ResultProcessor  # noqa: PLC0415 - `--help` needs none of it

        nr = self._inventory()
        if self.verbose and self.draws:
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
            "overrides": dict(pairs("--set", self.settings)),
            "events": EventFile(self.events) if self.events else None,
        }

    def _inventory(self) -> Nornir:
        from nornir_etcd.configuration import init_nornir  # noqa: PLC0415 - `--help` needs none of it

        nr = init_nornir(self.config)
        if self.ask_sudo_password:
            from nornir_etcd.passwords import ask_sudo_password  # noqa: PLC0415

            ask_sudo_password(nr)
        if self.ask_ca_passphrase:
            from nornir_etcd.signers.passphrase import ask_ca_passphrase  # noqa: PLC0415

            ask_ca_passphrase()
        return nr

    def _selected(self, nr: Nornir) -> list[str] | None:
        """Return the hosts that may change. Those that do not exist are left in, for the runbook to refuse."""
        names = listed(self.hosts)
        if not names and not self.filters:
            return None
        rules, found = pairs("--filter", self.filters), nr.inventory.hosts
        members = [name for name, host in found.items() if host.has_parent_group("etcd")]
        return [name for name in names or members if name not in found or _matches(found[name], rules)]


@dataclass(frozen=True)
class DeployOptions(Options):
    """What was said on the command line of deploy."""

    accept_no_margin: Annotated[
        bool, typer.Option("--accept-no-margin", help="On the way one more failure may stop the cluster.")
    ] = False

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments of `deploy` that not every runbook has.

        Raises:
            InventoryError: as above.
        """
        return super().arguments(nr) | {"accept_no_margin": self.accept_no_margin}


@dataclass(frozen=True)
class MembersOptions(DeployOptions):
    """What was said on the command line of members apply."""

    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before the data of a member are given up, to repair it.")
    ] = False
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete data directories of members that leave; else they are moved aside.")
    ] = False

    update_apiserver: Annotated[
        bool, typer.Option("--update-apiserver", help="Point API servers on the hosts at the members, at the end.")
    ] = False

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments of `members_apply` that not every runbook has.

        Raises:
            InventoryError: as above.
        """
        ask = _confirm(nr) if terminal.is_there() else None
        return super().arguments(nr) | {
            "repair": self.yes,
            "purge": self.purge,
            "update_apiserver": self.update_apiserver,
            "ask": ask,
        }


@dataclass(frozen=True)
class RenewOptions(Options):
    """What was said on the command line of certs renew."""

    within: Annotated[
        int | None, typer.Option(metavar="DAYS", min=0, help="Those with fewer days left; else etcd_renew_days.")
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Every certificate.")] = False

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments of `certs_renew` that not every runbook has.

        Raises:
            InventoryError: as above.
        """
        return super().arguments(nr) | {"within": self.within, "force": self.force}


@dataclass(frozen=True)
class RotateOptions(Options):
    """What was said on the command line of certs rotate-ca."""

    clients_trust_new: Annotated[
        bool, typer.Option("--clients-trust-new", help="All clients trust the new CA: serve its certificates.")
    ] = False
    clients_use_new: Annotated[
        bool, typer.Option("--clients-use-new", help="All clients have its certificates: drop the former CA.")
    ] = False
    force: Annotated[bool, typer.Option("--force", help="Also a CA that was made within the last 24 hours.")] = False

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments of `certs_rotate_ca` that not every runbook has.

        Raises:
            InventoryError: as above.
        """
        return super().arguments(nr) | {
            "clients_trust_new": self.clients_trust_new,
            "clients_use_new": self.clients_use_new,
            "force": self.force,
        }


@dataclass(frozen=True)
class UpgradeOptions(Options):
    """What was said on the command line of upgrade."""

    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The version wanted, as an image's tag; else etcd_version.")
    ] = None
    pause: Annotated[bool, typer.Option("--pause", help="Ask between members whether to go on.")] = False

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the options, as far as that is seen before the run."""
        yield from super().problems()
        yield from self._to_problems()
        if self.pause and not terminal.is_there():
            yield "--pause: wanted a terminal to ask on, found none"

    def _to_problems(self) -> Iterator[str]:
        from nornir_etcd.settings import values  # noqa: PLC0415 - `--help` needs none of it
        from nornir_etcd.settings.problems import Unwanted, shown  # noqa: PLC0415

        if self.to is None:
            return
        try:
            values.version(self.to)
        except Unwanted as error:
            yield f"--to: {error.against(shown(self.to))}"
        if any(setting.partition("=")[0] == "etcd_version" for setting in self.settings or ()):
            yield "--to: wanted the version once, found it in --set etcd_version as well; leave one of them out"

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments of `upgrade` that not every runbook has.

        Raises:
            InventoryError: as above.
        """
        return super().arguments(nr) | {"to": self.to, "pause": _confirm(nr) if self.pause else None}


@dataclass(frozen=True)
class VerifyOptions(Options):
    """What was said on the command line of verify."""

    check: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only these checks: cert.expiring, cert or cert.*. Repeatable."),
    ] = None
    skip: Annotated[list[str] | None, typer.Option(metavar="PATTERN", help="Not these checks. Repeatable.")] = None
    min_severity: Annotated[
        str | None, typer.Option(metavar="warning|critical", help="Tell of nothing less, but of what is unknown.")
    ] = None
    no_ssh: Annotated[bool, typer.Option("--no-ssh", help="Ask etcd alone, not the hosts.")] = False
    endpoints: Annotated[
        str, typer.Option(metavar="ADDRESS,...", help="No inventory: the etcd at these addresses. Implies --no-ssh.")
    ] = ""
    cacert: Annotated[Path | None, typer.Option(metavar="FILE", help="With --endpoints: the CA of etcd.")] = None
    cert: Annotated[Path | None, typer.Option(metavar="FILE", help="With --endpoints: a client certificate.")] = None
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="With --endpoints: the key of it.")] = None
    lock: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Held while it works; where another run holds it, end at once.")
    ] = None
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing where the exit code is 0.")] = False

    @property
    def draws(self) -> bool:
        """Whether the run may show on stdout what it does."""
        return super().draws and not self.quiet

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the options, as far as that is seen before the run."""
        yield from super().problems()
        files = {"--cacert": self.cacert, "--cert": self.cert, "--key": self.key}
        if not self.endpoints:
            yield from (f"{option}: wanted --endpoints with it" for option, path in files.items() if path)
            return
        if not self.cacert:
            yield "--endpoints: wanted --cacert, the CA of the certificates that are served there"
        if (self.cert is None) != (self.key is None):
            yield "--endpoints: wanted --cert and --key both, or none"

    def arguments(self, nr: Nornir) -> dict[str, Any]:
        """Return the keyword arguments of `verify`.

        Raises:
            InventoryError: as above.
        """
        return super().arguments(nr) | {
            "check": self.check or (),
            "skip": self.skip or (),
            "min_severity": self.min_severity,
            "ssh": not (self.no_ssh or self.endpoints),
        }

    def _inventory(self) -> Nornir:
        if not self.endpoints or self.cacert is None:
            return super()._inventory()
        from nornir_etcd.endpoints import nornir_for  # noqa: PLC0415 - `--help` needs none of it

        return nornir_for(listed(self.endpoints), cacert=self.cacert, cert=self.cert, key=self.key)


def _confirm(nr: Nornir) -> Callable[[str], bool]:
    """Return what asks on the terminal, while nothing is drawn there."""
    from nornir_etcd.progress import ProgressProcessor  # noqa: PLC0415 - `--help` needs none of it

    drawn = [one for one in nr.processors if isinstance(one, ProgressProcessor)]

    def confirm(question: str) -> bool:
        with ExitStack() as stack:
            for one in drawn:
                stack.enter_context(one.paused())
            return terminal.confirm(question)

    return confirm


def listed(names: str) -> list[str]:
    """Return what stands between commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def pairs(option: str, said: list[str] | None) -> list[tuple[str, str]]:
    """Return key and value of each KEY=VALUE, naming all that are none."""
    given = said or []
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


def command(main: Callable[[Chosen], Report], kind: type[Chosen] | None = None) -> Callable[..., None]:
    """Return a Typer command that calls `main` with its options, draws the report and exits with its code.

    Args:
        main: the runbook.
        kind: what it takes; `Options` where it is None.
    """
    chosen: type[Any] = kind or Options
    hints = get_type_hints(chosen, include_extras=True)

    def run(**said: Any) -> None:
        raise _Ended(_run(main, chosen(**said)))

    # Typer reads the options from the signature, and its hints beside it.
    run.__signature__ = Signature(  # type: ignore[attr-defined]  # as functools.wraps leaves it
        [
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
            for one in fields(chosen)
        ]
    )
    run.__annotations__ = {one.name: hints[one.name] for one in fields(chosen)}
    run.__doc__ = main.__doc__
    return run


def group(main: Callable[[Options], Report], others: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Return a Typer application that calls `main` with its options, or another runbook where its name is said.

    Args:
        main: the runbook that is meant where no name is said.
        others: commands by name, as `command` makes them.
    """
    app = typer.Typer(invoke_without_command=True, add_help_option=True, rich_markup_mode=None)
    alone = command(main)

    def run(context: typer.Context, **said: Any) -> None:
        if context.invoked_subcommand is None:
            alone(**said)
        if any(str(getattr(context.get_parameter_source(name), "name", "")) == "COMMANDLINE" for name in said):
            context.fail(f"wanted the options after '{context.invoked_subcommand}', found some before it")

    signature: Signature = alone.__signature__  # type: ignore[attr-defined]  # as `command` made it
    context = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    run.__signature__ = signature.replace(parameters=[context, *signature.parameters.values()])  # type: ignore[attr-defined]
    run.__annotations__ = {"context": typer.Context, **alone.__annotations__}
    run.__doc__ = main.__doc__
    app.callback()(run)
    for name, other in others.items():
        app.command(name)(other)
    return app


def commands(help_text: str, members: Mapping[str, Callable[..., None]]) -> typer.Typer:
    """Return a Typer application of runbooks of which one has to be named.

    Args:
        help_text: what they are about.
        members: commands by name, as `command` makes them.
    """
    app = typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None)
    for name, one in members.items():
        app.command(name)(one)
    return app


class _Ended(SystemExit):
    """A command has come to its end, with the exit code of its style."""


def run_app(app: typer.Typer) -> None:
    """Run a command line. Where Nagios asks, a fault of usage is told in its style as well.

    Typer ends the process on such a fault before any option is known.
    """
    try:
        app()
    except _Ended:
        raise
    except SystemExit as end:
        if end.code == USAGE and _asks_for_nagios(sys.argv[1:]):
            raise SystemExit(_say("nagios", USAGE, "wrong usage: see --help")) from end
        raise


def _asks_for_nagios(words: list[str]) -> bool:
    return "--exit-style=nagios" in words or ("--exit-style", "nagios") in pairwise(words)


def rarely_collect_garbage() -> None:
    """Set Python's collector for a process that ends with its command: a third of the CPU time of a short run is its.

    Some 80,000 objects are imported and live to the end. By default (700, 10, 10) they are looked through again and
    again, and at the exit once more, each one; frozen objects are left to the operating system.
    """
    gc.set_threshold(100_000, 10, 10)
    atexit.register(gc.freeze)


def script(main: Callable[[Chosen], Report], kind: type[Chosen] | None = None) -> None:
    """Run a runbook script: the options are those of `nornir-etcd`, and so are report and exit code.

    Args:
        main: the runbook.
        kind: what it takes; `Options` where it is None.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command(main, kind))
    rarely_collect_garbage()
    run_app(app)


def _run(main: Callable[[Any], Report], options: Options) -> int:
    """Call `main`, write and draw its report, and return the exit code."""
    signal.signal(signal.SIGINT, _interrupted)
    logging.lastResort = logging.NullHandler()  # what Nornir and paramiko log goes to the log, if anywhere
    style = options.exit_style
    with ExitStack() as stack:
        try:
            _check(options)
            stack.enter_context(locked(options.lock if isinstance(options, VerifyOptions) else None))
            report = main(options)
        except InventoryError as error:
            return _say(style, USAGE, *error.problems)
        except LockHeld as error:
            return _say(style, NOT_CHECKED, str(error))
        except NornirEtcdError as error:
            return _say(style, USAGE, str(error))
        except KeyboardInterrupt:  # while a password was asked for
            _interrupted()
        except Exception as error:  # a fault of the program is told in a line, and whole in the log
            logger.exception("the run ended early")
            said = f"internal error: {type(error).__name__}: {' '.join(str(error).split())}; see the log"
            return _say(style, USAGE, said)
        return _finish(options, report)


def _check(options: Options) -> None:
    """Check the options before anything is asked for or looked at.

    Raises:
        InventoryError: with every fault of theirs.
    """
    if problems := list(options.problems()):
        raise InventoryError(*problems)
    if options.output:
        from nornir_etcd.report.outputs import check_outputs  # noqa: PLC0415 - `--help` needs none of it

        check_outputs(options.output)


def _finish(options: Options, report: Report) -> int:
    """Write and draw the report, and return the exit code."""
    from nornir_etcd.report.console import print_report  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.report.outputs import write_outputs  # noqa: PLC0415
    from nornir_etcd.report.summary import exit_code, status_line, summary_line  # noqa: PLC0415

    failures = list(write_outputs(options.output or [], report))
    nagios = options.exit_style == "nagios"
    code = exit_code(report, "nagios" if nagios else "default")
    if failures:
        code = _say(options.exit_style, USAGE, *failures)
    elif nagios:
        print(status_line(code, summary_line(report)), flush=True)  # noqa: T201 - what Nagios reads
    if code or not (isinstance(options, VerifyOptions) and options.quiet):
        print_report(report, verbose=options.verbose)
    return code


def _say(style: str, code: int, *lines: str) -> int:
    """Tell why there is no report, or not all of it; return the exit code, which is 3 (unknown) for Nagios."""
    for line in lines:
        print(f"error: {line}", file=sys.stderr)  # noqa: T201 - a command line's own voice
    if style != "nagios":
        return code
    from nornir_etcd.report.summary import NAGIOS_UNKNOWN, status_line  # noqa: PLC0415 - `--help` needs none of it

    print(status_line(NAGIOS_UNKNOWN, "; ".join(lines)), flush=True)  # noqa: T201 - what Nagios reads
    return NAGIOS_UNKNOWN


def _interrupted(*_: object) -> NoReturn:
    """End at once: threads that wait for a host would hold the process for as long as that takes.

    Nothing is lost by it: a run that was killed goes on by observing and planning again.
    """
    cursor = "\033[?25h" if sys.stderr.isatty() else ""  # progress hides it
    print(f"{cursor}\nerror: interrupted; the next run goes on from what the hosts show", file=sys.stderr)  # noqa: T201
    if listener := sys.modules.get("nornir_etcd.remote.listener"):  # loaded by a run that has come so far
        listener.remove_folders()
    os._exit(INTERRUPTED)
