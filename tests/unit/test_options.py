"""Which hosts and variables the options mean."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from nornir.core import Nornir
from nornir.core.inventory import Defaults, Group, Groups, Host, Hosts, Inventory, ParentGroups

from nornir_etcd import terminal
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.options import MembersOptions, Options, UpgradeOptions, VerifyOptions
from nornir_etcd.progress import ProgressProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    assert Options().arguments(nr) == {"hosts": None, "overrides": {}, "events": None}


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
    assert Options(filters=list(filters)).arguments(nr)["hosts"] == chosen


def test_hosts_and_filters_together_choose_what_both_allow(nr: Nornir) -> None:
    said = Options(hosts="node-1,node-2", filters=["deploy_name=green"])
    assert said.arguments(nr)["hosts"] == ["node-2"]


def test_names_that_are_no_member_are_left_for_the_runbook_to_refuse(nr: Nornir) -> None:
    assert Options(hosts="node-1, bastion,nobody,").arguments(nr)["hosts"] == ["node-1", "bastion", "nobody"]
    said = Options(hosts="nobody", filters=["deploy_name=green"])
    assert said.arguments(nr)["hosts"] == ["nobody"]


def test_the_last_of_several_values_of_a_variable_counts(nr: Nornir) -> None:
    said = Options(settings=["etcd_version=3.5.1-0", " etcd_extra_args ={a: b=c}", "etcd_version=3.5.16-0", "x="])
    assert said.arguments(nr)["overrides"] == {"etcd_version": "3.5.16-0", "etcd_extra_args": "{a: b=c}", "x": ""}


@pytest.mark.parametrize("option", ["--set", "--filter"])
def test_every_malformed_pair_is_told(nr: Nornir, option: str) -> None:
    given = ["novalue", "=noname", " =blank", "good=one"]
    said = Options(settings=given) if option == "--set" else Options(filters=given)
    with pytest.raises(InventoryError) as caught:
        said.arguments(nr)
    assert caught.value.problems == tuple(f"{option}: wanted KEY=VALUE, found '{text}'" for text in given[:3])


def test_verify_hands_its_selection_on(nr: Nornir) -> None:
    said = VerifyOptions(check=["cert", "cluster"], skip=["cert.placed"], min_severity="critical", no_ssh=True)
    assert said.arguments(nr) == {
        "hosts": None,
        "overrides": {},
        "events": None,
        "check": ["cert", "cluster"],
        "skip": ["cert.placed"],
        "min_severity": "critical",
        "ssh": False,
    }
    assert VerifyOptions().arguments(nr)["ssh"] is True
    assert VerifyOptions(endpoints="10.0.0.1", cacert=Path("ca.pem")).arguments(nr)["ssh"] is False


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        (VerifyOptions(), []),
        (VerifyOptions(endpoints="10.0.0.1", cacert=Path("ca")), []),
        (VerifyOptions(endpoints="10.0.0.1", cacert=Path("ca"), cert=Path("c"), key=Path("k")), []),
        (VerifyOptions(endpoints="10.0.0.1"), ["--endpoints: wanted --cacert"]),
        (VerifyOptions(endpoints="10.0.0.1", cacert=Path("ca"), cert=Path("c")), ["--endpoints: wanted --cert and"]),
        (VerifyOptions(endpoints="10.0.0.1", cacert=Path("ca"), key=Path("k")), ["--endpoints: wanted --cert and"]),
        (VerifyOptions(cacert=Path("ca"), key=Path("k")), ["--cacert: wanted --endp", "--key: wanted --endp"]),
        (Options(exit_style="icinga"), ["--exit-style: wanted default or nagios, found 'icinga'"]),
        (UpgradeOptions(), []),
        (UpgradeOptions(to="3.5.33-0"), []),
        (UpgradeOptions(to="v3.6.14"), []),
        (UpgradeOptions(to="nonsense"), ["--to: wanted a version such as 3.5.16-0, found 'nonsense'"]),
        (UpgradeOptions(to=""), ["--to: wanted a version such as 3.5.16-0, found ''"]),
        (UpgradeOptions(to="2.3.8"), ["--to: wanted a version of etcd 3.4, 3.5, 3.6, 3.7, found '2.3.8'"]),
        (UpgradeOptions(to="3.5.33-0", settings=["etcd_version=3.5.33-0"]), ["--to: wanted the version once, found"]),
        (UpgradeOptions(pause=True), ["--pause: wanted a terminal to ask on, found none"]),
        (UpgradeOptions(to="x", pause=True), ["--to: wanted a version", "--pause: wanted a terminal"]),
    ],
)
def test_what_is_wrong_with_the_options_is_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, said: Options, problems: list[str]
) -> None:
    monkeypatch.setenv("CI", "true")  # where nobody is asked
    found = list(said.problems())
    assert len(found) == len(problems)
    assert all(one.startswith(start) for one, start in zip(found, problems, strict=True))


def test_upgrade_hands_on_what_is_wanted_and_who_is_asked(nr: Nornir) -> None:
    assert UpgradeOptions(to="3.5.33-0").arguments(nr) == Options().arguments(nr) | {"to": "3.5.33-0", "pause": None}


def test_somebody_is_asked_while_nothing_is_drawn(nr: Nornir, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Drawing(ProgressProcessor):
        @contextmanager
        def paused(self) -> Iterator[None]:
            told.append("paused")
            yield
            told.append("drawn again")

    def confirm(question: str) -> bool:
        told.append(question)
        return True

    monkeypatch.setattr(terminal, "confirm", confirm)
    asked = UpgradeOptions(pause=True).arguments(nr.with_processors([Drawing()]))["pause"]
    assert asked("next node-2") is True
    assert told == ["paused", "next node-2", "drawn again"]


def test_members_apply_hands_on_what_was_agreed_to(nr: Nornir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_there", lambda: False)
    said = MembersOptions(accept_no_margin=True, yes=True, purge=True).arguments(nr)
    agreed = {"accept_no_margin": True, "repair": True, "purge": True, "update_apiserver": False, "ask": None}
    assert said == Options().arguments(nr) | agreed
    monkeypatch.setattr(terminal, "is_there", lambda: True)
    assert MembersOptions().arguments(nr)["ask"] is not None
