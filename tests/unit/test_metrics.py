"""Figures out of /metrics: quantiles as Prometheus computes them, windows, and texts that are no metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nornir_etcd import metrics
from nornir_etcd.metrics import BACKEND_COMMIT, ROUND_TRIP, WAL_FSYNC, histogram_quantile, parse_metrics, read_metrics
from nornir_etcd.observation import Metrics, Quantile, Unknown

if TYPE_CHECKING:
    from nornir_etcd.metrics import Scrape

INF = math.inf


def histogram(name: str, counts: dict[str, int], labels: str = "") -> str:
    """Return a histogram as etcd prints it; counts are cumulative, by bound."""
    lines = [f"# HELP {name} Some latency.", f"# TYPE {name} histogram"]
    lines += [f'{name}_bucket{{{labels}le="{bound}"}} {count}' for bound, count in counts.items()]
    return "\n".join([*lines, f"{name}_sum {1.5}", f"{name}_count {max(counts.values())}", ""])


def text(
    *,
    fsync: dict[str, int] | None = None,
    trips: dict[str, dict[str, int]] | None = None,
    changes: int = 3,
    started: str = "1.7e+09",
) -> bytes:
    """Return what a member may say."""
    trips = trips if trips is not None else {"8e9e05c52164694d": {"0.001": 9, "+Inf": 9}}
    parts = [
        histogram(WAL_FSYNC, fsync or {"0.001": 0, "0.002": 90, "0.004": 100, "+Inf": 100}),
        histogram(BACKEND_COMMIT, {"0.001": 0, "0.002": 200, "+Inf": 200}),
        *(histogram(ROUND_TRIP, counts, f'To="{to}",') for to, counts in trips.items()),
        f"# TYPE etcd_server_leader_changes_seen_total counter\netcd_server_leader_changes_seen_total {changes}\n",
        f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {started}\n",
        "# TYPE etcd_server_quota_backend_bytes gauge\netcd_server_quota_backend_bytes 2.147483648e+09\n",
        'go_gc_duration_seconds{quantile="0"} NaN\n',
    ]
    return "".join(parts).encode()


def parsed(body: bytes) -> Scrape:
    """Return a scrape that must be one."""
    scrape = parse_metrics(body)
    assert not isinstance(scrape, Unknown), scrape
    return scrape


def test_every_figure_is_read() -> None:
    read = read_metrics(parsed(text()))
    assert isinstance(read.wal_fsync, Quantile)
    # The 99th of 100 lies 9 of 10 into the bucket from 2 to 4 ms.
    assert read.wal_fsync.seconds == pytest.approx(0.0038)
    assert (read.wal_fsync.samples, read.wal_fsync.window) == (100, 0)
    assert isinstance(read.backend_commit, Quantile)
    assert read.backend_commit.seconds == pytest.approx(0.00199)
    assert (read.leader_changes, read.started_at, read.quota) == (3, 1.7e9, 2**31)
    assert not isinstance(read.peer_round_trip, Unknown)
    assert set(read.peer_round_trip) == {"8e9e05c52164694d"}
    assert read.peer_round_trip["8e9e05c52164694d"].samples == 9


def test_a_member_without_peers_has_no_round_trip() -> None:
    assert read_metrics(parsed(text(trips={}))).peer_round_trip == {}


def test_what_is_not_told_is_unknown_and_named() -> None:
    read = read_metrics(parsed(b"go_goroutines 9\n"))
    for found, name in (
        (read.wal_fsync, WAL_FSYNC),
        (read.backend_commit, BACKEND_COMMIT),
        (read.leader_changes, "etcd_server_leader_changes_seen_total"),
        (read.started_at, "process_start_time_seconds"),
        (read.quota, "etcd_server_quota_backend_bytes"),
    ):
        assert found == Unknown(f"/metrics has no {name}")


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        # Values of Prometheus' own tests and formula: promql/quantile.go, bucketQuantile.
        ({0.1: 1, 0.2: 2, INF: 2}, 0.198),
        ({0.1: 100, INF: 100}, 0.099),
        ({0.1: 50, 0.2: 99, INF: 100}, 0.2),
        ({0.1: 50, 0.2: 60, INF: 100}, 0.2),  # in the bucket without a bound: the highest bound
        ({0.1: 0, INF: 7}, 0.1),
        ({0.1: 1, 0.2: 1, 0.4: 1, INF: 1}, 0.099),
        ({-0.1: 5, 0.1: 5, INF: 5}, -0.1),
    ],
)
def test_a_quantile_is_what_prometheus_computes(counts: dict[float, float], wanted: float) -> None:
    assert histogram_quantile(0.99, counts) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({}, "a histogram without buckets"),
        ({INF: 3}, "a histogram without buckets"),
        ({0.1: 3, 0.2: 3}, "a histogram without buckets"),
        ({0.1: 3, INF: 2}, "a histogram whose buckets do not add up"),
        ({0.1: -1, INF: 2}, "a histogram whose buckets do not add up"),
        ({0.1: 0, INF: 0}, "nothing was measured yet"),
    ],
)
def test_a_histogram_that_tells_no_quantile_is_unknown(counts: dict[float, float], reason: str) -> None:
    assert histogram_quantile(0.99, counts) == Unknown(reason)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 1000)), min_size=1, max_size=20), st.integers(0, 5))
@settings(max_examples=60)
def test_a_quantile_lies_between_nothing_and_the_highest_bound(buckets: list[tuple[int, int]], above: int) -> None:
    counts: dict[float, float] = {}
    total = 0
    for bound, count in sorted(dict(buckets).items()):
        total += count
        counts[bound] = float(total)
    counts[INF] = float(total + above)
    found = histogram_quantile(0.99, counts)
    if total + above == 0:
        assert isinstance(found, Unknown)
    else:
        assert not isinstance(found, Unknown)
        assert 0 <= found <= max(bound for bound in counts if bound < INF)
        # At least 99 % of all samples lie in the buckets up to it, but for those above every bound.
        last = min(bound for bound in counts if bound >= found - 1e-3)
        assert counts[last] >= 0.99 * (total + above) - 1e-6 or last == sorted(counts)[-2]


def test_a_window_tells_of_what_came_between_two_scrapes() -> None:
    first = parsed(text(fsync={"0.001": 1000, "0.512": 1000, "+Inf": 1000}))
    last = parsed(text(fsync={"0.001": 1000, "0.512": 1100, "+Inf": 1100}))
    fsync = read_metrics(last, first, window=30).wal_fsync
    assert isinstance(fsync, Quantile)
    assert (fsync.samples, fsync.window) == (100, 30)
    assert fsync.seconds == pytest.approx(0.001 + 0.511 * 0.99)


def test_a_window_in_which_nothing_came_tells_of_all_since_the_start_and_says_so() -> None:
    scrape = parsed(text())
    assert read_metrics(scrape, scrape, window=30) == read_metrics(scrape)


@pytest.mark.parametrize(
    "last",
    [
        text(fsync={"0.001": 0, "0.002": 5, "0.004": 5, "+Inf": 5}),  # the counts began anew
        text(fsync={"0.001": 0, "0.002": 89, "0.004": 200, "+Inf": 200}),  # one of them did, which is none of etcd's
        text(fsync={"0.001": 0, "0.002": 500, "0.004": 500, "+Inf": 500}, started="1.8e+09"),
    ],
)
def test_a_restart_between_two_scrapes_is_told(last: bytes) -> None:
    found = read_metrics(parsed(last), parsed(text()), window=30).wal_fsync
    assert isinstance(found, Unknown)
    assert "the member was restarted meanwhile" in found.reason


def test_a_peer_that_was_not_measured_yet_is_left_out_and_one_in_doubt_makes_all_unknown() -> None:
    body = text(trips={"a": {"0.1": 0, "+Inf": 0}, "b": {"0.1": 4, "+Inf": 4}})
    trips = read_metrics(parsed(body)).peer_round_trip
    assert not isinstance(trips, Unknown)
    assert set(trips) == {"b"}
    wrong = text(trips={"a": {"0.1": 5, "+Inf": 4}, "b": {"0.1": 4, "+Inf": 4}})
    assert read_metrics(parsed(wrong)).peer_round_trip == Unknown("a histogram whose buckets do not add up")


@pytest.mark.parametrize(("samples", "seconds"), [(2, 0.001), (9, 0.001), (99, 0.001), (100, 0.001), (101, 0.001)])
def test_the_handshake_with_a_peer_is_no_round_trip(samples: int, seconds: float) -> None:
    body = text(trips={"a": {"0.001": samples - 1, "0.5": samples - 1, "1": samples, "+Inf": samples}})
    trips = read_metrics(parsed(body)).peer_round_trip
    assert not isinstance(trips, Unknown)
    assert (trips["a"].samples, trips["a"].seconds <= seconds) == (samples, True)


def test_a_peer_of_which_the_handshake_alone_is_known_was_not_measured() -> None:
    assert read_metrics(parsed(text(trips={"a": {"1": 1, "+Inf": 1}}))).peer_round_trip == {}


def test_a_single_round_trip_in_a_window_counts() -> None:
    first, last = ({"0.1": 50 + more, "1": 50 + more, "+Inf": 50 + more} for more in (0, 1))
    trips = read_metrics(parsed(text(trips={"a": last})), parsed(text(trips={"a": first})), window=5).peer_round_trip
    assert not isinstance(trips, Unknown)
    assert (trips["a"].samples, trips["a"].window) == (1, 5)


def test_two_slow_round_trips_of_few_are_told() -> None:
    trips = read_metrics(parsed(text(trips={"a": {"0.1": 8, "1": 10, "+Inf": 10}}))).peer_round_trip
    assert not isinstance(trips, Unknown)
    assert trips["a"].seconds > 0.1


@pytest.mark.parametrize(("said", "quota"), [("-1", -1), ("9.223372036854775807e+18", 2**63)])
def test_a_quota_may_be_none_or_the_greatest(said: str, quota: int) -> None:
    assert parsed(f"etcd_server_quota_backend_bytes {said}\n".encode()).quota == quota


BUCKET = f"{WAL_FSYNC}_bucket"


@pytest.mark.parametrize(
    "body",
    [
        f"{BUCKET} 5",
        f'{BUCKET}{{le="x"}} 5',
        f'{BUCKET}{{le="nan"}} 5',
        f'{BUCKET}{{le="1"}} 5\n{BUCKET}{{le="1.0"}} 6',
        f'{BUCKET}{{le="1"}} NaN',
        f'{BUCKET}{{le="1"}} -1',
        f'{BUCKET}{{le="1"}} 1e300',
        f'{BUCKET}{{le="1"}} +Inf',
        f'{BUCKET}{{le="1"}} {"9" * 400}',
        f'{BUCKET}{{le="1"}} five',
        f'{BUCKET}{{le="1',
        f'{BUCKET}{{le="1"}}',
        f"{BUCKET}{{",
        f'{BUCKET}{{le="1",le="2"}} 5',
        f'{BUCKET}{{le="{"1" * 2000}"}} 5',
        "".join(f'{BUCKET}{{le="{bound}"}} 5\n' for bound in range(10_001)),
        "process_start_time_seconds 1\nprocess_start_time_seconds 2",
        'process_start_time_seconds{a="b"} 1',
    ],
)
def test_a_line_that_is_not_etcds_is_told_in_one_short_line(body: str) -> None:
    found = parse_metrics(body.encode())
    assert isinstance(found, Unknown)
    assert found.reason.startswith("/metrics is not what etcd says there: ")
    assert "\n" not in found.reason
    assert len(found.reason) < 250


def test_what_is_not_wanted_is_not_read() -> None:
    scrape = parsed(b"\xff\xfe\n{{{\nnonsense_metric \n" + text())
    assert read_metrics(scrape) == read_metrics(parsed(text()))


LINES = st.text(alphabet='{}",\\=#_ \tleTo019.+-eE\n#', max_size=40)


@given(st.lists(st.tuples(st.sampled_from((*metrics._WANTED, "# TYPE ", "")), LINES), max_size=6))  # its own names
@example([(BUCKET, '{"}')])
@settings(max_examples=150)
def test_whatever_is_said_gives_figures_or_says_why_not(lines: list[tuple[str, str]]) -> None:
    body = "\n".join(name + rest for name, rest in lines).encode()
    found = parse_metrics(body)
    if isinstance(found, Unknown):
        assert "\n" not in found.reason
    else:
        assert isinstance(read_metrics(found), Metrics)
        assert isinstance(read_metrics(found, found, window=1), Metrics)


@given(st.binary(max_size=300))
@settings(max_examples=40)
def test_whatever_bytes_come_they_are_metrics_or_not(body: bytes) -> None:
    assert parse_metrics(body + b"\n" + text()) is not None
