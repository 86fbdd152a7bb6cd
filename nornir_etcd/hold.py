"""How surely a lock is held: only as long as the last sign of it is younger than what it lives without one. Pure."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

# It goes on while the controller sleeps (a laptop that is shut), as the clocks of hosts do, and nobody sets it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds on a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


class Hold:
    """A lock that lives some seconds from each sign of life that reached it. Safe to use from several threads.

    What counts is when a sign was sent, not when its answer came: the lock lives at least so long.

    Args:
        lock: what it is, for whoever reads that it was lost.
        seconds: how long it lives without a sign.
        sent: when (`now`) the sign was sent that took it.
    """

    def __init__(self, lock: str, seconds: float, sent: float) -> None:
        self.lock = lock
        self.seconds = seconds
        self._sent = sent
        self._ended = ""
        self._guard = threading.Lock()

    def confirm(self, sent: float) -> None:
        """Take in that a sign sent then reached the lock."""
        with self._guard:
            self._sent = max(self._sent, sent)

    def end(self, why: str) -> None:
        """Take in that it is no longer held, for good. The first reason stays."""
        with self._guard:
            self._ended = self._ended or why

    @property
    def ended(self) -> bool:
        """Whether it is lost for good."""
        with self._guard:
            return bool(self._ended)

    def age(self) -> float:
        """Return seconds since the last sign that reached it was sent."""
        with self._guard:
            return now() - self._sent

    def lost(self) -> str:
        """Return why it is not held for certain, in one line; empty while it is."""
        age = self.age()
        with self._guard:
            why = self._ended
        if not why and age < self.seconds:
            return ""
        last = datetime.now(tz=timezone.utc) - timedelta(seconds=age)
        why = why or f"no sign of life has reached it for {age:.0f} s"
        return f"{self.lock} is lost, last held for certain at {last:%H:%M:%S} UTC: {why}"
