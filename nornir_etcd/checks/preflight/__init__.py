"""Preflight: can the hosts bear what the plan would do to them? Pure: an observation and a plan in, findings out.

It stands with the checks since it decides nothing but findings; the walk turns those that are critical into refusals.
Only hosts that the plan works on are held to it: files need tools, space and a file system that takes them; a member
that is to start needs all. So a healthy cluster on which nothing differs is never refused for what does not matter
then. The clocks are looked at in any case, and are critical only where something is to be done. A plan that is refused
names no hosts; then all hosts that may change are looked at, so that every reason comes out in one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.checks.kinds import HOST, Kind
from nornir_etcd.checks.preflight import clock, host, image, kubelet, network
from nornir_etcd.plan.step import BY_RPC, CONTROLLER_ACTIONS
from nornir_etcd.report.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.plan.planner import Desired
    from nornir_etcd.plan.step import Plan
    from nornir_etcd.report.model import Finding

KINDS = (
    Kind(
        "preflight.clock",
        "Does the host's clock agree with the controller's and the other members'?",
        HOST,
        "critical",
        rule="https://github.com/etcd-io/etcd/blob/v3.5.16/server/etcdserver/api/rafthttp/probing_status.go",
    ),
    Kind("preflight.tools", "Has the host every command that the work on it calls?", HOST, "critical"),
    Kind("preflight.writable", "Can the folders be written to?", HOST, "critical"),
    Kind(
        "preflight.space",
        "Is there space for what is written now, and for what the database may grow to?",
        HOST,
        "critical",
        settings=("etcd_free_data_bytes", "etcd_free_config_bytes", "etcd_quota_backend_bytes"),
    ),
    Kind("preflight.runtime", "Does the container runtime answer, and is it the one wanted?", HOST, "critical"),
    Kind(
        "preflight.kubelet", "Does a kubelet run that takes static Pods from the manifest's folder?", HOST, "critical"
    ),
    Kind(
        "preflight.manifests",
        "Does no other file in that folder define a Pod named etcd?",
        HOST,
        "critical",
        rule="https://github.com/kubernetes/kubernetes/issues/129364",
    ),
    Kind("preflight.port", "Are etcd's ports free, or the member's own?", HOST, "critical"),
    Kind("preflight.peer", "Does the host reach the peer port of every other member?", HOST, "critical"),
    Kind("preflight.image", "Is the image the same on every host that has it?", HOST, "critical"),
)
"""All are made before something is changed, and only of hosts that the plan works on."""


@dataclass(frozen=True)
class Concern:
    """What a plan does to hosts, by name."""

    written: frozenset[str]  # files are placed, or more
    started: frozenset[str]  # a member is prepared, started or waited for


def concern(desired: Desired, plan: Plan) -> Concern:
    """Return what the plan does to hosts; where it is refused, what it might have done."""
    if plan.refusals:
        return Concern(desired.scope, desired.scope if "manifests" in desired.allowed else frozenset())
    clearing = ("clear-member", "set-data-aside")  # what is wrong with a host is no reason to leave etcd on it
    nothing = (*CONTROLLER_ACTIONS, "move-leader", "save-snapshot", "enable-downgrade", *BY_RPC, *clearing)
    files = ("place-files", "place-apiserver-files", "replace-apiserver", "replace-etcd-servers")
    written = frozenset(step.host for step in plan.steps if step.action not in nothing)
    started = frozenset(step.host for step in plan.steps if step.action not in (*nothing, *files))
    return Concern(written, started)


def preflight(seen: Evidence, concerned: Concern) -> list[Finding]:
    """Return the findings in a fixed order: by member, then those on the members together."""
    return list(_findings(seen, concerned))


def refusals(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return why nothing may be done on the hosts: one line for each critical finding."""
    return tuple(
        f"{one.subject}: {one.message} ({one.code}); {one.remedy}"
        for one in findings
        if one.severity is Severity.CRITICAL
    )


def _findings(seen: Evidence, concerned: Concern) -> Iterator[Finding]:
    for member in seen.cluster.members:
        if seen.host(member.name).error is not None:
            continue  # the plan says that it cannot be asked
        starts = member.name in concerned.started
        yield clock.check(seen, member, acts=bool(concerned.written))
        if member.name in concerned.written:
            yield host.tools(seen, member)
            yield host.writable(seen, member, starts=starts)
            yield host.space(seen, member, starts=starts)
        if starts:
            yield host.runtime(seen, member)
            yield kubelet.runs(seen, member)
            yield kubelet.folder(seen, member)
            yield network.ports(seen, member)
        if concerned.started and len(seen.cluster.members) > 1:
            yield network.peers(seen, member, concerned.started)
    if concerned.started:
        yield image.check(seen, concerned.started)
