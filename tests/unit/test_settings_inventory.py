"""The inventory as shipped, read by Nornir itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from nornir import InitNornir
from ruamel.yaml import YAML

from nornir_etcd.cluster import load_clusters
from nornir_etcd.settings import HostVariables, Settings

if TYPE_CHECKING:
    import pytest
    from nornir.core.inventory import Host

ROOT = Path(__file__).parents[2]


def variables(host: Host) -> HostVariables:
    groups = tuple((f"group {group.name}", group.data) for group in host.extended_groups())
    return HostVariables(
        host.name, host.hostname, ((f"host {host.name}", host.data), *groups, ("defaults", host.defaults.data))
    )


def test_the_inventory_as_shipped_is_one_cluster_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    nornir = InitNornir(config_file="config.yaml", logging={"enabled": False})
    members = [
        variables(host)
        for host in nornir.filter(filter_func=lambda host: host.has_parent_group("etcd")).inventory.hosts.values()
    ]
    (cluster,), warnings = load_clusters(members)
    assert warnings == ()
    assert cluster.initial_cluster == (
        "master-1=https://192.0.2.11:2380,master-2=https://192.0.2.12:2380,master-3=https://192.0.2.13:2380"
    )
    assert cluster.members[0].settings.etcd_image == "registry.ikubeops.local/ikubeops/etcd:3.5.16-0"


def test_the_inventory_as_shipped_checks_host_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    nornir = InitNornir(config_file="config.yaml", logging={"enabled": False})
    options = nornir.inventory.hosts["master-1"].get_connection_parameters("netmiko")
    assert (options.username, options.platform) == ("root", "linux")
    assert options.extras is not None
    assert options.extras["ssh_strict"] is True
    assert nornir.config.logging.loggers == ["nornir", "nornir_etcd"]
    assert nornir.config.logging.log_file == "nornir.log"


def test_what_the_shipped_comments_show_are_the_defaults() -> None:
    text = (ROOT / "inventory" / "groups.yaml").read_text(encoding="utf-8")
    shown = YAML(typ="safe").load("".join(re.findall(r"^    # (\w+: .*\n)", text, re.MULTILINE)))
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert len(shown) > 10
    assert {name: tuple(value) if value == [] else value for name, value in shown.items()} == {
        name: defaults[name] for name in shown
    }
