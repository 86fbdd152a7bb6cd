"""An inventory of a lab, as Nornir's SimpleInventory loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.lab.lab import Lab, Node


def contents(
    lab: Lab,
    groups: dict[str, Any],
    hosts: dict[str, dict[str, Any] | None],
    defaults: dict[str, Any],
    *,
    ipv6: bool,
) -> dict[str, Any]:
    """Build what goes into hosts.yaml, groups.yaml and defaults.yaml, from the arguments of Lab.write_inventory."""
    extras = {
        "use_keys": True,
        "key_file": str(lab.key_file),
        "ssh_strict": True,
        "alt_host_keys": True,
        "alt_key_file": str(lab.known_hosts),
    }
    etcd = {"connection_options": {"netmiko": {"platform": "linux", "extras": extras}}} | groups.get("etcd", {})
    return {
        "hosts": {
            node.name: {
                "hostname": node.address6 if ipv6 else node.address,
                "username": "root",
                "platform": "linux",
                "groups": ["etcd"],
                "data": _runtime(node) | data,
            }
            for node in lab.nodes
            if (data := hosts.get(node.name, {})) is not None
        },
        "groups": groups | {"etcd": etcd},
        "defaults": {"data": defaults},
    }


def _runtime(node: Node) -> dict[str, str]:
    """Name the runtime of a host that has not the one that the program takes for granted."""
    return {} if node.runtime == "containerd" else {"container_runtime": node.runtime}


def write(directory: Path, content: dict[str, Any]) -> Path:
    """Write the three files and a config.yaml that names them.

    Returns:
        The config.yaml.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory = directory.resolve()
    options = {
        "host_file": str(directory / "hosts.yaml"),
        "group_file": str(directory / "groups.yaml"),
        "defaults_file": str(directory / "defaults.yaml"),
    }
    config = {
        "inventory": {"plugin": "SimpleInventory", "options": options},
        "runner": {"plugin": "threaded", "options": {"num_workers": 20}},
        "logging": {"enabled": False},
    }
    for name, data in (content | {"config": config}).items():
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return directory / "config.yaml"
