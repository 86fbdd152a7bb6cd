"""Apply: a plan's waves as Nornir tasks, each disruptive one only after a fresh observation allows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from nornir.core.exceptions import NornirSubTaskError

from nornir_etcd.checks.preflight.image import REMEDY, difference, present
from nornir_etcd.connections.etcd import CONNECTION_NAME
from nornir_etcd.exceptions import NornirEtcdError
from nornir_etcd.observe import observe
from nornir_etcd.plan.manifest import move_leader_first
from nornir_etcd.plan.quorum import refusal
from nornir_etcd.plan.state import cluster_state
from nornir_etcd.plan.step import BY_RPC
from nornir_etcd.plan.way_back import way_back
from nornir_etcd.plan.withdrawal import withdrawal
from nornir_etcd.report.model import StepReport, StepStatus
from nornir_etcd.tasks import container_log
from nornir_etcd.tasks.certificates import issue_client, make_ca, make_etcd_ca, retire_ca, switch_signer
from nornir_etcd.tasks.member import CHANGES_NO_HOST, carry_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nornir.core import Nornir
    from nornir.core.task import MultiResult, Result, Task

    from nornir_etcd.events import Announcer
    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.plan.planner import Desired
    from nornir_etcd.plan.step import Action, Plan, Step

UPGRADES = ("upgrade-member", "finish-upgrade")
JOINS = ("start-learner", "promote-member")
STARTS = (
    "start-member",
    "await-member",
    "await-restart",
    "replace-manifest",
    *UPGRADES,
    "roll-back-member",
    "start-learner",
    "readdress-member",
)
OF_MEMBERSHIP = (*BY_RPC, "start-learner", "clear-member", "set-data-aside", "readdress-member")
"""Actions that are planned, with quorum and leader, from a look taken right before: see nornir_etcd.plan.members."""

ON_CONTROLLER: Mapping[Action, Callable[[Desired], None]] = {
    "make-ca": lambda desired: make_ca(desired.cluster),
    "make-etcd-ca": lambda desired: make_etcd_ca(desired.cluster),
    "add-ca": lambda desired: make_etcd_ca(desired.cluster),
    "switch-signer": lambda desired: switch_signer(desired.cluster),
    "retire-ca": lambda desired: retire_ca(desired.cluster),
    "issue-client": lambda desired: issue_client(desired.cluster),
}
"""What is done on the controller itself, by action."""


Pause = Callable[[str], bool]
"""Asks the operator, with what comes next, whether to go on."""


@dataclass
class Applied:
    """What became of a plan."""

    steps: list[StepReport] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)  # hosts
    images: dict[str, frozenset[str]] = field(default_factory=dict)  # digests of the wanted image, by host that has it
    stopped: bool = False  # at the operator's word, between two members

    def add(self, later: Applied) -> None:
        """Take in what became of a later plan of the same run."""
        self.steps += later.steps
        self.changed |= later.changed
        self.stopped = self.stopped or later.stopped

    @property
    def failed(self) -> bool:
        """Whether a step failed."""
        return any(step.status is StepStatus.FAILED for step in self.steps)

    @property
    def learner(self) -> str:
        """The host of a learner that was added and does not vote yet; empty where there is none."""
        done = [(step.host, step.action) for step in self.steps if step.status is StepStatus.DONE]
        added = [host for host, action in done if action == "add-learner" and (host, "promote-member") not in done]
        return added[0] if added else ""


def step_report(step: Step, **became: object) -> StepReport:
    """Return the report of a step; without `became`, as planned."""
    planned = {name: getattr(step, name) for name in StepReport.model_fields if hasattr(step, name)}
    return StepReport.model_validate(planned | became)


def apply(  # noqa: PLR0913, PLR0917 - a plan, and what is known of its cluster
    nr: Nornir,
    desired: Desired,
    plan: Plan,
    observation: ClusterObservation,
    announce: Announcer,
    lost: Callable[[], str],
    pause: Pause | None = None,
    *,
    purge: bool = False,
) -> Applied:
    """Carry out the waves in order, up to the plan's horizon, and stop at the first that fails.

    Args:
        nr: Nornir with exactly the hosts of the cluster.
        desired: what the plan was made for.
        plan: the plan, without refusals.
        observation: the one that the plan was made from.
        announce: told of every boundary.
        lost: says why a lock of this run is held no more; empty while all are.
        pause: asked before the next member is worked on, the first one excepted; where it says no, nothing more is
            begun.
        purge: data directories are deleted, not moved aside.
    """
    applied = Applied(images=present(desired.cluster, observation))
    worked_on: set[str] = set()
    for number, wave in enumerate(plan.waves):
        if applied.failed or applied.stopped:
            _not_begun(applied, wave, announce, status=StepStatus.SKIPPED)
            continue
        if number == plan.horizon:  # what follows is planned anew
            break
        hosts = {step.host for step in wave if _touches(step)}
        if pause is not None and worked_on and hosts - worked_on and not pause(_question(desired, plan, wave)):
            applied.stopped = True
            _not_begun(applied, wave, announce, status=StepStatus.SKIPPED)
            continue
        worked_on |= hosts
        announce("wave-started")
        if error := _hindered(desired, wave, applied, lost()):
            _not_begun(applied, wave, announce, status=StepStatus.FAILED, error=error)
            continue
        if any(step.disruptive and step.action not in OF_MEMBERSHIP for step in wave):
            observation = observe(nr, desired.cluster)
            announce("observed")
            if refused := _refused(desired, wave, observation):
                _not_begun(applied, wave, announce, status=StepStatus.FAILED, error=refused)
                continue
            _let_another_lead(nr, desired, wave[0], observation, applied, announce)
        if applied.failed:  # the leader leads on, and is not stopped
            _not_begun(applied, wave, announce, status=StepStatus.SKIPPED)
        else:
            _carry_out(nr, desired, wave, observation, applied, announce, purge=purge)
            if applied.failed:
                _take_back(nr, desired, wave[0], applied, announce, lost())
        announce("wave-finished")
    return applied


def _take_back(  # noqa: PLR0913, PLR0917 - a failed step, and what is known of its cluster
    nr: Nornir, desired: Desired, failed: Step, applied: Applied, announce: Announcer, lost: str
) -> None:
    """Undo what a failed step has begun, where that is safe; else the step's error says why it is left."""
    undo = _roll_back if failed.action in UPGRADES else _withdraw if failed.action in JOINS else None
    if undo is not None and lost:
        what = "rolled back" if failed.action in UPGRADES else "removed again"
        _say_more(applied, f"not {what}, since another operator may be at work: {lost}; run the same command again")
    elif undo is not None:
        undo(nr, desired, failed, applied, announce)


