"""The IDs that a bootstrap yields, held to what a real etcd logged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.plan.identity import cluster_id, hexadecimal, member_id

RECORDED = Path(__file__).parents[2] / "data" / "crictl" / "logs-stderr.txt"
URLS = [f"https://10.77.0.{number}:2380" for number in (11, 12, 13)]
TOKEN = "etcd_c01"  # noqa: S105 - an --initial-cluster-token is no secret


def recorded() -> list[dict[str, Any]]:
    """Return what a real member logged (its first lines are missing, and with them one "added member")."""
    return [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


def test_the_ids_are_those_that_etcd_computed() -> None:
    ids = {url: member_id([url], TOKEN) for url in URLS}
    whole = hexadecimal(cluster_id(list(ids.values())))
    assert whole == "1c95ee24ba881a25"
    added = {
        (line["cluster-id"], line["added-peer-id"], line["added-peer-peer-urls"][0])
        for line in recorded()
        if line["msg"] == "added member"
    }
    assert len(added) == 2
    assert added < {(whole, hexadecimal(one), url) for url, one in ids.items()}
    voters = next(found[1] for line in recorded() if (found := re.search(r"voters=\(([0-9 ]+)\)", line["msg"])))
    assert {int(one) for one in voters.split()} == set(ids.values())


@given(st.permutations([1, 2**63, 2**64 - 1]))
def test_the_cluster_id_does_not_hang_on_the_order_of_the_inventory(ids: list[int]) -> None:
    assert cluster_id(ids) == cluster_id([1, 2**63, 2**64 - 1])


def test_another_token_or_url_is_another_member() -> None:
    ids = {member_id([url], token) for url in URLS for token in (TOKEN, "other")}
    assert len(ids) == 6


def test_an_id_is_printed_as_etcdctl_does_without_leading_zeros() -> None:
    assert hexadecimal(0x0D2) == "d2"
