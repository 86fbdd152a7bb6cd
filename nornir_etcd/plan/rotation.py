"""The next phase of a CA rotation, planned when every member runs with the one before. Pure: no I/O.

The phases are those of `nornir_etcd.pki.trust`. Each begins with one change in the controller's folder. What follows
from it on hosts, files and restarts, is planned as for any other difference between what is wanted and what is there,
and so is what a run that was killed has left undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.layout import layout
from nornir_etcd.manifest import but_for_trust
from nornir_etcd.observation import Unknown
from nornir_etcd.pki.certificate import describe
from nornir_etcd.pki.trust import CLUSTER
from nornir_etcd.plan.state import cluster_state, is_older_than_manifest
from nornir_etcd.plan.step import Plan, Step
from nornir_etcd.runtimes import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from nornir_etcd.cluster import Cluster
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.apiserver import ApiServers
    from nornir_etcd.signers.local import StoreContent

HOURS_APART = 24
"""A CA that is younger is taken for what this rotation was to make: the same command, said again, makes no other."""

TRUST_NEW = (
    "pause: give every client of etcd {bundle} to trust, then run this again with "
    "--clients-trust-new; new certificates are served from then on"
)
USE_NEW = (
    "pause: give every client of etcd a certificate of '{signer}', then run this again with "
    "--clients-use-new; certificates of the former CA are refused from then on"
)


COMING = {
    "settled": "then: both CAs to every host, and a rolling restart; then phases 2 and 3, each planned when it comes",
    "trust-both": "then: new certificates to every host, without a restart; then phase 3, planned when it comes",
    "new-leaves": "then: the new CA alone to every host, and a rolling restart",
}
"""What follows on the step that begins a phase, for a dry run."""


@dataclass(frozen=True)
class Rotation:
    """What the operator has said of a rotation.

    Attributes:
        clients_trust_new: all clients trust the new CA.
        clients_use_new: all clients have certificates of the new CA.
        force: replace a CA that was made just now.
    """

    clients_trust_new: bool = False
    clients_use_new: bool = False
    force: bool = False


UNSAID = Rotation()
"""Nothing was said."""


def refusals(
    cluster: Cluster, content: StoreContent, observation: ClusterObservation, manifests: Mapping[str, str]
) -> Iterator[str]:
    """Yield why the CA of a cluster cannot be rotated now, each as one line."""
    settings = cluster.members[0].settings
    if settings.etcd_ca == "cluster":
        yield (
            f"{cluster.name}: etcd_ca: wanted dedicated, found cluster; more than etcd hangs on the cluster's CA, so "
            "that it is not replaced: set etcd_ca to dedicated, to give etcd a CA of its own"
        )
    if content.ca.certificate is None or cluster_state(cluster, observation).life != "live":
        yield (
            f"{cluster.name}: wanted a cluster that answers with a quorum, found none; "
            "deploy it, or make its members healthy, first"
        )
        return
    for member in cluster.members:
        path = layout(member.settings).manifest
        text = observation.hosts[member.name].texts.get(path)
        if text is not None and but_for_trust(text) != but_for_trust(manifests[member.name]):
            yield f"{member.name}: {path}: differs in more than the CA; run deploy first, then rotate the CA"


def unproven(cluster: Cluster, observation: ClusterObservation) -> list[str]:
    """Return which members are not known to run with the CAs of their manifests, each as one line.

    Their manifests and files are as wanted; a container that is older was started with other CAs.
    """
    found = []
    for member in cluster.members:
        host = observation.hosts[member.name]
        if host.error is not None:
            found.append(host.error.reason)
        elif isinstance(host.containers, Unknown):
            found.append(f"{member.name}: which container runs is not known: {host.containers.reason}")
        elif is_older_than_manifest(member, host):
            stop = f"{runtime(member.settings.container_runtime).client} stop"
            found.append(
                f"{member.name}: the container is older than its manifest, so that it trusts other CAs; see the "
                f"kubelet's log, and stop the container by hand ({stop}) where the manifest was only touched"
            )
    healthy = cluster_state(cluster, observation).healthy
    return found or [
        f"{member.name}: does not answer, and every member has to before the next phase; look at its container"
        for member in cluster.members
        if member.name not in healthy
    ]


def next_phase(  # noqa: PLR0913 - all that it hangs on
    cluster: Cluster,
    content: StoreContent,
    observation: ClusterObservation,
    rotation: Rotation,
    clients: ApiServers,
    *,
    now: datetime,
) -> Plan:
    """Return the step that begins the next phase; none, and a note, where it is the last or somebody is waited for.

    Args:
        cluster: as the inventory wants it.
        content: what the controller's folder holds.
        observation: one that shows no difference to what this phase wants.
        rotation: what the operator has said.
        clients: the API servers on the hosts; they have what this phase wants.
        now: the controller's time.
    """
    if doubts := unproven(cluster, observation):
        return Plan(refusals=tuple(doubts))
    if waits := _waits(content, rotation, clients, now):
        return Plan(notes=(*clients.left, waits))
    begin = {"settled": _add, "trust-both": _switch_signer, "new-leaves": _retire}[content.trust.phase]
    return Plan(waves=((begin(content),),), notes=(COMING[content.trust.phase],), again=True)


def _waits(content: StoreContent, rotation: Rotation, clients: ApiServers, now: datetime) -> str:
    """Return why the next phase is not begun; empty where it is.

    Where API servers run on the hosts and have what they need, nobody is waited for: they are etcd's clients.
    """
    phase, served = content.trust.phase, bool(clients.hosts) and not clients.left
    if phase == "trust-both":
        ready = served or rotation.clients_trust_new
        return "" if ready else TRUST_NEW.format(bundle=content.directory / "trusted.pem")
    if phase == "new-leaves":
        return "" if served or rotation.clients_use_new else USE_NEW.format(signer=_subject(content))
    age = HOURS_APART if content.trust.signer == CLUSTER or rotation.force else _hours(content, now)
    if age >= HOURS_APART:
        return ""
    return (
        f"'{_subject(content)}', made {age:.1f} hours ago, alone signs and is trusted, everywhere; "
        f"to replace it within {HOURS_APART} hours of its making, say --force"
    )


def _hours(content: StoreContent, now: datetime) -> float:
    assert content.ca.certificate is not None  # noqa: S101 - `refusals` has seen to it
    return (now - describe(content.ca.certificate).not_before).total_seconds() / 3600


def _subject(content: StoreContent) -> str:
    return describe(content.ca.certificate).subject if content.ca.certificate is not None else content.trust.signer


def _add(content: StoreContent) -> Step:
    return Step(
        host="",
        action="add-ca",
        reason=f"phase 1 of 3: make a new CA, and trust it beside '{_subject(content)}', which goes on signing",
        precondition="every member answers and runs with the CA that is there",
        proof="the new CA is read again and matches its key",
        undo="take the new CA out of trust.json, and run deploy",
    )


def _switch_signer(content: StoreContent) -> Step:
    return Step(
        host="",
        action="switch-signer",
        reason=f"phase 2 of 3: the new CA signs, no more '{_subject(content)}', and every certificate is made anew",
        precondition="every member answers and runs with both CAs; every client trusts both",
        proof="the folder says which CA signs",
        undo="name the former CA as the one that signs in trust.json, and run deploy",
    )


def _retire(content: StoreContent) -> Step:
    former = content.trust.trusted[0]
    return Step(
        host="",
        action="retire-ca",
        reason=f"phase 3 of 3: '{_subject(content)}' alone is trusted; the files of the former CA ({former}) stay",
        precondition="every member serves a certificate of the new CA; every client has one",
        proof="the folder says which CAs are trusted",
        undo="name both CAs as trusted in trust.json, and run deploy",
    )
