"""What the walk makes of an upgrade: stages, pauses, who leads by now, and a member that does not come up.

Hosts are a fake here, the cluster in memory of the planner's tests: `observe` shows it and `carry_out` changes it. What
is tried is the walk's own: the tasks and what they see of a host are tried in the lab.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from nornir.core import Nornir
from nornir.core.inventory import Defaults, Group, Groups, Host, Hosts, Inventory, ParentGroups
from nornir.core.task import Result, Task
from nornir.plugins.runners import SerialRunner

from nornir_etcd.checks.selection import EVERYTHING
from nornir_etcd.events import Announcer
from nornir_etcd.exceptions import CommandFailed, EtcdError, StepFailed
from nornir_etcd.plan.certs import AS_DUE
from nornir_etcd.plan.planner import Desired
from nornir_etcd.plan.rotation import UNSAID
from nornir_etcd.plan.step import Step
from nornir_etcd.report.model import StepStatus
from nornir_etcd.workflows import apply as applying
from nornir_etcd.workflows import work as works
from nornir_etcd.workflows.run import Run
from nornir_etcd.workflows.runbooks import UPGRADE as RUNBOOK
from nornir_etcd.workspace import manifest_template
from tests.unit.builders import NOW, UPGRADE, World, deployed
from tests.unit.plan.rollout import planned

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir_etcd.observation import ClusterObservation
    from nornir_etcd.workflows.apply import Applied

DONE, FAILED, SKIPPED = StepStatus.DONE, StepStatus.FAILED, StepStatus.SKIPPED


def nornir(size: int = 3, **data: Any) -> Nornir:
    """Return Nornir with the hosts of such a world, which nobody is to reach."""
    etcd = Group("etcd", data=data)
    hosts = {
        f"master-{number}": Host(
            f"master-{number}", hostname=f"192.0.2.{10 + number}", groups=ParentGroups([etcd]), defaults=Defaults()
        )
        for number in range(1, size + 1)
    }
    return Nornir(Inventory(Hosts(hosts), Groups({"etcd": etcd}), Defaults()), runner=SerialRunner())


class Ground:
    """The hosts, and faults that are made on them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        self.world = world
        self.faults: dict[str, Exception] = {}  # by step, before it changes anything
        self.after: dict[str, Callable[[], None]] = {}  # by step
        self.lost = ""
        monkeypatch.setattr(applying, "observe", self.observe)
        monkeypatch.setattr(applying, "carry_out", self.carry_out)
        monkeypatch.setattr(applying, "container_log", self.container_log)

    def observe(self, _nr: object, _cluster: object, **_: object) -> ClusterObservation:
        return self.world.observe()

    @staticmethod
    def container_log(task: Task, cluster: object) -> Result:
        assert cluster is not None
        return Result(task.host, result=["the last words"])

    def carry_out(self, task: Task, _cluster: object, _observation: object, step: Step, **_: object) -> Result:
        name, action = task.host.name, step.action
        key = f"{name}/{action}"
        if key in self.faults:
            raise self.faults[key]
        state = applying.cluster_state(self.world.cluster, self.world.observe())
        steps = [*planned(self.world).steps, applying.move_leader_first(self.world.cluster.member(name), state.healthy)]
        if action == "roll-back-member":
            steps = [applying.way_back(self.world.cluster, self.world.observe(), self.world.wanted, name)]  # type: ignore[list-item]  # else the test fails
        self.world.carry_out_step(next(step for step in steps if (step.host, step.action) == (name, action)))
        self.after.get(key, lambda: None)()
        if not self.world.nodes[name].up:
            raise StepFailed("the member does not answer", host=name, wanted="a read", found="none")
        return Result(task.host, changed=True)

    def apply(self, pause: Callable[[str], bool] | None = None) -> Applied:
        """Carry the plan out, and return what became of it."""
        world = self.world
        desired = Desired(world.cluster, world.wanted, world.names, UPGRADE, NOW, snapshots=world.snapshots)
        plan = planned(world)
        assert not plan.refusals
        announce = Announcer(None, "upgrade", world.cluster.name)
        return applying.apply(
            nornir(len(world.nodes)), desired, plan, world.observe(), announce, lambda: self.lost, pause
        )


