"""Which CA signs and which are trusted: the phases in their order, and files that say something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki.trust import CLUSTER, Trust, dump, load


def test_a_rotation_is_three_changes() -> None:
    settled = Trust()
    both = settled.adding("etcd-1")
    leaves = both.switched()
    end = leaves.retired()
    assert [one.phase for one in (settled, both, leaves, end)] == ["settled", "trust-both", "new-leaves", "settled"]
    assert (settled.signer, settled.trusted) == (CLUSTER, (CLUSTER,))
    assert (both.signer, both.trusted) == (CLUSTER, (CLUSTER, "etcd-1"))
    assert (leaves.signer, leaves.trusted) == ("etcd-1", (CLUSTER, "etcd-1"))
    assert (end.signer, end.trusted) == ("etcd-1", ("etcd-1",))


names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)


@given(names, names)
def test_what_is_written_is_read_again(first: str, second: str) -> None:
    for trust in (Trust(first, (first,)), *([Trust(first, (second, first))] if first != second else [])):
        assert load(dump(trust), "trust.json") == trust


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"signer": "a"}',
        b'{"signer": "a", "trusted": []}',
        b'{"signer": "a", "trusted": ["b"]}',
        b'{"signer": "a", "trusted": ["a", "a"]}',
        b'{"signer": "a", "trusted": ["a", "b", "c"]}',
        b'{"signer": "../a", "trusted": ["../a"]}',
        b'{"signer": 1, "trusted": [1]}',
        b'{"signer": "a", "trusted": "a"}X',
        b"\xff\xfe",
    ],
)
def test_a_file_that_says_something_else_is_one_clear_line(text: bytes) -> None:
    with pytest.raises(PkiError) as caught:
        load(text, "certs/example/trust.json")
    assert str(caught.value) == (
        "certs/example/trust.json: wanted which CA signs and which ones are trusted, found something else; "
        "put the file back as it was: it alone tells how far a CA rotation has come"
    )


@given(st.binary(max_size=60))
def test_no_file_at_all_gives_another_error(text: bytes) -> None:
    try:
        found = load(text, "trust.json")
    except PkiError:
        return
    assert found.signer in found.trusted
