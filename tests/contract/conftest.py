"""The real cfssl."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab import LabError, cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def cfssl() -> Path:
    """Debian's cfssl out of the lab's cache; in CI its absence is a failure."""
    try:
        return cache.ready().cfssl
    except LabError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