def _carry_out(  # noqa: PLR0913, PLR0917 - a wave, and what is known of its cluster
    nr: Nornir,
    desired: Desired,
    wave: Sequence[Step],
    observation: ClusterObservation,
    applied: Applied,
    announce: Announcer,
    *,
    purge: bool,
) -> None:
    if any(not step.host for step in wave):
        applied.steps += [_on_controller(nr, desired, step, announce) for step in wave]
    else:
        _on_hosts(nr, desired, wave, observation, applied, announce, purge=purge)


def _hindered(desired: Desired, wave: Sequence[Step], applied: Applied, lost: str) -> str:
    """Return why the wave may not be begun, whatever the members do; empty where it may."""
    if lost:
        return f"{desired.cluster.name}: not begun, since another operator may be at work: {lost}; run again"
    differing = difference(applied.images) if any(step.action in STARTS for step in wave) else ""
    return f"{desired.cluster.name}: the image is not the same on all hosts: {differing}; {REMEDY}" if differing else ""


def _let_another_lead(  # noqa: PLR0913, PLR0917 - a step, and what is known of its cluster
    nr: Nornir,
    desired: Desired,
    step: Step,
    observation: ClusterObservation,
    applied: Applied,
    announce: Announcer,
) -> None:
    if came_to_lead := _leads_by_now(desired, step, observation, applied):
        _on_hosts(nr, desired, [came_to_lead], observation, applied, announce)


def _leads_by_now(desired: Desired, step: Step, observation: ClusterObservation, applied: Applied) -> Step | None:
    """Return the step that lets another member lead, where the one that is stopped has come to lead since the plan."""
    state = cluster_state(desired.cluster, observation)
    others = state.healthy - {step.host}
    if state.leader != step.host or not others or any(one.id == f"{step.host}/move-leader" for one in applied.steps):
        return None
    return move_leader_first(desired.cluster.member(step.host), others)


