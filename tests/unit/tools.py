"""Programs of Debian packages that some tests need."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str, package: str) -> str:
    """Return the program's path; skip where there is none. In CI, which installs the packages, that is a failure."""
    if path := shutil.which(program):
        return path
    reason = f"{program} is missing: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
