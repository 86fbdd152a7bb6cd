"""Arguments for ssh, and what a session goes by of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.ansible.ssh_args import read


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("-o ProxyJump=bastion", "ssh -W %h:%p bastion"),
        ("-oProxyJump=ops@bastion.example.com:2222", "ssh -W %h:%p -p 2222 -l ops bastion.example.com"),
        ("-J bastion", "ssh -W %h:%p bastion"),
        ("-C -J a,ops@b:23,c", "ssh -J a,ops@b:23 -W %h:%p c"),
        ("-J [2001:db8::1]:22", "ssh -W %h:%p -p 22 2001:db8::1"),
        ("-o ProxyCommand='ssh -W %h:%p -q bastion' -J other", "ssh -W %h:%p -q bastion"),
        ("-o 'ProxyCommand ssh -W %h:%p bastion'", "ssh -W %h:%p bastion"),
        ("-o proxyjump=none", ""),
        ("-o ControlMaster=auto -o ControlPersist=60s", ""),
    ],
)
def test_a_way_over_other_hosts_becomes_a_proxy_command(text: str, proxy: str) -> None:
    found = read(text)
    assert (found.proxy, found.faults, [left for left in found.left if left != "-C"]) == (proxy, [], [])


def test_login_key_and_port_are_taken_the_first_of_each() -> None:
    found = read("-i ~/.ssh/a -o IdentityFile=b -l ops -p 2222 -o User=root -o Port=22")
    assert (found.key_file, found.username, found.port) == ("~/.ssh/a", "ops", 2222)


def test_what_is_not_taken_over_is_listed() -> None:
    found = read("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -vA -F cfg -o Ciphers=x")
    assert found.left == [
        "StrictHostKeyChecking=no: host keys are checked here, see `nornir-etcd hosts trust`",
        "UserKnownHostsFile=/dev/null: host keys are checked here, see `nornir-etcd hosts trust`",
        "-v",
        "-A",
        "-F cfg",
        "-o Ciphers=x",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("-o ProxyJump='a b'", "ProxyJump: wanted [USER@]HOST[:PORT], several with commas, found 'a b'"),
        ("-J", "wanted something behind -J, found nothing"),
        ("bastion", "wanted options of ssh alone, found 'bastion'"),
        ("-o 'x", "wanted arguments for ssh, found no closing quotation"),
    ],
)
def test_what_cannot_be_taken_over_is_told(text: str, fault: str) -> None:
    assert read(text).faults == [fault]


@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(["-o", "-J", "-i", "-4A", "ProxyJump=a", "x", "=", "-"])).map(" ".join)
)
def test_anything_is_read_to_its_end(text: str) -> None:
    found = read(text)
    assert "\n" not in "".join(found.faults) or "\n" in text