def told(applied: Applied) -> list[tuple[str, StepStatus]]:
    return [(step.id.removeprefix("master-"), step.status) for step in applied.steps]


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Ground:
    """Three healthy members that are to be changed, with their images and a snapshot."""
    world = deployed(etcd_version="3.5.30-0")
    world.want(etcd_version="3.5.33-0")
    world.snapshots = (NOW,)
    for node in world.nodes.values():
        node.images = frozenset({node.image, node.member.settings.etcd_image})
    return Ground(monkeypatch, world)


def test_every_member_is_changed_with_the_leader_last(ground: Ground) -> None:
    assert told(ground.apply()) == [
        ("1/upgrade-member", DONE),
        ("3/upgrade-member", DONE),
        ("2/move-leader", DONE),
        ("2/upgrade-member", DONE),
    ]


def test_a_member_that_does_not_come_up_is_put_back_and_nothing_else_is_begun(ground: Ground) -> None:
    ground.world.broken = {("master-3", ground.world[3].member.settings.etcd_image)}
    applied = ground.apply()
    assert told(applied) == [
        ("1/upgrade-member", DONE),
        ("3/upgrade-member", FAILED),
        ("3/roll-back-member", DONE),
        ("2/move-leader", SKIPPED),
        ("2/upgrade-member", SKIPPED),
    ]
    assert applied.failed
    assert applied.steps[1].error == "master-3: the member does not answer: wanted a read, found none"
    assert applied.steps[1].log == ["the last words"]
    assert ground.world.running == ground.world.names
    assert (ground.world[2].version, ground.world[3].version) == ("3.5.30", "3.5.30")


def test_one_that_was_begun_before_is_put_back_as_well(ground: Ground) -> None:
    ground.world.broken = {("master-1", ground.world[1].member.settings.etcd_image)}
    ground.world.write(ground.world[1])
    ground.world.crash(ground.world[1])
    assert told(ground.apply())[:3] == [
        ("1/finish-upgrade", FAILED),
        ("1/roll-back-member", DONE),
        ("3/upgrade-member", SKIPPED),
    ]


def test_where_there_is_no_way_back_the_error_says_why(ground: Ground) -> None:
    ground.world.broken = {("master-3", ground.world[3].member.settings.etcd_image)}

    def forget() -> None:
        ground.world[3].former = None

    ground.after["master-3/upgrade-member"] = forget
    applied = ground.apply()
    assert "3/roll-back-member" not in dict(told(applied))
    assert applied.steps[1].error.startswith(
        "master-3: the member does not answer: wanted a read, found none; not rolled"
    )


def test_a_member_that_was_not_touched_is_not_put_back(ground: Ground) -> None:
    """What lies beside the manifest is of an earlier upgrade."""
    ground.faults["master-1/upgrade-member"] = CommandFailed("push failed", host="master-1", found="no space")
    ground.world[1].former = "kind: Pod"
    applied = ground.apply()
    assert applied.steps[0].error == (
        "master-1: push failed: found no space; nothing to roll back: /etc/kubernetes/manifests/etcd.yaml has not the "
        "image that was to be written there"
    )
    assert ground.world.running == ground.world.names


def test_a_member_that_comes_up_while_it_is_given_up_is_left(ground: Ground) -> None:
    world = ground.world
    world.broken = {("master-1", world[1].member.settings.etcd_image)}

    def late() -> None:
        raise StepFailed("the member does not answer", host="master-1", wanted="a read", found="none")

    def come_up() -> None:
        world.broken = set()
        world.settle()
        late()

    ground.after["master-1/upgrade-member"] = come_up
    applied = ground.apply()
    assert told(applied)[:2] == [("1/upgrade-member", FAILED), ("3/upgrade-member", SKIPPED)]
    assert applied.steps[0].error.endswith(
        "not rolled back, since it answers as wanted by now; run the same command again"
    )


