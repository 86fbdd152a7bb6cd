"""YAML with Ansible's tags; what its vault has encrypted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.ansible.document import Unsafe, load, refuse_vault
from nornir_etcd.exceptions import InventoryError

INLINE = """\
a: 1
password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  36363636
nested:
  - token: !vault |
      $ANSIBLE_VAULT;1.1;AES256
      3737
"""
PIECES = (
    *(
        "a",
        ": ",
        "\n",
        "- ",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "!vault ",
        "!unsafe ",
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!set ",
    ),
    *(
        "&a ",
        "*a",
        "'",
        '"',
        "|\n",
        "<<",
        "? ",
        "2027-01-31",
        "12:30",
        "1_0",
        ".inf",
        "!!timestamp ",
        "!!omap ",
        "!!pairs ",
    ),
    *("!!binary ", "#", "%", "@", "\t", "---\n", "é"),
)
REMEDY = "see it with `ansible-vault view`, and give it outside the inventory"


def test_every_encrypted_value_is_refused_in_a_line_of_its_own() -> None:
    with pytest.raises(InventoryError) as caught:
        load(INLINE, "group_vars/etcd.yml")
    assert caught.value.problems == tuple(
        f"group_vars/etcd.yml:{line}: wanted a value that can be read, found one of Ansible's vault (!vault); {REMEDY}"
        for line in (2, 6)
    )


def test_a_file_that_is_encrypted_as_a_whole_is_refused_in_one_line() -> None:
    text = "$ANSIBLE_VAULT;1.2;AES256;prod\n3636\n"
    for call in (load, refuse_vault):
        with pytest.raises(InventoryError) as caught:
            call(text, "group_vars/all/vault.yml")
        assert caught.value.problems == (
            f"group_vars/all/vault.yml: wanted a file that can be read, found one of Ansible's vault; {REMEDY}",
        )


def test_what_is_tagged_unsafe_is_text_and_known_as_such() -> None:
    found = load("a: !unsafe '{{ x }}'\nb: !unsafe [1, y]\nc: !unsafe {k: v}\nd: plain", "f")
    assert found == {"a": "{{ x }}", "b": ["1", "y"], "c": {"k": "v"}, "d": "plain"}
    assert isinstance(found["a"], Unsafe)
    assert isinstance(found["b"][1], Unsafe)
    assert not isinstance(found["d"], Unsafe)


@pytest.mark.parametrize(
    "text",
    [
        "a: [hunter2",
        "a: b: hunter2",
        "a: !mystery hunter2",
        "\t- hunter2",
        "a: 2027-99-99 # hunter2",
        "{[hunter2]: 1}",
        "a: 1\n---\nb: 2",
        "a: !!int ''",
        "a: !!bool hunter2",
        "a: &a [*a]",
        "a: &a {b: {c: *a}}",
        "[" * 3000,
    ],
)
def test_what_is_no_yaml_is_told_in_one_line_without_its_values(text: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load(text, "f.yml")
    (line,) = caught.value.problems
    assert line.startswith("f.yml")
    assert "wanted YAML" in line
    assert "\n" not in line
    assert "hunter2" not in line


@given(st.text(st.characters(codec="utf-8"), max_size=40) | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_is_read_or_refused_in_lines(text: str) -> None:
    try:
        load(text, "f.yml")
    except InventoryError as error:
        assert not [line for line in error.problems if "\n" in line]  # noqa: PT017 - one of two good ends