def _touches(step: Step) -> bool:
    """Whether the step is one of those that make up the change of a member: to hand leadership over belongs to it."""
    return step.disruptive or step.action in (*UPGRADES, "move-leader")


def _question(desired: Desired, plan: Plan, wave: Sequence[Step]) -> str:
    """Return what comes next, of which the leader's hand-over is only the beginning."""
    first = wave[0]
    step = next((one for one in plan.steps if one.host == first.host and one.disruptive), first)
    return f"{desired.cluster.name}: next {step.host}: {step.reason}" + (f"; {step.margin}" if step.margin else "")


def _roll_back(nr: Nornir, desired: Desired, failed: Step, applied: Applied, announce: Announcer) -> None:
    """Put a member back that did not come up; where that is not allowed, the failed step's error says why."""
    observation = observe(nr, desired.cluster, deep=True)
    announce("observed")
    step = way_back(desired.cluster, observation, desired.manifests, failed.host)
    if isinstance(step, str):
        _say_more(applied, step)
    else:
        _on_hosts(nr, desired, [step], observation, applied, announce)


def _withdraw(nr: Nornir, desired: Desired, failed: Step, applied: Applied, announce: Announcer) -> None:
    """Remove a learner that did not come up; where that is not to be done, the failed step's error says why."""
    if why := withdraw(nr, desired, failed, applied, announce):
        _say_more(applied, why)


def withdraw(nr: Nornir, desired: Desired, failed: Step, applied: Applied, announce: Announcer) -> str:
    """Remove a learner that does not come to vote, so that the cluster is as it was before.

    Args:
        nr: Nornir with exactly the hosts of the cluster.
        desired: what is wanted.
        failed: the step of its join that failed, or that is refused.
        applied: what the run has done; what is done now is added.
        announce: told of every boundary.

    Returns:
        Why it is left, in one line; empty where it is not.
    """
    observation = observe(nr, desired.cluster)
    announce("observed")
    steps = withdrawal(desired.cluster, observation, failed)
    if isinstance(steps, str):
        return steps
    for step in steps:
        _on_hosts(nr, desired, [step], observation, applied, announce)
        if applied.steps[-1].status is StepStatus.FAILED:
            break  # a learner whose data are still in their place would be data of no member, which nobody touches
    return ""


def _say_more(applied: Applied, reason: str) -> None:
    """Add to the error of the step that failed last."""
    last = applied.steps[-1]
    applied.steps[-1] = last.model_copy(update={"error": f"{last.error}; {reason}"})


def _not_begun(
    applied: Applied, wave: Sequence[Step], announce: Announcer, *, status: StepStatus, error: str = ""
) -> None:
    for step in wave:
        applied.steps.append(step_report(step, status=status, error=error))
        announce("step-finished", host=step.host, step=step.id, status=status.value)


def _refused(desired: Desired, wave: Sequence[Step], observation: ClusterObservation) -> str:
    """Return why the wave may not go on by the fresh observation; empty where it may."""
    state = cluster_state(desired.cluster, observation)
    for step in wave:
        member = desired.cluster.member(step.host)
        reason = refusal(member, state, observation, state.healthy, accept_downtime=desired.accept_downtime)
        if reason or state.life != "live":
            return reason or f"{step.host}: no quorum answers any more, nothing is stopped; look at the other members"
    return ""


def _on_controller(nr: Nornir, desired: Desired, step: Step, announce: Announcer) -> StepReport:
    announce("step-started", step=step.id)
    report = _issue(nr, desired, step)
    announce("step-finished", step=step.id, status=report.status.value)
    return report


def _issue(nr: Nornir, desired: Desired, step: Step) -> StepReport:
    began = datetime.now(tz=timezone.utc)
    started = time.monotonic()
    try:
        ON_CONTROLLER[step.action](desired)
    except NornirEtcdError as error:
        seconds = time.monotonic() - started
        return step_report(step, status=StepStatus.FAILED, error=str(error), started_at=began, seconds=seconds)
    for host in nr.inventory.hosts.values():  # a connection with the former certificate is of no use any more
        if CONNECTION_NAME in host.connections:
            host.close_connection(CONNECTION_NAME)
    return step_report(step, status=StepStatus.DONE, started_at=began, seconds=time.monotonic() - started)


