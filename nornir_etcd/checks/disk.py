"""Is a member's disk fast enough for etcd, by what the member itself has measured?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.figures import metric, percentile
from nornir_etcd.checks.kinds import ENDPOINT, Kind
from nornir_etcd.observation import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.observation import Maybe, Quantile
    from nornir_etcd.report.model import Finding

RULE = "https://etcd.io/docs/v3.5/faq/: p99 of wal_fsync below 10 ms, of backend_commit below 25 ms"
KINDS = (
    Kind(
        code="member.disk.fsync",
        asks="Does the disk make the WAL durable fast enough?",
        reads=ENDPOINT,
        worst="warning",
        settings=("etcd_wal_fsync_warning_ms", "etcd_metrics_window"),
        rule=RULE,
    ),
    Kind(
        code="member.disk.commit",
        asks="Does the disk take the commits of the database fast enough?",
        reads=ENDPOINT,
        worst="warning",
        settings=("etcd_backend_commit_warning_ms", "etcd_metrics_window"),
        rule=RULE,
    ),
)
REMEDY = (
    "give etcd a fast disk of its own (SSD), or take load off this one; while it is slow, expect elections "
    "(https://etcd.io/docs/v3.5/tuning/, Disk)"
)


def check(seen: Evidence) -> Iterator[Finding]:
    """Check both latencies of every member's disk."""
    for member in seen.cluster.members:
        endpoint, own = seen.endpoint(member.name), member.settings
        yield _judge(
            Check("member.disk.fsync", member.name),
            "fsync of the WAL",
            metric(endpoint, lambda metrics: metrics.wal_fsync),
            own.etcd_wal_fsync_warning_ms,
        )
        yield _judge(
            Check("member.disk.commit", member.name),
            "commit of the database",
            metric(endpoint, lambda metrics: metrics.backend_commit),
            own.etcd_backend_commit_warning_ms,
        )


def _judge(asked: Check, what: str, quantile: Maybe[Quantile], limit: int) -> Finding:
    """Judge a latency, of few samples as of many, and say how many there are.

    Below the limit even the slowest of a few was fast enough. Above it, so few may be those of a start on a busy
    machine: it is told all the same, since that is what was measured, and a warning asks for nothing but a look.
    Unknown would say that nothing was measured.
    """
    if isinstance(quantile, Unknown):
        return asked.unknown(quantile)
    read = {"p99_seconds": f"{quantile.seconds:.6f}", "samples": quantile.samples, "window_seconds": quantile.window}
    message = f"{what}: {percentile(quantile)}"
    if quantile.seconds * 1000 > limit:
        return asked.warning(f"{message}; wanted at most {limit} ms", REMEDY, **read)
    return asked.ok(message, **read)
