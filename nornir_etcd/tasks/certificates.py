"""Issues certificates into the controller's folder."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from nornir.core.task import Result

from nornir_etcd.pki.authority import make_authority
from nornir_etcd.plan import apiserver
from nornir_etcd.plan.certs import AS_DUE, apiserver_due, controller_request, leaf_request, member_due
from nornir_etcd.signers import cfssl
from nornir_etcd.signers.local import CertificateStore
from nornir_etcd.signers.passphrase import ca_passphrase
from nornir_etcd.signers.sign import sign

if TYPE_CHECKING:
    from nornir.core.task import Task

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.pki.leaf import Leaf, LeafRequest
    from nornir_etcd.plan.certs import Renewal

ROOM = 40
"""Letters of a cluster's name that stand in the common name of its CA, which holds 64 (RFC 5280, appendix A.1)."""

_WRITING = threading.Lock()
"""The store takes one writer at a time, and refuses a second one instead of waiting; the hosts' tasks run at once."""


def store_of(cluster: Cluster) -> CertificateStore:
    """Return the controller's folder of a cluster."""
    settings = cluster.members[0].settings
    return CertificateStore(Path(settings.generate_certs_dir), lambda: ca_passphrase(settings))


def make_ca(cluster: Cluster) -> None:
    """Make a CA for a cluster that has none.

    Raises:
        PkiError: there is one already, or the folder cannot be written.
    """
    settings = cluster.members[0].settings
    authority = make_authority(
        f"{cluster.name} CA", days=settings.etcd_ca_days, now=_now(), key_type=settings.etcd_key_type
    )
    store_of(cluster).write_authority(authority)


def issue_client(cluster: Cluster) -> None:
    """Issue the client certificate of the controller.

    Raises:
        PkiError: nothing can be issued, or the folder cannot be written.
    """
    store_of(cluster).write_client(_signed(cluster, controller_request(cluster)))


def make_etcd_ca(cluster: Cluster) -> None:
    """Make a CA of etcd's own: the first one of a cluster that has no certificates yet, else the next of a rotation.

    Raises:
        PkiError: a rotation is under way already, or the folder cannot be written.
    """
    settings, now = cluster.members[0].settings, _now()
    name = f"etcd-{now:%Y%m%dt%H%M%Sz}"
    common_name = f"{cluster.name[:ROOM]} {name}"
    authority = make_authority(common_name, days=settings.etcd_ca_days, now=now, key_type=settings.etcd_key_type)
    store_of(cluster).add_authority(name, authority)


def switch_signer(cluster: Cluster) -> None:
    """Let the new CA of a rotation sign.

    Raises:
        PkiError: there is none that can sign, or the folder cannot be written.
    """
    store_of(cluster).switch_signer(now=_now())


def retire_ca(cluster: Cluster) -> None:
    """Trust the former CA of a rotation no more; its files stay.

    Raises:
        PkiError: the new one does not sign yet, or the folder cannot be written.
    """
    store_of(cluster).retire_former()


def issue_apiserver(task: Task, cluster: Cluster, *, renewal: Renewal = AS_DUE, dry_run: bool | None = None) -> Result:
    """Issue the client certificate of the host's API server where it is due. The host itself is not touched.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        renewal: what is made anew before its time.
        dry_run: overrides Nornir's own.

    Returns:
        changed where a certificate was due; the diff names the reason.

    Raises:
        PkiError: nothing can be issued, or the folder cannot be written.
    """
    store = store_of(cluster)
    member, content = cluster.member(task.host.name), store.read()
    reason = apiserver_due(member, content, _now(), renewal)
    if reason and not task.is_dry_run(dry_run):
        leaf = _signed(cluster, apiserver.request(member))
        with _WRITING:
            store.write_apiserver(member.name, leaf)
    return Result(task.host, changed=bool(reason), diff=f"{member.name}.pem: {reason}\n" if reason else "")


def issue_certificate(
    task: Task, cluster: Cluster, *, renewal: Renewal = AS_DUE, dry_run: bool | None = None
) -> Result:
    """Issue the host's certificate where it is due. The host itself is not touched.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        renewal: what is made anew before its time.
        dry_run: overrides Nornir's own.

    Returns:
        changed where a certificate was due; the diff names the reason.

    Raises:
        PkiError: nothing can be issued, or the folder cannot be written.
    """
    store = store_of(cluster)
    member, content = cluster.member(task.host.name), store.read()
    reason = member_due(member, content, _now(), renewal)
    if reason and not task.is_dry_run(dry_run):
        leaf = _signed(cluster, leaf_request(member))
        with _WRITING:
            store.write_leaf(member.name, leaf)
    return Result(task.host, changed=bool(reason), diff=f"{member.name}.pem: {reason}\n" if reason else "")


def check_signing(cluster: Cluster, *, new_ca: bool) -> None:
    """Check that certificates can be issued and written, without doing either.

    Args:
        cluster: the cluster.
        new_ca: the CA is made first.

    Raises:
        PkiError: the CA, its key, the key's passphrase or the signer is unusable, or the folder cannot be written.
    """
    store, settings = store_of(cluster), cluster.members[0].settings
    store.check_writable()
    if settings.cert_signer == "cfssl":
        cfssl.find(settings)
    if new_ca:
        ca_passphrase(settings)
    else:
        store.authority(now=_now())


def _signed(cluster: Cluster, request: LeafRequest) -> Leaf:
    settings, now = cluster.members[0].settings, _now()
    return sign(store_of(cluster).authority(now=now), request, settings, now=now)


def _now() -> datetime:
    return datetime.now(tz=timezone.utc)
