"""What a member was told for its first start stays in its manifest, whoever joins or leaves later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.manifest import FirstStart, command_flags, render
from nornir_etcd.observation import DataDirectory, Maybe, MemberInfo, MemberList, Unknown
from nornir_etcd.plan.state import joining_start, kept_first_start
from tests.unit.builders import ABSENT, EMPTY, GUARD, TEMPLATE, World, authority, deployed, make_cluster
from tests.unit.checks.seen import OK, WARNING, findings


def wanted(world: World, size: int, **data: object) -> dict[str, str]:
    """Return the manifests that an inventory of another size wants of the hosts of this world."""
    seen, cluster = world.observe(), make_cluster(size, **data)
    return {
        member.name: render(
            member,
            cluster,
            template=TEMPLATE,
            trusted=authority().pem,
            first_start=kept_first_start(member, seen.hosts[member.name]),
        )
        for member in cluster.members
        if member.name in world.nodes
    }


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_a_host_more_or_less_in_the_inventory_plans_no_roll_and_is_no_drift(size: int) -> None:
    world = deployed()
    world.wanted |= wanted(world, size)
    assert not world.plan().steps
    assert all(found.severity is OK for (code, _), found in findings(world).items() if code == "manifest.drift")


def test_a_list_that_the_user_has_set_changes_nothing_where_there_is_data() -> None:
    world = deployed()
    entries = ",".join(f"master-{n}=https://192.0.2.{10 + n}:2380" for n in (3, 1, 2))
    world.wanted |= wanted(world, 3, etcd_initial_cluster=entries)
    assert not world.plan().steps


def test_what_differs_besides_is_changed_and_the_first_start_kept() -> None:
    world = deployed()
    world.wanted |= wanted(world, 4, etcd_quota_backend_bytes=4 * 1024**3)
    assert len(world.plan().steps) > 2
    before = command_flags(world[1].manifest or "")
    after = command_flags(world.wanted["master-1"])
    assert before["quota-backend-bytes"] != after["quota-backend-bytes"]
    assert before["initial-cluster"] == after["initial-cluster"]


def test_a_list_without_the_member_is_drift() -> None:
    world = deployed()
    assert world[2].manifest
    world[2].manifest = world[2].manifest.replace(
        "master-2=https://192.0.2.12:2380", "master-2=https://192.0.2.99:2380"
    )
    world.wanted |= wanted(world, 3)
    assert findings(world)["manifest.drift", "master-2"].severity is WARNING
    assert "192.0.2.12:2380" in command_flags(world.wanted["master-2"])["initial-cluster"]


def test_a_member_that_joined_goes_on_as_one_that_joined() -> None:
    world = deployed()
    member = world.cluster.members[2]
    joined = FirstStart("x=https://192.0.2.9:2380,master-3=https://192.0.2.13:2380", joining=True)
    world[3].manifest = render(member, world.cluster, template=TEMPLATE, trusted=authority().pem, first_start=joined)
    world.wanted |= wanted(world, 5)
    assert not world.plan().steps


@pytest.mark.parametrize("data", [ABSENT, EMPTY, GUARD, DataDirectory("other"), Unknown("no answer")])
def test_a_first_start_that_is_still_to_come_is_the_inventorys(data: Maybe[DataDirectory]) -> None:
    world = deployed()
    member, host = world.cluster.members[0], world.observe().hosts["master-1"]
    assert kept_first_start(member, host) is not None
    assert kept_first_start(member, replace(host, data=data)) is None


def test_a_learner_is_told_of_every_live_member_and_of_itself_by_name() -> None:
    member = make_cluster(3).member("master-3")
    live = MemberList(
        1,
        1,
        (
            MemberInfo(1, "master-1", ("https://192.0.2.11:2380",), ("https://192.0.2.11:2379",), is_learner=False),
            MemberInfo(2, "two", ("https://192.0.2.12:2380", "https://[2001:db8::2]:2380"), (), is_learner=False),
            MemberInfo(3, "", (member.peer_url,), (), is_learner=True),
        ),
    )
    told = "master-1=https://192.0.2.11:2380,two=https://192.0.2.12:2380,two=https://[2001:db8::2]:2380,"
    assert joining_start(member, live) == FirstStart(f"{told}master-3={member.peer_url}", joining=True)


def test_a_member_that_the_live_list_does_not_have_is_told_nothing() -> None:
    cluster = make_cluster(3)
    live = MemberList(1, 1, (MemberInfo(1, "master-3", ("https://192.0.2.99:2380",), (), is_learner=True),))
    assert joining_start(cluster.member("master-3"), live) is None
