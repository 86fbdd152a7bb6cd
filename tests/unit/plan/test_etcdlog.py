"""What the words with which an etcd ends say of its data. What real ones say is in tests/contract/test_damage.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nornir_etcd.plan.etcdlog import damage, initial_check, last_words, shortened

SNAPSHOT = "failed to find database snapshot file (snap: snapshot file doesn't exist)"
TOCOMMIT = "tocommit(309) is out of range [lastIndex(157)]. Was the raft log corrupted, truncated, or lost?"


def zap(level: str, msg: str, error: str = "", **more: Any) -> str:
    return json.dumps({"level": level, "msg": msg, **({"error": error} if error else {}), **more})


def capnslog(level: str, said: str) -> str:
    return f"2026-11-26 00:33:02.421071 {level} | etcdmain: {said}"


DAMAGED = (
    zap("fatal", "discovery failed", "walpb: crc mismatch"),
    zap("fatal", "failed to read WAL, cannot be repaired", "walpb: crc mismatch: expected: 1 computed: 2"),
    zap("panic", "failed to open database", "invalid database", path="/var/lib/etcd/member/snap/db"),
    zap("panic", "failed to open database", "checksum error"),
    zap("panic", "failed to recover v3 backend from snapshot", SNAPSHOT),
    zap("panic", TOCOMMIT),
    capnslog("C", "walpb: crc mismatch"),
    capnslog("C", "cannot open database at /var/lib/etcd/member/snap/db (invalid database)"),
    capnslog("C", f"recovering backend from snapshot error: {SNAPSHOT}"),
    f"panic: {TOCOMMIT}",
    "panic: cannot use none as id",
    "panic: freepages: failed to get all reachable pages (page 0: invalid type: unknown<00>)",
    "panic: assertion failed: Page expected to be: 42, but self identifies as 0",
)
ELSE = (
    zap("panic", "failed to open database", "open /var/lib/etcd/member/snap/db: permission denied"),
    zap("panic", "failed to open database", "version mismatch"),
    zap("panic", "failed to open database", "timeout"),
    zap("panic", "failed to commit tx", "write /var/lib/etcd/member/snap/db: no space left on device"),
    zap("fatal", "failed to open WAL", "read 0.wal: input/output error (walpb: crc mismatch)"),
    zap("fatal", "discovery failed", "member 31852a25f5c87f17 has already been bootstrapped"),
    zap("fatal", "discovery failed", "listen tcp 192.0.2.11:2380: bind: address already in use"),
    capnslog("C", "wal: max entry size limit exceeded"),
    "unexpected fault address 0x7f2e2c030000",
    "fatal error: fault",
    "flag provided but not defined: -no-such-flag",
    # Not the word with which it ended, but what somebody has put somewhere.
    zap("warn", "apply request took too long", request='key:"walpb: crc mismatch"'),
    zap("panic", "failed to update", "not ours", request="walpb: crc mismatch"),
    capnslog("W", "walpb: crc mismatch"),
    "walpb: crc mismatch",
    "the panic: cannot use none as id",
    '{"level":"fatal","error":"walpb: crc mismatch"',
    '["walpb: crc mismatch"]',
    "{" * 100_000,
    "",
)


@pytest.mark.parametrize("line", DAMAGED)
def test_the_last_words_of_an_etcd_with_damaged_data_are_known(line: str) -> None:
    lines = [zap("info", "starting an etcd server"), line, "goroutine 1 [running]:", "\tmain.main"]
    assert damage(lines)
    assert "\n" not in str(damage(lines))


@pytest.mark.parametrize("line", ELSE)
def test_what_may_mean_something_else_is_no_damage(line: str) -> None:
    assert damage([zap("info", "starting an etcd server"), line]) is None


@pytest.mark.parametrize("line", DAMAGED)
def test_a_member_that_had_started_has_not_refused_to(line: str) -> None:
    assert damage([zap("info", "ready to serve client requests"), line]) is None


def test_the_evidence_quotes_etcd() -> None:
    assert damage([zap("fatal", "discovery failed", "walpb: crc mismatch")]) == (
        "a record of its WAL does not have the checksum it was written with (discovery failed: walpb: crc mismatch)"
    )


def test_a_log_without_last_words_says_nothing() -> None:
    lines = [zap("info", "received signal; shutting down"), zap("error", "it goes on"), "text"]
    assert (last_words(lines), damage(lines), initial_check(lines), damage([])) == ([], None, None, None)


def test_what_is_quoted_is_one_line_of_bearable_length() -> None:
    assert shortened(" a\n\tb ") == "a b"
    assert shortened("x" * 1000) == "x" * 200 + "..."


def differs(number: object, urls: object) -> str:
    more = {"remote-peer-hash": number, "remote-peer-endpoints": urls}
    return zap("warn", "found different hash values from remote peer", **more)


END = zap("fatal", "discovery failed", "f0fcb810e2ac2354 found data inconsistency with peers")


def test_the_initial_check_tells_the_hashes_of_the_peers() -> None:
    start = zap("info", "starting an etcd server", **{"etcd-version": "3.5.16"})
    found = initial_check([start, differs(1, ["https://a"]), differs(1, ["https://b"]), differs(2, ["https://c"]), END])
    assert found is not None
    assert found.release == "3.5.16"
    assert found.peers == {1: {"https://a", "https://b"}, 2: {"https://c"}}


@pytest.mark.parametrize(
    "lines",
    [
        [differs(1, ["https://a"])],  # it did not end for that
        [END],
        [capnslog("C", "ab7aabbd3294e45c found data inconsistency with peers")],
        [differs("1", ["https://a"]), END],
        [differs(1, "https://a"), END],
    ],
)
def test_where_a_log_tells_no_peers_hash_there_is_no_initial_check(lines: list[str]) -> None:
    assert initial_check(lines) is None