def _on_hosts(  # noqa: PLR0913, PLR0917 - a wave, and what is known of its cluster
    nr: Nornir,
    desired: Desired,
    wave: Sequence[Step],
    observation: ClusterObservation,
    applied: Applied,
    announce: Announcer,
    *,
    purge: bool = False,
) -> None:
    steps = {worker(nr, desired, step, observation): step for step in wave}
    nr.data.reset_failed_hosts()
    chosen = nr.filter(filter_func=lambda host: host.name in steps)
    times = {name: _Times() for name in steps}
    results = chosen.run(
        task=_announced,
        desired=desired,
        observation=observation,
        steps=steps,
        announce=announce,
        times=times,
        purge=purge,
    )
    failed = {name: failure(name, multi) for name, multi in results.items() if multi.failed}
    logs = _logs(chosen, desired, (name for name, step in steps.items() if name in failed and step.action in STARTS))
    for name, step in steps.items():
        if name in failed:
            became = {"status": StepStatus.FAILED, "error": failed[name], "log": logs.get(name, [])}
        else:
            became = {"status": StepStatus.DONE}
            if step.action == "pull-image":
                applied.images[name] = results[name][1].result  # of the task pull_image itself
        took = {"started_at": times[name].began, "seconds": times[name].seconds}
        applied.steps.append(step_report(step, **({"diff": _diff(results[name])} | took | became)))
        if step.action not in CHANGES_NO_HOST:
            applied.changed.add(name)


def worker(nr: Nornir, desired: Desired, step: Step, observation: ClusterObservation) -> str:
    """Return the host on which a step is carried out: its own, or that of a voter which is asked for a change.

    The member itself is the last to be asked: what it is told may be the last thing that it hears.
    """
    if step.action not in BY_RPC and step.host in nr.inventory.hosts:
        return step.host
    state = cluster_state(desired.cluster, observation)
    voters = [name for name in state.healthy if not state.entries[name].is_learner]
    asked = min(voters, key=lambda name: (name == step.host, name != state.leader, name), default=None)
    return asked or desired.cluster.members[0].name  # whose answer says why there is none


@dataclass
class _Times:
    """When a host's step was begun and how long it took, also where it failed."""

    began: datetime | None = None
    seconds: float = 0.0


def _announced(  # noqa: PLR0913, PLR0917 - a step, and what is known of its cluster
    task: Task,
    desired: Desired,
    observation: ClusterObservation,
    steps: Mapping[str, Step],
    announce: Announcer,
    times: Mapping[str, _Times],
    *,
    purge: bool,
) -> Result:
    """Carry out the host's step between the announcements of its two boundaries."""
    step = steps[task.host.name]
    announce("step-started", host=step.host, step=step.id)
    times[task.host.name].began = datetime.now(tz=timezone.utc)
    started = time.monotonic()
    status = StepStatus.FAILED
    try:
        done = carry_out(task, desired.cluster, observation, step, renewal=desired.renewal, purge=purge)
        status = StepStatus.DONE
    finally:
        times[task.host.name].seconds = time.monotonic() - started
        announce("step-finished", host=step.host, step=step.id, status=status.value)
    return done


def _diff(results: MultiResult) -> str:
    return next((one.diff for one in results if one.diff), "")


def failure(host: str, results: MultiResult) -> str:
    """Return what made a task fail, in one line: the error of the innermost subtask, which the outer ones only repeat.

    Args:
        host: inventory name.
        results: of the task; its own result comes first, as of every subtask.
    """
    raised: BaseException | None = results[0].exception
    while isinstance(raised, NornirSubTaskError):
        raised = raised.result.exception
    if isinstance(raised, NornirEtcdError):
        return str(raised)
    words = " ".join(str(raised).split())
    return f"{host}: internal error: {type(raised).__name__}: {words}; see the log"


def _logs(nr: Nornir, desired: Desired, hosts: Iterable[str]) -> dict[str, list[str]]:
    """Return the last lines of the container's log on each host; none where they cannot be had."""
    names = set(hosts)
    if not names:
        return {}
    nr.data.reset_failed_hosts()
    asked = nr.filter(filter_func=lambda host: host.name in names).run(task=container_log, cluster=desired.cluster)
    return {name: [str(line) for line in multi[0].result] for name, multi in asked.items() if not multi.failed}
