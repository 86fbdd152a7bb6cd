"""Figures as people read them: bytes, seconds, days, times of day."""

from __future__ import annotations

from datetime import datetime, timezone

MINUTE, HOUR, DAY = 60, 3600, 86400


def size(count: float) -> str:
    """Return a number of bytes with a binary prefix, three figures at least: 20.0 KiB, 1.86 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":  # noqa: PLR2004 - what the binary prefixes mean
            break
        count /= 1024
    if unit == "B":
        return f"{count:.0f} B"
    places = max(0, 3 - len(f"{count:.0f}"))
    return f"{count:.{places}f} {unit}"


def duration(seconds: float) -> str:
    """Return a time span in the unit that fits it: 3.1 ms, 2.6 s, 4 min 12 s."""
    distance = abs(seconds)
    if distance >= HOUR:
        return f"{seconds / HOUR:.1f} h"
    if distance >= MINUTE:
        minutes, rest = divmod(round(distance), MINUTE)
        return f"{'-' if seconds < 0 else ''}{minutes} min {rest} s"
    if distance >= 1 or not distance:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.{1 if distance < 0.1 else 0}f} ms"  # noqa: PLR2004 - three figures


def days(count: int) -> str:
    """Return a number of days, which below zero have gone by."""
    if count < 0:
        return f"ended {-count} day{'' if count == -1 else 's'} ago"
    return f"{count} day{'' if count == 1 else 's'}"


def epoch(when: datetime) -> float:
    """Return a time as seconds since 1970; one without a time zone, which JSON of others may hold, is taken for UTC."""
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def moment(when: datetime) -> str:
    """Return a time in the time zone that it was noted in, to the second; without one it is taken for UTC."""
    zone = when.tzname() or "UTC"
    return f"{when.isoformat(sep=' ', timespec='seconds')[:19]} {zone}"
