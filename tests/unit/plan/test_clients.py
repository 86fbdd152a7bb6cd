"""Which API servers ask members that are gone or miss others, and what their lists become."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.apiserver import parse
from nornir_etcd.layout import layout
from nornir_etcd.observation import ApiServerState, FileState, MemberInfo, MemberList, Unknown
from nornir_etcd.plan.clients import StaleClient, client_lines, judge, plan_clients, stale_clients
from nornir_etcd.plan.endpoints import owners, place_of
from nornir_etcd.plan.state import live_list
from tests.unit.builders import EMPTY, World, deployed, make_cluster
from tests.unit.test_apiserver import KUBEADM

if TYPE_CHECKING:
    from nornir_etcd.observation import ClusterObservation, Maybe

OLD = MemberInfo(0x77, "old", ("https://198.51.100.9:2380",), ("https://198.51.100.9:2379",), is_learner=False)
OWN = "https://127.0.0.1:2379"
M1, M2, M3, M4 = (f"https://192.0.2.{number}:2379" for number in (11, 12, 13, 14))
GONE = "https://198.51.100.1:2379"
BALANCER = "https://etcd.example.org:2379"


def seen(world: World, *servers: str, number: int = 1, more: str = "") -> ClusterObservation:
    """Return an observation with an API server on one host that has these endpoints."""
    flags = f"--etcd-servers={','.join(servers)}{more}"
    return with_manifest(world, KUBEADM.replace("--etcd-servers=https://127.0.0.1:2379", flags), number)


def with_manifest(
    world: World, text: str, number: int = 1, before: ClusterObservation | None = None
) -> ClusterObservation:
    observation = before or world.observe()
    node = world[number]
    path = layout(node.member.settings).apiserver_manifest
    host = observation.hosts[node.name]
    host = replace(
        host,
        texts={**host.texts, path: text},
        files={**host.files, path: FileState("file", 0o600)},
        apiserver=ApiServerState(parse(text), ()),
    )
    return replace(observation, hosts={**observation.hosts, node.name: host})


def stale(world: World, *servers: str) -> StaleClient | None:
    found = stale_clients(world.cluster, seen(world, *servers))
    assert len(found) <= 1
    return found[0] if found else None


def lines(world: World, observation: ClusterObservation) -> str:
    told = list(client_lines(world.cluster, observation))
    assert all(len(line.splitlines()) == 1 for line in told)
    return "\n".join(told)


@pytest.mark.parametrize(
    "servers",
    [
        (OWN,),
        ("https://localhost:2379/",),
        ("https://[::1]:2379",),
        (M1,),
        (OWN, M1),
        (M2,),
        (M1, M2, M3),
        (M3, OWN, M2),
        ("HTTPS://192.0.2.11:02379/", "192.0.2.12:2379", "https://[::ffff:192.0.2.13]:2379"),
        (M1, M2, M3, BALANCER),
        ("https://127.0.0.1:12379", M2),
        (BALANCER,),
        ("https://198.51.100.1:2379", "https://198.51.100.2:2379"),
        ("https://192.0.2.11:12379", "http://192.0.2.12:2379", "unix:///run/etcd.sock", "https://[oops:2379", ""),
    ],
)
def test_an_api_server_is_left_alone(servers: tuple[str, ...]) -> None:
    assert stale(deployed(), *servers) is None


@pytest.mark.parametrize(
    ("servers", "gone", "missing", "kept"),
    [
        ((M1, M2), (), (M3,), ()),
        ((OWN, M2), (), (M3,), ()),
        ((M1, M2, M3, GONE), (GONE,), (), ()),
        ((GONE, M2), (GONE,), (M1, M3), ()),
        ((OWN, GONE), (GONE,), (M2, M3), ()),
        ((BALANCER, M1, M2), (), (M3,), (BALANCER,)),
        ((M1, M2, "http://192.0.2.13:2379"), (), (M3,), ("http://192.0.2.13:2379",)),
        ((M1, M2, M3, GONE, "https://198.51.100.1:12379"), (GONE,), (), ("https://198.51.100.1:12379",)),
    ],
)
def test_several_endpoints_become_the_members_in_inventory_order(
    servers: tuple[str, ...], gone: tuple[str, ...], missing: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    assert stale(deployed(), *servers) == StaleClient(
        "master-1", servers, gone=gone, leaving=(), missing=missing, wanted=(M1, M2, M3, *kept)
    )


def test_a_member_that_leaves_is_taken_from_the_list_before_and_after_it_has_left() -> None:
    world = deployed()
    world.more = (OLD,)
    before = stale(world, M1, M2, M3, *OLD.client_urls)
    assert before is not None
    assert (before.leaving, before.gone, before.wanted) == (OLD.client_urls, (), (M1, M2, M3))
    assert before.reason == "https://198.51.100.9:2379 is that of a member which leaves"
    alone = stale(world, *OLD.client_urls)
    assert alone is not None
    assert alone.wanted == (M1, M2, M3), "the one member that it asks is not wanted any more"
    world.more = ()
    after = stale(world, M1, M2, M3, *OLD.client_urls)
    assert after is not None
    assert (after.leaving, after.gone, after.wanted) == ((), OLD.client_urls, (M1, M2, M3))


def test_members_of_a_list_that_are_all_gone_are_known_from_the_first_start() -> None:
    world = deployed()
    manifest = world[1].manifest
    assert manifest is not None
    world[1].manifest = manifest.replace("master-3=https://192.0.2.13:2380", "old=https://198.51.100.1:2380")
    assert "old=https://198.51.100.1:2380" in world[1].manifest
    found = stale(world, GONE)
    assert found is not None
    assert (found.gone, found.wanted) == ((GONE,), (M1, M2, M3))
    assert stale(world, "https://198.51.100.2:2379") is None, "nobody knows that one"
    world[1].manifest = manifest.replace("master-3=https://192.0.2.13:2380", "old=https://old.example.org:2380")
    named = stale(world, M1, M2, M3, "https://old.example.org:2379", "https://other.example.org:2379")
    assert named is not None
    assert (named.gone, named.wanted[3:]) == (("https://old.example.org:2379",), ("https://other.example.org:2379",))


def test_a_url_that_a_member_advertises_besides_is_its_own_and_one_of_several_is_nobodys() -> None:
    world = deployed()
    for number, urls in ((1, (M1, BALANCER)), (2, (M2, "https://two.example.org:2379", BALANCER))):
        world.entries[f"master-{number}"] = replace(world.entry(world[number]), client_urls=urls)
    assert stale(world, M1, "https://two.example.org:2379", M3) is None
    found = stale(world, M1, "https://two.example.org:2379", BALANCER)
    assert found is not None
    assert (found.missing, found.wanted) == ((M3,), (M1, M2, M3, BALANCER))


def test_a_stranger_that_advertises_loopback_takes_it_from_nobody() -> None:
    world = deployed()
    world.more = (replace(OLD, client_urls=(OWN,)),)
    assert stale(world, OWN) is None


def test_a_member_at_a_new_address_leaves_its_old_one() -> None:
    world = deployed()
    moved = replace(world.entry(world[3]), peer_urls=("https://198.51.100.3:2380",), client_urls=(BALANCER,))
    world.entries["master-3"] = moved
    observation = seen(world, M1, M2, BALANCER)
    (found,) = stale_clients(world.cluster, observation)
    assert (found.leaving, found.wanted) == ((BALANCER,), (M1, M2, M3))
    # After the change, with what was known before it.
    before, after = live_list(observation), live_list(deployed().observe())
    assert before is not None
    assert after is not None
    known = owners(world.cluster, (after, before), observation.hosts)
    assert judge(world[1].member, (M1, M2, BALANCER), known) == found


def test_a_member_at_a_new_address_keeps_a_url_that_it_goes_on_to_advertise() -> None:
    world = deployed()
    entry = replace(world.entry(world[3]), client_urls=(M3, BALANCER))
    after = MemberList(1, 1, (*world.live_list()[:2], entry))
    before = MemberList(1, 1, (*world.live_list()[:2], replace(entry, peer_urls=("https://198.51.100.3:2380",))))
    for lists in ((after, before), (before, after)):
        assert judge(world[1].member, (M1, M2, BALANCER), owners(world.cluster, lists, {})) is None


def test_a_member_that_is_to_come_is_missing() -> None:
    world = deployed(3)
    node = world[3]
    node.data, node.manifest, node.up, node.published = EMPTY, None, False, False
    world.unlisted = frozenset({"master-3"})
    found = stale(world, M1, M2)
    assert found is not None
    assert found.missing == (M3,)
    told = lines(world, seen(world, OWN, number=3))
    assert "https://127.0.0.1:2379: its own host's etcd alone, which is no member yet; left alone" in told


def test_without_a_quorum_nothing_is_judged() -> None:
    world = deployed()
    for number in (2, 3):
        world[number].up = False
    observation = seen(world, M1, GONE)
    assert stale_clients(world.cluster, observation) == ()
    assert plan_clients(world.cluster, observation, world.names) == ()
    assert "is not known: no quorum tells the member list" in lines(world, observation)


def test_one_api_server_a_wave_in_inventory_order_and_within_the_scope() -> None:
    world = deployed()
    observation = seen(world, M1, M2, GONE, number=1)
    for number in (2, 3):
        text = KUBEADM.replace("https://127.0.0.1:2379", f"{M1},{M2}")
        observation = with_manifest(world, text, number, observation)
    waves = plan_clients(world.cluster, observation, world.names)
    assert [[step.id for step in wave] for wave in waves] == [
        [f"master-{number}/replace-etcd-servers"] for number in (1, 2, 3)
    ]
    ((first,), *_) = waves
    assert first.reason == f"the API server's --etcd-servers: {GONE} is no member's; {M3} is missing"
    assert not first.disruptive
    assert [line for line in first.diff.splitlines()[2:] if line[0] in "+-"] == [
        f"-    - --etcd-servers={M1},{M2},{GONE}",
        f"+    - --etcd-servers={M1},{M2},{M3}",
    ]
    assert [wave[0].host for wave in plan_clients(world.cluster, observation, {"master-2"})] == ["master-2"]


def test_a_manifest_that_cannot_be_edited_is_named_and_has_no_step() -> None:
    world = deployed()
    observation = seen(world, M1, M2, more=f"\n    - --etcd-servers={GONE}")
    assert not plan_clients(world.cluster, observation, world.names)
    assert "wanted --etcd-servers once, found it 2 times; set --etcd-servers by hand" in lines(world, observation)
    path = layout(world[1].member.settings).apiserver_manifest
    observation = seen(world, M1, M2)
    observation.hosts["master-1"].files[path] = FileState("link")
    assert not plan_clients(world.cluster, observation, world.names)
    assert f"{path}: wanted a file, found link; set --etcd-servers by hand" in lines(world, observation)


def test_the_api_server_of_another_tools_cluster_is_only_named() -> None:
    world = deployed()
    cluster = make_cluster(3, etcd_preset="kubeadm")
    observation = seen(world, M1, GONE)
    observation = replace(
        observation, hosts={name: replace(host, texts=dict(host.texts)) for name, host in observation.hosts.items()}
    )
    assert stale_clients(cluster, observation)
    assert plan_clients(cluster, observation, world.names) == ()
    assert "it is not changed here: its files are kubeadm's (etcd_preset)" in "\n".join(
        client_lines(cluster, observation)
    )


def test_every_api_server_is_named_with_what_it_asks() -> None:
    world = deployed()
    assert lines(world, world.observe()) == ""
    first, *more = lines(world, seen(world, M1, M2, GONE, BALANCER)).splitlines()
    assert first.startswith(
        f"client: master-1: kube-apiserver asks {M1}, {M2}, {GONE}, {BALANCER}: {GONE} is no member's; {M3} is "
        f"missing; wanted --etcd-servers={M1},{M2},{M3},{BALANCER}; change etcd.external.endpoints"
    )
    assert more == [f"client: master-1: kube-apiserver: whose {BALANCER} is, is not known; left alone"]
    for servers, verdict in (
        ((OWN,), "its own host's etcd alone; left alone"),
        ((M2,), "master-2 alone; left alone"),
        ((M3, M2, M1), "all members"),
        ((BALANCER,), "no member of this cluster; another etcd or a load balancer, left alone"),
    ):
        asked = ", ".join(servers)
        assert lines(world, seen(world, *servers)) == f"client: master-1: kube-apiserver asks {asked}: {verdict}"


def test_servers_of_a_single_resource_are_named_where_they_are_gone_and_never_changed() -> None:
    world = deployed()
    flag = f"\n    - --etcd-servers-overrides=/events#{M1};{GONE},/leases#{M1},apps/x#{BALANCER}"
    observation = seen(world, M1, M2, M3, more=flag)
    assert not stale_clients(world.cluster, observation)
    (_, told) = lines(world, observation).splitlines()
    assert told == (
        f"client: master-1: kube-apiserver: --etcd-servers-overrides has {GONE} for /events, wanted members of the "
        "inventory; it is not changed here, set it by hand"
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Unknown("crictl: not found"), "whether one runs is not known: crictl: not found"),
        (ApiServerState(None, ()), "it runs, and its manifest does not lie where it is looked for"),
        (ApiServerState(Unknown("wanted YAML"), ()), "wanted YAML"),
    ],
)
def test_one_that_could_not_be_read_is_named(state: Maybe[ApiServerState | None], words: str) -> None:
    world = deployed()
    world[2].apiserver = state
    assert f"client: master-2: kube-apiserver: {words}" in lines(world, world.observe())
    assert not plan_clients(world.cluster, world.observe(), world.names)


texts = (
    st.text(max_size=30) | st.sampled_from([OWN, M1, M2, M3, M4, GONE, BALANCER]) | st.from_regex(r"https?://\S{1,20}")
)


@given(st.lists(texts, max_size=6))
def test_what_a_list_becomes_is_left_alone_and_loses_nothing_but_members(servers: list[str]) -> None:
    world = deployed()
    known = owners(world.cluster, (), {})
    found = judge(world[1].member, servers, known)
    if found is None:
        return
    assert found.wanted[:3] == (M1, M2, M3)
    assert judge(world[1].member, found.wanted, known) is None
    dropped = [place_of(url) for url in servers if url not in found.wanted]
    assert all(place is not None and (place.scheme, place.port) == ("https", 2379) for place in dropped)
