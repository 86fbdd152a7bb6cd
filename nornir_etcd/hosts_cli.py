"""`nornir-etcd hosts`: what there is to do with hosts before a runbook works on them."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nornir_etcd.exceptions import HostKeyChanged, InventoryError, NornirEtcdError
from nornir_etcd.options import USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nornir.core import Nornir
    from nornir.core.inventory import Host

    from nornir_etcd.hostkeys import HostKey, Standing

KNOWN_HOSTS = Path("known_hosts")
AT_ONCE = 20
REFUSED = 3
"""Exit code: a key has changed, or nobody confirmed."""
UNREACHED = 4
"""Exit code: a host could not be asked."""

app = typer.Typer(help="Hosts before a runbook works on them.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _hosts() -> None:
    """Hosts before a runbook works on them."""  # keeps `trust` a word of its own, although it is the only one


@app.command()
def trust(
    config: Annotated[Path, typer.Option(metavar="FILE", help="Nornir's configuration.")] = Path("config.yaml"),
    hosts: Annotated[str, typer.Option(metavar="NAME,...", help="Only these hosts.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Add what is new without asking.")] = False,
) -> None:
    """Fetch the hosts' SSH keys, show their fingerprints, and add new ones to known_hosts on confirmation.

    Compare the fingerprints with what `ssh-keygen -lf` prints for /etc/ssh/ssh_host_*_key.pub on each host.
    """
    try:
        code = _trust(config, [name.strip() for name in hosts.split(",") if name.strip()], confirmed=yes)
    except InventoryError as error:
        code = _refuse(USAGE, *error.problems)
    raise SystemExit(code)


def _trust(config: Path, names: Sequence[str], *, confirmed: bool) -> int:
    from nornir_etcd.configuration import init_nornir  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.hostkeys import add  # noqa: PLC0415

    nr = init_nornir(config)
    hosts = _selected(nr, names)
    files = {name: _known_hosts(host) for name, host in hosts.items()}
    judged = _judged(_fetched(nr, hosts), files)
    new: dict[Path, list[HostKey]] = {}
    code = 0
    _tell("HOST", "TYPE", "FINGERPRINT", "KNOWN_HOSTS")
    for name, outcome in judged.items():
        if isinstance(outcome, NornirEtcdError):
            code = max(code, _refuse(REFUSED if isinstance(outcome, HostKeyChanged) else UNREACHED, str(outcome)))
            continue
        for key, standing in outcome.items():
            _tell(name, key.kind, key.fingerprint, f"{standing} ({key.name})")
            if standing == "new":
                new.setdefault(files[name], []).append(key)
    if not new:
        return code
    if refusal := _unconfirmed(new, confirmed=confirmed):
        return refusal
    for path, keys in new.items():
        add(path, keys)
        print(f"{path}: {len(keys)} keys added")  # noqa: T201 - a command line's own voice
    if missing := [name for name, host in hosts.items() if not _alternative(host)]:
        print(  # noqa: T201
            f"{', '.join(missing)}: sessions do not read {KNOWN_HOSTS} yet: put `alt_host_keys: true` and "
            f"`alt_key_file: {KNOWN_HOSTS}` into connection_options.netmiko.extras of the inventory"
        )
    return code


def _selected(nr: Nornir, names: Sequence[str]) -> dict[str, Host]:
    """Return the hosts that are named; all members where none is."""
    found = nr.inventory.hosts
    if unknown := [name for name in names if name not in found]:
        raise InventoryError(*(f"--hosts: {name} is no host of the inventory" for name in unknown))
    chosen = names or [name for name, host in found.items() if host.has_parent_group("etcd")]
    if not chosen:
        raise InventoryError("the inventory has no host in the group etcd")
    return {name: found[name] for name in dict.fromkeys(chosen)}


def _alternative(host: Host) -> str:
    from nornir_etcd.connections.ssh_options import merged_options  # noqa: PLC0415 - `--help` needs none of it

    return str((merged_options(host).extras or {}).get("alt_key_file") or "")


def _known_hosts(host: Host) -> Path:
    """Return the file in which the host's sessions look its key up, or the workspace's where they have none."""
    return Path(_alternative(host) or KNOWN_HOSTS).expanduser()


def _fetched(nr: Nornir, hosts: Mapping[str, Host]) -> dict[str, list[HostKey] | NornirEtcdError]:
    from nornir_etcd.connections.ssh_hostkeys import fetch_keys  # noqa: PLC0415 - `--help` needs none of it

    def fetch(host: Host) -> list[HostKey] | NornirEtcdError:
        try:
            return fetch_keys(host, nr.config)
        except NornirEtcdError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(hosts, pool.map(fetch, hosts.values()), strict=True))


def _judged(
    fetched: Mapping[str, list[HostKey] | NornirEtcdError], files: Mapping[str, Path]
) -> dict[str, dict[HostKey, Standing] | NornirEtcdError]:
    from nornir_etcd.hostkeys import parse, read, standings  # noqa: PLC0415 - `--help` needs none of it

    entries = {path: parse(read(path)) for path in set(files.values())}
    judged: dict[str, dict[HostKey, Standing] | NornirEtcdError] = {}
    for name, keys in fetched.items():
        try:
            path = files[name]
            judged[name] = keys if isinstance(keys, NornirEtcdError) else standings(name, keys, entries[path], path)
        except HostKeyChanged as error:  # noqa: PERF203 - one host's fault is not the others'
            judged[name] = error
    return judged


def _unconfirmed(new: Mapping[Path, Sequence[HostKey]], *, confirmed: bool) -> int:
    """Ask whether the new keys are to be added; return the exit code where they are not."""
    if confirmed:
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _refuse(USAGE, "hosts trust: wanted a terminal to confirm on, or --yes; nothing was added")
    where = ", ".join(f"{len(keys)} keys to {path}" for path, keys in new.items())
    return 0 if typer.confirm(f"Add {where}?") else _refuse(REFUSED, "not confirmed; nothing was added")


def _tell(*cells: str) -> None:
    widths = (20, 20, 51, 0)
    print(" ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())  # noqa: T201


def _refuse(code: int, *lines: str) -> int:
    for line in lines:
        print(f"error: {line}", file=sys.stderr)  # noqa: T201
    return code
