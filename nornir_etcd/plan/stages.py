"""The way from one release to another over several minors: each stage is an upgrade of its own. Pure: no I/O.

etcd takes one minor at a time (https://etcd.io/docs/v3.6/upgrades/upgrading-etcd/), and wants the members of the lower
minor at a certain patch before the next one comes beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.versions import (
    DOWNGRADES,
    KNOWN_BAD,
    STEP_FLOORS,
    SUPPORTED,
    Version,
    known_bad,
    missed_floors,
    security_floor,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def stages(from_: Version, to: Version, known: Iterable[Version] = ()) -> tuple[Version, ...]:
    """Return the releases of the way, the first and the last included; empty where there is no way.

    The stop in a minor on the way is the newest of `known` that may run beside the next minor and is not known to be
    bad. Where there is none, it is the least release of which nothing bad is known here: whether it can be had, and
    whether there is a newer one, is not known without a network. A release that runs and may not stand beside the next
    minor gets a stop in its own minor first.

    There is no way down where etcd offers none (versions.DOWNGRADES). Whether the last release is one to run is not
    asked here, but by the gate.

    Args:
        from_: the release that runs.
        to: the one that is wanted.
        known: releases that can be had, as from the images that an inventory or a registry names.
    """
    if from_.line not in SUPPORTED or to.line not in SUPPORTED:
        return ()
    up = from_.line < to.line
    # The lower minor of every border that is crossed: what runs there stands beside the next one.
    lower = [line for line in SUPPORTED if min(from_.line, to.line) <= line < max(from_.line, to.line)]
    if not up and any((major, minor + 1) not in DOWNGRADES for major, minor in lower):
        return ()
    stops = lower if up else [line for line in reversed(lower) if line != to.line]
    path = [from_]
    for line in stops:
        if line != path[-1].line or missed_floors(path[-1]):
            path.append(_stop(line, known))
    return (*path, to) if path[-1] != to else tuple(path)


def _stop(line: tuple[int, int], known: Iterable[Version]) -> Version:
    """Return where to stop in a minor that another one follows."""
    fit = [one for one in known if one.line == line and not missed_floors(one) and known_bad(one) is None]
    return max(fit, default=_least(line))


def _least(line: tuple[int, int]) -> Version:
    first = Version(*line, 0)
    floors = [floor.least for floor in STEP_FLOORS if floor.least.line == line]
    good = [bad.use for bad in KNOWN_BAD if bad.use.line == line]
    return max([*floors, *good, security_floor(first) or first])


def shown(path: Sequence[Version]) -> str:
    """Return the way as text, such as `3.4.23 -> 3.5.33 -> 3.6.14`."""
    return " -> ".join(map(str, path))
