"""The writer (writes.py) as tests start it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.verdict import VERDICT, Verdict
from tests.lab.writes import INTERVAL, MAX_SECONDS, PROGRESS, STOP_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_TIMEOUT = 30.0  # seconds until the first write through each member must be acknowledged


class Writer:
    """The writer as tests start it: a context manager that returns when a write through each member is acknowledged.

    Args:
        directory: for its output; made if it is not there.
        endpoints: client URLs.
        identities: CA, certificate and key of each client to write as, in turn.
        interval: seconds between two writes, over all members.
        seconds: after which it ends by itself.
    """

    def __init__(
        self,
        directory: Path,
        endpoints: Sequence[str],
        identities: Sequence[tuple[Path, Path, Path]],
        *,
        interval: float = INTERVAL,
        seconds: float = MAX_SECONDS,
    ) -> None:
        self._directory = directory
        self._endpoints = list(endpoints)
        self._words = [f"--interval={interval}", f"--seconds={seconds}", f"--progress={directory / 'progress.json'}"]
        for paths in identities:
            self._words += ["--identity", *(str(path) for path in paths)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Writer:  # noqa: PYI034 - typing.Self comes with Python 3.11
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "progress.json").unlink(missing_ok=True)
        with self._file("out").open("w") as out, self._file("err").open("w") as err:
            self._process = subprocess.Popen(  # noqa: S603 - a program of the tests
                [sys.executable, "-m", "tests.lab.writes", *self._words, *self._endpoints],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=out,  # a file: a pipe that nobody reads would stop it
                stderr=err,
                text=True,
                start_new_session=True,  # an interrupt of the tests is not one of the writer
            )
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process = self._running
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    @property
    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the writer was not started"
        return self._process

    def _file(self, name: str) -> Path:
        return self._directory / f"writer.{name}"

    def acknowledged(self) -> Mapping[str, int]:
        """How many writes through each member were acknowledged up to now, or up to a fifth of a second ago."""
        place = self._directory / "progress.json"
        found: dict[str, int] = json.loads(place.read_text())["acknowledged"] if place.exists() else {}
        return found

    def wait(self, more: int = 1, timeout: float = START_TIMEOUT) -> None:
        """Wait until so many more writes are acknowledged through each member.

        Raises:
            AssertionError: not within the time (seconds), or the writer has ended.
        """
        before, ends = self.acknowledged(), time.monotonic() + timeout
        while any(self.acknowledged().get(one, 0) < before.get(one, 0) + more for one in self._endpoints):
            assert self._running.poll() is None, f"the writer has ended: {self._file('err').read_text()[-2000:]}"
            assert time.monotonic() < ends, f"not {more} more writes within {timeout} s: {self.acknowledged()}"
            time.sleep(PROGRESS / 2)

    def change(
        self, *, endpoints: Sequence[str] | None = None, identities: Sequence[tuple[Path, Path, Path]] | None = None
    ) -> None:
        """Write through other members, or as others, from now on; the members at the end are those that are read."""
        order: dict[str, Any] = {}
        if endpoints is not None:
            order["endpoints"] = self._endpoints = list(endpoints)
        if identities is not None:
            order["identities"] = [[str(path) for path in paths] for paths in identities]
        pipe = self._running.stdin
        assert pipe is not None
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()

    def stop(self) -> Verdict:
        """End the writing, let every member be read, and return what came out.

        Raises:
            AssertionError: the writer gave no verdict.
        """
        process = self._running
        assert process.stdin is not None
        process.stdin.close()
        process.wait(STOP_TIMEOUT)
        text = self._file("out").read_text()
        assert text, f"no verdict: {self._file('err').read_text()[-2000:]}"
        return VERDICT.validate_json(text)
