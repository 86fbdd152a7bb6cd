"""Figures out of an observation, and how a message says them. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nornir_etcd.observation import Maybe, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir_etcd.observation import EndpointObservation, Metrics, Quantile

T = TypeVar("T")

FEW = 100
"""Samples below which the 99th percentile is the slowest of them."""


def metric(endpoint: EndpointObservation, pick: Callable[[Metrics], Maybe[T]]) -> Maybe[T]:
    """Return one figure of a member's /metrics, or why it is not known."""
    return endpoint.metrics if isinstance(endpoint.metrics, Unknown) else pick(endpoint.metrics)


def milliseconds(seconds: float) -> str:
    """Return seconds as a message says them: 12.3 ms."""
    return f"{seconds * 1000:.1f} ms"


def percentile(quantile: Quantile, decides: str = "the slowest") -> str:
    """Return a 99th percentile with what it is of: up to 12.3 ms in 99 % of 4711 since start.

    Args:
        quantile: the percentile.
        decides: which of fewer than 100 samples it is.
    """
    span = f"over {quantile.window:g} s" if quantile.window else "since start"
    few = f": so few that {decides} decides ({FEW} are wanted)" if quantile.samples < FEW else ""
    return f"up to {milliseconds(quantile.seconds)} in 99 % of {quantile.samples} {span}{few}"


def megabytes(count: int) -> str:
    """Return bytes as a message says them: 12.3 MiB."""
    return f"{count / 2**20:.1f} MiB"
