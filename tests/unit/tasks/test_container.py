"""Which lines of a container's log are shown where a step failed."""

from __future__ import annotations

from nornir_etcd.tasks.container import LOG_LINES, _telling

REASON = '{"level":"panic","msg":"failed to create WAL","error":"no space left on device"}'


def test_a_short_log_is_shown_whole() -> None:
    lines = [f"line {number}" for number in range(20)]
    assert _telling(lines) == lines


def test_a_long_log_is_shown_by_its_beginning_and_its_end() -> None:
    lines = [f"line {number}" for number in range(100)]
    assert _telling(lines) == [*lines[:3], "...", *lines[-17:]]


def test_a_log_whose_beginning_was_not_read_is_shown_by_its_end() -> None:
    lines = [f"line {number}" for number in range(LOG_LINES)]
    assert _telling(lines) == lines[-17:]


def test_the_reason_of_a_panic_is_shown_though_its_stack_comes_after_it() -> None:
    lines = [*(f'{{"level":"info","msg":"{number}"}}' for number in range(30)), REASON, *["\tgoroutine"] * 40]
    assert _telling(lines) == [*lines[:3], "...", REASON, "...", *["\tgoroutine"] * 17]
