"""When each step of a plan was at work, as bars on one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.report import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.report.model import StepReport

LEAST_WIDTH = 0.8
"""Percent: a step of no time is seen as well."""


@dataclass(frozen=True)
class Bar:
    """One step's part of the scale, in percent of it."""

    left: float
    width: float
    words: str


@dataclass(frozen=True)
class Timeline:
    """The bars of a plan, one for each of its steps; None for a step that was not begun."""

    total: str
    bars: tuple[Bar | None, ...]


def timeline(plan: Sequence[StepReport]) -> Timeline | None:
    """Return the timeline of a plan; None where no step of it was begun."""
    starts = [None if step.started_at is None else figures.epoch(step.started_at) for step in plan]
    begun = [start for start in starts if start is not None]
    if not begun:
        return None
    first = min(begun)
    last = max(start + step.seconds for step, start in zip(plan, starts, strict=True) if start is not None)
    span = max(last - first, 0.001)
    bars = [
        None if start is None else _bar(start - first, step.seconds, span)
        for step, start in zip(plan, starts, strict=True)
    ]
    return Timeline(figures.duration(span), tuple(bars))


def _bar(after: float, seconds: float, span: float) -> Bar:
    width = min(100.0, max(LEAST_WIDTH, 100 * seconds / span))
    left = min(100 * after / span, 100 - width)
    words = f"begun after {figures.duration(after)}, took {figures.duration(seconds)}"
    return Bar(round(left, 2), round(width, 2), words)
