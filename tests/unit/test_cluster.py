"""Clusters: grouping, URLs, and what must hold among members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.cluster import Cluster, load_clusters, quorum
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import HostVariables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir_etcd.settings import Settings


def hosts(count: int = 3, group: Mapping[str, Any] | None = None, **own: Mapping[str, Any]) -> list[HostVariables]:
    """Return master-1 to master-COUNT at 192.0.2.11 and up; own data of a host as m1={...}."""
    return [
        HostVariables(
            f"master-{number}",
            f"192.0.2.{10 + number}",
            ((f"host master-{number}", own.get(f"m{number}", {})), ("group etcd", group or {})),
        )
        for number in range(1, count + 1)
    ]


def cluster(found: list[HostVariables]) -> Cluster:
    (one,), _ = load_clusters(found)
    return one


def problems(found: list[HostVariables]) -> tuple[str, ...]:
    with pytest.raises(InventoryError) as caught:
        load_clusters(found)
    return caught.value.problems


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_quorum_is_a_majority(voters: int, needed: int) -> None:
    assert quorum(voters) == needed


def test_hosts_without_deploy_name_are_one_cluster() -> None:
    (one,), warnings = load_clusters(hosts())
    assert warnings == ()
    assert (one.name, one.token, one.quorum) == ("example", "etcd-example", 2)
    assert one.initial_cluster == (
        "master-1=https://192.0.2.11:2380,master-2=https://192.0.2.12:2380,master-3=https://192.0.2.13:2380"
    )
    assert one.member("master-2").client_url == "https://192.0.2.12:2379"


def test_hosts_are_grouped_by_deploy_name_in_inventory_order() -> None:
    found = hosts(4, m1={"deploy_name": "b"}, m2={"deploy_name": "a"}, m3={"deploy_name": "b"}, m4={"deploy_name": "b"})
    clusters, _ = load_clusters(found)
    assert [(one.name, [member.name for member in one.members]) for one in clusters] == [
        ("b", ["master-1", "master-3", "master-4"]),
        ("a", ["master-2"]),
    ]


def test_an_ipv6_address_stands_in_brackets_in_urls() -> None:
    member = cluster(hosts(1, m1={"etcd_address": "2001:DB8::0:1"})).members[0]
    assert member.address == "2001:db8::1"
    assert member.peer_url == "https://[2001:db8::1]:2380"


def test_a_dns_name_stands_in_urls_as_it_is() -> None:
    assert (
        cluster(hosts(1, m1={"etcd_address": "Etcd-1.example"})).members[0].client_url == "https://etcd-1.example:2379"
    )


def test_an_empty_inventory_is_refused() -> None:
    assert problems([]) == ("inventory: wanted at least one host in the group etcd, found none",)


def test_more_than_seven_members_are_refused() -> None:
    assert problems(hosts(8)) == ("cluster example: wanted at most 7 members, found 8; use 3 or 5",)


@pytest.mark.parametrize("count", [1, 3, 5, 7])
def test_an_odd_number_of_members_is_good(count: int) -> None:
    assert load_clusters(hosts(count))[1] == ()


@pytest.mark.parametrize("count", [2, 4, 6])
def test_an_even_number_of_members_is_a_warning(count: int) -> None:
    assert load_clusters(hosts(count))[1] == (
        f"cluster example: {count} members bear no more failures than {count - 1}; use an odd number (1, 3, 5 or 7)",
    )


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("192.0.2.11", "192.0.2.11", "192.0.2.11"),
        ("2001:db8::1", "2001:DB8:0::1", "2001:db8::1"),
        ("A.b", "a.B", "a.b"),
    ],
)
def test_two_hosts_with_one_address_are_refused(one: str, other: str, shown: str) -> None:
    found = hosts(3, m1={"etcd_address": one}, m3={"etcd_address": other})
    assert problems(found) == (
        f"master-3: etcd_address: wanted an address of its own, found '{shown}' also on master-1",
    )


def test_two_clusters_must_not_share_an_address() -> None:
    found = hosts(2, m1={"deploy_name": "a"}, m2={"deploy_name": "b", "etcd_address": "192.0.2.11"})
    assert problems(found) == (
        "master-2: etcd_address: wanted an address of its own, found '192.0.2.11' also on master-1",
    )


@pytest.mark.parametrize("key", ["generate_certs_dir", "etcd_snapshot_dir"])
def test_two_clusters_must_not_share_a_folder_of_the_controller(key: str) -> None:
    found = hosts(2, {key: "here"}, m1={"deploy_name": "a"}, m2={"deploy_name": "b"})
    assert problems(found) == (f"cluster b: {key}: wanted a folder of its own, found 'here' also in cluster a",)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_for_a_cluster_of_one(address: str) -> None:
    assert cluster(hosts(1, m1={"etcd_address": address})).members[0].address == address
    (line,) = problems(hosts(3, m2={"etcd_address": address}))
    assert line == (
        f"master-2: etcd_address: wanted an address that the other members reach, found '{address}'; set etcd_address"
    )


def test_names_that_differ_in_case_alone_are_a_warning() -> None:
    found = [HostVariables(name, f"10.0.0.{number}", ()) for number, name in enumerate(["m1", "M1", "m2"], 1)]
    assert load_clusters(found)[1] == ("M1: name: differs from m1 in case alone",)


@pytest.mark.parametrize(
    ("key", "value", "default"),
    [
        ("etcd_version", "3.5.17-0", "'3.5.16-0'"),
        ("etcd_initial_cluster_token", "other", "'etcd-example'"),
        ("etcd_heartbeat_interval", 150, "100"),
        ("etcd_election_timeout", 1500, "1000"),
        ("etcd_ca_days", 4000, "3650"),
        ("generate_certs_dir", "certs/x", "'certs/example'"),
        ("cert_signer", "cfssl", "'local'"),
        ("cfssl_version", "1.6.4", "'1.6.5'"),
        ("cfssl_dir", "tools", "'certs/example/cfssl'"),
        ("etcd_ca_passphrase_env", "CA_PASS", "None"),
        ("etcd_ca_passphrase_file", "pass", "None"),
        ("etcd_snapshot_dir", "snapshots/x", "'snapshots/example'"),
        ("etcd_snapshot_keep", 8, "7"),
        ("etcd_snapshot_timeout", 60, "600"),
    ],
)
def test_what_must_be_equal_names_hosts_and_values(key: str, value: object, default: str) -> None:
    assert problems(hosts(3, m2={key: value})) == (
        (
            f"cluster example: {key}: wanted the same on all members, "
            f"found {default} on master-1, master-3, {value!r} on master-2; set it once, in their group"
        ),
    )


def test_paths_may_differ_among_members() -> None:
    one = cluster(hosts(3, m2={"etcd_data_dir": "/data/etcd"}))
    assert [member.settings.etcd_data_dir for member in one.members] == ["/var/lib/etcd", "/data/etcd", "/var/lib/etcd"]


def test_faults_of_hosts_and_clusters_are_told_at_once() -> None:
    found = hosts(8, {"etcd_snapshot_count": 0}, m1={"etcd_version": "x"}, m3={"etcd_address": "192.0.2.12"})
    assert problems(found) == (
        "master-1: etcd_version: wanted a version such as 3.5.16-0, found 'x'",
        (
            "group etcd (8 hosts): etcd_snapshot_count: wanted a whole number of entries from 1 to "
            "9223372036854775807, found 0"
        ),
        "master-3: etcd_address: wanted an address of its own, found '192.0.2.12' also on master-2",
        "cluster example: wanted at most 7 members, found 8; use 3 or 5",
    )


# etcd_initial_cluster

INITIAL = "master-3=https://192.0.2.13:2380,master-1=https://192.0.2.11:2380,master-2=https://192.0.2.12:2380"


def test_an_initial_cluster_of_the_users_keeps_its_order() -> None:
    assert cluster(hosts(3, {"etcd_initial_cluster": INITIAL})).initial_cluster == INITIAL


@pytest.mark.parametrize("url", ["https://[2001:DB8:0:0::1]:2380", "https://[2001:db8::1]:2380/"])
def test_a_url_of_the_initial_cluster_takes_the_form_that_the_member_advertises(url: str) -> None:
    value = f"master-1={url},master-1=https://[2001:db8::1]:2380"
    one = cluster(hosts(1, {"etcd_initial_cluster": value}, m1={"etcd_address": "2001:db8::1"}))
    assert one.initial_cluster == f"master-1={one.members[0].peer_url}"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (INITIAL.rpartition(",")[0], "master-2=https://192.0.2.12:2380 is missing"),
        (INITIAL + ",x=https://192.0.2.14:2380", "x is not in the inventory's cluster"),
        (
            INITIAL.replace("192.0.2.12:2380", "192.0.2.99:2380"),
            "master-2 has https://192.0.2.99:2380 instead of https://192.0.2.12:2380",
        ),
        (
            INITIAL.replace("https://192.0.2.12", "http://192.0.2.12"),
            "master-2 has http://192.0.2.12:2380 instead of https://192.0.2.12:2380",
        ),
        (
            INITIAL.replace("master-1", "MASTER-1"),
            "MASTER-1 is not in the inventory's cluster; master-1=https://192.0.2.11:2380 is missing",
        ),
    ],
)
def test_an_initial_cluster_that_disagrees_is_refused_with_the_difference(value: str, told: str) -> None:
    assert problems(hosts(3, {"etcd_initial_cluster": value})) == (
        (
            f"cluster example: etcd_initial_cluster: wanted the members of the inventory, found that {told}; "
            "correct it or leave it out"
        ),
    )


def test_an_initial_cluster_must_be_set_for_all_members_or_none() -> None:
    (line,) = problems(hosts(3, m1={"etcd_initial_cluster": INITIAL}))
    assert line.startswith("cluster example: etcd_initial_cluster: wanted the same on all members, found ")


@pytest.mark.parametrize("fault", [{"etcd_address": "bad host"}, {"deploy_name": "a/b"}])
def test_no_disagreement_is_told_where_a_member_is_uncertain(fault: dict[str, str]) -> None:
    (line,) = problems(hosts(3, {"etcd_initial_cluster": INITIAL}, m1=fault))
    assert line.startswith(f"master-1: {next(iter(fault))}: wanted ")


def test_settings_travel_with_their_member() -> None:
    settings: Settings = cluster(hosts(1)).members[0].settings
    assert settings.etcd_image == "registry.ikubeops.local/ikubeops/etcd:3.5.16-0"
