"""`nornir-etcd images`: what an inventory needs of images, and how it gets there without the internet."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nornir_etcd import terminal
from nornir_etcd.exceptions import ImageError, InventoryError, NornirEtcdError, RemoteError
from nornir_etcd.images.reference import parse as parse_reference
from nornir_etcd.options import INTERRUPTED, USAGE, listed, pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nornir.core import Nornir

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.images.archive import Image
    from nornir_etcd.images.choice import Chosen
    from nornir_etcd.images.reference import Reference
    from nornir_etcd.images.registry import Login, Registry
    from nornir_etcd.progress import Transfers

AT_ONCE = 20
REFUSED = 3
"""Exit code: a registry or a host did not take an image."""
UNREACHED = 4
"""Exit code: a host could not be worked on."""
FORMATS = ("table", "json")

app = typer.Typer(
    help="Images where nothing is fetched from the internet.", no_args_is_help=True, rich_markup_mode=None
)

_Config = Annotated[Path, typer.Option(metavar="FILE", help="Nornir's configuration.")]
_Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A variable above the inventory, such as etcd_version. Repeatable."
    ),
]
_From = Annotated[Path, typer.Option("--from", metavar="DIR", help="Folder of archives, *.tar.")]


@app.command("list")
def list_(
    config: _Config = Path("config.yaml"),
    settings: _Settings = None,
    form: Annotated[str, typer.Option("--format", metavar="table|json", help="How it is printed.")] = "table",
) -> None:
    """Print every image that the inventory needs, and the hosts that need it."""
    with _faults():
        if form not in FORMATS:
            raise InventoryError(f"--format: wanted {' or '.join(FORMATS)}, found '{form}'")
        _, clusters = _inventory(config, settings)
        _print(_needed(clusters), form)


@app.command()
def push(  # noqa: PLR0913, PLR0917 - one parameter for each option
    source: _From,
    config: _Config = Path("config.yaml"),
    settings: _Settings = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The CA of the registry, where it is private.")
    ] = None,
    user: Annotated[str, typer.Option(metavar="NAME", help="Who logs in; the password is asked for.")] = "",
    password_env: Annotated[
        str, typer.Option(metavar="VARIABLE", help="The environment variable that has the password.")
    ] = "",
    plain_http: Annotated[bool, typer.Option("--plain-http", help="Without TLS, on purpose.")] = False,
) -> None:
    """Push what the inventory needs out of archives into its registry."""
    with _faults():
        if problems := list(_push_problems(ca, user, password_env, plain_http=plain_http)):
            raise InventoryError(*problems)
        _, clusters = _inventory(config, settings)
        chosen = _chosen(_needed(clusters), source)
        login = _login(user, password_env)
        code = _push(chosen, ca, login, plain_http=plain_http)
    raise SystemExit(code)


@app.command()
def load(
    source: _From,
    config: _Config = Path("config.yaml"),
    settings: _Settings = None,
    hosts: Annotated[str, typer.Option(metavar="NAME,...", help="Only these hosts.")] = "",
    ask_sudo_password: Annotated[
        bool, typer.Option("-K", "--ask-sudo-password", help="Ask for the password for sudo on the hosts.")
    ] = False,
) -> None:
    """Load what the hosts need out of archives into their own runtime, over SSH. Goes on with what was cut off."""
    with _faults():
        nr, clusters = _inventory(config, settings)
        members = _members(clusters, listed(hosts))
        chosen = _chosen({parse_reference(one.settings.etcd_image): [] for one in members}, source)
        if ask_sudo_password:
            from nornir_etcd.passwords import ask_sudo_password as ask  # noqa: PLC0415 - `--help` needs none of it

            ask(nr)
        code = _load(nr, members, {str(one.reference): one for one in chosen})
    raise SystemExit(code)


@contextmanager
def _faults() -> Iterator[None]:
    """Tell what is wrong before anything was touched, in a line for each fault, and end."""
    try:
        yield
    except InventoryError as error:
        raise SystemExit(_refuse(USAGE, *error.problems)) from error
    except NornirEtcdError as error:
        raise SystemExit(_refuse(USAGE, str(error))) from error
    except KeyboardInterrupt:
        _interrupted()


def _inventory(config: Path, settings: list[str] | None) -> tuple[Nornir, tuple[Cluster, ...]]:
    from nornir_etcd.configuration import init_nornir  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.workflows.inventory import clusters_in  # noqa: PLC0415

    nr = init_nornir(config)
    clusters, _ = clusters_in(nr.inventory, dict(pairs("--set", settings)))
    return nr, clusters


def _needed(clusters: Sequence[Cluster]) -> dict[Reference, list[str]]:
    from nornir_etcd.images.choice import needed  # noqa: PLC0415 - `--help` needs none of it

    return needed(clusters)


def _print(wanted: Mapping[Reference, Sequence[str]], form: str) -> None:
    if form == "json":
        print(json.dumps([{"image": str(one), "hosts": list(names)} for one, names in wanted.items()], indent=2))  # noqa: T201 - a command line's own voice
        return
    width = max(map(len, ("IMAGE", *map(str, wanted))))
    for image, names in (("IMAGE", ["HOSTS"]), *wanted.items()):
        print(f"{image!s:{width}}  {', '.join(names)}")  # noqa: T201


def _chosen(wanted: Iterable[Reference], directory: Path) -> list[Chosen]:
    """Return what the archives of a folder have for each reference.

    Raises:
        InventoryError: with every fault of the archives and every image that is missing.
    """
    from nornir_etcd.images.archive import find, read  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.images.choice import choose  # noqa: PLC0415

    images: list[Image] = []
    found, problems = [], []
    for path in find(directory):
        try:
            images += read(path)
        except ImageError as error:  # noqa: PERF203 - all faults are told at once
            problems.append(str(error))
    if not problems:
        for reference in wanted:
            try:
                found.append(choose(reference, images))
            except ImageError as error:  # noqa: PERF203 - all faults are told at once
                problems.append(str(error))
    if problems:
        raise InventoryError(*problems)
    return found


def _push_problems(ca: Path | None, user: str, variable: str, *, plain_http: bool) -> Iterator[str]:
    """Yield what is wrong with the options of push."""
    if ca and plain_http:
        yield "--ca: wanted with TLS alone, found --plain-http as well; leave one of them out"
    if variable and not user:
        yield "--password-env: wanted --user with it"
    elif variable and not os.environ.get(variable):
        yield f"--password-env: wanted the password in {variable}, found no such variable or an empty one"


def _login(user: str, variable: str) -> Login | None:
    """Return who logs in, with a password from an environment variable or from the terminal.

    Raises:
        InventoryError: there is no terminal to ask on, or nothing was answered.
    """
    from nornir_etcd.images.registry import Login  # noqa: PLC0415 - `--help` needs none of it

    if not user:
        return None
    if variable:
        return Login(user, os.environ[variable])
    instead = "name an environment variable with --password-env"
    return Login(user, terminal.ask("--user", f"password of {user} for the registry", instead=instead))


def _push(chosen: Sequence[Chosen], ca: Path | None, login: Login | None, *, plain_http: bool) -> int:
    """Push into every registry that the inventory names; one that is out of order does not stop the others."""
    from nornir_etcd.images.registry import Registry  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.progress import Transfers  # noqa: PLC0415

    code = 0
    with Transfers() as transfers:
        for address in dict.fromkeys(one.reference.registry for one in chosen):
            registry = Registry(address, ca=ca, login=login, plain_http=plain_http)
            try:
                registry.check()
                for one in chosen:
                    if one.reference.registry == address:
                        _push_one(registry, one, transfers)
            except ImageError as error:
                code = _refuse(REFUSED, str(error))
            finally:
                registry.close()
    return code


def _push_one(registry: Registry, chosen: Chosen, transfers: Transfers) -> None:
    from nornir_etcd.images.push import push as push_image  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.images.push import size  # noqa: PLC0415

    sent = push_image(registry, chosen, transfers.begin(str(chosen.reference), size(chosen)))
    how = f"pushed, {chosen.digest}" if sent else "there already"
    print(f"{chosen.reference} ({chosen.platforms}): {how}", flush=True)  # noqa: T201 - a command line's own voice


def _members(clusters: Sequence[Cluster], names: Sequence[str]) -> list[Member]:
    """Return the members that are named; all where none is.

    Raises:
        InventoryError: with every name that is no member.
    """
    members = {member.name: member for cluster in clusters for member in cluster.members}
    if unknown := [name for name in names if name not in members]:
        raise InventoryError(*(f"--hosts: {name} is no host of the group etcd" for name in unknown))
    return [members[name] for name in dict.fromkeys(names or members)]


def _load(nr: Nornir, members: Sequence[Member], chosen: Mapping[str, Chosen]) -> int:
    """Load into all hosts side by side; one that fails does not stop the others."""
    from nornir_etcd.images.hosts import load as load_image  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.progress import Transfers  # noqa: PLC0415

    def work(member: Member) -> str | NornirEtcdError:
        one, runtime = chosen[member.settings.etcd_image], member.settings.container_runtime
        begin = partial(transfers.begin, member.name)
        try:
            loaded = load_image(nr.inventory.hosts[member.name], nr.config, runtime, one, begin)
        except NornirEtcdError as error:
            return error
        return f"{member.name}: {one.reference}: {'loaded' if loaded else 'there already'}"

    code = 0
    with Transfers() as transfers, ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for outcome in pool.map(work, members):
                if isinstance(outcome, NornirEtcdError):
                    code = max(code, _refuse(UNREACHED if isinstance(outcome, RemoteError) else REFUSED, str(outcome)))
                else:
                    print(outcome, flush=True)  # noqa: T201 - a command line's own voice
        except KeyboardInterrupt:  # before the pool waits for its threads
            _interrupted()
    nr.close_connections(on_good=True, on_failed=True)
    return code


def _refuse(code: int, *lines: str) -> int:
    for line in lines:
        print(f"error: {line}", file=sys.stderr, flush=True)  # noqa: T201 - a command line's own voice
    return code


def _interrupted() -> NoReturn:
    """End at once: threads that wait for a host would hold the process for as long as that takes."""
    cursor = "\033[?25h" if sys.stderr.isatty() else ""  # progress hides it
    print(f"{cursor}\nerror: interrupted; the same command goes on", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(INTERRUPTED)
