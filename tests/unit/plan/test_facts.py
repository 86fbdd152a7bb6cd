"""What an observation tells of a change of version, and what it leaves unknown, with which reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.layout import layout
from nornir_etcd.observation import NOT_READ, ClusterObservation, Unknown
from nornir_etcd.plan.facts import facts, running
from nornir_etcd.plan.gate import gate
from nornir_etcd.versions import Version, parse
from tests.unit.builders import World, deployed

if TYPE_CHECKING:
    from nornir_etcd.plan.change import Facts

NAMES = ("master-1", "master-2", "master-3")
DARK = Unknown("it was dark")
LATER = Unknown("it was later")


def seen(world: World, **endpoints: tuple[Any, Any, Any]) -> ClusterObservation:
    """Observe a world; in depth, where an argument says of each member what an attribute of its endpoint shows."""
    observation = world.observe()
    for name, values in endpoints.items():
        for member, value in zip(NAMES, values, strict=True):
            found = observation.endpoints[member]
            observation.endpoints[member] = replace(found, **{name: value})
    return observation


def told(world: World, **endpoints: tuple[Any, Any, Any]) -> Facts:
    """Return the facts of a world."""
    return facts(world.cluster, seen(world, **endpoints), world.wanted)


def stati(*changes: dict[str, Any]) -> dict[str, tuple[Any, Any, Any]]:
    """Return what `seen` takes: the status of each member, changed."""
    world = deployed()
    found = world.observe().endpoints
    first, second, third = (replace(found[name].status, **change) for name, change in zip(NAMES, changes, strict=True))
    return {"status": (first, second, third)}


def test_the_version_of_every_member_is_its_own_word() -> None:
    observation = seen(deployed(), **stati({"version": "3.4.23"}, {"version": "3.5.16"}, {"version": "3.6.14-rc.0"}))
    assert running(deployed().cluster, observation) == {
        "master-1": Version(3, 4, 23),
        "master-2": Version(3, 5, 16),
        "master-3": Version(3, 6, 14),
    }


def test_a_version_that_is_not_told_is_unknown_for_its_reason() -> None:
    world = deployed()
    observation = seen(world, **stati({}, {"version": "unheard of"}, {"version": ""}))
    observation.endpoints["master-1"] = replace(observation.endpoints["master-1"], status=DARK)
    assert running(world.cluster, observation) == {
        "master-1": DARK,
        "master-2": Unknown("master-2: version: wanted one such as 3.5.16, found 'unheard of'"),
        "master-3": Unknown("master-3: version: wanted one such as 3.5.16, found ''"),
    }


def test_one_member_is_enough_to_tell_of_the_cluster() -> None:
    found = told(deployed(), auth=(DARK, False, NOT_READ), cluster_version=(DARK, LATER, "3.5.0"))
    assert (found.auth, found.cluster_version) == (False, Version(3, 5, 0))


def test_what_no_member_told_is_unknown_with_the_first_reason() -> None:
    found = told(deployed(), auth=(DARK, LATER, LATER), cluster_version=(DARK, LATER, LATER))
    assert (found.auth, found.cluster_version) == (DARK, DARK)
    assert told(deployed(), auth=3 * (NOT_READ,)).auth == NOT_READ


def test_members_that_differ_are_named() -> None:
    found = told(deployed(), auth=(True, DARK, False), cluster_version=("3.5.0", "3.6.0", "3.6.0"))
    assert found.auth == Unknown("members differ: master-1 tells on, master-3 tells off")
    assert found.cluster_version == Unknown(
        "members differ: master-1 tells 3.5.0, master-2 tells 3.6.0, master-3 tells 3.6.0"
    )


def test_a_cluster_that_has_not_decided_its_version_tells_none() -> None:
    wanted = Unknown("master-1: cluster version: wanted one such as 3.5.16, found 'not_decided'")
    assert told(deployed(), cluster_version=3 * ("not_decided",)).cluster_version == wanted


@pytest.mark.parametrize(
    ("versions", "downgrades", "wanted"),
    [
        ("3.6.14 3.6.14 3.6.14", ("", "", ""), None),
        ("3.5.33 3.6.14 3.5.33", ("", "", ""), None),
        ("3.6.14 3.6.14 3.5.33", ("3.5.0", "3.5.0", ""), Version(3, 5, 0)),
        ("3.6.14 3.7.1 3.7.1", ("", "3.6.0", "3.6.0"), "members differ: master-1 tells none, master-2 tells 3.6.0"),
        ("3.5.33 3.5.33 3.4.23", ("", "", ""), "master-1: '3.5.33' tells of no downgrade; 3.6 and later do"),
        ("3.6.14 3.6.14 3.6.14", ("x", "x", "x"), "master-1: downgrade: wanted one such as 3.5.16, found 'x'"),
    ],
)
def test_a_downgrade_is_told_by_members_of_3_6_and_later(
    versions: str, downgrades: tuple[str, str, str], wanted: Version | str | None
) -> None:
    changes = [
        {"version": version, "downgrade": downgrade}
        for version, downgrade in zip(versions.split(), downgrades, strict=True)
    ]
    found = told(deployed(), **stati(*changes)).downgrade
    if isinstance(wanted, str):
        assert isinstance(found, Unknown)
        assert found.reason.startswith(wanted)
    else:
        assert found == wanted


def test_the_storage_of_every_member_is_its_own_word() -> None:
    changes = stati({"storage_version": "3.5.0"}, {}, {"storage_version": "x"})
    assert told(deployed(), **changes).storage == {
        "master-1": Version(3, 5, 0),
        "master-2": Unknown("master-2: tells no storage version; 3.6 and later do"),
        "master-3": Unknown("master-3: storage version: wanted one such as 3.5.16, found 'x'"),
    }
    silent = told(deployed(), status=(DARK, DARK, LATER))
    assert silent.storage == {"master-1": DARK, "master-2": DARK, "master-3": LATER}
    assert silent.downgrade == DARK


def test_flags_are_those_of_the_manifest_on_the_host_and_of_the_one_that_is_wanted() -> None:
    world = deployed()
    for node in world.nodes.values():
        assert node.manifest is not None
        node.manifest = node.manifest.replace("--snapshot-count=10000", "--enable-v2")
    found = told(world)
    for name in NAMES:
        present, wanted = found.present_flags[name], found.wanted_flags[name]
        assert not isinstance(present, Unknown)
        assert (present.get("enable-v2"), wanted.get("enable-v2")) == ("", None)
        assert present["name"] == wanted["name"] == name


def test_a_manifest_that_cannot_be_read_leaves_the_flags_unknown() -> None:
    world = deployed()
    world[1].manifest = "kind: Deployment"
    world[2].manifest = None
    world[3].error = DARK
    path = layout(world[1].member.settings).manifest
    assert told(world).present_flags == {
        "master-1": Unknown(f"master-1: {path}: wanted the manifest of a Pod, found something else"),
        "master-2": Unknown(f"master-2: {path}: not there, or not readable"),
        "master-3": DARK,
    }


def test_every_wanted_manifest_without_an_etcd_is_told_at_once() -> None:
    world = deployed()
    manifests = world.wanted | {"master-1": "kind: Pod\nspec: {}", "master-3": "- 1"}
    with pytest.raises(InventoryError) as caught:
        facts(world.cluster, world.observe(), manifests)
    assert caught.value.problems == (
        "master-1: template etcd.yaml.j2: wanted a container named etcd, found none",
        "master-3: template etcd.yaml.j2: wanted the manifest of a Pod, found something else",
    )


def test_the_gate_lets_a_healthy_cluster_through_that_was_seen_in_depth() -> None:
    world = deployed(etcd_version="3.5.33-0")
    observation = seen(world, auth=(False, False, False), cluster_version=("3.5.0", "3.5.0", "3.5.0"))
    found = facts(world.cluster, observation, world.wanted)
    versions = running(world.cluster, observation)
    assert gate(versions, parse("3.5.34"), found).refusals == ()
    assert gate({**versions, "master-2": parse("3.4.35")}, parse("3.5.33"), found).refusals == ()
    unread = facts(world.cluster, seen(world, auth=3 * (NOT_READ,)), world.wanted)
    (refused,) = gate({**versions, "master-2": parse("3.4.35")}, parse("3.5.33"), unread).refusals
    assert "found none that could be read: not read; ask with etcdctl --user=nobody:x get x" in refused
