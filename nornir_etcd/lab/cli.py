"""`nornir-etcd lab`: make, show, enter and remove labs."""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from pathlib import Path  # noqa: TC003 - Typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from nornir_etcd.lab.error import LabError
from nornir_etcd.lab.lab import Lab
from nornir_etcd.lab.state import names

if TYPE_CHECKING:
    from collections.abc import Iterator

app = typer.Typer(
    help="Hosts on this machine to try nornir-etcd on; needs root.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

NameOption = Annotated[str, typer.Option("--name", help="the lab's name; several may be up at once")]


@contextlib.contextmanager
def _usage_errors() -> Iterator[None]:
    """Print a LabError as one line and leave with 2."""
    try:
        yield
    except LabError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def up(  # noqa: PLR0913, PLR0917 - one parameter for each option
    name: NameOption = "lab",
    hosts: Annotated[int, typer.Option(help="how many hosts")] = 3,
    delay: Annotated[
        str, typer.Option(help="seconds a kubelet takes over a changed manifest; a real one 7-17")
    ] = "0.2",
    preload: Annotated[bool, typer.Option("--preload", help="pull all etcd images on all hosts")] = False,
    docker: Annotated[
        int, typer.Option(help="how many of the hosts, counted from the last, have Docker instead of containerd")
    ] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="leave a lab of that name as it is where it is up")] = False,
    inventory: Annotated[
        Optional[Path],  # noqa: UP045 - Typer reads it at run time, on Python 3.10 too
        typer.Option(metavar="DIR", help="write config.yaml and an inventory of the hosts there"),
    ] = None,
) -> None:
    """Make a lab; an earlier one of the same name goes first."""
    with _usage_errors():
        lab = Lab(name, hosts, delay, preload=preload, docker=docker)
        started = time.monotonic()
        if keep and _is_up(lab, hosts, docker):
            typer.echo(f"lab {name}: {hosts} hosts are up")
        else:
            lab.up()
            typer.echo(f"lab {name}: {hosts} hosts up in {time.monotonic() - started:.1f} s")
        if inventory is not None:
            lab.write_inventory(inventory)
        _show(lab)


def _is_up(lab: Lab, hosts: int, docker: int) -> bool:
    if lab.name not in names():
        return False
    wanted = ["containerd"] * (hosts - docker) + ["docker"] * docker
    return [node.runtime for node in lab.nodes] == wanted and all(lab.is_running(node.name) for node in lab.nodes)


@app.command()
def down(
    name: NameOption = "lab",
    every: Annotated[bool, typer.Option("--all", help="remove every lab of this machine")] = False,
) -> None:
    """Remove a lab and all that belongs to it."""
    with _usage_errors():
        for each in names() if every else [name]:
            Lab(each).down()
            typer.echo(f"lab {each}: gone")


@app.command()
def status() -> None:
    """Show the labs of this machine and their hosts."""
    with _usage_errors():
        for name in names():
            _show(Lab(name))


def _show(lab: Lab) -> None:
    typer.echo(f"lab {lab.name}: registry.ikubeops.local at {lab.registry_address}; etcd {', '.join(lab.versions)}")
    for node in lab.nodes:
        state = "running" if lab.is_running(node.name) else "off"
        typer.echo(f"  {node.name}  {node.address}  {node.address6}  {node.runtime}  {state}")


@app.command(context_settings={"ignore_unknown_options": True})
def ssh(
    node: Annotated[str, typer.Argument(help="node-1 ..")],
    command: Annotated[list[str] | None, typer.Argument(help="a command; without one, a shell")] = None,
    name: NameOption = "lab",
) -> None:
    """Log in to a host, or run a command there."""
    with _usage_errors():
        lab = Lab(name)
        address = next((each.address for each in lab.nodes if each.name == node), None)
        if address is None:
            raise LabError(f"lab {name}: {node}: no such host; it has {', '.join(each.name for each in lab.nodes)}")
        options = [f"UserKnownHostsFile={lab.known_hosts}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes"]
        argv = ["ssh", "-i", str(lab.key_file), *(word for option in options for word in ("-o", option))]
        argv += [f"root@{address}", *([shlex.join(command)] if command else [])]
    os.execvp(argv[0], argv)  # noqa: S606 - becomes ssh, so that terminal and exit code are ssh's
