"""Each runbook is the walk with the differences that it may act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks import SUBJECTS, certificates
from nornir_etcd.workflows.walk import Runbook, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nornir.core import Nornir

    from nornir_etcd.events import Events
    from nornir_etcd.report.model import Report

CERTS = Runbook("certs", frozenset({"certificates"}), (certificates.check,))
DEPLOY = Runbook("deploy", frozenset({"certificates", "manifests"}), SUBJECTS)
VERIFY = Runbook("verify", frozenset(), SUBJECTS)


def certs(
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    events: Events | None = None,
) -> Report:
    """Issue the certificates that are due and place them on their hosts. No member is restarted.

    Args:
        nr: Nornir with the inventory.
        hosts: the hosts that may change; all of the inventory where it is None.
        overrides: variables set above the inventory.
        dry_run: plan only; Nornir's own setting where it is None.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(CERTS, nr, hosts=hosts, overrides=overrides, dry_run=dry_run, events=events)


def deploy(  # noqa: PLR0913 - one keyword for each option
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    accept_downtime: bool = False,
    events: Events | None = None,
) -> Report:
    """Bring every cluster to what the inventory asks for: certificates, static Pods, verification.

    Empty hosts are bootstrapped. On a cluster that lives only what differs is changed, one member at a time, the
    leader last. Membership and versions are not changed; a difference there is refused.

    Args:
        nr: Nornir with the inventory.
        hosts: the hosts that may change; all of the inventory where it is None.
        overrides: variables set above the inventory.
        dry_run: plan only; Nornir's own setting where it is None.
        accept_downtime: a cluster of one member may be stopped.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(
        DEPLOY,
        nr,
        hosts=hosts,
        overrides=overrides,
        dry_run=dry_run,
        accept_downtime=accept_downtime,
        events=events,
    )


def verify(
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    events: Events | None = None,
) -> Report:
    """Check every cluster and change nothing.

    Args:
        nr: Nornir with the inventory.
        hosts: clusters without any of these hosts are left out; a cluster is always checked whole.
        overrides: variables set above the inventory.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(VERIFY, nr, hosts=hosts, overrides=overrides, events=events)
