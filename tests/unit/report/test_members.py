"""The rows of the member table: each figure is what was observed, and what was not is blank."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nornir_etcd.observation import (
    Alarm,
    ClockOffset,
    Container,
    HashKv,
    HostObservation,
    Metrics,
    Quantile,
    Surroundings,
    Unknown,
)
from nornir_etcd.report.members import controller_certificates, member_reports
from nornir_etcd.report.model import MemberReport
from tests.unit.builders import NOW, World, authority, deployed
from tests.unit.checks.seen import DEAD, endpoint, host, status

IMAGE = "registry.ikubeops.local/ikubeops/etcd:3.5.16-0"


def row(world: World, name: str = "master-1") -> MemberReport:
    """Return the row of one member."""
    rows = member_reports(world.cluster, world.seen or world.observe(), changed=(), now=NOW)
    return next(one for one in rows if one.name == name)


def test_a_healthy_member_is_told_whole() -> None:
    world = deployed()
    endpoint(
        world,
        "master-1",
        hash=HashKv(0xABC, 7, 3),
        metrics=Metrics(Quantile(0.004, 500, 0), Quantile(0.02, 900, 10), 5),
        read_seconds=0.004,
    )
    found = row(world)
    assert (found.db_size, found.db_size_in_use, found.db_quota) == (20480, 16384, 2147483648)
    assert (found.raft_term, found.raft_index, found.raft_applied_index) == (2, 9, 9)
    assert (found.hash, found.hash_revision, found.read_seconds) == ("abc", 7, 0.004)
    assert (found.wal_fsync_p99_seconds, found.backend_commit_p99_seconds) == (0.004, 0.02)
    assert (found.disk_window_seconds, found.leader_changes) == (10, 5)
    assert (found.clock_offset_seconds, found.image, found.alarms) == (0, IMAGE, [])


def test_every_certificate_is_told_with_its_place() -> None:
    world = deployed()
    found = row(world).certificates
    assert [(one.place, one.subject, one.is_ca) for one in found] == [
        ("client", "master-1", False),
        ("peer", "master-1", False),
        ("/etc/kubernetes/pki/ca.pem", "example CA", True),
        ("/etc/kubernetes/pki/etcd/etcd.pem", "master-1", False),
        ("/etc/kubernetes/pki/etcd/ca.pem", "example CA", True),
    ]
    assert {one.issuer for one in found} == {"example CA"}
    assert all(one.not_before < NOW < one.not_after for one in found)


def test_a_certificate_says_what_it_is_for_and_which_ports_serve_it() -> None:
    world = deployed()
    places = {one.place: one for one in row(world).certificates}
    disk = places["/etc/kubernetes/pki/etcd/etcd.pem"]
    assert disk.sans[:2] == ["master-1", "localhost"]
    assert "192.0.2.11" in disk.sans
    assert disk.usages == ["serverAuth", "clientAuth"]
    assert disk.served == [2379, 2380]
    assert places["/etc/kubernetes/pki/etcd/ca.pem"].served == []
    endpoint(world, "master-1", served_peer=world.observe().endpoints["master-2"].served_peer)
    places = {one.place: one for one in row(world).certificates}
    assert places["/etc/kubernetes/pki/etcd/etcd.pem"].served == [2379]
    assert (places["peer"].subject, places["peer"].served) == ("master-2", [2380])


def test_the_controllers_certificates_are_told_with_their_paths() -> None:
    (found,) = controller_certificates({"certs/ca.pem": authority().pem, "certs/client.pem": b"no PEM"})
    assert (found.place, found.subject, found.is_ca, found.served) == ("certs/ca.pem", "example CA", True, [])


def test_each_certificate_of_a_bundle_is_told_and_what_is_none_is_left_out() -> None:
    world = deployed()
    path = "/etc/kubernetes/pki/etcd/ca.pem"
    texts = world.observe().hosts["master-1"].texts
    host(world, "master-1", texts=texts | {path: 2 * authority().pem.decode(), "/etc/kubernetes/pki/ca.pem": "no PEM"})
    endpoint(world, "master-1", served_peer=b"no PEM")
    places = [one.place for one in row(world).certificates]
    assert places == ["client", "/etc/kubernetes/pki/etcd/etcd.pem", path, path]


def test_a_certificate_in_the_manifest_is_none_of_the_members() -> None:
    world = deployed()
    world[1].manifest = authority().pem.decode()
    assert len(row(world).certificates) == 5


def test_the_quota_is_the_one_that_the_member_tells() -> None:
    world = deployed(etcd_quota_backend_bytes=4 * 1024**3)
    assert row(world).db_quota == 4 * 1024**3
    status(world, "master-1", db_size_quota=8 * 1024**3)
    assert row(world).db_quota == 8 * 1024**3


def test_alarms_are_told_of_the_member_that_raised_them_also_where_it_does_not_answer() -> None:
    world = deployed()
    world.alarms = (Alarm(world.entry(world[2]).id, "NOSPACE"), Alarm(world.entry(world[2]).id, "CORRUPT"))
    endpoint(world, "master-2", status=DEAD, alarms=DEAD)
    assert [row(world, name).alarms for name in sorted(world.names)] == [[], ["CORRUPT", "NOSPACE"], []]


@pytest.mark.parametrize(("low", "high", "middle"), [(-0.1, 0.1, 0.0), (4.0, 5.0, 4.5), (-3.0, -2.0, -2.5)])
def test_the_clocks_offset_is_the_middle_of_its_bounds(low: float, high: float, middle: float) -> None:
    world = deployed()
    around = world.observe().hosts["master-1"].surroundings
    assert isinstance(around, Surroundings)
    host(world, "master-1", surroundings=replace(around, offset=ClockOffset(low, high)))
    assert row(world).clock_offset_seconds == middle


@pytest.mark.parametrize(
    ("images", "told", "image"),
    [
        ({"x:1": "sha256:1", IMAGE: "sha256:1"}, "", IMAGE),
        ({"x:1": "sha256:1", "x:2": "sha256:1"}, "x:2", "x:2"),
        ({"x:1": "sha256:1"}, "", "x:1"),
        ({IMAGE: "sha256:2"}, "", "sha256:1"),
        (Unknown("crictl: not found"), "", "sha256:1"),
    ],
)
def test_the_image_is_told_by_its_tag_else_by_its_digest(images: object, told: str, image: str) -> None:
    world = deployed()
    container = Container("c" * 64, "CONTAINER_RUNNING", "p", 0, "sha256:1", 1, told)
    host(world, "master-1", containers=(container,), images=images)
    assert row(world).image == image


def test_of_what_was_not_read_the_row_is_blank() -> None:
    world = deployed()
    world[1].error, world[1].up = DEAD, False
    found = row(world)
    assert found == MemberReport(name="master-1", address="192.0.2.11", ssh=DEAD.reason, healthy=False)
    bare = deployed()
    bare.seen = bare.observe()
    bare.seen.hosts["master-1"] = HostObservation("master-1")
    assert (row(bare).clock_offset_seconds, row(bare).image, row(bare).container) == (None, "", "")
