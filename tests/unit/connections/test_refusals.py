"""What etcd's refusals mean to one who wants to know whether to ask again."""

from __future__ import annotations

import pytest

from nornir_etcd.connections import refusals
from nornir_etcd.connections.rpc import explain
from nornir_etcd.exceptions import EtcdError, EtcdRefused


def refused(text: str, code: str = "FAILED_PRECONDITION") -> EtcdError:
    return explain(code, text, endpoint="192.0.2.1:2379", timeout=1)


def test_a_text_that_begins_another_is_told_from_it() -> None:
    assert refusals.LEARNER_NOT_READY.startswith(refusals.NOT_A_LEARNER)
    assert refusals.said(refused(refusals.NOT_A_LEARNER), refusals.NOT_A_LEARNER)
    assert not refusals.said(refused(refusals.LEARNER_NOT_READY), refusals.NOT_A_LEARNER)
    assert not refusals.said(refused(refusals.NOT_A_LEARNER), refusals.LEARNER_NOT_READY)


@pytest.mark.parametrize("text", refusals.REMEDIES)
def test_every_refusal_has_its_remedy_in_one_line(text: str) -> None:
    error = refused(text)
    assert isinstance(error, EtcdRefused)
    assert str(error) == f"etcd at 192.0.2.1:2379: found FAILED_PRECONDITION {text}; {refusals.REMEDIES[text]}"


@pytest.mark.parametrize(
    ("code", "text", "ripens", "doubtful"),
    [
        ("FAILED_PRECONDITION", refusals.LEARNER_NOT_READY, True, False),
        ("UNAVAILABLE", refusals.UNHEALTHY, True, False),
        ("UNAVAILABLE", refusals.NO_LEADER, True, False),
        ("UNAVAILABLE", refusals.LEADER_CHANGED, True, False),
        ("FAILED_PRECONDITION", refusals.TOO_MANY_LEARNERS, False, False),
        ("NOT_FOUND", refusals.MEMBER_NOT_FOUND, False, False),
        ("PERMISSION_DENIED", "etcdserver: permission denied", False, False),
        ("UNIMPLEMENTED", "unknown method MemberPromote", False, False),
        ("UNAVAILABLE", refusals.STOPPED, False, True),
        ("UNAVAILABLE", "etcdserver: request timed out, possibly due to previous leader failure", False, True),
        ("UNKNOWN", "raft proposal dropped", False, True),
        ("CANCELLED", "RST_STREAM", False, True),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", False, True),
        ("UNAVAILABLE", "Socket closed", False, True),
    ],
)
def test_what_ends_by_itself_and_what_is_in_doubt_are_told_apart(
    code: str, text: str, *, ripens: bool, doubtful: bool
) -> None:
    error = refused(text, code)
    assert (refusals.passes(error), refusals.is_doubtful(error)) == (ripens, doubtful)
