"""What a member is asked beyond a look: what takes longer, or is wanted seldom."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from nornir_etcd.exceptions import EtcdTimeout, NornirEtcdError
from nornir_etcd.metrics import parse_metrics, read_metrics
from nornir_etcd.observation import EndpointObservation, HashKv, Maybe, Metrics, Probes, Unknown
from nornir_etcd.versions import live_path, parse, ready_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from etcd3 import MultiEndpointEtcd3Client

    from nornir_etcd.cluster import Member
    from nornir_etcd.connections.https import Answer, Session
    from nornir_etcd.metrics import Scrape

    Https = Callable[[], AbstractContextManager[Session]]

T = TypeVar("T")

VERSION_PATH = "/version"
"""Asked of every release, and answered without a quorum (server/etcdserver/api/etcdhttp/version.go)."""

HASHED_BYTES = 50 * 2**20
"""Bytes of database for whose hash a member is given one second more than for another question."""
NO_ANSWER = 0
"""In place of an HTTP status: the path was asked and nothing came in time."""
REFUSED = Unknown("not asked, since the client port refuses connections")
ONE_REVISION = Unknown("hashes are compared at one revision, and no member tells any")


def examine(
    seen: EndpointObservation,
    member: Member,
    *,
    client: Callable[[], MultiEndpointEtcd3Client],
    https: Https,
    revision: int | None,
) -> EndpointObservation:
    """Return what was seen of a member and, where it can be asked, what it says besides.

    Args:
        seen: the look at it.
        member: whom to ask, and how long to wait.
        client: gives its gRPC connection.
        https: gives an HTTPS connection to its client port.
        revision: up to which keys are hashed; None where there is none that all members have.
    """
    if seen.blind is not None or seen.client_port is not True:
        port = seen.client_port if isinstance(seen.client_port, Unknown) else REFUSED
        return unexamined(seen, seen.blind or port)
    patience, window = float(member.settings.etcd_timeout), float(member.settings.etcd_metrics_window)
    version, size = ("", 0) if isinstance(seen.status, Unknown) else (seen.status.version, seen.status.db_size)
    hashed = patience + size / HASHED_BYTES
    paths, read = probe_paths(version), seen.read_seconds
    answers = _maybe(lambda: _answers(https, [VERSION_PATH, *paths]))
    return replace(
        seen,
        hash=ONE_REVISION if revision is None else _maybe(lambda: _hash(client(), revision, hashed)),
        metrics=_maybe(lambda: _metrics(https, window)),
        probes=answers if isinstance(answers, Unknown) else _probes(paths, answers),
        cluster_version=answers if isinstance(answers, Unknown) else _cluster_version(answers.get(VERSION_PATH)),
        # Where no quorum answered the read, it is not waited for again.
        auth=read if isinstance(read, Unknown) else _maybe(lambda: _auth(client(), patience)),
    )


def unexamined(seen: EndpointObservation, why: Unknown) -> EndpointObservation:
    """Return what was seen of a member that is not asked further."""
    return replace(seen, hash=why, metrics=why, probes=why, cluster_version=why, auth=why)


def probe_paths(version: str) -> list[str]:
    """Return the paths that tell how a member is, as far as its release has them, the one that waits for nobody first.

    /metrics, which a release without /livez is probed with, is none of them: it is asked anyway.

    Args:
        version: as the member tells it; empty or no version where it does not.
    """
    paths = ["/health"]
    with suppress(ValueError):
        release = parse(version)
        paths = [live_path(release), ready_path(release), *paths]
    return [path for path in dict.fromkeys(paths) if path != "/metrics"]


def _hash(client: MultiEndpointEtcd3Client, revision: int, timeout: float) -> HashKv:
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    return rpc.hash_kv(client, revision=revision, timeout=timeout)


def _metrics(https: Https, window: float) -> Maybe[Metrics]:
    """Scrape /metrics; once more after `window` seconds, where that is not 0."""
    first = _scrape(https)
    if isinstance(first, Unknown):
        return first
    if not window:
        return read_metrics(first)
    time.sleep(window)
    last = _scrape(https)
    return last if isinstance(last, Unknown) else read_metrics(last, first, window=window)


def _scrape(https: Https) -> Maybe[Scrape]:
    with https() as session:
        answer = session.get("/metrics")
    if answer.status != HTTPStatus.OK:
        return Unknown(f"/metrics: wanted HTTP status 200, found {answer.status}")
    return parse_metrics(answer.body)


def _answers(https: Https, paths: list[str]) -> dict[str, Answer]:
    """Ask for paths one after the other, all on one connection and within the time of one question."""
    answers: dict[str, Answer] = {}
    with https() as session, suppress(EtcdTimeout):
        for path in paths:
            answers[path] = session.get(path)
    return answers


def _probes(paths: list[str], answers: Mapping[str, Answer]) -> Probes:
    return Probes({path: answers[path].status if path in answers else NO_ANSWER for path in paths})


def _cluster_version(answer: Answer | None) -> Maybe[str]:
    """Return what /version says of the cluster, in etcd's own words: `not_decided` where it does not know it yet."""
    if answer is None:
        return Unknown(f"{VERSION_PATH}: no answer in time")
    if answer.status != HTTPStatus.OK:
        return Unknown(f"{VERSION_PATH}: wanted HTTP status 200, found {answer.status}")
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    version = said.get("etcdcluster") if isinstance(said, dict) else None
    if not isinstance(version, str):
        return Unknown(f"{VERSION_PATH}: wanted JSON with etcdcluster, found {answer.body[:40]!a}")
    return version


def _auth(client: MultiEndpointEtcd3Client, timeout: float) -> bool:
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - as above

    return rpc.auth_enabled(client, timeout=timeout)


def _maybe(ask: Callable[[], Maybe[T]]) -> Maybe[T]:
    try:
        return ask()
    except NornirEtcdError as error:
        return Unknown(str(error))
