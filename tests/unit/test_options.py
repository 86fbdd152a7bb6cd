"""Which hosts and variables the options mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nornir.core import Nornir
from nornir.core.inventory import Defaults, Group, Groups, Host, Hosts, Inventory, ParentGroups

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.options import Options


def options(**said: Any) -> Options:
    """Return what the command line makes of these options."""
    silent: dict[str, Any] = {
        "config": Path("config.yaml"),
        "filters": (),
        "hosts": (),
        "settings": (),
        "dry_run": False,
        "accept_downtime": False,
        "output": None,
        "verbose": False,
    }
    return Options(**(silent | said))


@pytest.fixture
def nr() -> Nornir:
    """Three members in two clusters, and a host that is no member."""
    etcd = Group("etcd", data={"deploy_name": "blue", "production": True})
    hosts = {
        "node-1": Host("node-1", groups=ParentGroups([etcd]), data={"racks": ["a", "b"]}),
        "node-2": Host("node-2", groups=ParentGroups([etcd]), data={"deploy_name": "green"}),
        "node-3": Host("node-3", groups=ParentGroups([etcd]), data={"url": "https://x?a=b"}),
        "bastion": Host("bastion"),
    }
    return Nornir(Inventory(Hosts(hosts), Groups({"etcd": etcd}), Defaults()))


def test_no_selection_leaves_it_to_the_runbook(nr: Nornir) -> None:
    assert options().arguments(nr) == {"hosts": None, "overrides": {}, "events": None}


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        (("deploy_name=blue",), ["node-1", "node-3"]),
        (("deploy_name=green",), ["node-2"]),
        (("deploy_name=blue", "racks=b"), ["node-1"]),
        (("production=true",), ["node-1", "node-2", "node-3"]),
        (("url=https://x?a=b",), ["node-3"]),
        (("name=node-2",), ["node-2"]),
        (("name=bastion",), []),
        (("deploy_name=",), []),
        (("nothing=blue",), []),
    ],
)
def test_filters_choose_members_by_the_values_that_they_have(
    nr: Nornir, filters: tuple[str, ...], chosen: list[str]
) -> None:
    assert options(filters=filters).arguments(nr)["hosts"] == chosen


def test_hosts_and_filters_together_choose_what_both_allow(nr: Nornir) -> None:
    said = options(hosts=("node-1", "node-2"), filters=("deploy_name=green",))
    assert said.arguments(nr)["hosts"] == ["node-2"]


def test_names_that_are_no_member_are_left_for_the_runbook_to_refuse(nr: Nornir) -> None:
    assert options(hosts=("node-1", "bastion", "nobody")).arguments(nr)["hosts"] == ["node-1", "bastion", "nobody"]
    said = options(hosts=("nobody",), filters=("deploy_name=green",))
    assert said.arguments(nr)["hosts"] == ["nobody"]


def test_the_last_of_several_values_of_a_variable_counts(nr: Nornir) -> None:
    said = options(settings=("etcd_version=3.5.1-0", " etcd_extra_args ={a: b=c}", "etcd_version=3.5.16-0", "x="))
    assert said.arguments(nr)["overrides"] == {"etcd_version": "3.5.16-0", "etcd_extra_args": "{a: b=c}", "x": ""}


@pytest.mark.parametrize("option", ["--set", "--filter"])
def test_every_malformed_pair_is_told(nr: Nornir, option: str) -> None:
    given = ("novalue", "=noname", " =blank", "good=one")
    said = options(settings=given) if option == "--set" else options(filters=given)
    with pytest.raises(InventoryError) as caught:
        said.arguments(nr)
    assert caught.value.problems == tuple(f"{option}: wanted KEY=VALUE, found '{text}'" for text in given[:3])
