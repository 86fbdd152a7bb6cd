"""A change of version as the controller carries it out, over the real planner, on a cluster in memory.

A fake of the tasks alone: they need hosts, and no host can be ended at every boundary of every plan. What the walk asks
between steps (preflight, quorum, who leads, the way back) is asked of the same functions here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import evidence
from nornir_etcd.checks.preflight import upgrade
from nornir_etcd.plan.quorum import refusal
from nornir_etcd.plan.state import cluster_state
from nornir_etcd.plan.step import Plan, Step
from nornir_etcd.plan.upgrade import judge, unfinished
from nornir_etcd.plan.way_back import way_back
from tests.unit.builders import NOW, STARTING, UPGRADE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.unit.builders import World


@dataclass(frozen=True)
class Kill:
    """When the controller is ended, and what is left."""

    after: int  # steps that were carried out
    torn: str = ""  # of the next one: "", "written" (the manifest and nothing else), "replaced" (the container as well)
    seconds: float = 5.0  # until the same command is run again
    acts: bool = True  # the kubelet acts on what was written, until then


@dataclass(frozen=True)
class End:
    """How a run ended."""

    how: str  # done, killed, refused, failed, rolled back
    why: str = ""


def planned(world: World, scope: Collection[str] | None = None, *, accept_downtime: bool = False) -> Plan:
    """Return the plan of an upgrade, refused where preflight finds something."""
    found = world.plan(scope, allowed=UPGRADE, accept_downtime=accept_downtime)
    if not found.steps and not found.refusals:
        return found
    seen = world.seen or world.observe()
    state = cluster_state(world.cluster, seen)
    begun = unfinished(world.cluster, seen, state, world.wanted, world.names if scope is None else frozenset(scope))
    verdict = judge(world.cluster, seen, world.wanted, begun)
    findings = list(upgrade.check(evidence(world.cluster, seen, {}, NOW), begun, started=verdict.started))
    refused = (*found.refusals, *upgrade.refusals(findings))
    return Plan(refusals=refused, notes=found.notes) if refused else found


def run(
    world: World,
    kill: Kill | None = None,
    *,
    accept_downtime: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> End:
    """Run the command to its end, or until the controller is killed. `meanwhile` happens after every step."""
    plan = planned(world, accept_downtime=accept_downtime)
    if plan.refusals:
        return End("refused", "; ".join(plan.refusals))
    steps = [step for wave in plan.waves for step in wave]
    assert all(len(wave) == 1 or wave[0].action == "pull-image" for wave in plan.waves)
    for number, step in enumerate(steps):
        if kill is not None and number == kill.after:
            tear(world, step, kill)
            return End("killed")
        if refused := _refused(world, step, accept_downtime=accept_downtime):
            return End("failed", refused)
        carry_out(world, step)
        if step.action in STARTING and not world.nodes[step.host].up:
            return roll_back(world, step.host)
        meanwhile()
    return End("done")


def _refused(world: World, step: Step, *, accept_downtime: bool) -> str:
    """Look again before a member is stopped; where it has come to lead, another one leads first."""
    if not step.disruptive:
        return ""
    seen = world.observe()
    state = cluster_state(world.cluster, seen)
    member = world.cluster.member(step.host)
    if reason := refusal(member, state, seen, state.healthy, accept_downtime=accept_downtime):
        return reason
    if state.life != "live":
        return f"{step.host}: no quorum"
    if state.leader == step.host and (others := state.healthy - {step.host}):
        world.leads = min(others)
    return ""


def carry_out(world: World, step: Step) -> None:
    """Carry out a step; a member that is stopped for it is the only one, and the others are a quorum."""
    if step.action in STARTING:
        world.nodes[step.host].up = False
        assert world.names - world.running == {step.host}, "one at a time"
        assert world.has_quorum or len(world.nodes) == 1
    world.carry_out_step(step)


def roll_back(world: World, host: str) -> End:
    """Put back a member that did not come up, where that is allowed."""
    back = way_back(world.cluster, world.observe(), world.wanted, host)
    if isinstance(back, str):
        return End("failed", back)
    carry_out(world, back)
    assert world.nodes[host].up
    return End("rolled back")


def tear(world: World, step: Step, kill: Kill) -> None:
    """End the controller in the middle of a step, and let time pass."""
    node = world.nodes[step.host]
    if step.action == "upgrade-member" and kill.torn:
        world.write(node)
        if kill.torn == "replaced":
            world.crash(node)
            assert world.has_quorum or len(world.nodes) == 1
    elif step.action in {"move-leader", "enable-downgrade", "pull-image", "save-snapshot"} and kill.torn:
        world.carry_out_step(step)
    if kill.acts:
        world.settle(seconds=kill.seconds)
    else:
        for one in world.nodes.values():
            world.pass_by(one, kill.seconds)


def lines(world: World) -> set[str]:
    """Return the minors that members run."""
    return {node.version.rpartition(".")[0] for node in world.nodes.values()}
