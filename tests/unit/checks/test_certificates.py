"""Each finding about certificates, in each of its severities."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.observation import Unknown
from nornir_etcd.plan.certs import leaf_request
from tests.unit.builders import NOW, World, authority, deployed, full_store, pair
from tests.unit.checks.seen import CRITICAL, OK, UNKNOWN, WARNING, bad, endpoint, findings, host

if TYPE_CHECKING:
    from nornir_etcd.report.model import Severity
    from nornir_etcd.signers.local import Pair


def renewed(world: World) -> Pair:
    return pair(authority(), leaf_request(world[1].member))


def test_a_certificate_that_was_issued_and_not_placed_is_a_warning() -> None:
    world = deployed()
    world.store = replace(world.store, leaves=world.store.leaves | {"master-1": renewed(world)})
    assert bad(world) == {("cert.placed", "master-1"): WARNING}


def test_a_certificate_that_was_placed_and_is_not_served_is_critical() -> None:
    world = deployed()
    served = world.observe().endpoints["master-1"]
    leaf = renewed(world)
    world.store = replace(world.store, leaves=world.store.leaves | {"master-1": leaf})
    world[1].placed = (leaf, authority().pem)
    endpoint(world, "master-1", served_client=served.served_client)
    assert bad(world) == {("cert.served.client", "master-1"): CRITICAL}
    endpoint(world, "master-1", served_peer=served.served_peer)
    assert bad(world)["cert.served.peer", "master-1"] is CRITICAL


def test_a_folder_without_the_certificate_leaves_its_place_unknown_with_a_remedy() -> None:
    world = deployed()
    world.store = replace(full_store(), leaves={})
    one = findings(world)["cert.placed", "master-1"]
    assert (one.severity, "copy that folder here" in one.remedy) == (UNKNOWN, True)


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_what_is_no_certificate_in_its_place_is_critical_and_what_is_served_unknown(text: str) -> None:
    world = deployed()
    path = "/etc/kubernetes/pki/etcd/etcd.pem"
    texts = world.observe().hosts["master-1"].texts
    host(world, "master-1", texts=texts | {path: text})
    found = findings(world)
    assert found["cert.placed", "master-1"].severity is CRITICAL
    for code in ("cert.served.client", "cert.served.peer"):
        assert found[code, "master-1"].severity is UNKNOWN
        assert path in found[code, "master-1"].message


def test_what_is_served_and_cannot_be_read_is_unknown() -> None:
    world = deployed()
    endpoint(world, "master-1", served_client=b"garbage", served_peer=Unknown("reset by peer"))
    found = findings(world)
    assert found["cert.served.client", "master-1"].severity is UNKNOWN
    assert found["cert.served.peer", "master-1"].message == "reset by peer"
    assert found["cert.expiring", "master-1"].severity is UNKNOWN


@pytest.mark.parametrize(
    ("days", "severity", "message"),
    [
        (100, OK, "holds for 100 days"),
        (30, OK, "holds for 30 days"),
        (29, WARNING, "expires in 29 days"),
        (7, WARNING, "expires in 7 days"),
        (6, CRITICAL, "expires in 6 days"),
        (0, CRITICAL, "expires in 0 days"),
        (-1, CRITICAL, "expired on 2026-11-21"),
    ],
)
@pytest.mark.parametrize("up", [True, False])
def test_days_left_are_counted_on_what_is_served_else_on_the_host(
    days: int, severity: Severity, message: str, *, up: bool
) -> None:
    world = deployed()
    leaf = pair(authority(), leaf_request(world[1].member), now=NOW + timedelta(days=days - 365, hours=1))
    world.store = replace(world.store, leaves=world.store.leaves | {"master-1": leaf})
    world[1].placed = (leaf, authority().pem)
    world[1].up = up
    one = findings(world)["cert.expiring", "master-1"]
    assert (one.severity, one.message) == (severity, message)
    assert one.evidence["days_left"] == str(days)
