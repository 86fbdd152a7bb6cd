"""Each finding about CAs, in each of its severities."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.observation import FileState
from nornir_etcd.pki.authority import make_authority
from nornir_etcd.plan.certs import leaf_request
from tests.unit.builders import NOW, World, authority, deployed, pair
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, WARNING, findings, host

if TYPE_CHECKING:
    from nornir_etcd.pki.authority import Authority
    from nornir_etcd.report.model import Finding, Severity

TRUSTED = "/etc/kubernetes/pki/etcd/ca.pem"
GENERAL = "/etc/kubernetes/pki/ca.pem"


@cache
def other(name: str = "another CA", made: datetime = NOW - timedelta(days=1)) -> Authority:
    return make_authority(name, now=made)


def found(world: World, code: str) -> Finding:
    return findings(world)[code, "example"]


def texts(world: World, name: str, **changes: str | None) -> None:
    """Change what lies on a host: its trusted and its general CA, None for one that could not be read."""
    paths = {"trusted": TRUSTED, "general": GENERAL}
    now = dict((world.seen or world.observe()).hosts[name].texts)
    for what, content in changes.items():
        now.pop(paths[what], None)
        if content is not None:
            now[paths[what]] = content
    host(world, name, texts=now)


@pytest.mark.parametrize(
    ("left", "severity", "message"),
    [
        (366, OK, "'ca' holds for 366 days"),
        (365, OK, "'ca' holds for 365 days"),
        (364, WARNING, "'ca' expires in 364 days"),
        (30, WARNING, "'ca' expires in 30 days"),
        (29, CRITICAL, "'ca' expires in 29 days"),
        (0, CRITICAL, "'ca' expires in 0 days"),
        (-1, CRITICAL, "'ca' expired on 2026-11-21"),
    ],
)
def test_days_left_of_a_ca_are_counted(left: int, severity: Severity, message: str) -> None:
    made = NOW + timedelta(days=left - 3650, hours=1)
    ca = other("ca", made)
    world = deployed()
    for node in world.nodes.values():
        node.placed = (pair(ca, leaf_request(node.member), now=made), ca.pem)
    one = found(world, "ca.expiring")
    assert (one.severity, one.message) == (severity, message)
    assert one.evidence["days_left"] == str(left)


def test_the_thresholds_are_the_inventorys() -> None:
    assert found(deployed(etcd_ca_warning_days=3000), "ca.expiring").severity is WARNING
    assert found(deployed(etcd_ca_critical_days=3000), "ca.expiring").severity is CRITICAL


def test_a_ca_that_expires_on_one_host_alone_is_found_and_named() -> None:
    world = deployed()
    old = other("old", NOW - timedelta(days=3640))
    world[2].placed = (pair(old, leaf_request(world[2].member)), old.pem)
    one = found(world, "ca.expiring")
    assert (one.severity, one.evidence["place"]) == (CRITICAL, f"{TRUSTED} on master-2")


def test_of_a_bundle_the_ca_counts_that_signed_what_is_in_use() -> None:
    world = deployed()
    leaving = other("leaving", NOW - timedelta(days=3640)).pem.decode()
    for name in world.names:
        texts(world, name, trusted=leaving + authority().pem.decode())
    assert found(world, "ca.expiring").severity is OK


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_ca_that_cannot_be_read_is_unknown(text: str | None) -> None:
    world = deployed()
    texts(world, "master-2", trusted=text)
    for code in ("ca.expiring", "ca.unequal"):
        assert found(world, code).severity is UNKNOWN
        assert TRUSTED in found(world, code).message
    assert findings(world)["cert.chain", "master-2"].severity is UNKNOWN


def test_etcd_that_trusts_the_general_ca_is_a_warning_once_for_the_cluster() -> None:
    one = found(deployed(), "ca.shared")
    assert one.severity is WARNING
    assert GENERAL in one.message
    assert one.evidence == {"members": "master-1, master-2, master-3"}


@pytest.mark.parametrize("general", ["another", "absent"])
def test_a_ca_of_etcds_own_is_ok(general: str) -> None:
    world = deployed()
    for name in world.names:
        texts(world, name, general=other().pem.decode() if general == "another" else None)
        if general == "absent":
            files = world.observe().hosts[name].files
            host(world, name, files=files | {GENERAL: FileState("absent")})
    assert found(world, "ca.shared").severity is OK


def test_a_bundle_that_holds_the_general_ca_is_shared() -> None:
    world = deployed()
    for name in world.names:
        texts(world, name, trusted=other().pem.decode() + authority().pem.decode())
    assert found(world, "ca.shared").severity is WARNING


def test_a_general_ca_that_cannot_be_read_is_unknown_unless_another_host_tells() -> None:
    world = deployed()
    for name in world.names:
        texts(world, name, general=None)
    assert found(world, "ca.shared").severity is UNKNOWN
    texts(world, "master-3", general=authority().pem.decode())
    assert found(world, "ca.shared").severity is WARNING


def test_members_that_trust_different_cas_are_critical() -> None:
    world = deployed()
    texts(world, "master-2", trusted=other().pem.decode())
    one = found(world, "ca.unequal")
    assert one.severity is CRITICAL
    assert len({one.evidence[name] for name in world.names}) == 2
    assert one.evidence["master-1"] == one.evidence["master-3"]


def test_a_bundle_on_some_members_is_a_change_that_was_not_ended() -> None:
    world = deployed()
    texts(world, "master-2", trusted=authority().pem.decode() + other().pem.decode())
    assert found(world, "ca.unequal").severity is WARNING


def test_a_bundle_in_another_order_is_the_same() -> None:
    world = deployed()
    pems = [authority().pem.decode(), other().pem.decode()]
    for name, order in (("master-1", pems), ("master-2", pems[::-1]), ("master-3", pems)):
        texts(world, name, trusted="".join(order))
    assert found(world, "ca.unequal").severity is OK


def test_a_dead_host_does_not_hide_that_the_others_differ() -> None:
    world = deployed()
    world[3].error = DEAD
    assert found(world, "ca.unequal").severity is UNKNOWN
    texts(world, "master-2", trusted=other().pem.decode())
    assert found(world, "ca.unequal").severity is CRITICAL


def test_the_ca_of_an_only_member_differs_from_nobodys() -> None:
    assert found(deployed(1), "ca.unequal").severity is OK


def test_a_dead_hosts_ca_is_told_by_the_controllers() -> None:
    world = deployed()
    world[3].error = DEAD
    assert found(world, "ca.expiring").severity is UNKNOWN
    world.cluster = replace(world.cluster, ca=authority().pem)
    assert found(world, "ca.expiring").severity is OK
