"""From Ansible's inventories to members, their logins and their variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.ansible.carry_over import GROUP, Carried, place
from nornir_etcd.ansible.connection import Connection
from nornir_etcd.ansible.host import Member
from nornir_etcd.ansible.inventory import Value
from nornir_etcd.ansible.load import load
from nornir_etcd.ansible.variables import Place, Placed
from nornir_etcd.exceptions import InventoryError
from tests.unit.ansible.theirs import DATA

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def resolved(carried: Carried, host: str) -> dict[str, Any]:
    """The variables of a member as Nornir resolves them: host, groups in their order, defaults."""
    member = carried.members[host]
    found: dict[str, Any] = {}
    for layer in (member.data, *(carried.groups.get(name, {}) for name in member.groups), carried.defaults):
        found = dict(layer) | found
    return found


def written(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write an inventory, and return the path of its first file."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [folder / next(iter(files))]


def refused(folder: Path, files: Mapping[str, str], *more: Path) -> list[str]:
    """The lines in which an inventory is refused, with the folder taken out of them."""
    with pytest.raises(InventoryError) as caught:
        load([*written(folder, files), *more])
    return [line.replace(f"{folder}/", "") for line in caught.value.problems]


GROUPS = ("a", "b", GROUP)
PLACES = st.sampled_from([Place("all"), *(Place("group", name) for name in GROUPS), Place("host"), Place("play")])
SETS = st.dictionaries(st.sampled_from("xyz"), st.tuples(PLACES, st.integers(0, 3)), max_size=3)
MEMBERS = st.dictionaries(st.sampled_from(("m1", "m2", "m3")), st.tuples(st.permutations(GROUPS), SETS), min_size=1)


@given(MEMBERS)
def test_wherever_a_variable_is_put_nornir_resolves_it_to_what_ansible_does(
    members: dict[str, tuple[list[str], dict[str, tuple[Place, int]]]],
) -> None:
    carried = Carried({name: Member(name, Connection(), groups) for name, (groups, _) in members.items()})
    values = {
        name: {key: Placed(Value(value, ""), where) for key, (where, value) in sets.items()}
        for name, (_, sets) in members.items()
    }
    place(carried, values)
    for name, variables in values.items():
        found = resolved(carried, name)
        assert {key: found[key] for key in variables} == {key: one.value.value for key, one in variables.items()}


def test_a_group_keeps_its_variables_and_a_host_its_own() -> None:
    carried = load([DATA / "kubespray" / "inventory.ini"])
    assert list(carried.members) == ["node1", "node2", "node3"], "the members alone"
    assert carried.groups["etcd"]["etcd_address"] == "{{ ip }}", "as it was written, since ip is known"
    assert carried.members["node2"].data == {
        "ansible_host": "198.51.100.13",
        "ip": "10.3.0.2",
        "etcd_member_name": "etcd2",
    }
    assert carried.members["node2"].groups == ["kube_node", "kube_control_plane", "k8s_cluster", "etcd"]
    assert carried.defaults["bin_dir"] == "/usr/local/bin"
    assert carried.members["node1"].connection.proxy == "ssh -F ./ssh-bastion.conf -W %h:%p -q ubuntu@198.51.100.99"


def test_what_only_ansible_knows_is_rendered_once_and_for_all(tmp_path: Path) -> None:
    files = {
        "hosts": "[etcd]\nm1.example.com ansible_host=192.0.2.1\nm2.example.com ansible_host='{{ ip }}' ip=192.0.2.2\n",
        "group_vars/etcd.yml": (
            "root: '{{ inventory_dir }}/pki'\ngenerate_certs_dir: '{{ root }}/{{ deploy_name }}'\ndeploy_name: x\n"
            "etcd_extra_sans: ['{{ inventory_hostname_short }}', '{{ group_names[0] }}', '{{ inventory_hostname }}']\n"
            "etcd_initial_cluster: >-\n"
            "  {% for h in groups['etcd'] %}{{ h }}={{ hostvars[h].ansible_host }};{% endfor %}\n"
            "ca_dir: '{{ kube_base_dir }}/certs'\n"
            "etcd_initial_cluster_token: !unsafe '{{ token }}'\n"
        ),
    }
    carried = load(written(tmp_path, files))
    found = resolved(carried, "m2.example.com")
    assert carried.members["m2.example.com"].connection.hostname == "192.0.2.2"
    assert found["generate_certs_dir"] == f"{tmp_path}/pki/x"
    assert found["etcd_extra_sans"] == ["m2", "etcd", "m2.example.com"]
    assert found["etcd_initial_cluster"] == "m1.example.com=192.0.2.1;m2.example.com=192.0.2.2;"
    assert found["ca_dir"] == "{{ kube_base_dir }}/certs", "kube_base_dir is a default of the role"
    assert "{% raw %}{{ token }}{% endraw %}" == found["etcd_initial_cluster_token"]  # noqa: SIM300 - no password
    assert carried.members["m1.example.com"].needed == {
        *("generate_certs_dir", "deploy_name", "etcd_extra_sans", "etcd_initial_cluster", "ca_dir", "kube_base_dir"),
        "etcd_initial_cluster_token",
    }


OF_THE_FILE = (
    "ca_dir: '{{ kube_bse_dir }}/pki' refers to kube_bse_dir, which is not defined; nearest is kube_base_dir",
    "deploy_name: '{{ x | to_nice_json }}' is no valid Jinja: No filter named 'to_nice_json'.",
    "etcd_address: '{{ ansible_default_ipv4.address }}' refers to ansible_default_ipv4, which is not defined",
    "etcd_extra_sans: \"{{ lookup('file', 'sans') }}\" refers to lookup, which is not defined",
)
REMEDY = "facts, lookups and filters of Ansible's are not carried over: write out what it comes to"


def test_a_reference_to_nothing_is_one_line_that_names_its_place(tmp_path: Path) -> None:
    files = {
        "hosts": "[etcd]\nm[1:3] ansible_host='{{ adress }}' address=192.0.2.1\n[etcd:vars]\nansible_user={{ who }}\n",
        "group_vars/etcd.yml": (
            "ca_dir: '{{ kube_bse_dir }}/pki'\n"
            "etcd_address: '{{ ansible_default_ipv4.address }}'\n"
            "etcd_extra_sans: \"{{ lookup('file', 'sans') }}\"\n"
            'deploy_name: "{{ x | to_nice_json }}"\n'
            "another_roles: '{{ not_defined }}'\n"
            "ansible_become_password: 'hunter2{{ nothing }}'\n"
            "ansible_password: '{{ vault_password }}'\nvault_password: 'hunter2{{ nothing }}'\n"
        ),
    }
    assert {line.removesuffix(f"; {REMEDY}") for line in refused(tmp_path, files)} == {
        "group_vars/etcd.yml (3 hosts): ansible_become_password: its Jinja cannot be resolved",
        "group_vars/etcd.yml (3 hosts): vault_password: its Jinja cannot be resolved",
        *(f"group_vars/etcd.yml (3 hosts): {line}" for line in OF_THE_FILE),
        "hosts:2 (3 hosts): ansible_host: '{{ adress }}' refers to adress, which is not defined; nearest is address",
        "hosts:4 (3 hosts): ansible_user: '{{ who }}' refers to who, which is not defined",
    }


def test_what_ansible_alone_knows_is_no_value(tmp_path: Path) -> None:
    files = {"hosts": "[etcd]\nm1\n[etcd:vars]\netcd_extra_args={{ hostvars }}\netcd_extra_sans={{ groups.etcd }}\n"}
    assert refused(tmp_path, files) == [
        "m1: etcd_extra_args: wanted a value, found what Ansible alone knows; write it out (set in hosts:4)"
    ]


def test_a_host_that_ssh_does_not_reach_is_refused(tmp_path: Path) -> None:
    files = {"hosts": "[etcd]\nlocalhost ansible_connection=local\n"}
    assert refused(tmp_path, files) == [
        "localhost: ansible_connection: wanted ssh, the only way to a host here, found 'local' (set in hosts:2)"
    ]


PUT = "put theirs into [etcd:children]"


def test_no_members_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, {"hosts": "[masters]\nm1\n"}) == [
        f"wanted the group etcd, whose hosts are the members of etcd, found none; has masters; {PUT}"
    ]
    assert refused(tmp_path, {"hosts": "[etcd]\n[masters]\nm1\n"}) == [
        "wanted hosts in the group etcd, the members of etcd, found none"
    ]


def test_two_inventories_that_disagree_are_refused_with_both_places(tmp_path: Path) -> None:
    inventory = "[etcd]\nm1 ansible_host={} ansible_password={}\n[etcd:vars]\ndeploy_name={}\nnote={}\n"
    first = {
        "one/hosts": inventory.format("192.0.2.1", "hunter2", "one", "a"),
        "one/group_vars/etcd.yml": "etcd_version: 3.5.16-0\n",
    }
    second = {
        "two/hosts": inventory.format("192.0.2.9", "hunter3", "two", "b"),
        "two/group_vars/etcd.yml": "etcd_version: 3.5.21-0\n",
    }
    found = refused(tmp_path, first, *written(tmp_path, second))
    assert all(line.endswith("; correct one, or take one inventory at a time") for line in found)
    wanted = ": wanted one value in all inventories, found two"
    assert [line.partition(";")[0].replace(wanted, "") for line in found] == [
        "host m1: ansible_host ('192.0.2.1', '192.0.2.9'), in one/hosts:2 and two/hosts:2",
        "host m1: ansible_password, in one/hosts:2 and two/hosts:2",
        "group etcd: deploy_name ('one', 'two'), in one/hosts:4 and two/hosts:4",
        "group etcd: etcd_version ('3.5.16-0', '3.5.21-0'), in one/group_vars/etcd.yml and two/group_vars/etcd.yml",
    ]


def test_two_inventories_that_agree_are_one(tmp_path: Path) -> None:
    files = {"one": "[etcd]\nm1 ansible_host=192.0.2.1\n", "two": "[etcd]\nm1 ansible_host=192.0.2.1\nm2\n"}
    written(tmp_path, files)
    assert list(load([tmp_path]).members) == ["m1", "m2"]


def test_a_vault_is_refused_where_a_member_needs_it_and_passed_over_elsewhere(tmp_path: Path) -> None:
    vault = "$ANSIBLE_VAULT;1.1;AES256\n3636\n"
    files = {"hosts": "[etcd]\nm1\n[web]\nw1\n", "group_vars/web.yml": vault, "host_vars/w1.yml": vault}
    assert list(load(written(tmp_path, files)).members) == ["m1"]
    more = {
        "group_vars/etcd/vault.yml": vault,
        "group_vars/all.yml": "a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  36\n",
    }
    assert [line.partition(",")[0] for line in refused(tmp_path, files | more)] == [
        "group_vars/all.yml:1: wanted a value that can be read",
        "group_vars/etcd/vault.yml: wanted a file that can be read",
    ]


def test_the_members_of_another_group_are_in_the_group_etcd(tmp_path: Path) -> None:
    carried = load([DATA / "playbook" / "inventory" / "hosts.ini"], DATA / "playbook" / "site.yml")
    assert carried.members["m1"].groups == ["etcd"]
    assert carried.members["m1"].connection.username == "admin"
    assert resolved(carried, "m1")["deploy_name"] == "production"
    assert resolved(carried, "m1")["where"] == "playbook"
    assert resolved(carried, "m1")["generate_certs_dir"] == f"{DATA}/playbook/certs/production"
    everybody = written(tmp_path, {"hosts": "m1\nm2\n"})
    assert [member.groups for member in load(everybody, group="all").members.values()] == [["ungrouped", "etcd"]] * 2
    both = written(tmp_path, {"hosts": "[etcd]\nm1\n[masters]\nm1\nm2\n"})
    with pytest.raises(InventoryError, match="wanted the hosts of masters to be those of etcd too"):
        load(both, group="masters")


def test_a_password_for_sudo_that_the_environment_holds_is_looked_for_there(tmp_path: Path) -> None:
    files = {
        "hosts": "[etcd]\nm1\n",
        "group_vars/all.yml": "ansible_become_password: \"{{ lookup('env', 'SUDO_PW') }}\"\n",
    }
    login = load(written(tmp_path, files)).members["m1"].connection
    assert login.sudo_password_env == "SUDO_PW"  # noqa: S105 - the name of a variable
    assert "secret" not in login.extras


def test_no_secret_is_among_the_variables(tmp_path: Path) -> None:
    files = {
        "hosts": "[etcd]\nm1 ansible_password=hunter2 ansible_become_pass=hunter2 ansible_ssh_private_key=hunter2\n"
    }
    carried = load(written(tmp_path, files))
    assert "hunter2" not in str([carried.members["m1"].data, carried.groups, carried.defaults, carried.left])
    assert "hunter2" not in repr(carried)
