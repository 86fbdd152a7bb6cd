"""What a member's /metrics say, read from their text. Pure: no I/O.

Names and buckets are etcd's own (https://etcd.io/docs/v3.5/metrics/). Whatever text comes, a figure that it does not
hold is unknown, with the reason.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from nornir_etcd.observation import Maybe, Metrics, Quantile, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WAL_FSYNC = "etcd_disk_wal_fsync_duration_seconds"
BACKEND_COMMIT = "etcd_disk_backend_commit_duration_seconds"
LEADER_CHANGES = "etcd_server_leader_changes_seen_total"
ROUND_TRIP = "etcd_network_peer_round_trip_time_seconds"
STARTED_AT = "process_start_time_seconds"
QUOTA = "etcd_server_quota_backend_bytes"

QUANTILE = 0.99
LINES = 10_000
"""Lines of interest that are read at most: a histogram has some 20, and one stands there for each peer."""
LINE = 1024
"""Characters that such a line has at most; etcd's have under 150."""

_HISTOGRAMS = (WAL_FSYNC, BACKEND_COMMIT, ROUND_TRIP)
_SINGLES = (LEADER_CHANGES, STARTED_AT, QUOTA)
_WANTED = (*(f"{name}_bucket" for name in _HISTOGRAMS), *_SINGLES)
_LIMIT = 2.0**63
"""No count is above it; a quota may be the greatest signed number, which is it as a float."""

Buckets = dict[float, float]
"""How many samples were at most so many seconds, by those seconds."""


@dataclass(frozen=True)
class Scrape:
    """The figures of one answer to GET /metrics."""

    histograms: Mapping[tuple[str, str], Buckets]  # by name and, for those that have one, label To
    leader_changes: Maybe[int]
    started_at: Maybe[float]
    quota: Maybe[int]


class _Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float


def parse_metrics(body: bytes) -> Maybe[Scrape]:
    """Return the figures of one answer.

    Args:
        body: Prometheus' text format, or anything else.
    """
    try:
        samples = list(_samples(body))
    except ValueError as error:
        return Unknown(f"/metrics is not what etcd says there: {error}")
    histograms: dict[tuple[str, str], Buckets] = defaultdict(dict)
    singles: dict[str, float] = {}
    for name, labels, value in samples:
        if name in singles or (name in _SINGLES and labels):
            return Unknown(f"/metrics is not what etcd says there: {name} more than once")
        if name in _SINGLES:
            singles[name] = value
            continue
        buckets, bound = histograms[name.removesuffix("_bucket"), labels.get("To", "")], _bound(labels.get("le", ""))
        if bound is None or bound in buckets:
            return Unknown(f"/metrics is not what etcd says there: a bucket of {name} without a bound of its own")
        buckets[bound] = value
    return Scrape(
        histograms=dict(histograms),
        leader_changes=_whole(singles, LEADER_CHANGES),
        started_at=singles.get(STARTED_AT, Unknown(f"/metrics has no {STARTED_AT}")),
        quota=_whole(singles, QUOTA),
    )


def read_metrics(last: Scrape, first: Scrape | None = None, *, window: float = 0.0) -> Metrics:
    """Return what checks want to know.

    Args:
        last: the newest scrape.
        first: one taken before; quantiles are then of what came between the two. Where that was nothing, they are of
            all since the start, and say so (window 0): a cluster that nobody writes to has a disk all the same.
        window: seconds between the two.
    """
    trips = {to for name, to in last.histograms if name == ROUND_TRIP}
    by_peer = {to: _quantile_of(ROUND_TRIP, to, last, first, window, connects=True) for to in trips}
    known = {to: found for to, found in by_peer.items() if isinstance(found, Quantile)}
    doubt = next((found for found in by_peer.values() if isinstance(found, Unknown) and found != _NO_SAMPLE), None)
    return Metrics(
        wal_fsync=_quantile_of(WAL_FSYNC, "", last, first, window),
        backend_commit=_quantile_of(BACKEND_COMMIT, "", last, first, window),
        leader_changes=last.leader_changes,
        peer_round_trip=doubt or known,
        started_at=last.started_at,
        quota=last.quota,
    )


