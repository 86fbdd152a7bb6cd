"""What a run announces: one line of JSON for each boundary, written before the run goes on."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.events import Announcer, Event, EventFile
from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from pathlib import Path


def test_an_event_is_one_line_of_json_with_every_field(tmp_path: Path) -> None:
    path = tmp_path / "events"
    announce = Announcer(EventFile(path), "deploy", "example")
    announce("step-finished", host="node-1", step="node-1/place-files", status="done")
    (line,) = path.read_text().splitlines()
    event = json.loads(line)
    assert datetime.fromisoformat(event.pop("time")).utcoffset() is not None
    assert event == {
        "event": "step-finished",
        "runbook": "deploy",
        "cluster": "example",
        "host": "node-1",
        "step": "node-1/place-files",
        "status": "done",
    }


def test_events_are_appended_and_runs_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text("before\n")
    files = [EventFile(path), EventFile(path)]

    def write(file: EventFile) -> None:
        for number in range(200):
            file(Event("observed", "verify", "x" * 300, status=str(number)))

    threads = [threading.Thread(target=write, args=(file,)) for file in files for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    first, *lines = path.read_text().splitlines()
    assert first == "before"
    assert len([json.loads(line) for line in lines]) == 1200


def test_the_file_is_made_readable_for_all_and_writable_for_its_owner(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        EventFile(tmp_path / "events")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "events").stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["missing/events", ".", "events/below"])
def test_a_file_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "events").touch()
    with pytest.raises(InventoryError, match=r"^--events: wanted a file that can be written, found .+: \w+"):
        EventFile(tmp_path / name)


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InventoryError, match="--events"):
        EventFile(tmp_path / "pipe")


def test_a_reader_that_goes_away_does_not_end_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    events = EventFile(pipe)
    events(Event("run-started", "deploy"))
    assert json.loads(os.read(reader, 4096))["event"] == "run-started"
    os.close(reader)
    events(Event("run-finished", "deploy"))
    assert '"run-finished"' in caplog.text


def test_nothing_is_announced_where_nobody_asked() -> None:
    Announcer(None, "deploy")("run-started")
