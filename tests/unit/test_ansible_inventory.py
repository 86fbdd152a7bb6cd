"""Ansible's inventories in use: as Nornir's inventory, and as the beginning of a workspace."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from nornir_etcd import clusters_in
from nornir_etcd.ansible_inventory import PLUGIN_NAME, AnsibleInventory
from nornir_etcd.configuration import init_nornir
from nornir_etcd.connections.ssh_options import find_problems, merged_options
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import load_settings
from nornir_etcd.workflows.inventory import variables
from tests.unit.ansible.theirs import DATA
from tests.unit.program import PROGRAM, ROOT, Done, run

if TYPE_CHECKING:
    from nornir.core import Nornir

    from nornir_etcd.settings import Settings

ENV = {"PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
CASES = {
    "flat": ([DATA / "flat" / "hosts"], None),
    "kubespray": ([DATA / "kubespray" / "inventory.ini"], None),
    "yaml": ([DATA / "yaml" / "hosts.yaml"], None),
    "directory": ([DATA / "directory"], None),
    "vars_dirs": ([DATA / "vars_dirs" / "hosts"], None),
    "playbook": ([DATA / "playbook" / "inventory" / "hosts.ini"], DATA / "playbook" / "site.yml"),
}


def nornir_of(folder: Path, inventories: list[Path], playbook: Path | None = None) -> Nornir:
    """Nornir, with Ansible's inventory as its own."""
    options = {"inventory": [str(path) for path in inventories]} | ({"playbook": str(playbook)} if playbook else {})
    config = {"inventory": {"plugin": PLUGIN_NAME, "options": options}, "logging": {"enabled": False}}
    (folder / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return init_nornir(folder / "own.yaml")


def init(folder: Path, inventories: list[Path], playbook: Path | None = None) -> Done:
    """Lay out a workspace from Ansible's inventory."""
    words = [word for path in inventories for word in ("--from-ansible", str(path))]
    words += ["--playbook", str(playbook)] if playbook else []
    return run(PROGRAM, "init", "work", *words, cwd=folder, env=ENV)


def settings_of(nr: Nornir) -> dict[str, Settings]:
    """The settings of each member."""
    return load_settings([variables(host) for host in nr.inventory.hosts.values()])[0]


@pytest.mark.parametrize("case", CASES)
def test_a_workspace_from_ansibles_inventory_comes_to_the_same_as_the_inventory_itself(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inventories, playbook = CASES[case]
    direct = nornir_of(tmp_path, inventories, playbook)
    assert init(tmp_path, inventories, playbook).code == 0
    monkeypatch.chdir(tmp_path / "work")
    Path("known_hosts").touch()
    config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    Path("config.yaml").write_text(yaml.safe_dump(config | {"logging": {"enabled": False}}), encoding="utf-8")
    laid_out = init_nornir(Path("config.yaml"))
    assert settings_of(laid_out) == settings_of(direct)
    assert clusters_in(laid_out.inventory)[0] == clusters_in(direct.inventory)[0]
    for name, host in laid_out.inventory.hosts.items():
        one, other = merged_options(host), merged_options(direct.inventory.hosts[name])
        assert (one.hostname, one.port, one.username) == (other.hostname, other.port, other.username)
        assert find_problems(one.hostname, one.platform, one.extras or {}) == []


def test_a_whole_workspace_is_laid_out_with_what_is_not_carried_over_told_first(tmp_path: Path) -> None:
    done = init(tmp_path, *CASES["kubespray"])
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert [line.partition(" ")[0] for line in lines] == ["not", "not", "not", "not", "1.", "2.", "3."]
    assert all(line.startswith("not carried over: ") for line in lines[:4])
    assert (tmp_path / "work" / "config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
    assert (tmp_path / "work" / "runbooks" / "deploy.py").is_file()


def test_nothing_is_written_over_and_nothing_is_written_of_a_bad_inventory(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "ssh_config").write_text("mine", encoding="utf-8")
    done = init(tmp_path, *CASES["kubespray"])
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: work/ssh_config: wanted nothing there yet, found it; it stays as it is\n"
    (tmp_path / "hosts").write_text("[etcd]\nm[2:1]\nm3 x\n", encoding="utf-8")
    done = init(tmp_path, [Path("hosts")])
    assert done.code == 2
    assert done.err.splitlines() == [
        "error: hosts:2: wanted a range whose end is not before its beginning, found [2:1]",
        "error: hosts:3: wanted NAME=VALUE behind the host m3, found a word without =",
    ]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["ssh_config"]


def test_a_playbook_needs_its_inventory(tmp_path: Path) -> None:
    done = run(PROGRAM, "init", "work", "--playbook", "site.yml", cwd=tmp_path, env=ENV)
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: --playbook: wanted the inventory that it is for in --from-ansible, found none\n"


def test_passwords_reach_sessions_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        "[etcd]\nm1 ansible_password=hunter2 ansible_become_pass=hunter3\nm2\n", encoding="utf-8"
    )
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "m2.yml").write_text(
        "ansible_become_password: \"{{ lookup('env', 'SUDO_PW') }}\"\n", encoding="utf-8"
    )
    hosts = AnsibleInventory(str(tmp_path / "hosts")).load().hosts
    options = merged_options(hosts["m1"])
    assert (options.password, (options.extras or {})["secret"]) == ("hunter2", "hunter3")
    assert "hunter" not in str(hosts["m1"].items())
    assert hosts["m2"]["etcd_sudo_password_env"] == "SUDO_PW"  # noqa: S105 - the name of a variable
    assert "secret" not in (merged_options(hosts["m2"]).extras or {})


def test_an_agent_goes_before_the_users_own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    hosts = str(DATA / "vars_dirs" / "hosts")
    assert merged_options(AnsibleInventory(hosts).load().hosts["etcd-1"]).extras == {"allow_agent": True}
    monkeypatch.delenv("SSH_AUTH_SOCK")
    extras = merged_options(AnsibleInventory(hosts).load().hosts["etcd-1"]).extras or {}
    assert extras == {"allow_agent": True, "use_keys": True, "key_file": str(tmp_path / ".ssh" / "id_rsa")}


def test_the_ssh_config_of_a_jump_host_is_its_owners_alone() -> None:
    inventory = AnsibleInventory(str(DATA / "kubespray" / "inventory.ini")).load()
    path = Path((merged_options(inventory.hosts["node1"]).extras or {})["ssh_config_file"])
    assert "ProxyCommand ssh " in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_is_not_taken_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        AnsibleInventory(str(DATA / "kubespray" / "inventory.ini")).load()
    (record,) = caplog.records
    assert record.name.startswith("nornir_etcd")
    assert "StrictHostKeyChecking=no: host keys are checked here" in record.getMessage()


def test_every_fault_of_the_inventory_is_a_line_of_its_own_when_nornir_starts(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[etcd]\nm1 a\n[web:children]\nnobody\n", encoding="utf-8")
    with pytest.raises(InventoryError) as caught:
        nornir_of(tmp_path, [tmp_path / "hosts"])
    assert [line.removeprefix(f"{tmp_path}/").partition(":")[2][:1] for line in caught.value.problems] == ["2", "4"]


def test_a_runbook_takes_ansibles_inventory(tmp_path: Path) -> None:
    nornir_of(tmp_path, [DATA / "flat" / "hosts"])
    done = run(PROGRAM, "deploy", "--config", "own.yaml", "--hosts", "nobody", cwd=tmp_path, env=ENV)
    assert (done.code, done.err) == (
        2,
        "error: --hosts: nobody is no host of the group etcd; there are master-1, master-2, master-3\n",
    )
