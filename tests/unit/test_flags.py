"""The life of etcd's flags, as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd import versions
from nornir_etcd.flags import FLAG_LIVES, flag_faults, knows_flag, unknown_flags
from nornir_etcd.versions import Version, parse, server_flags

releases = st.builds(Version, st.just(3), st.integers(4, 7), st.integers(0, 60))


@pytest.mark.parametrize(
    ("flag", "value", "version", "fault"),
    [
        ("enable-v2", "true", "3.5.33", ""),
        ("enable-v2", "false", "3.6.0", "gone since 3.6.0"),
        ("experimental-enable-v2v3", "/v2", "3.6.0", "gone since 3.6.0"),
        ("experimental-anything-at-all", "", "3.7.0", "gone since 3.7.0"),
        ("experimental-enable-lease-checkpoint", "true", "3.7.1", "the feature gate LeaseCheckpoint"),
        ("corrupt-check-time", "1h", "3.5.33", "came with 3.6.0 of 3.6"),
        ("corrupt-check-time", "1h", "3.6.0", ""),
        ("max-concurrent-streams", "1", "3.4.19", "came with 3.4.20 of 3.4 and 3.5.5 of 3.5"),
        ("max-concurrent-streams", "1", "3.4.20", ""),
        ("max-concurrent-streams", "1", "3.5.4", "came with"),
        ("max-concurrent-streams", "1", "3.7.1", ""),
        ("debug", "", "3.5.0", "write log-level in its place"),
        ("logger", "capnslog", "3.4.35", ""),
        ("logger", "capnslog", "3.5.0", "gone since 3.5.0"),
        ("logger", "capnslog", "3.5.33", "a value that etcd 3.5.33 takes"),
        ("v2-deprecation", "not-yet", "3.6.14", "gone since 3.6.0"),
        ("v2-deprecation", "write-only", "3.6.14", ""),
        ("no-such-flag", "", "3.6.14", ""),
    ],
)
def test_a_flag_is_held_against_the_release(flag: str, value: str, version: str, fault: str) -> None:
    found = flag_faults({flag: value, "pre-vote": "true"}, parse(version))
    assert len(found) == bool(fault)
    assert all(fault in text for text in found)


@given(releases)
def test_a_release_knows_the_flags_that_the_manifest_gives_it(version: Version) -> None:
    flags = dict.fromkeys(versions.OWN_FLAGS & set(server_flags(version, "TLS1.2")), "true")
    common = {
        name: "" for name in versions.OWN_FLAGS if not name.startswith(("experimental-", "feature-", "tls-", "wat"))
    }
    assert flag_faults(flags | common, version) == ()
    assert unknown_flags(flags | common, version) == ()


@given(st.sampled_from(sorted(FLAG_LIVES)), releases, releases)
def test_a_flag_that_is_gone_stays_gone(name: str, one: Version, other: Version) -> None:
    until = FLAG_LIVES[name].until
    low, high = sorted((one, other))
    if until and low >= until:
        assert knows_flag(high, name) is False