def test_a_way_back_that_fails_is_told_with_the_log(ground: Ground) -> None:
    ground.world.broken = {("master-1", ground.world[1].member.settings.etcd_image)}
    ground.faults["master-1/roll-back-member"] = StepFailed("it does not come up either", host="master-1")
    applied = ground.apply()
    assert told(applied)[:2] == [("1/upgrade-member", FAILED), ("1/roll-back-member", FAILED)]
    assert applied.steps[1].log == ["the last words"]


def test_nothing_is_put_back_without_the_locks(ground: Ground) -> None:
    ground.world.broken = {("master-1", ground.world[1].member.settings.etcd_image)}

    def lose() -> None:
        ground.lost = "the lease is gone"

    ground.after["master-1/upgrade-member"] = lose
    assert told(ground.apply())[:2] == [("1/upgrade-member", FAILED), ("3/upgrade-member", SKIPPED)]


def test_a_member_that_has_come_to_lead_hands_that_over_first(ground: Ground) -> None:
    def elect() -> None:
        ground.world.leads = "master-3"

    ground.after["master-1/upgrade-member"] = elect
    assert told(ground.apply()) == [
        ("1/upgrade-member", DONE),
        ("3/move-leader", DONE),
        ("3/upgrade-member", DONE),
        ("2/move-leader", DONE),
        ("2/upgrade-member", DONE),
    ]


def test_a_leader_that_cannot_hand_over_is_not_stopped(ground: Ground) -> None:
    def elect() -> None:
        ground.world.leads = "master-3"

    ground.after["master-1/upgrade-member"] = elect
    ground.faults["master-3/move-leader"] = EtcdError("no other voter", host="master-3")
    assert told(ground.apply())[1:3] == [("3/move-leader", FAILED), ("3/upgrade-member", SKIPPED)]
    assert ground.world.running == ground.world.names
    assert ground.world[3].version == "3.5.30"


class Operator:
    """Answers what is asked."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, question: str) -> bool:
        self.asked.append(question)
        return self.answers.pop(0)


def test_the_operator_is_asked_between_members(ground: Ground) -> None:
    operator = Operator(True, True)
    assert not ground.apply(operator).stopped
    margin = "2 of 3 voters stay, quorum 2: survives 0 more failures"
    assert operator.asked == [
        f"example: next master-3: to 3.5.33-0 (a follower); {margin}",
        f"example: next master-2: to 3.5.33-0 (the leader, restarted last); {margin}",
    ]


@pytest.mark.parametrize("yes", [0, 1])
def test_a_no_ends_the_run_between_two_members(ground: Ground, yes: int) -> None:
    applied = ground.apply(Operator(*[True] * yes, False))
    assert applied.stopped
    assert not applied.failed
    assert [status for _, status in told(applied)] == [DONE] * (1 + yes) + [SKIPPED] * (3 - yes)
    assert ground.world.leads == "master-2", "nor is leadership moved"
    assert ground.apply(Operator(*[True] * 2)).steps[-1].status is DONE, "the same command goes on"


def test_a_member_that_is_seen_through_counts_as_one(ground: Ground) -> None:
    ground.world.write(ground.world[1])
    operator = Operator(False)
    assert told(ground.apply(operator))[:2] == [("1/finish-upgrade", DONE), ("3/upgrade-member", SKIPPED)]
    assert operator.asked[0].startswith("example: next master-3: ")


def test_locks_that_are_lost_while_the_operator_thinks_end_the_run(ground: Ground) -> None:
    def think(_: str) -> bool:
        ground.lost = "the lease is gone"
        return True

    applied = ground.apply(think)
    assert told(applied)[:2] == [("1/upgrade-member", DONE), ("3/upgrade-member", FAILED)]
    assert "another operator may be at work: the lease is gone" in applied.steps[1].error


# Stages


def work(
    monkeypatch: pytest.MonkeyPatch, world: World, overrides: dict[str, str] | None = None, **data: Any
) -> works.Work:
    """Return what a run is at after its first look; the controller's folder is empty."""
    monkeypatch.setattr(works, "observe", lambda *_, **__: world.observe())
    nr = nornir(**data)
    run = Run(
        runbook=RUNBOOK,
        scope=world.names,
        dry_run=False,
        accept_downtime=False,
        template=manifest_template(),
        events=None,
        selection=EVERYTHING,
        ssh=True,
        renewal=AS_DUE,
        rotation=UNSAID,
        overrides=overrides or {},
    )
    (cluster,), _ = works.clusters_in(nr.inventory, run.overrides)
    found = works.Work(nr, cluster, run)
    found.look(deep=True)
    return found


