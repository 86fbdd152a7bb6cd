"""`nornir-etcd`: one command per runbook, what there is to do with hosts and reports, and the lab."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path  # noqa: TC003 - Typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

import nornir_etcd
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.hosts_cli import app as hosts_app
from nornir_etcd.images_cli import app as images_app
from nornir_etcd.options import (
    USAGE,
    DeployOptions,
    MembersOptions,
    Options,
    RenewOptions,
    RotateOptions,
    UpgradeOptions,
    VerifyOptions,
    command,
    commands,
    group,
    rarely_collect_garbage,
    run_app,
)
from nornir_etcd.report_cli import app as report_app

if TYPE_CHECKING:
    from nornir_etcd.report.model import Report

app = typer.Typer(
    name="nornir-etcd",
    help="Deploy, verify and operate the etcd of a Kubernetes control plane.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich costs a third of the time that it takes to print it
)


def certs(options: Options) -> Report:
    """Issue the certificates that are due and place them on their hosts."""
    with options.nornir() as nr:
        return nornir_etcd.certs(nr, **options.arguments(nr), dry_run=options.dry_run)


def certs_renew(options: RenewOptions) -> Report:
    """Make certificates anew before their time, and see them served. No member is restarted."""
    with options.nornir() as nr:
        return nornir_etcd.certs_renew(nr, **options.arguments(nr), dry_run=options.dry_run)


def certs_rotate_ca(options: RotateOptions) -> Report:
    """Give etcd a new CA of its own: both trusted, new certificates, the former trusted no more. Restarts members."""
    with options.nornir() as nr:
        return nornir_etcd.certs_rotate_ca(
            nr, **options.arguments(nr), dry_run=options.dry_run, accept_downtime=options.accept_downtime
        )


def certs_status(options: Options) -> Report:
    """Show every certificate of every member and of the controller, and where it is served. Changes nothing."""
    with options.nornir() as nr:
        return nornir_etcd.certs_status(nr, **options.arguments(nr))


def deploy(options: DeployOptions) -> Report:
    """Bring every cluster to what the inventory asks for."""
    with options.nornir() as nr:
        return nornir_etcd.deploy(
            nr, **options.arguments(nr), dry_run=options.dry_run, accept_downtime=options.accept_downtime
        )


def members_apply(options: MembersOptions) -> Report:
    """Bring the live members to those of the inventory, one safe change at a time."""
    with options.nornir() as nr:
        return nornir_etcd.members_apply(nr, **options.arguments(nr), dry_run=options.dry_run)


def members_plan(options: Options) -> Report:
    """Show the safest way from the live members to those of the inventory, with the margin of each step."""
    with options.nornir() as nr:
        return nornir_etcd.members_plan(nr, **options.arguments(nr))


def members_status(options: Options) -> Report:
    """Show who is a member, who should be, who votes and is healthy. Changes nothing."""
    with options.nornir() as nr:
        return nornir_etcd.members_status(nr, **options.arguments(nr))


def upgrade(options: UpgradeOptions) -> Report:
    """Change the version of etcd, one member at a time, with a snapshot before and a way back."""
    with options.nornir() as nr:
        return nornir_etcd.upgrade(
            nr, **options.arguments(nr), dry_run=options.dry_run, accept_downtime=options.accept_downtime
        )


def verify(options: VerifyOptions) -> Report:
    """Check every cluster and change nothing."""
    with options.nornir() as nr:
        return nornir_etcd.verify(nr, **options.arguments(nr))


app.add_typer(
    group(
        certs,
        {
            "status": command(certs_status),
            "renew": command(certs_renew, RenewOptions),
            "rotate-ca": command(certs_rotate_ca, RotateOptions),
        },
    ),
    name="certs",
)
app.command("deploy")(command(deploy, DeployOptions))
app.add_typer(
    commands(
        "Who is a member and who should be.",
        {
            "status": command(members_status),
            "plan": command(members_plan),
            "apply": command(members_apply, MembersOptions),
        },
    ),
    name="members",
)
app.command("upgrade")(command(upgrade, UpgradeOptions))
app.command("verify")(command(verify, VerifyOptions))
app.add_typer(report_app, name="report")
app.add_typer(hosts_app, name="hosts")
app.add_typer(images_app, name="images")


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made where there is none.")],
    from_ansible: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Take hosts and variables from this inventory of Ansible's. Repeatable."),
    ] = None,
    playbook: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the variables of this playbook's plays for etcd, too.")
    ] = None,
) -> None:
    """Lay out a workspace: configuration, inventory, runbooks and templates, to be edited."""
    from nornir_etcd.workspace import lay_out  # noqa: PLC0415 - as below

    try:
        own, left = _of_ansible(from_ansible or [], playbook)
        lay_out(directory, own)
    except InventoryError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)  # noqa: T201 - a command line's own voice
        raise SystemExit(USAGE) from error
    for line in left:
        print(f"not carried over: {line}")  # noqa: T201 - as above
    hosts, groups = ("look at", "see in") if own else ("put your hosts into", "say in")
    print(f"1. cd {shlex.quote(str(directory))}; {hosts} inventory/hosts.yaml")  # noqa: T201
    print(f"2. {groups} inventory/groups.yaml who logs in with which key, which etcd, and from which registry")  # noqa: T201
    print("3. nornir-etcd hosts trust; nornir-etcd deploy --dry-run to see the plan; nornir-etcd deploy")  # noqa: T201


def _of_ansible(inventories: list[Path], playbook: Path | None) -> tuple[dict[str, str], list[str]]:
    """Return files of a workspace out of Ansible's, and what they do not have."""
    if not inventories:
        if playbook:
            raise InventoryError("--playbook: wanted the inventory that it is for in --from-ansible, found none")
        return {}, []
    from nornir_etcd.ansible.inventory_files import files_of, left_out  # noqa: PLC0415 - as above
    from nornir_etcd.ansible.load import load  # noqa: PLC0415

    carried = load(inventories, playbook)
    return files_of(carried), left_out(carried)


@app.command()
def checks(
    form: Annotated[str, typer.Option("--format", metavar="table|markdown|json", help="How it is printed.")] = "table",
) -> None:
    """List every kind of finding: code, question, worst severity, settings with their defaults, source of the rule."""
    from nornir_etcd.report.catalogue import FORMS  # noqa: PLC0415 - `--help` needs none of it
    from nornir_etcd.workflows.catalogue import catalogue  # noqa: PLC0415

    if form not in FORMS:
        print(f"error: --format: wanted {', '.join(FORMS)}, found '{form}'", file=sys.stderr)  # noqa: T201 - as above
        raise SystemExit(USAGE)
    FORMS[form](catalogue())


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False},
)
def lab(context: typer.Context) -> None:
    """Hosts on this machine to try everything on (needs root)."""
    from nornir_etcd.lab.cli import app as lab_app  # noqa: PLC0415 - a quarter of the time that help takes

    lab_app(context.args, prog_name="nornir-etcd lab")


def main() -> None:
    """Run the command line."""
    rarely_collect_garbage()
    run_app(app)
