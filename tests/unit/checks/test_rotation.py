"""What verify finds while the CA is rotated: that it is, and nothing critical, after whichever step."""

from __future__ import annotations

from dataclasses import replace

from nornir_etcd.plan.rotation import Rotation
from tests.unit.builders import World, deployed, empty_store
from tests.unit.checks.seen import CRITICAL, OK, UNKNOWN, WARNING, findings
from tests.unit.plan.test_rotation import next_plan

MAX_ROUNDS = 20


def amiss(world: World) -> set[str]:
    """Return the codes of what is found to be wrong, as the controller sees it that has the folder."""
    world.cluster = replace(world.cluster, ca=world.store.trusted)
    found = findings(world)
    assert [one for one in found.values() if one.severity in {CRITICAL, UNKNOWN}] == []
    return {code for (code, _), one in found.items() if one.severity is WARNING} - {"version.floor", "ca.shared"}


def test_nothing_is_critical_after_any_step_of_a_rotation_and_that_it_is_under_way_is_told() -> None:
    world = deployed(etcd_ca="dedicated")
    assert amiss(world) == set()
    phases: list[str] = []
    for _ in range(MAX_ROUNDS):
        planned = next_plan(world)
        if not planned.steps:
            break
        for step in planned.steps:
            world.carry_out_step(step)
            found = amiss(world)
            # What deploy would write is another manifest, or another certificate, until the step that does it.
            assert found <= {"ca.rotation", "ca.unequal", "manifest.drift", "cert.placed"}, step.id
            told = findings(world)["ca.rotation", "example"]
            by_then = {node.trusts == world.store.trusted for node in world.nodes.values()}
            assert (told.severity is OK) == (by_then == {True} and told.evidence["phase"] == "settled"), step.id
            phases += [told.evidence["phase"]] if told.evidence["phase"] not in phases else []
    assert phases == ["trust-both", "new-leaves", "drop-old", "settled"]
    assert amiss(world) == set()


def test_a_rotation_that_waits_is_one_warning_that_says_how_to_go_on() -> None:
    world = deployed(etcd_ca="dedicated")
    for _ in range(MAX_ROUNDS):
        planned = next_plan(world, Rotation())
        world.carry_out(planned)
        if not planned.steps:
            break
    assert amiss(world) == {"ca.rotation"}
    told = findings(world)["ca.rotation", "example"]
    assert told.message == (
        "a rotation of the CA is under way: phase 1 of 3, in which members and clients come to trust both CAs"
    )
    assert told.remedy.startswith("run certs rotate-ca again")
    assert told.evidence["trusted"] == "example CA, etcd CA 0"


def test_where_the_folder_is_not_there_it_is_unknown_and_of_another_tools_it_is_not_asked() -> None:
    world = deployed()
    assert findings(world)["ca.rotation", "example"].severity is OK
    world.store = empty_store()
    assert findings(world)["ca.rotation", "example"].severity is UNKNOWN
    assert ("ca.rotation", "example") not in findings(World(etcd_preset="kubeadm"))
