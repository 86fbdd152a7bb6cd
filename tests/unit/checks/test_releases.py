"""Which releases should not be run, and which not side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks import versions
from nornir_etcd.checks.evidence import evidence
from tests.unit.builders import NOW, deployed
from tests.unit.checks.seen import CRITICAL, DEAD, OK, UNKNOWN, WARNING, endpoint, findings, status

if TYPE_CHECKING:
    from nornir_etcd.report.model import Severity


@pytest.mark.parametrize(
    ("version", "severity", "told"),
    [
        ("3.5.32", WARNING, "wanted 3.5.33 or later"),
        ("3.5.33", OK, "wanted 3.5.33"),
        ("3.6.13", WARNING, "wanted 3.6.14"),
        ("3.6.14", OK, "wanted 3.6.14"),
        ("3.7.0", WARNING, "wanted 3.7.1"),
        ("3.7.1", OK, "wanted 3.7.1"),
        ("3.4.41", WARNING, "3.4 has ended"),
        ("3.3.27", WARNING, "3.3 has ended"),
        ("3.8.0", OK, "without a security floor"),
        ("not a version", UNKNOWN, "'not a version'"),
    ],
)
def test_a_release_below_the_security_floor_is_a_warning(version: str, severity: Severity, told: str) -> None:
    world = deployed()
    status(world, "master-1", version=version)
    one = findings(world)["version.floor", "master-1"]
    assert (one.severity, told in one.message) == (severity, True)


@pytest.mark.parametrize(
    ("version", "severity", "told"),
    [
        ("3.5.0", CRITICAL, "etcd#13766"),
        ("3.5.2", CRITICAL, "upgrade to 3.5.3 or later"),
        ("3.5.3", OK, ""),
        ("3.4.21", WARNING, "upgrade to 3.4.22 or later"),
        ("3.4.20", OK, ""),
        ("3.4.22", OK, ""),
        ("3.5.5", WARNING, "upgrade to 3.5.6 or later"),
        ("3.5.4", OK, ""),
        ("3.5.6", OK, ""),
        ("latest", UNKNOWN, "'latest'"),
    ],
)
def test_a_release_that_is_known_to_be_bad_is_told(version: str, severity: Severity, told: str) -> None:
    world = deployed()
    status(world, "master-1", version=version)
    one = findings(world)["version.bad", "master-1"]
    assert (one.severity, told in f"{one.message}; {one.remedy}") == (severity, True)


@pytest.mark.parametrize(
    ("others", "severity", "told"),
    [
        (("3.5.16", "3.5.16"), OK, "every member runs 3.5.16"),
        (("3.5.16", "3.5.33"), WARNING, "3.5.16 to 3.5.33"),
        (("3.6.14", "3.5.16"), WARNING, "3.5.16 to 3.6.14"),
        (("3.6.14", "3.7.1"), CRITICAL, "3.5.16 and 3.7.1"),
        (("3.4.41", "3.6.14"), CRITICAL, "3.4.41 and 3.6.14"),
        (("4.0.0", "3.5.16"), CRITICAL, "3.5.16 and 4.0.0"),
        (("latest", "3.5.16"), UNKNOWN, "master-2"),
        (("latest", "3.6.0"), WARNING, "3.5.16 to 3.6.0"),
    ],
)
def test_members_of_different_versions_are_told(others: tuple[str, str], severity: Severity, told: str) -> None:
    world = deployed()
    for name, version in zip(("master-2", "master-3"), others, strict=True):
        status(world, name, version=version)
    one = findings(world)["version.skew", "example"]
    assert (one.severity, told in one.message) == (severity, True)
    assert one.evidence == dict(zip(("master-1", "master-2", "master-3"), ("3.5.16", *others), strict=True))


def test_the_version_of_a_member_that_does_not_answer_is_unknown() -> None:
    world = deployed()
    endpoint(world, "master-2", status=DEAD)
    found = findings(world)
    for code in ("member.version", "version.floor", "version.bad"):
        assert (found[code, "master-2"].severity, found[code, "master-2"].message) == (
            UNKNOWN,
            "the member does not answer",
        )
    assert found["version.skew", "example"].severity is UNKNOWN
    assert "master-2" in found["version.skew", "example"].message


def test_where_nobody_answers_the_skew_is_unknown() -> None:
    world = deployed()
    for name in world.names:
        endpoint(world, name, status=DEAD)
    assert findings(world)["version.skew", "example"].severity is UNKNOWN


def test_where_nothing_is_declared_no_version_is_wanted() -> None:
    world = deployed()
    seen = evidence(replace(world.cluster, declared=False), world.observe(), {}, NOW)
    assert {one.code for one in versions.check(seen)} == {"version.floor", "version.bad", "version.skew"}