def histogram_quantile(quantile: float, buckets: Mapping[float, float]) -> Maybe[float]:
    """Return a quantile of a histogram as Prometheus' histogram_quantile computes it: linear inside a bucket.

    A quantile in the last bucket, which has no upper bound, is the highest bound there is
    (bucketQuantile, https://github.com/prometheus/prometheus/blob/v2.53.0/promql/quantile.go).

    Args:
        quantile: above 0 and at most 1.
        buckets: cumulative counts by upper bound; one bound is infinite.
    """
    bounds = sorted(buckets)
    counts = [buckets[bound] for bound in bounds]
    if len(bounds) < 2 or bounds[-1] != math.inf:  # noqa: PLR2004 - one with a bound and the one without
        return Unknown("a histogram without buckets")
    if any(count < 0 for count in counts) or any(low > high for low, high in pairwise(counts)):
        return Unknown("a histogram whose buckets do not add up")
    if counts[-1] == 0:
        return _NO_SAMPLE
    rank = quantile * counts[-1]
    at = next((index for index, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return bounds[-2]
    if at == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    return start + (bounds[at] - start) * (rank - below) / (counts[at] - below)


_NO_SAMPLE = Unknown("nothing was measured yet")


def _quantile_of(  # noqa: PLR0913 - the parameters of read_metrics, and which histogram
    name: str, to: str, last: Scrape, first: Scrape | None, window: float, *, connects: bool = False
) -> Maybe[Quantile]:
    buckets = last.histograms.get((name, to))
    if buckets is None:
        return Unknown(f"/metrics has no {name}")
    if first is not None:
        between = _difference(name, to, last, first)
        if isinstance(between, Unknown):
            return between
        if between.get(math.inf, 0) > 0:
            return _quantile(between, window)
    return _quantile(buckets, 0.0, connects=connects)


def _quantile(buckets: Buckets, window: float, *, connects: bool = False) -> Maybe[Quantile]:
    """Return the 99th percentile; of fewer than 100 samples of what `connects`, without the slowest one.

    The first round trip to a peer is a TLS handshake as well, and of few samples the 99th percentile is the slowest.
    """
    total = buckets.get(math.inf, 0)
    wanted = min(QUANTILE, 1 - 1 / total) if connects and total else QUANTILE
    seconds = histogram_quantile(wanted, buckets) if wanted else _NO_SAMPLE
    return seconds if isinstance(seconds, Unknown) else Quantile(seconds, int(buckets[math.inf]), window)


def _difference(name: str, to: str, last: Scrape, first: Scrape) -> Maybe[Buckets]:
    """Return what came between two scrapes of one process."""
    now, then = last.histograms[name, to], first.histograms.get((name, to), {})
    restarted = first.started_at != last.started_at
    if restarted or any(now.get(bound, 0) < count for bound, count in then.items()):
        return Unknown(f"{name} went down between two scrapes: the member was restarted meanwhile")
    return {bound: count - then.get(bound, 0) for bound, count in now.items()}


def _samples(body: bytes) -> Iterator[_Sample]:
    """Yield the samples that are wanted; the rest, most of it, is not even parsed.

    Raises:
        ValueError: in one line, what is wrong.
    """
    # Costs 0.1 s of CPU, since it brings an HTTP server with it: paid where metrics are read.
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    lines = [line for line in body.decode(errors="replace").split("\n") if line.startswith(_WANTED)]
    if len(lines) > LINES:
        raise ValueError(f"{len(lines)} lines of etcd's own metrics")
    for line in lines:
        if len(line) > LINE:
            raise ValueError(f"a line of {len(line)} characters")
        try:
            found = [sample for family in text_string_to_metric_families(line + "\n") for sample in family.samples]
            samples = [_Sample(one.name, one.labels, float(one.value)) for one in found]
        except (ValueError, IndexError, KeyError, OverflowError) as error:  # what the parser lets out
            raise ValueError(f"unreadable: {line[:80]!r}") from error
        for sample in samples:
            if sample.name in _WANTED:
                if not (-1 if sample.name == QUOTA else 0) <= sample.value <= _LIMIT:
                    raise ValueError(f"{sample.name} is {sample.value:g}")
                yield sample


def _whole(singles: Mapping[str, float], name: str) -> Maybe[int]:
    return int(singles[name]) if name in singles else Unknown(f"/metrics has no {name}")


def _bound(text: str) -> float | None:
    """Return the bound of a bucket; None where it is no number."""
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
