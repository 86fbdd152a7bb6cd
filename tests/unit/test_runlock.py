"""The lock of scheduled runs."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.runlock import LockHeld, locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock of a file, as another run does."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def test_a_lock_that_is_held_refuses_at_once_and_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with held(path), pytest.raises(LockHeld) as caught, locked(path):
        raise AssertionError
    assert str(caught.value) == f"another run holds {path}"


def test_a_lock_is_free_again_when_the_run_has_ended_however_it_did(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    with locked(path), pytest.raises(LockHeld), locked(path):
        raise AssertionError
    assert path.exists(), "never removed: a run that waits to open it would get another one"


def test_a_killed_run_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    code = (
        "import sys, time, pathlib\nfrom nornir_etcd.runlock import locked\nwith locked(pathlib.Path(sys.argv[1])):\n"
    )
    code += "    print('held', flush=True); time.sleep(60)\n"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as run:  # noqa: S603 - our own
        assert run.stdout is not None
        assert run.stdout.readline() == b"held\n"
        with pytest.raises(LockHeld), locked(path):
            raise AssertionError
        run.kill()
    with locked(path):
        pass


def test_without_a_file_there_is_no_lock() -> None:
    with locked(None):
        pass


@pytest.mark.parametrize("name", ["no/run.lock", "."])
def test_a_file_that_cannot_be_opened_is_a_fault_of_usage(tmp_path: Path, name: str) -> None:
    with pytest.raises(InventoryError) as caught, locked(tmp_path / name):
        raise AssertionError
    (line,) = caught.value.problems
    assert line.startswith(f"--lock: wanted a file that can be written, found {tmp_path / name}: ")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with locked(tmp_path / "pipe"):
        pass
