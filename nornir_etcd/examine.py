"""What a member is asked that takes longer than a look: the hash of its keys, /metrics and the probes."""

from __future__ import annotations

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
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from etcd3 import MultiEndpointEtcd3Client

    from nornir_etcd.cluster import Member
    from nornir_etcd.connections.https import Session
    from nornir_etcd.metrics import Scrape

    Https = Callable[[], AbstractContextManager[Session]]

T = TypeVar("T")

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
    return replace(
        seen,
        hash=ONE_REVISION if revision is None else _maybe(lambda: _hash(client(), revision, hashed)),
        metrics=_maybe(lambda: _metrics(https, window)),
        probes=_maybe(lambda: _probes(https, probe_paths(version))),
    )


def unexamined(seen: EndpointObservation, why: Unknown) -> EndpointObservation:
    """Return what was seen of a member that is not asked further."""
    return replace(seen, hash=why, metrics=why, probes=why)


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


def _probes(https: Https, paths: list[str]) -> Probes:
    """Send the probes one after the other, all within the time of one question."""
    answers: dict[str, int] = {}
    with https() as session, suppress(EtcdTimeout):
        for path in paths:
            answers[path] = session.get(path).status
    return Probes(dict.fromkeys(paths, NO_ANSWER) | answers)


def _maybe(ask: Callable[[], Maybe[T]]) -> Maybe[T]:
    try:
        return ask()
    except NornirEtcdError as error:
        return Unknown(str(error))