@pytest.fixture
def folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that has nothing."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("folder")
def test_a_long_way_is_gone_one_stage_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(etcd_version="3.4.35-0")
    found = work(monkeypatch, world, {"etcd_version": "3.6.14-0"})
    assert [member.settings.etcd_version for member in found.cluster.members] == ["3.5.33-0"] * 3
    assert all("ikubeops/etcd:3.5.33-0" in text for text in found.desired.manifests.values())
    assert found.notes == ("stage 1 of 2: 3.4.35 -> 3.5.33 -> 3.6.14; run the same command again for the next one",)
    found.look(deep=True)
    assert len(found.notes) == 1, "the second look, with the locks, is at the stage"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("version", ["3.5.33-0", "3.5.16-0"])
def test_one_minor_is_no_long_way(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    found = work(monkeypatch, deployed(etcd_version=version), etcd_version="3.5.33-0")
    assert (found.cluster.members[0].settings.etcd_version, found.notes) == ("3.5.33-0", ())


@pytest.mark.usefixtures("folder")
def test_a_stage_that_was_broken_off_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(etcd_version="3.4.35-0")
    world.want(etcd_version="3.5.33-0")
    for node in world.nodes.values():
        node.images = frozenset({node.image, node.member.settings.etcd_image})
    world.write(world[1])
    world.settle()
    found = work(monkeypatch, world, {"etcd_version": "3.6.14-0"})
    assert found.cluster.members[0].settings.etcd_version == "3.5.33-0"


@pytest.mark.usefixtures("folder")
def test_what_hangs_on_the_version_is_that_of_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    image = "{{ registry }}/for-{{ etcd_version }}/etcd:{{ etcd_version }}"
    found = work(monkeypatch, deployed(etcd_version="3.4.35-0"), {"etcd_version": "3.6.14-0"}, etcd_image=image)
    assert found.cluster.members[0].settings.etcd_image == "registry.ikubeops.local/for-3.5.33-0/etcd:3.5.33-0"


@pytest.mark.usefixtures("folder")
def test_a_stage_that_the_inventory_does_not_allow_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that is written out names the last stage alone."""
    image = {"etcd_image": "registry.ikubeops.local/ikubeops/etcd:3.6.14-0", "etcd_version": "3.6.14-0"}
    found = work(monkeypatch, deployed(etcd_version="3.4.35-0"), **image)
    found.decide()
    assert found.planned.steps == ()
    said = [line for line in found.planned.refusals if line.startswith("example: on the way at 3.5.33-0: ")]
    assert len(said) == 1
    assert "etcd_image: wanted the tag 3.5.33-0" in said[0]


@pytest.mark.usefixtures("folder")
def test_a_version_that_was_said_is_to_be_set_in_the_inventory_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = "set etcd_version to 3.5.33-0 in the inventory as well: deploy and verify go by it"
    said = work(monkeypatch, deployed(etcd_version="3.5.30-0"), {"etcd_version": "3.5.33-0"})
    assert wanted not in said.report([]).notes, "nothing was done"
    step = Step("master-1", "upgrade-member", "a reason", "before", "after", "back")
    said.applied = applying.Applied([applying.step_report(step, status=StepStatus.DONE)])
    assert wanted in said.report([]).notes
    said.run = replace(said.run, overrides={})
    assert wanted not in said.report([]).notes, "it stands there"
