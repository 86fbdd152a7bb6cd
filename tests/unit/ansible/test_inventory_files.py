"""The files of a workspace out of an inventory of Ansible's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from nornir_etcd.ansible.inventory_files import _text, files_of, left_out, ssh_config
from nornir_etcd.ansible.load import load
from tests.unit.ansible.theirs import DATA

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def parsed(text: str) -> Any:
    """What Nornir reads in a file."""
    return YAML(typ="safe").load(text)


TEXT = st.text(
    st.characters(exclude_characters="\x85\u2028\u2029\ufeff", exclude_categories=("Cc", "Cs", "Cn")), max_size=30
)
TRAPS = (
    "yes",
    "no",
    "007",
    "1e3",
    "0x1f",
    "12:30:45",
    "~",
    "null",
    "- a",
    "a: b",
    "a #b",
    "{{ x }}",
    "",
    " ",
    "a\nb\n",
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.dates()
VALUES = st.recursive(
    SCALARS | TEXT | st.sampled_from(TRAPS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abyes01 -", max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text("abcde_", min_size=1, max_size=5), VALUES, max_size=3))
def test_whatever_a_variable_holds_is_read_again_as_it_was(data: dict[str, Any]) -> None:
    assert parsed(_text("defaults", {"data": data})) == {"data": data}


def test_what_all_members_share_stands_once() -> None:
    files = {name: parsed(text) for name, text in files_of(load([DATA / "flat" / "hosts"])).items()}
    assert files["inventory/hosts.yaml"] == {
        f"master-{number}": {"hostname": f"192.0.2.1{number}", "groups": ["etcd"]} for number in (1, 2, 3)
    }
    etcd = files["inventory/groups.yaml"]["etcd"]
    assert etcd["username"] == "root"
    assert etcd["connection_options"]["netmiko"] == {
        "platform": "linux",
        "extras": {
            "use_keys": True,
            "key_file": "~/.ssh/id_ed25519",
            "ssh_strict": True,
            "alt_host_keys": True,
            "alt_key_file": "known_hosts",
        },
    }
    assert etcd["data"]["ca_dir"] == "{{ kube_base_dir }}/pki"
    assert files["inventory/defaults.yaml"] == {"data": {}}
    assert files.keys() == {"inventory/hosts.yaml", "inventory/groups.yaml", "inventory/defaults.yaml"}


SECRETS = (
    "ansible_password=hunter2 ansible_become_pass=hunter2 ansible_private_key_passphrase=hunter2 "
    "ansible_ssh_private_key_file=keys/id"
)


def test_no_password_is_written_and_each_is_listed_with_the_way_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hosts").write_text(f"[etcd]\nm1 {SECRETS}\nm2\nm3 {SECRETS}\n", encoding="utf-8")
    carried = load([tmp_path / "hosts"])
    files = files_of(carried)
    assert "hunter2" not in str(files)
    assert left_out(carried) == [
        "m1, m3: the SSH password is not written: use a key, in connection_options.netmiko.extras.key_file",
        "m1, m3: the password for sudo is not written: name a variable in etcd_sudo_password_env, or say -K",
        "m1, m3: the passphrase of the SSH key is not written: give the key to ssh-agent (allow_agent)",
        "m2: no SSH key is named, so that of ssh-agent is taken; name one in key_file",
    ]
    extras = parsed(files["inventory/hosts.yaml"])["m1"]["connection_options"]["netmiko"]["extras"]
    assert extras["key_file"] == f"{tmp_path}/keys/id", "Ansible takes it from where it is started"


def test_a_variable_for_the_password_for_sudo_stands_beside_the_other_variables(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        "[etcd]\nm1\nm2\n[etcd:vars]\ndeploy_name=x\nansible_become_pass={{ lookup('env', 'SUDO_PW') }}\n",
        encoding="utf-8",
    )
    groups = parsed(files_of(load([tmp_path / "hosts"]))["inventory/groups.yaml"])
    assert groups["etcd"]["data"] == {"etcd_sudo_password_env": "SUDO_PW", "deploy_name": "x"}


def test_variables_that_nothing_goes_by_are_listed_and_not_written() -> None:
    carried = load([DATA / "kubespray" / "inventory.ini"])
    assert "hosts that are no members of etcd (3): node4, node5, bastion" in left_out(carried)
    assert left_out(carried)[-1].startswith("variables that nothing here goes by (13): bastion_user, bin_dir, ")
    assert "bin_dir" not in str(files_of(carried))


def test_ways_over_other_hosts_are_an_ssh_config_of_the_workspace() -> None:
    files = files_of(load([DATA / "kubespray" / "inventory.ini"]))
    assert files["ssh_config"] == (
        "Host 198.51.100.12 198.51.100.13 198.51.100.14\n  Port 22\n"
        "  ProxyCommand ssh -F ./ssh-bastion.conf -W %h:%p -q ubuntu@198.51.100.99\n"
    )
    groups = parsed(files["inventory/groups.yaml"])
    assert groups["etcd"]["connection_options"]["netmiko"]["extras"]["ssh_config_file"] == "ssh_config"


def test_hosts_of_one_way_share_an_entry_and_each_port_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        "[etcd]\na\nb ansible_port=2222\nc\nd ansible_ssh_common_args=\n[etcd:vars]\nansible_ssh_common_args=-J jump\n",
        encoding="utf-8",
    )
    assert ssh_config(load([tmp_path / "hosts"]).members.values()) == (
        "Host a c\n  Port 22\n  ProxyCommand ssh -W %h:%p jump\n\n"
        "Host b\n  Port 2222\n  ProxyCommand ssh -W %h:%p jump\n"
    )
