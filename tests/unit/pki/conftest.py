from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.pki.authority import Authority, make_authority

if TYPE_CHECKING:
    from pathlib import Path

OpenSsl = Callable[..., str]


@pytest.fixture(scope="session")
def now() -> datetime:
    return datetime.now(timezone.utc)


@pytest.fixture(scope="session")
def authority(now: datetime) -> Authority:
    return make_authority("example-etcd-ca", now=now)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    """Run the real openssl in a folder of its own; what it prints is returned."""
    program = shutil.which("openssl")
    assert program, "these tests need the openssl command (Debian: apt-get install openssl)"

    def run(*arguments: str | Path, fails: bool = False) -> str:
        done = subprocess.run(  # noqa: S603 - arguments of the tests' own
            [program, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
