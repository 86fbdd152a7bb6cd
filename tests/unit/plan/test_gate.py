"""May a cluster change to another release: the table of all pairs, the facts that a change hangs on, and properties."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd import versions
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.change import Facts
from nornir_etcd.plan.gate import gate, may_go_back
from nornir_etcd.plan.stages import shown, stages
from nornir_etcd.versions import Version, parse, server_flags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nornir_etcd.plan.gate import Verdict

NAMES = ("node-1", "node-2", "node-3")
PATCHES = {
    4: (0, 20, 21, 22, 23, 35),
    5: (0, 1, 2, 3, 4, 5, 6, 16, 23, 24, 25, 26, 30, 31, 32, 33),
    6: (0, 10, 11, 14),
    7: (0, 1),
}
RELEASES = [Version(3, minor, patch) for minor, patches in PATCHES.items() for patch in patches]
LINE = re.compile(r"[^\n]+: wanted [^\n]+, found [^\n]+; [^\n]+")
DARK = Unknown("it was dark")


def calm(wanted: Version, **facts: Any) -> Facts:
    """Return facts of which all are known and none speaks against a change; given ones in their place."""
    return replace(
        Facts(
            wanted_flags={name: server_flags(wanted, "TLS1.2") for name in NAMES},
            auth=False,
            downgrade=None,
            present_flags={name: {} for name in NAMES},
            v2_clean=dict.fromkeys(NAMES, True),
        ),
        **facts,
    )


def judge(running: str, wanted: str, known: str = "", **facts: Any) -> Verdict:
    """Return the verdict over members that run `running`: one version for all, or one each."""
    each = [parse(text) for text in running.split()]
    members = dict(zip(NAMES, each * len(NAMES) if len(each) == 1 else each, strict=False))
    return gate(members, parse(wanted), calm(parse(wanted), **facts), [parse(text) for text in known.split()])


def rules(old: Version, new: Version) -> tuple[str, bool]:
    """State the rules anew, in plain words: the kind of a change of a whole cluster, and whether it may be made."""
    loses_data = new in (parse("3.5.0"), parse("3.5.1"), parse("3.5.2"))
    if old == new:
        return "none", True
    if old.minor == new.minor:
        return ("patch" if new > old else "downgrade-patch"), not loses_data
    lower, upper = min(old, new), max(old, new)
    neighbours = upper.minor == lower.minor + 1
    # What the lower minor must run while the next one is beside it.
    needed = {4: 0, 5: 32, 6: 11}[lower.minor]
    side_by_side = neighbours and lower.patch >= needed and not loses_data
    if new > old:
        return "minor", side_by_side
    offered = old.minor in (6, 7)
    return "downgrade-minor", side_by_side and offered


@pytest.mark.parametrize("old", RELEASES, ids=str)
def test_every_pair_of_releases_is_judged_by_the_rules(old: Version) -> None:
    for new in RELEASES:
        verdict = judge(str(old), str(new))
        assert (verdict.kind, not verdict.refusals) == rules(old, new), f"{old} to {new}: {verdict.refusals}"


def test_the_table_sees_every_kind_allowed_and_refused() -> None:
    seen = {rules(old, new) for old, new in product(RELEASES, repeat=2)}
    kinds = ("patch", "minor", "downgrade-patch", "downgrade-minor")
    assert seen == {("none", True), *product(kinds, (True, False))}


def test_all_faults_and_warnings_are_one_line_with_a_remedy() -> None:
    dark = Facts(
        wanted_flags={
            NAMES[0]: {"enable-v2": "", "experimental-enable-lease-checkpoint": "true", "log-format": "console"},
            NAMES[1]: {"debug": "", "no-such-flag": "", "experimental-corrupt-check-time": "1h", "logger": "capnslog"},
        },
        auth=Unknown("two\nlines"),
        downgrade=Unknown("two\nlines"),
        cluster_version=Unknown("two\nlines"),
    )
    for old, new in product(RELEASES, repeat=2):
        verdict = gate(dict.fromkeys(NAMES, old), new, dark)
        for text in (*verdict.refusals, *verdict.warnings):
            assert LINE.fullmatch(text), text


# What is left of a step that has begun.


@pytest.mark.parametrize(
    ("running", "wanted", "kind", "origin"),
    [
        ("3.5.33 3.4.23 3.4.23", "3.5.33", "minor", "3.4.23"),
        ("3.5.33 3.4.23 3.4.22", "3.5.33", "minor", "3.4.22"),
        ("3.5.33 3.5.16 3.5.16", "3.5.33", "patch", "3.5.16"),
        ("3.5.16 3.5.33 3.5.33", "3.5.16", "downgrade-patch", "3.5.33"),
        ("3.5.16 3.5.33 3.5.25", "3.5.25", "downgrade-patch", "3.5.33"),
        ("3.6.14 3.6.14 3.5.33", "3.6.14", "minor", "3.5.33"),
        ("3.6.14 3.5.33 3.5.32", "3.6.14", "minor", "3.5.32"),
        ("3.5.33 3.4.23 3.4.23", "3.4.23", "rollback", "3.5.33"),
        ("3.6.14 3.5.33 3.5.33", "3.5.33", "rollback", "3.6.14"),
    ],
)
def test_a_step_that_has_begun_is_gone_on_with_or_taken_back(running: str, wanted: str, kind: str, origin: str) -> None:
    verdict = judge(running, wanted)
    assert (verdict.kind, verdict.origin, verdict.started) == (kind, parse(origin), True)
    assert not verdict.refusals
    assert verdict.path.startswith(f"{origin} -> ")
    assert verdict.path.endswith(f"-> {wanted}")


def test_members_that_nobody_has_moved_have_not_begun() -> None:
    assert not judge("3.5.33", "3.6.14").started
    assert not judge("3.6.14", "3.6.14").started


def test_members_too_far_apart_for_one_cluster_are_refused() -> None:
    verdict = judge("3.4.23 3.5.33 3.6.14", "3.6.14")
    assert (verdict.kind, verdict.origin, verdict.stages) == ("unclear", None, ())
    assert "neighbouring minors, found 3.4.23 on node-1; 3.5.33 on node-2; 3.6.14 on node-3" in verdict.refusals[0]


def test_a_mix_may_not_go_on_to_the_minor_after_next() -> None:
    verdict = judge("3.6.14 3.5.33 3.5.33", "3.7.1")
    assert "one minor at a time" in verdict.refusals[0]
    assert verdict.path == "3.5.33 -> 3.6.14 -> 3.7.1"


def test_the_member_below_the_floor_is_named_and_the_others_are_not() -> None:
    refused = judge("3.5.33 3.5.31 3.5.31", "3.6.14").refusals
    assert len(refused) == 1
    assert refused[0].startswith("node-2, node-3: wanted 3.5.32 or later beside 3.6, found 3.5.31: ")


def test_a_floor_says_every_reason_that_counts() -> None:
    (refused,) = judge("3.5.25", "3.6.14").refusals
    assert "etcd#20967" in refused
    assert "etcd#19557" not in refused


def test_a_mix_below_the_floor_may_be_taken_back() -> None:
    assert not judge("3.6.14 3.5.16 3.5.16", "3.5.16").refusals


def test_taking_back_leads_to_no_release_that_loses_data_unless_members_run_it() -> None:
    assert judge("3.6.14 3.5.33 3.5.33", "3.5.1").refusals
    verdict = judge("3.6.14 3.5.1 3.5.1", "3.5.1")
    assert not verdict.refusals
    assert any("etcd#13766" in text for text in verdict.warnings)


# What is not known.


def test_a_member_whose_version_is_not_known_stops_everything() -> None:
    old, new = parse("3.5.33"), parse("3.6.14")
    for wanted in (old, new):
        verdict = gate({"node-1": old, "node-2": old, "node-3": DARK}, wanted, calm(wanted))
        assert [text for text in verdict.refusals if text.startswith("node-3: version: ")]


@pytest.mark.parametrize("running", [{}, dict.fromkeys(NAMES, DARK)])
def test_a_cluster_of_which_nothing_is_known_is_refused(running: Mapping[str, Unknown]) -> None:
    verdict = gate(running, parse("3.5.33"), calm(parse("3.5.33")))
    assert verdict.kind == "unclear"
    assert len(verdict.refusals) == max(1, len(running))


@pytest.mark.parametrize("version", ["3.3.27", "3.8.0", "4.0.0"])
def test_a_release_whose_rules_are_not_known_is_refused(version: str) -> None:
    for running, wanted in product((version, "3.4.23", "3.7.1"), repeat=2):
        if version in (running, wanted):
            assert any(f"found {version}" in text for text in judge(running, wanted).refusals), (running, wanted)


@pytest.mark.parametrize(("auth", "refused"), [(False, False), (True, True), (DARK, True)])
def test_no_step_between_3_4_and_3_5_with_authentication(auth: bool | Unknown, refused: bool) -> None:
    for running in ("3.4.23", "3.5.33 3.4.23 3.4.23"):
        found = [text for text in judge(running, "3.5.33", auth=auth).refusals if text.startswith("authentication: ")]
        assert bool(found) == refused
    assert not judge("3.5.33", "3.6.14", auth=auth).refusals
    assert not judge("3.4.22", "3.4.23", auth=auth).refusals


def test_a_step_to_3_5_is_taken_back_though_authentication_cannot_be_read() -> None:
    verdict = judge("3.5.33 3.4.23 3.4.23", "3.4.23", auth=DARK)
    assert not verdict.refusals
    assert any(text.startswith("authentication: ") for text in verdict.warnings)
    assert judge("3.5.33 3.4.23 3.4.23", "3.4.23", auth=True).refusals


@pytest.mark.parametrize(
    ("clean", "flags", "refused", "warned"),
    [
        (True, {"enable-v2": "true"}, False, False),
        (True, DARK, False, False),
        (False, {}, True, False),
        (DARK, {}, False, True),
        (DARK, {"enable-v2": "false"}, False, True),
        (DARK, {"enable-v2": "true"}, True, False),
        (DARK, {"enable-v2": ""}, True, False),
        (DARK, {"experimental-enable-v2v3": "/v2"}, True, False),
        (DARK, DARK, True, False),
    ],
)
def test_no_step_to_3_6_on_data_of_the_v2_api(clean: Any, flags: Any, *, refused: bool, warned: bool) -> None:
    verdict = judge(
        "3.6.14 3.5.33 3.5.33", "3.6.14", v2_clean={"node-2": clean, "node-3": True}, present_flags={"node-2": flags}
    )
    assert [text.split(":")[0] for text in verdict.refusals] == ["node-2"] * refused
    assert [text for text in verdict.warnings if "v2 API" in text] == [
        text for text in verdict.warnings if text.startswith("node-2: v2 API") and warned
    ]
    assert any("v2 API" in text for text in verdict.warnings) == warned


def test_v2_data_matter_on_the_way_to_3_6_alone() -> None:
    for running, wanted in (("3.4.23", "3.5.33"), ("3.5.16", "3.5.33"), ("3.6.14", "3.7.1"), ("3.6.14", "3.5.33")):
        assert not judge(running, wanted, v2_clean={}, present_flags={}).refusals, (running, wanted)


@pytest.mark.parametrize(
    ("running", "wanted", "told", "kind", "refused"),
    [
        ("3.6.14", "3.7.1", "3.5.0", "minor", True),
        ("3.6.14", "3.7.1", None, "minor", False),
        ("3.6.14 3.6.14 3.5.33", "3.6.14", "3.5.0", "minor", True),
        ("3.6.14 3.5.33 3.5.33", "3.5.33", "3.5.0", "downgrade-minor", False),
        ("3.6.14", "3.5.33", "3.5.0", "downgrade-minor", False),
        ("3.7.1", "3.6.14", "3.6.0", "downgrade-minor", False),
        ("3.7.1 3.6.14 3.6.14", "3.6.14", "3.5.0", "downgrade-minor", True),
        ("3.6.11", "3.6.14", "3.5.0", "patch", False),
    ],
)
def test_a_downgrade_that_is_enabled_is_finished_or_cancelled_first(
    running: str, wanted: str, told: str | None, kind: str, *, refused: bool
) -> None:
    verdict = judge(running, wanted, downgrade=parse(told) if told else None)
    assert verdict.kind == kind
    assert bool(verdict.refusals) == refused, verdict.refusals
    assert all(text.startswith("downgrade: ") for text in verdict.refusals)


def test_whether_a_downgrade_is_enabled_must_be_known_on_the_way_up_and_is_warned_of_elsewhere() -> None:
    assert judge("3.6.14", "3.7.1", downgrade=DARK).refusals
    assert judge("3.6.14 3.5.33 3.5.33", "3.6.14", downgrade=DARK).refusals
    for running, wanted in (("3.6.11", "3.6.14"), ("3.6.14", "3.5.33"), ("3.6.14 3.5.33 3.5.33", "3.5.33")):
        verdict = judge(running, wanted, downgrade=DARK)
        assert not verdict.refusals
        assert any(text.startswith("downgrade: ") for text in verdict.warnings)
    assert not judge("3.5.16", "3.5.33", downgrade=DARK).warnings
    assert not judge("3.5.33", "3.6.14", downgrade=DARK).refusals  # 3.5 tells nothing of it


def test_a_step_is_not_taken_back_on_storage_or_protocol_that_was_turned() -> None:
    mix = "3.6.14 3.5.33 3.5.33"
    assert judge(mix, "3.5.33", storage={"node-1": parse("3.6.0")}).refusals
    assert judge(mix, "3.5.33", cluster_version=parse("3.6.0")).refusals
    turned_back = judge(mix, "3.5.33", storage={"node-1": parse("3.5.0")}, cluster_version=parse("3.5.0"))
    assert (turned_back.refusals, turned_back.warnings) == ((), ())
    assert any("storage version" in text for text in judge(mix, "3.5.33").warnings)


def test_the_next_step_waits_for_the_last_one() -> None:
    assert judge("3.5.33", "3.6.14", cluster_version=parse("3.4.0")).refusals
    assert not judge("3.6.14 3.5.33 3.5.33", "3.6.14", cluster_version=parse("3.5.0")).refusals
    assert not judge("3.5.33", "3.6.14", cluster_version=parse("3.5.0")).warnings
    assert any("cluster version" in text for text in judge("3.5.33", "3.6.14", cluster_version=DARK).warnings)


# What is advised.


def test_an_older_patch_than_the_newest_known_is_a_warning() -> None:
    settled: dict[str, Any] = {"cluster_version": parse("3.5.0")}
    leaving, wanted = (judge("3.5.32", "3.6.11", **settled).warnings[index] for index in (1, 0))
    assert leaving.startswith(
        "node-1, node-2, node-3: wanted the newest patch before the next minor, found 3.5.32; 3.5.33"
    )
    assert wanted.startswith(
        "etcd_version: wanted the newest patch, found 3.6.11, in which a client can deny the service"
    )
    assert all("was not looked up" in text for text in (leaving, wanted))
    assert judge("3.5.33", "3.6.14", **settled).warnings == ()


def test_a_newer_release_that_can_be_had_is_named() -> None:
    (warned,) = judge("3.5.33", "3.5.34", known="3.4.99 3.5.33 3.5.34 3.5.36 3.6.99").warnings
    assert "3.5.36 is the newest that is known here" in warned


@pytest.mark.parametrize("wanted", ["3.4.21", "3.5.5"])
def test_a_release_that_etcd_advises_against_is_a_warning(wanted: str) -> None:
    verdict = judge("3.4.20", wanted)
    assert not verdict.refusals
    assert any("advises against" in text for text in verdict.warnings)


def test_an_upgrade_away_from_a_release_that_loses_data_says_to_compare_the_members() -> None:
    verdict = judge("3.5.2", "3.5.33")
    assert not verdict.refusals
    assert any("compare the hashes" in text for text in verdict.warnings)


# Flags.


def test_flags_that_the_wanted_release_does_not_know_are_refused_once_for_all_members() -> None:
    flags = {"experimental-corrupt-check-time": "1h"}
    assert not judge("3.5.33", "3.6.14", wanted_flags=dict.fromkeys(NAMES, flags)).refusals
    (refused,) = judge("3.6.14", "3.7.1", wanted_flags=dict.fromkeys(NAMES, flags)).refusals
    assert refused == (
        "node-1, node-2, node-3: --experimental-corrupt-check-time: wanted flags that etcd 3.7.1 knows, "
        "found one that is gone since 3.7.0; write corrupt-check-time in its place"
    )


def test_flags_of_which_nothing_is_known_are_a_warning() -> None:
    verdict = judge("3.5.16", "3.5.33", wanted_flags={"node-1": {"max-txn-opps": "1"}, "node-2": {"pre-vote": "true"}})
    assert not verdict.refusals
    (warned,) = verdict.warnings
    assert warned.startswith("node-1: --max-txn-opps: ")


def test_the_gate_shows_the_stages_of_what_it_refuses() -> None:
    verdict = judge("3.4.23", "3.6.14", known="3.5.34")
    assert verdict.path == "3.4.23 -> 3.5.34 -> 3.6.14"
    assert any(verdict.path in text for text in verdict.refusals)


# Going back.


@pytest.mark.parametrize(
    ("from_", "to", "still_on_old", "may"),
    [
        ("3.5.33", "3.4.23", True, True),
        ("3.5.33", "3.4.23", False, False),
        ("3.6.14", "3.5.33", True, True),
        ("3.6.14", "3.5.33", False, False),
        ("3.6.14", "3.4.23", True, False),
        ("3.5.33", "3.5.16", False, True),
        ("3.5.16", "3.5.33", False, True),
    ],
)
def test_old_binaries_start_again_only_beside_a_member_of_the_old_minor(
    from_: str, to: str, *, still_on_old: bool, may: bool
) -> None:
    refused = may_go_back(parse(from_), parse(to), still_on_old=still_on_old)
    assert (refused is None) == may
    assert refused is None or LINE.fullmatch(refused)


def test_the_way_back_that_etcd_offers_is_named_where_there_is_one() -> None:
    assert "etcd's own downgrade" in str(may_go_back(parse("3.6.14"), parse("3.5.33"), still_on_old=False))
    assert "downgrade" not in str(may_go_back(parse("3.5.33"), parse("3.4.23"), still_on_old=False))


# What holds for any release.

any_release = st.builds(Version, st.just(3), st.integers(4, 7), st.integers(0, 60))
mixes = st.lists(any_release, min_size=1, max_size=3)
LEAST = {5: 32, 6: 11}


@given(mixes, any_release)
def test_a_change_that_is_let_through_is_over_one_border_and_above_its_floor(
    running: list[Version], to: Version
) -> None:
    verdict = gate(dict(zip(NAMES, running, strict=False)), to, calm(to))
    if verdict.refusals:
        return
    minors = {one.minor for one in (*running, to)}
    assert max(minors) - min(minors) <= 1
    if verdict.kind == "minor":
        assert all(one.patch >= LEAST.get(one.minor, 0) for one in running if one.minor < to.minor)
    if verdict.kind == "downgrade-minor":
        assert to.minor >= 5
        assert to.patch >= LEAST[to.minor]
    if verdict.kind not in ("none", "rollback"):
        assert not versions.known_bad(to) or not versions.known_bad(to).loses_data  # type: ignore[union-attr]  # asked


@given(mixes, any_release, st.integers(0, 60))
def test_a_newer_patch_before_the_step_never_bars_the_way_up(running: list[Version], to: Version, more: int) -> None:
    newer = [replace(one, patch=one.patch + more) if one.minor < to.minor else one for one in running]
    before = gate(dict(zip(NAMES, running, strict=False)), to, calm(to))
    after = gate(dict(zip(NAMES, newer, strict=False)), to, calm(to))
    if before.kind == "minor" and not before.refusals:
        assert not after.refusals


@given(mixes, any_release)
def test_knowing_less_never_lets_more_through(running: list[Version], to: Version) -> None:
    members = dict(zip(NAMES, running, strict=False))
    known = gate(members, to, calm(to))
    dark = gate(members, to, Facts(wanted_flags=calm(to).wanted_flags))
    assert set(known.refusals) <= set(dark.refusals)
    assert set(known.warnings) <= set(dark.warnings)
    blind = gate({**members, NAMES[0]: DARK}, to, calm(to))
    assert blind.refusals


@given(any_release, any_release, st.lists(any_release, max_size=8))
def test_each_stage_is_a_change_that_is_let_through(from_: Version, to: Version, known: list[Version]) -> None:
    path = stages(from_, to, known)
    # The last release is the operator's own choice: whether it may be run is not for the way to say.
    for old, new in pairwise(path[:-1] if from_ > to or versions.known_bad(to) else path):
        verdict = gate(dict.fromkeys(NAMES, old), new, calm(new), known)
        assert verdict.refusals == (), shown(path)
    assert not path or (path[0], path[-1]) == (from_, to)
    assert list(path) in (sorted(path), sorted(path, reverse=True))


@given(any_release, any_release)
def test_a_finished_change_changes_nothing_more(old: Version, new: Version) -> None:
    verdict = gate(dict.fromkeys(NAMES, new), new, calm(new))
    assert (verdict.kind, verdict.origin, verdict.started, verdict.refusals) == ("none", None, False, ())
    assert verdict.stages == (new,)
    begun = gate({NAMES[0]: new, NAMES[1]: old}, new, calm(new))
    whole = gate({NAMES[0]: old, NAMES[1]: old}, new, calm(new))
    if not whole.refusals:
        assert not begun.refusals
