"""Releases of etcd as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd import versions
from nornir_etcd.versions import Version, live_path, parse, ready_path, server_flags, startup_path

COMPACT_HASH = "experimental-compact-hash-check-enabled"
PROGRESS = "experimental-watch-progress-notify-interval"

releases = st.builds(Version, st.just(3), st.integers(4, 7), st.integers(0, 60))


@pytest.mark.parametrize("tag", ["3.5.16", "v3.5.16", "3.5.16-0", "v3.5.16-arm64", "3.5.16+build.1"])
def test_a_tag_names_its_release(tag: str) -> None:
    assert parse(tag) == Version(3, 5, 16)
    assert str(parse(tag)) == "3.5.16"


@pytest.mark.parametrize(
    "tag", ["", "3.5", "latest", "3.5.x", "3.5.16 ", "3.5.16\n", "-3.5.16", "3.05.1", "٣.5.16", "3.5.16_0"]
)
def test_what_is_no_version_is_refused_in_one_line(tag: str) -> None:
    with pytest.raises(ValueError, match="wanted a version such as") as error:
        parse(tag)
    assert "\n" not in str(error.value)


@given(st.text())
def test_any_text_is_a_version_or_refused(tag: str) -> None:
    try:
        version = parse(tag)
    except ValueError:
        return
    assert parse(str(version)) == version


def test_releases_are_ordered_by_number_and_not_by_text() -> None:
    assert parse("3.5.9") < parse("3.5.16") < parse("3.6.0-rc.1") < parse("3.10.0")


@pytest.mark.parametrize(
    ("version", "flags"),
    [
        ("3.4.10", "experimental-initial-corrupt-check"),
        ("3.4.11", f"experimental-initial-corrupt-check {PROGRESS}"),
        ("3.4.25", f"experimental-initial-corrupt-check {PROGRESS} tls-min-version"),
        ("3.5.4", f"experimental-initial-corrupt-check {PROGRESS}"),
        ("3.5.5", f"{COMPACT_HASH} experimental-initial-corrupt-check {PROGRESS}"),
        ("3.5.8", f"{COMPACT_HASH} experimental-initial-corrupt-check {PROGRESS} tls-min-version"),
        ("3.6.0", "feature-gates tls-min-version watch-progress-notify-interval"),
        ("3.7.1", "feature-gates tls-min-version watch-progress-notify-interval"),
    ],
)
def test_flags_come_with_the_patch_release_that_brought_them(version: str, flags: str) -> None:
    assert " ".join(sorted(server_flags(parse(version), "TLS1.2"))) == flags


@given(releases)
def test_no_experimental_flag_is_given_to_3_6_and_later(version: Version) -> None:
    experimental = any(name.startswith("experimental-") for name in server_flags(version, "TLS1.3"))
    assert experimental == (version < Version(3, 6, 0))


@given(releases)
def test_what_depends_on_the_release_is_refused_as_an_extra_argument(version: Version) -> None:
    assert set(server_flags(version, "TLS1.2")) <= versions.OWN_FLAGS


@pytest.mark.parametrize(
    ("version", "live", "ready"),
    [
        ("3.4.28", "/metrics", "/health"),
        ("3.4.29", "/livez", "/readyz"),
        ("3.5.2", "/metrics", "/health"),
        ("3.5.3", "/health?serializable=true", "/health"),
        ("3.5.10", "/health?serializable=true", "/health"),
        ("3.5.11", "/livez", "/readyz"),
        ("3.6.0", "/livez", "/readyz"),
    ],
)
def test_probes_ask_what_the_release_can_answer(version: str, live: str, ready: str) -> None:
    assert (live_path(parse(version)), ready_path(parse(version))) == (live, ready)


@given(releases)
def test_no_probe_that_restarts_a_container_asks_plain_health(version: Version) -> None:
    assert "/health" not in {live_path(version), startup_path(version)}


@given(releases)
def test_a_release_without_a_security_floor_has_ended(version: Version) -> None:
    assert versions.has_ended(version) == (versions.security_floor(version) is None)


def test_the_release_to_use_instead_of_a_bad_one_is_good_and_of_the_same_minor() -> None:
    for bad in versions.KNOWN_BAD:
        assert bad.first <= bad.last < bad.use
        assert versions.known_bad(bad.first) is versions.known_bad(bad.last) is bad
        assert versions.known_bad(bad.use) is None
        assert (bad.use.major, bad.use.minor) == (bad.first.major, bad.first.minor)
