"""Differences that a deploy must not act on: membership and versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.observation import MemberInfo
from tests.unit.builders import World, deployed, differ

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


def test_a_learner_is_refused_with_the_runbook() -> None:
    world = deployed()
    world.entries["master-3"] = replace(world.entry(world[3]), is_learner=True)
    world[3].up = False
    assert "master-3: is a learner, wanted a voter; the runbook `members`" in world.refusals()


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
