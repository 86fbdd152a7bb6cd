"""Who holds a lock, written for others and read from whatever others have written."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.holder import Holder, read_holder, since_when, this_run

NOW = datetime.now(tz=timezone.utc).replace(microsecond=0)


def test_a_holder_is_read_as_it_was_written() -> None:
    holder = Holder("root@ctl", 123, "deploy", NOW, ("10.0.0.1", "fd00::2"), "0f")
    assert "\n" not in holder.text()
    assert read_holder(holder.text()) == holder


def test_a_holder_is_told_by_who_and_since_when() -> None:
    before = Holder("root@ctl", 123, "deploy", NOW - timedelta(days=2), (), "0f")
    assert str(before) == f"root@ctl (pid 123, deploy) since {NOW - timedelta(days=2):%Y-%m-%d %H:%M:%S} UTC"


def test_a_time_has_its_date_where_that_is_not_todays() -> None:
    since = datetime(2026, 11, 25, 23, 59, 59, tzinfo=timezone.utc)
    assert since_when(since, since) == "23:59:59 UTC"
    assert since_when(since, since + timedelta(seconds=1)) == "2026-11-25 23:59:59 UTC"


def test_this_run_is_this_process_and_no_other_run() -> None:
    one, other = this_run("deploy", ("10.0.0.1",)), this_run("deploy", ("10.0.0.1",))
    assert (one.pid, one.who.partition("@")[2]) == (os.getpid(), os.uname().nodename)
    assert one.run != other.run


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4321")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert this_run("deploy", ()).who.startswith(f"{os.geteuid()}@")


GOOD = json.loads(Holder("root@ctl", 1, "deploy", NOW, ("10.0.0.1",), "0f").text())


@pytest.mark.parametrize(
    "note",
    [
        "root@ctl",
        "{}",
        "[]",
        "1",
        "[" * 100_000,
        *(json.dumps(GOOD | {name: None}) for name in GOOD if name != "hosts"),
        json.dumps(GOOD | {"hosts": 5}),
        json.dumps(GOOD | {"who": "root\x1b[31m@ctl"}),
        json.dumps(GOOD | {"who": "x" * 10_000}),
        json.dumps(GOOD | {"since": "0001-01-01T00:00:00+23:00"}),
    ],
)
def test_a_note_that_is_none_is_shown_cut_and_printable(note: str) -> None:
    read = read_holder(note)
    assert isinstance(read, str)
    assert read.startswith("somebody who has left the note ")
    assert read.isprintable()
    assert len(read) < 300


@pytest.mark.parametrize("note", ["", " \n", "\0"])
def test_no_note_is_told_as_such(note: str) -> None:
    assert read_holder(note) == "somebody who has left no name (yet)"


@given(st.text())
def test_any_text_is_read(note: str) -> None:
    assert str(read_holder(note)).isprintable()
