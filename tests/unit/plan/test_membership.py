"""Differences that a deploy must not act on: membership and versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.observation import MemberInfo
from tests.unit.builders import ABSENT, World, deployed, differ

STRANGER = MemberInfo(0x77, "old-4", ("https://192.0.2.99:2380",), ("https://192.0.2.99:2379",), is_learner=False)


def test_a_host_that_is_not_in_the_live_list_is_refused_with_the_runbook() -> None:
    world = deployed(5)
    world.unlisted = frozenset({"master-5"})
    world[5].up = False
    said = world.refusals()
    assert "master-5: https://192.0.2.15:2380 is not in the live member list of example; the runbook `members`" in said


def test_a_live_member_that_is_not_in_the_inventory_is_refused_with_the_runbook() -> None:
    world = deployed()
    world.more = (STRANGER,)
    assert "member old-4 (https://192.0.2.99:2380) is live and not in the inventory; the runbook `members`" in (
        world.refusals()
    )


def test_a_live_member_without_a_name_is_told_by_its_id() -> None:
    world = deployed()
    world.more = (replace(STRANGER, name="", client_urls=()),)
    assert "member 77 (https://192.0.2.99:2380)" in world.refusals()


def test_members_are_matched_by_exact_peer_url_and_never_by_name() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), peer_urls=("https://192.0.2.130:2380",))
    said = world.refusals()
    assert "https://192.0.2.13:2380 is not in the live member list" in said
    assert "master-3 (https://192.0.2.130:2380) is live and not in the inventory" in said


def test_another_name_in_the_live_list_is_no_difference_of_membership() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), name="formerly")
    assert not world.plan().refusals


def test_a_learner_that_the_inventory_does_not_have_is_refused_with_the_runbook() -> None:
    world = deployed()
    world.more = (replace(STRANGER, is_learner=True),)
    assert "member old-4 (https://192.0.2.99:2380) is live and not in the inventory; the runbook `members`" in (
        world.refusals()
    )


def test_a_learner_of_ours_is_taken_up_and_no_other_difference_before_it() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), is_learner=True)
    world[3].up = False
    differ(world[1])
    assert [step.id for step in world.plan().steps] == [
        "master-3/start-learner",
        "master-3/promote-member",
        "master-3/await-member",
    ]


def joining() -> World:
    """Return three members, which a fourth and a fifth host shall join."""
    world = deployed(5)
    for number in (4, 5):
        world[number].data, world[number].manifest, world[number].up, world[number].placed = ABSENT, None, False, None
    world.unlisted = frozenset({"master-4", "master-5"})
    return world


def test_hosts_that_are_new_join_a_cluster_that_lives() -> None:
    planned = joining().plan()
    assert [(step.host, step.action) for step in planned.steps] == [
        ("master-4", "place-files"),
        ("master-5", "place-files"),
        *(
            (host, action)
            for host in ("master-4", "master-5")
            for action in ("add-learner", "start-learner", "promote-member", "await-member")
        ),
    ]
    assert planned.again
    assert planned.horizon == 1, "membership is planned from what is seen when the files are there"
    assert not any(step.disruptive for step in planned.steps)


def test_what_differs_on_the_members_comes_before_hosts_join_them() -> None:
    world = joining()
    differ(world[1])
    planned = world.plan()
    assert [step.id for step in planned.steps] == ["master-1/replace-manifest"]
    assert planned.again
    assert planned.notes == ("master-4, master-5: joined after that",)


def test_a_member_that_is_down_without_a_manifest_is_started_before_hosts_join() -> None:
    world = joining()
    world[1].manifest, world[1].up = None, False
    planned = world.plan()
    assert [step.id for step in planned.steps] == ["master-1/start-member"]
    assert planned.again


def test_no_host_joins_where_anything_else_of_the_membership_differs() -> None:
    world = joining()
    world.more = (STRANGER,)
    said = world.refusals()
    assert "master-4: https://192.0.2.14:2380 is not in the live member list" in said
    assert "member old-4 (https://192.0.2.99:2380) is live and not in the inventory" in said


def test_hosts_that_are_not_selected_do_not_join() -> None:
    world = joining()
    planned = world.plan({"master-1", "master-4"})
    assert {step.host for step in planned.steps} == {"master-4"}
    assert planned.notes == ("example: left out by the selection: master-5",)
    planned = world.plan({"master-1"})
    assert not planned.steps
    assert planned.notes == ("example: left out by the selection: master-4, master-5",)


def test_no_host_joins_beside_a_learner_that_is_not_selected() -> None:
    world = joining()
    world.unlisted = frozenset({"master-5"})
    world.entries["master-4"] = replace(world.entry(world[4]), name="", client_urls=(), is_learner=True)
    said = world.refusals({"master-5"})
    assert said == (
        "master-5: not added while master-4, which is not selected, is a learner: etcd takes one at a time; select both"
    )


def test_a_member_of_another_version_is_joined_by_nobody() -> None:
    world = deployed(4, etcd_version="3.5.30-0")
    world[4].data, world[4].manifest, world[4].up = ABSENT, None, False
    world.unlisted = frozenset({"master-4"})
    for number in (1, 2, 3):
        world[number].version = "3.5.16"
    said = world.refusals()
    assert "master-1: etcd_version: wanted 3.5.30-0, found 3.5.16; the runbook `upgrade` changes versions" in said
    assert "master-4" not in said
    assert world.plan(allowed=frozenset({"members"})).refusals == tuple(said.splitlines())


def test_certificates_are_still_renewed_where_membership_differs() -> None:
    world = deployed()
    world.more = (STRANGER,)
    assert not world.plan(allowed=frozenset({"certificates"})).refusals


@pytest.mark.parametrize("up", [True, False])
def test_another_version_is_refused_with_the_runbook(*, up: bool) -> None:
    world = deployed(etcd_version="3.5.30-0")
    node = world[2]
    node.version = "3.5.16"
    for one in (world[1], world[3]):
        one.version = "3.5.30"
    assert node.manifest is not None
    node.manifest = node.manifest.replace("etcd:3.5.30-0", "etcd:3.5.16-0")
    node.up = up
    said = world.refusals()
    assert said.startswith("master-2: etcd_version: wanted 3.5.30-0, found 3.5.16")
    assert said.endswith("the runbook `upgrade` changes versions, deploy does not")


def test_a_version_that_cannot_be_told_is_refused() -> None:
    """A manifest made by hand, of a member that is down: its data may be of any version."""
    for image in ("registry:5000/etcd", "etcd:latest", "etcd@sha256:0123456789abcdef"):
        world = deployed()
        node = world[2]
        node.up = False
        assert node.manifest is not None
        node.manifest = node.manifest.replace(node.member.settings.etcd_image, image)
        assert f"master-2: etcd_version: wanted 3.5.16-0, found the image {image}" in world.refusals()


def test_another_build_of_the_same_release_is_no_other_version() -> None:
    world = deployed(etcd_version="3.5.16-1")
    assert world[1].manifest is not None
    world[1].manifest = world[1].manifest.replace("3.5.16-1", "3.5.16-0")
    assert [step.id for step in world.plan().steps] == ["master-1/replace-manifest"]


def test_another_registry_is_no_other_version() -> None:
    world = deployed(registry="mirror.example:5000")
    for node in world.nodes.values():
        assert node.manifest is not None
        node.manifest = node.manifest.replace("mirror.example:5000/", "registry.ikubeops.local/")
        node.images = frozenset()
    planned = world.plan()
    assert [wave[0].action for wave in planned.waves] == [
        "pull-image",
        "replace-manifest",
        "replace-manifest",
        "move-leader",
        "replace-manifest",
    ]
    world.carry_out(planned)
    assert not world.plan().steps


def test_a_first_start_may_be_of_any_version() -> None:
    world = World(etcd_version="3.4.23-0")
    world.carry_out(world.plan())
    assert world.running == world.names


def test_what_verify_may_act_on_is_nothing() -> None:
    world = deployed()
    differ(world[1])
    assert not world.plan(allowed=frozenset()).steps
