"""Which certificates are made and which hosts get files; a CA in use is never replaced."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.layout import layout
from nornir_etcd.observation import FileState
from nornir_etcd.pki.authority import make_authority
from nornir_etcd.plan.certs import Renewal, controller_request, leaf_request
from nornir_etcd.signers.local import Pair
from tests.unit.builders import NOW, World, authority, deployed, empty_store, full_store, pair

if TYPE_CHECKING:
    from nornir_etcd.plan.planner import Difference

CERTS: frozenset[Difference] = frozenset({"certificates"})
OTHER = make_authority("example CA", now=NOW)


def ids(world: World, *scope: str) -> list[str]:
    return [step.id for step in world.plan(scope or None, allowed=CERTS).steps]


def refusals(world: World) -> str:
    """Return why certs is refused; deploy must be refused for the same reasons."""
    found = world.plan(allowed=CERTS).refusals
    assert found
    assert set(found) <= set(world.plan().refusals)
    return "\n".join(found)


def lean(world: World) -> World:
    """Return the world without certificates on its hosts."""
    for node in world.nodes.values():
        node.placed = node.ca = None
    return world


def test_certs_makes_and_places_everything_and_restarts_nobody() -> None:
    world = lean(deployed())
    world.store = empty_store()
    assert ids(world) == [
        "controller/make-ca",
        "controller/issue-client",
        *(f"master-{number}/issue-certificate" for number in (1, 2, 3)),
        *(f"master-{number}/place-files" for number in (1, 2, 3)),
    ]
    world.carry_out(world.plan(allowed=CERTS))
    assert not ids(world)


def test_nothing_is_made_where_everything_is_there() -> None:
    assert ids(deployed()) == []


def test_certs_prepares_no_data_directory() -> None:
    assert not [name for name in ids(World()) if "prepare" in name]


@pytest.mark.parametrize("days_left", [-1, 0, 29])
def test_an_expiring_leaf_is_made_anew_and_placed_on_its_host_alone(days_left: int) -> None:
    world = deployed()
    request = leaf_request(world[2].member)
    old = pair(authority(), request, now=NOW - timedelta(days=365 - days_left, hours=-1))
    world.store = replace(world.store, leaves=world.store.leaves | {"master-2": old})
    world[2].placed = (old, authority().pem)
    assert ids(world) == ["master-2/issue-certificate", "master-2/place-files"]
    reason = world.plan().steps[0].reason
    assert reason.startswith("its certificate: expire")
    world.carry_out(world.plan())
    assert not world.plan().steps


def test_a_leaf_with_more_days_left_stays() -> None:
    world = deployed()
    old = pair(authority(), leaf_request(world[2].member), now=NOW - timedelta(days=365 - 31))
    world.store = replace(world.store, leaves=world.store.leaves | {"master-2": old})
    world[2].placed = (old, authority().pem)
    assert ids(world) == []


def test_a_further_name_or_another_key_makes_every_leaf_anew() -> None:
    for wanted in (World(etcd_extra_sans='["etcd.example"]'), World(etcd_key_type="rsa-2048")):
        world = deployed()
        world.cluster, world.wanted = wanted.cluster, wanted.wanted
        leaves = [step.reason for step in world.plan().steps if step.action == "issue-certificate"]
        assert len(leaves) == 3
        assert all("lacks the name etcd.example" in reason or "its key is" in reason for reason in leaves)


def test_the_controllers_own_certificate_is_renewed_without_touching_a_host() -> None:
    world = deployed()
    old = pair(authority(), controller_request(world.cluster), now=NOW - timedelta(days=360))
    world.store = replace(world.store, client=old)
    assert ids(world) == ["controller/issue-client"]


def test_only_selected_hosts_get_certificates() -> None:
    world = lean(deployed())
    world.store = replace(world.store, leaves={})
    assert ids(world, "master-2") == ["master-2/issue-certificate", "master-2/place-files"]


def test_a_leaf_of_another_ca_is_made_anew() -> None:
    world = deployed()
    foreign = pair(OTHER, leaf_request(world[1].member))
    world.store = replace(world.store, leaves=world.store.leaves | {"master-1": foreign})
    step = world.plan().steps[0]
    assert (step.id, "not signed by the CA" in step.reason) == ("master-1/issue-certificate", True)


@pytest.mark.parametrize("where", ["ca_dir", "etcd", "both"])
def test_a_host_with_another_ca_is_refused(where: str) -> None:
    world = deployed()
    node = world[2]
    assert node.placed is not None
    if where in {"ca_dir", "both"}:
        node.ca = OTHER.pem
    if where in {"etcd", "both"}:
        node.placed = (node.placed[0], OTHER.pem)
    said = refusals(world)
    paths = layout(node.member.settings)
    named = paths.ca if where in {"ca_dir", "both"} else f"{paths.etcd}/ca.pem"
    assert f"master-2: {named}: the host has another CA: wanted the one in certs/example" in said
    assert "deploy replaces no CA" in said


@pytest.mark.parametrize("placed", [False, True])
def test_a_host_with_a_ca_where_the_folder_has_none_is_refused(*, placed: bool) -> None:
    world = deployed()
    world.store = empty_store()
    for node in world.nodes.values():
        if placed:
            node.ca = None
        else:
            node.placed = None
    assert refusals(world).count("the host has a CA and certs/example has none; copy the cluster's ca.pem") == 3


def test_a_folder_with_certificates_and_without_their_ca_is_refused() -> None:
    world = World()
    world.store = replace(full_store(), ca=Pair())
    assert "certs/example holds certificates and not the CA that signed them; put its ca.pem" in refusals(world)


def test_a_ca_that_differs_in_white_space_alone_is_the_same_and_stays_as_it_is() -> None:
    world = deployed()
    world[2].ca = authority().pem.replace(b"\n", b"\r\n") + b"\n"
    assert ids(world) == []


def test_a_ca_that_is_there_is_never_rewritten() -> None:
    world = deployed()
    kept = authority().pem + b"\n"
    world[2].ca, world[2].placed = kept, None
    (step,) = world.plan().steps
    assert step.id == "master-2/place-files"
    assert f"{layout(world[2].member.settings).ca} is absent" not in step.reason
    world.carry_out(world.plan())
    assert world[2].ca == kept


def test_a_ca_that_is_absent_is_placed() -> None:
    world = deployed()
    world[2].ca = None
    (step,) = world.plan().steps
    assert (step.id, step.reason) == ("master-2/place-files", "/etc/kubernetes/pki/ca.pem is absent")


@pytest.mark.parametrize(
    ("path", "state", "reason"),
    [
        ("etcd", FileState("directory", mode=0o755), "/etc/kubernetes/pki/etcd has mode 0755, wanted 0700"),
        ("etcd/etcd-key.pem", None, "/etc/kubernetes/pki/etcd/etcd-key.pem has mode 0644, wanted 0600"),
        ("etcd/etcd.pem", FileState("absent"), "/etc/kubernetes/pki/etcd/etcd.pem is absent"),
        ("etcd/etcd.pem", FileState("link", 0o644, sha256="0", target="x"), "pki/etcd/etcd.pem differs"),
        ("etcd.pem", FileState("file", 0o644), "/etc/kubernetes/pki/etcd.pem is file, wanted a link to etcd/etcd.pem"),
        ("etcd.pem", FileState("link", target="x.pem"), "etcd.pem is x.pem, wanted a link to etcd/etcd.pem"),
        ("etcd-key.pem", FileState("absent"), "etcd-key.pem is absent, wanted a link to etcd/etcd-key.pem"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_placed_anew(path: str, state: FileState | None, reason: str) -> None:
    world = deployed()
    whole = f"/etc/kubernetes/pki/{path}"
    world[3].files = {whole: state or replace(world[3].observed_files()[whole], mode=0o644)}
    (step,) = world.plan().steps
    assert step.id == "master-3/place-files"
    assert reason in step.reason


def test_files_are_placed_before_a_manifest_that_differs_and_after_the_certificates_are_made() -> None:
    world = lean(deployed())
    world.store = replace(world.store, leaves={})
    assert world[1].manifest is not None
    world[1].manifest += "\n"
    assert [[step.id for step in wave] for wave in world.plan().waves] == [
        [f"master-{number}/issue-certificate" for number in (1, 2, 3)],
        *([f"master-{number}/place-files"] for number in (1, 2, 3)),  # what is wrong with one is seen before the next
        ["master-1/replace-manifest"],
    ]


def test_a_renewal_that_is_asked_for_is_of_every_certificate() -> None:
    world = deployed()
    planned = world.plan(allowed=CERTS, renewal=Renewal(force=True))
    assert [step.action for step in planned.steps] == [
        "issue-client",
        *(["issue-certificate"] * 3),
        *(["place-files"] * 3),
    ]
    assert all("renewal was asked for" in step.reason for step in planned.steps[:4])
    assert not any(step.disruptive for step in planned.steps)


def test_a_renewal_within_days_is_of_those_that_have_fewer() -> None:
    world = deployed()
    soon = pair(authority(), leaf_request(world[2].member), NOW - timedelta(days=300))  # 65 days left
    world.store = replace(world.store, leaves=world.store.leaves | {"master-2": soon})
    world[2].placed = (soon, authority().pem)
    assert not world.plan(allowed=CERTS).steps
    planned = world.plan(allowed=CERTS, renewal=Renewal(within=100))
    assert [step.id for step in planned.steps] == ["master-2/issue-certificate", "master-2/place-files"]
    assert "expires in 65 days, renewed below 100" in planned.steps[0].reason


def test_expired_certificates_are_renewed_side_by_side_where_no_quorum_answers() -> None:
    world = deployed()
    for node in world.nodes.values():
        old = pair(authority(), leaf_request(node.member), NOW - timedelta(days=400))
        world.store = replace(world.store, leaves=world.store.leaves | {node.name: old})
        node.placed, node.up = (old, authority().pem), False
    planned = world.plan(allowed=CERTS)
    assert [[step.action for step in wave] for wave in planned.waves] == [
        ["issue-certificate"] * 3,
        ["place-files"] * 3,  # one member alone cannot become healthy
    ]


@pytest.mark.parametrize("address", ["198.51.100.9", "[2001:db8::9]", "former.example.org"])
def test_a_certificate_without_the_address_at_which_peers_see_a_member_is_refused(address: str) -> None:
    host = address.strip("[]")
    world = deployed()
    world.entries["master-1"] = replace(world.entry(world[1]), peer_urls=(f"https://{address}:2380",))
    (refused,) = world.plan(allowed=CERTS).refusals
    assert refused == (
        f"master-1: its certificate would be for 192.0.2.11 and not for {host}, at which the live member list has it: "
        f"peers would refuse it; add {host} to the host's etcd_extra_sans for as long as the list has it"
    )
    assert refused in world.plan().refusals
    assert world.plan(["master-2"], allowed=CERTS).refusals == ()
    named = deployed(etcd_extra_sans=(host,))
    named.entries["master-1"] = replace(named.entry(named[1]), peer_urls=(f"https://{address}:2380",))
    assert named.plan(allowed=CERTS).refusals == ()
