"""What /version says, where no etcd at hand can be made to say it; the rest is asked of real members (contract/)."""

from __future__ import annotations

import pytest

from nornir_etcd.connections.https import Answer
from nornir_etcd.examine import _cluster_version
from nornir_etcd.observation import Unknown


@pytest.mark.parametrize("version", ["3.5.0", "not_decided", ""])
def test_the_clusters_version_is_taken_as_it_is_told(version: str) -> None:
    body = f'{{"etcdserver":"3.6.14","etcdcluster":"{version}","storage":"3.5.0"}}'
    assert _cluster_version(Answer(200, body.encode())) == version


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "/version: no answer in time"),
        (Answer(404, b"404 page not found\n"), "/version: wanted HTTP status 200, found 404"),
        (Answer(200, b"etcd 2.0"), "/version: wanted JSON with etcdcluster, found b'etcd 2.0'"),
        (Answer(200, b'"3.5.0"'), "/version: wanted JSON with etcdcluster, found b'\"3.5.0\"'"),
        (Answer(200, b'{"etcdcluster":3}'), "/version: wanted JSON with etcdcluster, found b'{\"etcdcluster\":3}'"),
        (Answer(200, b"{}"), "/version: wanted JSON with etcdcluster, found b'{}'"),
        (Answer(200, b"\xff\xfe"), "/version: wanted JSON with etcdcluster, found b'\\xff\\xfe'"),
        (Answer(200, b"[" * 200_000), f"/version: wanted JSON with etcdcluster, found b'{'[' * 40}'"),
    ],
)
def test_another_answer_is_unknown_in_one_line(answer: Answer | None, reason: str) -> None:
    assert _cluster_version(answer) == Unknown(reason)
