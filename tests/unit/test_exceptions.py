"""Errors: one line each, and the same after a journey to another process."""

from __future__ import annotations

import inspect
import pickle

import pytest

from nornir_etcd import exceptions
from nornir_etcd.exceptions import InventoryError, LocksRefused, NornirEtcdError

OF_MANY_LINES = [InventoryError, LocksRefused]
KINDS = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, NornirEtcdError) and kind not in OF_MANY_LINES
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_one_line_that_names_host_thing_wanted_found_and_remedy(kind: type[NornirEtcdError]) -> None:
    error = kind("port 22", host="node-1", wanted="an answer\nat once", found="none", remedy="start sshd")
    assert str(error) == "node-1: port 22: wanted an answer at once, found none; start sshd"
    assert str(kind("port 22")) == "port 22"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickle(kind: type[NornirEtcdError]) -> None:
    error = kind("port 22", host="node-1", wanted="an answer")
    restored = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(restored) is kind
    assert str(restored) == str(error)
    assert restored.host == "node-1"


@pytest.mark.parametrize("kind", OF_MANY_LINES)
def test_an_error_of_many_lines_survives_pickle_with_all_its_problems(
    kind: type[InventoryError | LocksRefused],
) -> None:
    restored = pickle.loads(pickle.dumps(kind("one", "two")))  # noqa: S301 - our own
    assert restored.problems == ("one", "two")
    assert str(restored) == "one\ntwo"


def test_the_tree_in_the_docstring_names_every_error() -> None:
    drawn = exceptions.__doc__ or ""
    assert all(kind.__name__ in drawn for kind in [*KINDS, *OF_MANY_LINES])
