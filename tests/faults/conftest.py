"""Fixtures for faults on the way.

The lab fixtures are those of tests/lab. This folder's own instance of them makes a lab of the same name, so the group
of tests that comes next makes it anew and there is never more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.faults import Faults
from tests.lab.conftest import fresh_lab, lab
from tests.lab.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nornir_etcd.lab import Lab

__all__ = ["fresh_lab", "lab"]


@pytest.fixture
def workspace(fresh_lab: Lab, tmp_path: Path) -> Workspace:
    made = Workspace(fresh_lab, tmp_path)
    made.inventory()
    return made


@pytest.fixture
def faults(workspace: Workspace) -> Iterator[Faults]:
    """Make faults; those that a test leaves are gone after it."""
    made = Faults(workspace.lab)
    try:
        yield made
    finally:
        made.undo()
