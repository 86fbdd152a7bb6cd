"""Lab fixtures: one lab a test run, its hosts wiped before each test that asks for them fresh."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab import Lab, state

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "test-"


def need_root() -> None:
    """Skip where a lab cannot be; in CI that is a failure, so that nobody takes a skipped suite for a passed one."""
    if os.geteuid() == 0:
        return
    reason = "lab tests need root: they make namespaces, mounts and interfaces"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def remove_orphans() -> None:
    """Remove the labs of test runs that were killed: their names end in the process ID of a run that is no more."""
    for name in state.names():
        owner = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):  # noqa: PTH110 - a process
            Lab(name).down()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of three hosts for the whole run."""
    need_root()
    remove_orphans()
    made = Lab(f"{PREFIX}{os.getpid()}")
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def fresh_lab(lab: Lab) -> Lab:
    """The lab with every host switched on, wiped, and its kubelet quick."""
    return _fresh(lab)


def _fresh(lab: Lab) -> Lab:
    names = [node.name for node in lab.nodes]
    for name in ("registry", *names):
        if not lab.is_running(name):
            lab.start(name)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lab.wipe, names))
    lab.set_delay("0.2")
    return lab


@pytest.fixture(scope="module")
def wide_lab() -> Iterator[Lab]:
    """A lab of five hosts."""
    need_root()
    made = Lab(f"{PREFIX}{os.getpid()}-wide", hosts=5)
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def wiped_wide_lab(wide_lab: Lab) -> Lab:
    """Those five with every host switched on and empty, and its kubelet quick."""
    return _fresh(wide_lab)
