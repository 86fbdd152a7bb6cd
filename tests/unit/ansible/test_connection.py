"""Ansible's connection variables."""

from __future__ import annotations

from typing import Any

import pytest

from nornir_etcd.ansible.connection import environment_variable, read


def test_each_variable_becomes_what_our_sessions_go_by() -> None:
    found = read(
        {
            "ansible_host": "192.0.2.1",
            "ansible_port": "2222",
            "ansible_user": "ops",
            "ansible_password": "hunter2",
            "ansible_ssh_private_key_file": "~/.ssh/key",
            "ansible_ssh_private_key_passphrase": "hunter3",
            "ansible_become": True,
            "ansible_become_method": "sudo",
            "ansible_become_user": "root",
            "ansible_become_password": "hunter4",
            "ansible_ssh_common_args": "-J bastion",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
    )
    assert (found.hostname, found.port, found.username, found.password) == ("192.0.2.1", 2222, "ops", "hunter2")
    assert found.extras == {"use_keys": True, "key_file": "~/.ssh/key", "passphrase": "hunter3", "secret": "hunter4"}
    assert found.proxy == "ssh -W %h:%p bastion"
    assert (found.faults, found.left) == ([], [])
    assert "hunter" not in repr(found)


def test_of_several_names_for_one_thing_the_last_one_of_ansible_holds() -> None:
    found = read({"ansible_host": "a", "ansible_ssh_host": "b", "ansible_sudo_pass": "x", "ansible_become_pass": "y"})
    assert (found.hostname, found.extras["secret"]) == ("b", "x")


def test_without_a_key_and_a_password_the_agent_is_asked() -> None:
    assert read({}).extras == {"allow_agent": True}
    assert "allow_agent" not in read({"ansible_password": "x"}).extras
    assert "allow_agent" not in read({"ansible_ssh_extra_args": "-i key"}).extras


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"ansible_connection": "local"}, "wanted ssh, the only way to a host here, found 'local'"),
        ({"ansible_port": "ssh"}, "wanted a port from 1 to 65535, found 'ssh'"),
        ({"ansible_port": 70000}, "wanted a port from 1 to 65535, found 70000"),
        ({"ansible_port": True}, "wanted a port from 1 to 65535, found True"),
        ({"ansible_host": ["a"]}, "wanted an address or a name, found ['a']"),
        ({"ansible_host": "a b"}, "wanted an address or a name, found 'a b'"),
        ({"ansible_user": {"a": 1}}, "wanted text, found something else; put it in quotes"),
        ({"ansible_ssh_common_args": ["-J", "b"]}, "wanted arguments for ssh as text, found something else"),
    ],
)
def test_what_keeps_a_host_from_being_worked_on_is_a_fault(variables: dict[str, Any], fault: str) -> None:
    (name,) = variables
    assert read(variables).faults == [(name, fault)]


def test_what_is_not_taken_over_is_listed() -> None:
    left = read(
        {
            "ansible_become": False,
            "ansible_become_method": "su",
            "ansible_become_user": "etcd",
            "ansible_become_flags": "-H",
            "ansible_host_key_checking": False,
            "ansible_ssh_private_key": "-----BEGIN",
            "ansible_python_interpreter": "auto",
        }
    ).left
    assert left == [
        ("ansible_become", "a login that is not root's works by sudo here"),
        ("ansible_become_method", "found 'su'; root is had by sudo alone here"),
        ("ansible_become_user", "found 'etcd'; root alone is worked as here"),
        ("ansible_become_flags", "nothing here goes by it"),
        ("ansible_host_key_checking", "host keys are checked here, see `nornir-etcd hosts trust`"),
        ("ansible_ssh_private_key", "the key itself is not taken over: name a file of it"),
    ]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("{{ lookup('env', 'SUDO') }}", "SUDO"),
        ('{{lookup("ansible.builtin.env","SUDO_2")}}', "SUDO_2"),
        ("{{ lookup('file', 'x') }}", ""),
        ("x{{ lookup('env', 'SUDO') }}", ""),
        (3, ""),
    ],
)
def test_a_password_that_is_looked_up_in_the_environment_stays_there(value: object, name: str) -> None:
    assert environment_variable(value) == name
