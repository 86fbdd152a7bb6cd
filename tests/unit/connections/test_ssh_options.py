"""How a host's SSH options come about, and which are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from nornir.core.inventory import ConnectionOptions, Defaults, Group, Host, ParentGroups

from nornir_etcd.connections.ssh_options import find_problems, host_key_options, merged_options

if TYPE_CHECKING:
    from pathlib import Path


def options(**values: Any) -> dict[str, ConnectionOptions]:
    return {"netmiko": ConnectionOptions(**values)}


def test_extras_are_merged_key_by_key_and_the_nearest_wins() -> None:
    defaults = Defaults(connection_options=options(extras={"ssh_strict": True, "conn_timeout": 1, "keepalive": 1}))
    parent = Group("parent", connection_options=options(extras={"conn_timeout": 2, "use_keys": True}, port=2222))
    near = Group("near", groups=ParentGroups([parent]), connection_options=options(extras={"key_file": "near"}))
    far = Group("far", connection_options=options(extras={"conn_timeout": 3, "keepalive": 3}, port=2223))
    host = Host(
        "node-1",
        groups=ParentGroups([near, far]),
        defaults=defaults,
        connection_options=options(extras={"key_file": "own"}),
    )
    merged = merged_options(host)
    assert merged.extras == {
        "ssh_strict": True,
        "conn_timeout": 2,
        "keepalive": 3,
        "use_keys": True,
        "key_file": "own",
    }
    assert merged.port == 2222
    assert host.connection_options["netmiko"].extras == {"key_file": "own"}


def test_what_the_options_leave_open_comes_from_the_host() -> None:
    group = Group("etcd", username="admin", platform="linux", connection_options=options(username="root"))
    host = Host("node-1", hostname="10.0.0.1", password="x", groups=ParentGroups([group]), defaults=Defaults(port=22))  # noqa: S106
    merged = merged_options(host)
    assert (merged.hostname, merged.port, merged.username, merged.password) == ("10.0.0.1", 22, "root", "x")
    assert (merged.platform, merged.extras) == ("linux", {})


def test_a_host_without_an_address_is_reached_by_its_name() -> None:
    assert merged_options(Host("node-1", defaults=Defaults())).hostname == "node-1"


@pytest.mark.parametrize(
    ("platform", "extras", "problem"),
    [
        ("ios", {}, "platform is 'ios', only 'linux' is supported"),
        (None, {"device_type": "cisco_ios"}, "device_type is 'cisco_ios', only 'linux' is supported"),
        (None, {"key_fiel": "x"}, "key_fiel is no option of netmiko; did you mean key_file?"),
        (None, {"ssh_strict": "no"}, "ssh_strict is 'no', must be true or false"),
        (None, {"alt_key_file": "/nowhere"}, "alt_key_file /nowhere does not exist"),
        (None, {"alt_host_keys": True}, "alt_host_keys is set without alt_key_file"),
        (None, {"use_keys": True}, "use_keys is set without key_file"),
        (None, {"secret": 4321}, "secret is no text: put it in quotes"),
        (None, {"passphrase": [1]}, "passphrase is no text: put it in quotes"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(platform: str | None, extras: dict[str, Any], problem: str) -> None:
    (found,) = find_problems("10.0.0.1", platform, extras)
    assert problem in found


def test_plain_options_have_no_problems(tmp_path: Path) -> None:
    extras = {"use_keys": True, "key_file": "~/.ssh/id", "alt_key_file": str(tmp_path / "known_hosts"), "secret": "x"}
    (tmp_path / "known_hosts").touch()
    assert find_problems("10.0.0.1", "linux", extras) == []


@pytest.mark.parametrize("said", [{}, {"ssh_strict": None}, {"ssh_strict": True}, {"ssh_strict": 0}])
def test_host_keys_are_checked_unless_switched_off_in_so_many_words(said: dict[str, Any]) -> None:
    assert host_key_options(said) == {"ssh_strict": True, "system_host_keys": True}
    assert host_key_options({"ssh_strict": False}) == {"ssh_strict": False, "system_host_keys": False}


def test_a_known_hosts_file_of_its_own_is_the_only_one_read() -> None:
    assert host_key_options({"alt_key_file": "/etc/known"}) == {
        "ssh_strict": True,
        "alt_host_keys": True,
        "alt_key_file": "/etc/known",
    }
