"""How surely a lock is held, by what was sent and what has ended."""

from __future__ import annotations

import re

import pytest

from nornir_etcd import hold
from nornir_etcd.hold import Hold


class Clock:
    """A clock that a test sets: waiting a minute for each case would prove no more."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(hold, "now", made)
    return made


def test_a_lock_is_held_until_its_last_sign_is_too_old(clock: Clock) -> None:
    lock = Hold("node-1: the lock", 60, sent=clock.time)
    clock.time += 59.9
    assert lock.lost() == ""
    clock.time += 0.1
    assert re.fullmatch(
        r"node-1: the lock is lost, last held for certain at \d\d:\d\d:\d\d UTC: "
        r"no sign of life has reached it for 60 s",
        lock.lost(),
    )


def test_what_counts_is_when_a_sign_was_sent(clock: Clock) -> None:
    lock = Hold("lock", 60, sent=clock.time)
    clock.time += 50
    lock.confirm(1020.0)
    assert lock.age() == 30
    clock.time = 1079.9
    assert lock.lost() == ""
    clock.time = 1080.0
    assert lock.lost() != ""
    lock.confirm(1070.0)  # an answer that was on its way for long
    assert lock.lost() == ""


def test_an_older_answer_takes_nothing_away(clock: Clock) -> None:
    lock = Hold("lock", 60, sent=clock.time)
    lock.confirm(1000.0)
    lock.confirm(990.0)
    assert lock.age() == 0


def test_what_has_ended_stays_so_for_its_first_reason(clock: Clock) -> None:
    lock = Hold("lock", 60, sent=clock.time)
    lock.end("somebody deleted it")
    lock.end("later")
    lock.confirm(clock.time)
    assert lock.ended
    assert lock.lost().endswith(": somebody deleted it")


def test_the_clock_goes_on() -> None:
    first = hold.now()
    assert hold.now() >= first
