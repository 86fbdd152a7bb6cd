"""What answers of releases mean that Debian does not have; all others are asked of real members (contract/)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nornir_etcd.connections import messages
from nornir_etcd.connections.rpc import status


def client(answer: bytes) -> Any:
    """Return a client of a member that gives one answer: a fake, since no server of 3.6 or later is at hand."""

    def unary_unary(_path: str, *, response_deserializer: Any, **_: Any) -> Any:
        return lambda _request, timeout: response_deserializer(answer) if timeout else None

    return SimpleNamespace(channel=SimpleNamespace(unary_unary=unary_unary))


@pytest.mark.parametrize(
    ("info", "wanted"),
    [
        ({"enabled": True, "targetVersion": "3.5.0"}, "3.5.0"),
        ({"enabled": False, "targetVersion": "3.5.0"}, ""),
        ({"enabled": False}, ""),
        (None, ""),
    ],
)
def test_a_downgrade_is_told_while_it_is_enabled(info: dict[str, Any] | None, wanted: str) -> None:
    fields = {} if info is None else {"downgradeInfo": info}
    answer = messages.StatusResponse(version="3.6.14", storageVersion="3.5.0", **fields).SerializeToString()
    found = status(client(answer), timeout=1)
    assert (found.version, found.storage_version, found.downgrade) == ("3.6.14", "3.5.0", wanted)
