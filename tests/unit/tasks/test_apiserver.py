"""At whom an API server may be pointed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.exceptions import StepFailed
from nornir_etcd.observation import MemberInfo, MemberList
from nornir_etcd.tasks.apiserver import _require_voters
from tests.unit.builders import make_cluster

CLUSTER = make_cluster(3)
ENTRIES = tuple(
    MemberInfo(number, one.name, (one.peer_url,), (one.client_url,), is_learner=False)
    for number, one in enumerate(CLUSTER.members, 1)
)


def test_live_voters_are_what_an_api_server_may_ask() -> None:
    stranger = MemberInfo(9, "old", ("https://198.51.100.9:2380",), (), is_learner=True)
    _require_voters(CLUSTER, CLUSTER.members[0], MemberList(1, 1, (*ENTRIES, stranger)))


@pytest.mark.parametrize(
    "last",
    [
        (),
        (replace(ENTRIES[2], is_learner=True),),
        (replace(ENTRIES[2], client_urls=()),),
        (replace(ENTRIES[2], peer_urls=("https://198.51.100.9:2380",)),),
    ],
    ids=["to be added", "a learner", "never started", "elsewhere"],
)
def test_nobody_is_pointed_at_what_is_no_voter_yet(last: tuple[MemberInfo, ...]) -> None:
    with pytest.raises(StepFailed, match=r"as a live voter, found none for master-3; change membership first"):
        _require_voters(CLUSTER, CLUSTER.members[0], MemberList(1, 1, (*ENTRIES[:2], *last)))
