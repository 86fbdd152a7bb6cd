"""Each runbook is the walk with the differences that it may act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks import SUBJECTS, certificates
from nornir_etcd.workflows.walk import Runbook, walk

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nornir.core import Nornir

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
) -> Report:
    """Issue the certificates that are due and place them on their hosts. No member is restarted.

    Args:
        nr: Nornir with the inventory.
        hosts: the hosts that may change; all of the inventory where it is None.
        overrides: variables set above the inventory.
        dry_run: plan only; Nornir's own setting where it is None.

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(CERTS, nr, hosts=hosts, overrides=overrides, dry_run=dry_run)


def deploy(
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    accept_downtime: bool = False,
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

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(DEPLOY, nr, hosts=hosts, overrides=overrides, dry_run=dry_run, accept_downtime=accept_downtime)


def verify(nr: Nornir, *, hosts: Collection[str] | None = None, overrides: Mapping[str, str] | None = None) -> Report:
    """Check every cluster and change nothing.

    Args:
        nr: Nornir with the inventory.
        hosts: clusters without any of these hosts are left out; a cluster is always checked whole.
        overrides: variables set above the inventory.

    Returns:
        The report.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(VERIFY, nr, hosts=hosts, overrides=overrides)
