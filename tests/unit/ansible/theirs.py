"""What Ansible itself says of an inventory."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).parents[2] / "data" / "ansible"
SHAPES = (
    *("flat/hosts", "kubespray/inventory.ini", "yaml/hosts.yaml", "directory", "ranges/hosts.ini", "vars_dirs/hosts"),
    *("playbook/inventory/hosts.ini", "precedence/hosts"),
)
"""Inventories as people have them."""
TIMEOUT = 120
"""Seconds that `ansible-inventory` may take: 1 s, on an idle machine."""


def listed(paths: Sequence[Path], home: Path, *options: str) -> dict[str, Any]:
    """Return what `ansible-inventory --list` prints, whatever the configuration of the machine is.

    Args:
        paths: the inventory's sources.
        home: an empty directory to start from.
        options: further ones.
    """
    program = str(Path(sys.executable).with_name("ansible-inventory"))
    chosen = [word for path in paths for word in ("-i", str(path))]
    config = home / "ansible.cfg"
    config.touch()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "ANSIBLE_CONFIG": str(config), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(  # noqa: S603 - the program compared with
        [program, "--list", *chosen, *options], cwd=home, env=env, check=True, capture_output=True, timeout=TIMEOUT
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def groups_of(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Return the groups of each host, those that count more behind, as Ansible has them."""
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415 - with Python 3.10 there is none, see conftest
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415

    manager = InventoryManager(loader=DataLoader(), sources=[str(path) for path in paths])
    return {
        name: [
            group.name
            for group in sorted(host.get_groups(), key=lambda group: (group.depth, group.priority, group.name))
            if group.name != "all"
        ]
        for name, host in manager.hosts.items()
    }


def as_json(value: Any) -> str:
    """Return a value as `ansible-inventory` prints it, in an order of its own."""
    return json.dumps(value, sort_keys=True, default=lambda one: one.isoformat() if isinstance(one, dt.date) else one)
