"""Host patterns, against Ansible's own reading of them."""

from __future__ import annotations

import re

import pytest
from ansible.plugins.inventory import BaseInventoryPlugin
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.ansible.ranges import MOST_HOSTS, expand


def theirs(pattern: str) -> tuple[list[str], int | None]:
    """What Ansible makes of a pattern."""
    hosts, port = BaseInventoryPlugin()._expand_hostpattern(pattern)
    return list(hosts), port


@pytest.mark.parametrize(
    "pattern",
    [
        "master-[1:3]",
        "master-[01:03].example.com",
        "master-[1:10:3]",
        "[a:c]",
        "n[x:C]",
        "r[a:b]-[08:11]",
        "[:2]",
        "one.example.com:2222",
        "m[1:2]:22",
        "10.0.0.[5:6]",
        "[2001:db8::1]:2222",
        "2001:db8::1",
        "2001:db8::[1:3]",
        "[host]:22",
    ],
)
def test_a_pattern_stands_for_the_hosts_that_it_stands_for_in_ansible(pattern: str) -> None:
    assert expand(pattern) == theirs(pattern)


BOUND = st.one_of(
    st.integers(0, 120).map(str), st.integers(0, 120).map(lambda n: f"{n:03}"), st.sampled_from("abyzABZ")
)
RANGE = st.builds(lambda *parts: f"[{':'.join(parts)}]", BOUND, BOUND) | st.builds(
    lambda *parts: f"[{':'.join(parts)}]", BOUND, BOUND, st.integers(0, 9).map(str)
)
PART = RANGE | st.sampled_from(["master", "-", ".", "x", "1", "_", "node-", ".example.com", "[", "]", ":", "::", "é"])
PATTERN = st.builds(
    lambda parts, port: "".join(parts) + port,
    st.lists(PART, min_size=1, max_size=5),
    st.sampled_from(["", "", ":22", ":2222", ":0", ":99999"]),
)


@given(PATTERN)
def test_any_pattern_is_read_as_ansible_reads_it_or_refused_in_one_line(pattern: str) -> None:
    try:
        ours = expand(pattern)
    except ValueError as error:
        assert re.fullmatch("wanted .*", str(error))  # noqa: PT017 - one of two good ends
        return
    assert ours == theirs(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("m[3:1]", "wanted a range whose end is not before its beginning, found [3:1]"),
        ("m[01:3]", "wanted as many digits in both ends of a range with leading zeros, found [01:3]"),
        ("m[1:c]", "wanted two numbers or two letters, and a step above 0, found [1:c]"),
        ("m[1:3:0]", "wanted two numbers or two letters, and a step above 0, found [1:3:0]"),
        ("m[1-3]", "wanted a range such as [1:3], [01:10:2] or [a:c], found 'm[1-3]'"),
        ("m[1:3", "wanted a range such as [1:3], [01:10:2] or [a:c], found 'm[1:3'"),
        ("m[0:99999][0:99999]", f"wanted at most {MOST_HOSTS} hosts, found 'm[0:99999][0:99999]'"),
        ("m[0:1000000]", "wanted an end of five digits at most, and none before it, found [0:1000000]"),
        ("m:", "wanted a host, found 'm:'"),
        ("---", "wanted a host, found '---'"),
        ("m:0", "wanted a port from 1 to 65535, found 'm:0'"),
        ("m_:22", "wanted a host's name or address before the port, found 'm_:22'"),
    ],
)
def test_what_is_no_pattern_is_told_in_one_line(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^wanted") as caught:
        expand(pattern)
    assert str(caught.value) == said
