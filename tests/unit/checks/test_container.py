"""How often a container was started again, and whether images are one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks import process
from nornir_etcd.checks.evidence import evidence
from nornir_etcd.observation import Container, Surroundings, Unknown
from tests.unit.builders import NOW, World, deployed
from tests.unit.checks.seen import DEAD, OK, UNKNOWN, WARNING, endpoint, findings, host, status

if TYPE_CHECKING:
    from nornir_etcd.report.model import Severity

IMAGE = "registry.ikubeops.local/ikubeops/etcd:3.5.16-0"


def runs(attempt: int, *, ago: float = 0.0, image: str = f"sha256:{IMAGE}") -> Container:
    """Return a container that runs."""
    return Container("c" * 64, "CONTAINER_RUNNING", "p", attempt, image, int((NOW.timestamp() - ago) * 1e9))


@pytest.mark.parametrize(("attempt", "severity"), [(0, OK), (1, OK), (3, OK), (4, WARNING), (900, WARNING)])
def test_restarts_are_borne_up_to_the_limit(attempt: int, severity: Severity) -> None:
    world = deployed()
    host(world, "master-1", containers=(runs(attempt, ago=60),))
    one = findings(world)["container.restarts", "master-1"]
    assert (one.severity, one.evidence) == (severity, {"restarts": str(attempt), "borne": "3"})


def test_the_limit_is_the_members_own_setting() -> None:
    world = deployed(etcd_restarts_warning=5)
    host(world, "master-1", containers=(runs(5, ago=60),))
    assert findings(world)["container.restarts", "master-1"].severity is OK


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (30, "2026-11-22 11:59:30 UTC, 0 minutes ago"),
        (119 * 60, "119 minutes ago"),
        (120 * 60, "2 hours ago"),
        (3 * 86400, "2026-11-19 12:00:00 UTC, 3 days ago"),
        (-30, "0 minutes ago"),  # made while the clock was ahead
    ],
)
def test_the_last_start_is_told_by_the_hosts_clock(ago: float, told: str) -> None:
    world = deployed()
    host(world, "master-1", containers=(runs(2, ago=ago),))
    message = findings(world)["container.restarts", "master-1"].message
    assert message.startswith("it was started again 2 times, the last time 2026-11-")
    assert told in message


def test_a_time_that_makes_no_sense_is_no_error() -> None:
    world = deployed()
    host(world, "master-1", containers=(replace(runs(9), created_ns=10**40),))
    assert "makes no sense" in findings(world)["container.restarts", "master-1"].message


@pytest.mark.parametrize("containers", [(), Unknown("crictl: not found")])
def test_restarts_of_a_container_that_is_not_seen_are_unknown(containers: object) -> None:
    world = deployed()
    host(world, "master-1", containers=containers)
    assert findings(world)["container.restarts", "master-1"].severity is UNKNOWN


def has(world: World, name: str, **images: set[str] | Unknown) -> None:
    """Change which images a host has: digests of the wanted tag, and of another one."""
    around = (world.seen or world.observe()).hosts[name].surroundings
    assert isinstance(around, Surroundings)
    tags = {"wanted": IMAGE, "other": "elsewhere/etcd:3.5.16-0"}
    known = {tags[key]: frozenset(found) for key, found in images.items() if not isinstance(found, Unknown)}
    unread = next((found for found in images.values() if isinstance(found, Unknown)), None)
    host(world, name, surroundings=replace(around, digests=unread or known))


def test_a_tag_that_has_moved_is_a_warning_that_says_who_has_which() -> None:
    world = deployed()
    has(world, "master-2", wanted={"sha256:22"})
    one = findings(world)["image.digest", "example"]
    assert one.severity is WARNING
    assert "master-2 has 22" in one.message


def test_images_of_two_architectures_are_one_by_their_common_list() -> None:
    world = deployed()
    for name in world.names:
        has(world, name, wanted={f"sha256:{name}", "sha256:list"})
        host(world, name, containers=(runs(0, image=f"sha256:{name}"),))
    assert findings(world)["image.digest", "example"].severity is OK


def test_members_of_one_version_that_run_different_images_are_a_warning() -> None:
    world = deployed()
    has(world, "master-2", wanted={f"sha256:{IMAGE}"}, other={"sha256:77"})
    host(world, "master-2", containers=(runs(0, image="sha256:77"),))
    one = findings(world)["image.digest", "example"]
    assert (one.severity, "members run 3.5.16 from different images" in one.message) == (WARNING, True)


def test_members_of_different_versions_run_different_images() -> None:
    world = deployed()
    host(world, "master-2", containers=(runs(0, image="sha256:77"),))
    status(world, "master-2", version="3.5.30")
    assert findings(world)["image.digest", "example"].severity is OK
    endpoint(world, "master-2", status=DEAD)
    one = findings(world)["image.digest", "example"]
    assert (one.severity, "the version of master-2 is not known" in one.message) == (UNKNOWN, True)


def test_members_of_unknown_versions_are_not_said_to_run_one_version() -> None:
    world = deployed()
    for name, image in (("master-2", "sha256:77"), ("master-3", "sha256:88")):
        host(world, name, containers=(runs(0, image=image),))
        endpoint(world, name, status=DEAD)
    one = findings(world)["image.digest", "example"]
    assert (one.severity, "the version of master-2, master-3 is not known" in one.message) == (UNKNOWN, True)


def test_a_member_that_does_not_answer_and_runs_the_same_image_leaves_no_doubt() -> None:
    world = deployed()
    endpoint(world, "master-2", status=DEAD)
    assert findings(world)["image.digest", "example"].severity is OK


def test_images_that_could_not_be_listed_are_unknown() -> None:
    world = deployed()
    has(world, "master-2", wanted=Unknown("crictl: not found"))
    one = findings(world)["image.digest", "example"]
    assert (one.severity, one.message) == (UNKNOWN, "the images of master-2 could not be listed")


def test_hosts_without_the_image_have_nothing_to_compare() -> None:
    assert findings(World())["image.digest", "example"].severity is UNKNOWN


def test_where_nothing_is_declared_no_image_is_wanted() -> None:
    world = deployed()
    seen = evidence(replace(world.cluster, declared=False), world.observe(), {}, NOW)
    assert "container.image" not in {one.code for one in process.check(seen)}
