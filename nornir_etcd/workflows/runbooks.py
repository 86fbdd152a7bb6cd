"""Each runbook is the walk with the differences that it may act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks import SUBJECTS, VERIFY_KINDS, certificates, membership
from nornir_etcd.checks.selection import select
from nornir_etcd.plan.certs import Renewal
from nornir_etcd.plan.clients import client_lines
from nornir_etcd.plan.members import member_lines
from nornir_etcd.plan.rotation import Rotation
from nornir_etcd.workflows.run import Agreed, Runbook
from nornir_etcd.workflows.walk import walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nornir.core import Nornir

    from nornir_etcd.checks.selection import MinSeverity
    from nornir_etcd.cluster import Cluster
    from nornir_etcd.events import Events
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.report.model import Report
    from nornir_etcd.workflows.apply import Pause


def status_lines(cluster: Cluster, observation: ClusterObservation) -> Iterator[str]:
    """Yield who is live, who is wanted, what differs, and which clients ask others.

    Args:
        cluster: as the inventory wants it.
        observation: one that has asked strangers too.
    """
    yield from client_lines(cluster, observation)
    yield from member_lines(cluster, observation)


ROUNDS = 100
"""More than a cluster of seven can need: a join takes four, to clear a host two."""

CERTS = Runbook("certs", frozenset({"certificates"}), (certificates.check,), deep=False)
CERTS_RENEW = Runbook("certs renew", CERTS.allowed, CERTS.checks, deep=False)
CERTS_ROTATE_CA = Runbook(
    "certs rotate-ca", frozenset({"certificates", "manifests", "authority"}), CERTS.checks, deep=False, rounds=12
)
CERTS_STATUS = Runbook("certs status", frozenset(), CERTS.checks, deep=False)
DEPLOY = Runbook("deploy", frozenset({"certificates", "manifests"}), SUBJECTS, rounds=ROUNDS, tells=client_lines)
MEMBERS_APPLY = Runbook(
    "members apply", frozenset({"members"}), SUBJECTS, rounds=ROUNDS, strangers=True, tells=client_lines
)
MEMBERS_PLAN = Runbook("members plan", frozenset({"members"}), (), deep=True, strangers=True, tells=client_lines)
MEMBERS_STATUS = Runbook(
    "members status", frozenset(), (membership.check,), deep=True, strangers=True, tells=status_lines
)
UPGRADE = Runbook("upgrade", frozenset({"manifests", "version"}), SUBJECTS)
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


def certs_renew(  # noqa: PLR0913 - one keyword for each option
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    within: int | None = None,
    force: bool = False,
    events: Events | None = None,
) -> Report:
    """Make certificates anew before their time, place them, and see them served. No member is restarted.

    etcd reads its certificate at every handshake (https://etcd.io/docs/v3.5/op-guide/security/), so that a member
    serves the new one at once. On a cluster that answers one member follows the other.

    Args:
        nr: Nornir with the inventory.
        hosts: the hosts that may change; all of the inventory where it is None.
        overrides: variables set above the inventory.
        dry_run: plan only; Nornir's own setting where it is None.
        within: days left below which a certificate is renewed; etcd_renew_days where it is None.
        force: renew every certificate.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    renewal = Renewal(within=within, force=force)
    return walk(CERTS_RENEW, nr, hosts=hosts, overrides=overrides, dry_run=dry_run, events=events, renewal=renewal)


def certs_rotate_ca(  # noqa: PLR0913 - one keyword for each option
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    accept_downtime: bool = False,
    clients_trust_new: bool = False,
    clients_use_new: bool = False,
    force: bool = False,
    events: Events | None = None,
) -> Report:
    """Give etcd a new CA of its own, in three phases, with a quorum throughout.

    Both CAs are trusted, with a rolling restart; then certificates of the new one are served; then the former one is
    trusted no more, with another rolling restart. A run that was ended goes on where the hosts show that it was. Before
    the second and the third phase it stops and says what clients need, until one says that they have it.

    Args:
        nr: Nornir with the inventory.
        hosts: clusters without any of these hosts are left out; a CA is rotated on all members of a cluster.
        overrides: variables set above the inventory.
        dry_run: plan the next phase only; Nornir's own setting where it is None.
        accept_downtime: a cluster of one member may be stopped.
        clients_trust_new: all clients of etcd trust both CAs.
        clients_use_new: all clients of etcd have certificates of the new CA.
        force: replace a CA that was made within the last 24 hours.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(
        CERTS_ROTATE_CA,
        nr,
        hosts=hosts,
        overrides=overrides,
        dry_run=dry_run,
        accept_downtime=accept_downtime,
        events=events,
        rotation=Rotation(clients_trust_new=clients_trust_new, clients_use_new=clients_use_new, force=force),
    )


def certs_status(
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    events: Events | None = None,
) -> Report:
    """Tell every certificate of every member and of the controller, and what is wrong with it. Nothing is changed.

    Args:
        nr: Nornir with the inventory.
        hosts: clusters without any of these hosts are left out.
        overrides: variables set above the inventory.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. Of a certificate it says where it lies, on which ports it is served, and until when it holds.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(CERTS_STATUS, nr, hosts=hosts, overrides=overrides, events=events)


def deploy(  # noqa: PLR0913 - one keyword for each option
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    accept_downtime: bool = False,
    accept_no_margin: bool = False,
    events: Events | None = None,
) -> Report:
    """Bring every cluster to what the inventory asks for: certificates, static Pods, verification.

    Empty hosts are bootstrapped. On a cluster that lives only what differs is changed, one member at a time, the
    leader last, and hosts that are new join it, one after the other. Other differences of membership, and of versions,
    are refused.

    Args:
        nr: Nornir with the inventory.
        hosts: the hosts that may change; all of the inventory where it is None.
        overrides: variables set above the inventory.
        dry_run: plan only; Nornir's own setting where it is None.
        accept_downtime: a cluster of one member may be stopped.
        accept_no_margin: while hosts join, one more failure may stop the cluster, as when one member becomes three.
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
        agreed=Agreed(no_margin=accept_no_margin),
    )


def members_apply(  # noqa: PLR0913 - one keyword for each option
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    accept_no_margin: bool = False,
    repair: bool = False,
    purge: bool = False,
    update_apiserver: bool = False,
    ask: Pause | None = None,
    events: Events | None = None,
) -> Report:
    """Bring the live members to those of the inventory: grow, shrink, replace, repair, re-address.

    One change at a time, each planned from a fresh look: the quorum is counted anew before every step. New members come
    as learners and are promoted when they have caught up; a learner that does not come up is removed again. A run that
    was ended goes on where hosts and members show that it was.

    Args:
        nr: Nornir with the inventory.
        hosts: the hosts that may change; all of the inventory where it is None.
        overrides: variables set above the inventory.
        dry_run: plan only; Nornir's own setting where it is None.
        accept_no_margin: on the way one more failure may stop the cluster.
        repair: members whose data are lost or corrupt are removed, and start anew from what the others have.
        purge: data directories of members that leave are deleted, not moved aside.
        update_apiserver: API servers on the hosts are pointed at the members, one after the other, at the end.
        ask: asked, with what comes next, before each such member is given up, where `repair` does not say so already.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(
        MEMBERS_APPLY,
        nr,
        hosts=hosts,
        overrides=overrides,
        dry_run=dry_run,
        events=events,
        agreed=Agreed(accept_no_margin, repair, purge, update_apiserver, ask),
    )


def members_plan(
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    events: Events | None = None,
) -> Report:
    """Plan the way from the live members to those of the inventory, one safe change at a time. Nothing is changed.

    The whole sequence is simulated on voters and health: each step says how many more members may fail. One that would
    pass below quorum is refused.

    Args:
        nr: Nornir with the inventory.
        hosts: clusters without any of these hosts are left out.
        overrides: variables set above the inventory.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report, with the sequence as the plan.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(MEMBERS_PLAN, nr, hosts=hosts, overrides=overrides, dry_run=True, events=events)


def members_status(
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    events: Events | None = None,
) -> Report:
    """Tell who is a member, who should be, who votes and is healthy, and what differs. Nothing is changed.

    Args:
        nr: Nornir with the inventory.
        hosts: clusters without any of these hosts are left out.
        overrides: variables set above the inventory.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. Its notes tell the live list, the margin, and what differs.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(MEMBERS_STATUS, nr, hosts=hosts, overrides=overrides, events=events)


def upgrade(  # noqa: PLR0913 - one keyword for each option
    nr: Nornir,
    *,
    to: str | None = None,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool | None = None,
    accept_downtime: bool = False,
    pause: Pause | None = None,
    events: Events | None = None,
) -> Report:
    """Change the version of etcd, one member at a time, the leader last, with a quorum throughout.

    A snapshot is taken first. A member that does not come up is put back to the version that it ran, where etcd allows
    that. A way over several minors is gone one stage a run. A run that was ended goes on where the members show that it
    was.

    Args:
        nr: Nornir with the inventory.
        to: the version that is wanted, as the tag of the image; etcd_version of the inventory where it is None.
        hosts: the hosts that may change; all of the inventory where it is None.
        overrides: variables set above the inventory.
        dry_run: plan only; Nornir's own setting where it is None.
        accept_downtime: a cluster of one member may be stopped.
        pause: asked, with what comes next, before each member but the first is stopped; the run ends where it says no.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.

    Returns:
        The report. What went wrong on hosts stands in it and is not raised.

    Raises:
        InventoryError: with every fault of the inventory.
    """
    return walk(
        UPGRADE,
        nr,
        hosts=hosts,
        overrides={**(overrides or {}), **({"etcd_version": to} if to is not None else {})},
        dry_run=dry_run,
        accept_downtime=accept_downtime,
        events=events,
        pause=pause,
    )


def verify(  # noqa: PLR0913 - one keyword for each option
    nr: Nornir,
    *,
    hosts: Collection[str] | None = None,
    overrides: Mapping[str, str] | None = None,
    events: Events | None = None,
    check: Sequence[str] = (),
    skip: Sequence[str] = (),
    min_severity: MinSeverity | None = None,
    ssh: bool = True,
) -> Report:
    """Check every cluster and change nothing.

    Args:
        nr: Nornir with the inventory, or of endpoints alone (`nornir_etcd.endpoints.nornir_for`).
        hosts: clusters without any of these hosts are left out; a cluster is always checked whole.
        overrides: variables set above the inventory.
        events: told of every boundary that the run passes; `nornir_etcd.events.EventFile` is one.
        check: only findings with these codes: whole, their first words (`cert`), or patterns (`cert.*`).
        skip: no findings with these.
        min_severity: `warning` or `critical`: what is less is not told. What is unknown always is.
        ssh: whether the hosts are asked. If not, what only they can tell is left out, and a note names it.

    Returns:
        The report.

    Raises:
        InventoryError: with every fault of the inventory, or of the selection.
    """
    selection = select(VERIFY_KINDS, check=check, skip=skip, min_severity=min_severity, ssh=ssh)
    return walk(VERIFY, nr, hosts=hosts, overrides=overrides, events=events, selection=selection, ssh=ssh)
