"""The variable etcd_waivers."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import HostVariables
from nornir_etcd.settings.load import load_settings
from nornir_etcd.settings.waivers import WaiverRule

GOOD = {"code": "cert.expiring", "subject": "master-1", "reason": "known", "until": "2027-01-31"}


def loaded(value: object, **others: object) -> tuple[WaiverRule, ...]:
    """Return the waivers of a host whose group has this value."""
    layers = (("group etcd", {"etcd_waivers": value, **others}),)
    found, _ = load_settings([HostVariables("master-1", "192.0.2.11", layers)])
    return found["master-1"].etcd_waivers


def fault(value: object) -> str:
    """Return the one line that refuses a value."""
    with pytest.raises(InventoryError) as caught:
        loaded(value)
    (line,) = caught.value.problems
    return line


@pytest.mark.parametrize(
    "value",
    [
        [GOOD],
        (GOOD,),
        [GOOD | {"until": date(2027, 1, 31)}],
        '[{"code": "cert.expiring", "subject": "master-1", "reason": "known", "until": "2027-01-31"}]',
        [GOOD | {"subject": "{{ inventory_hostname }}"}],
    ],
    ids=["list", "tuple", "date", "JSON", "Jinja"],
)
def test_a_waiver_is_read_however_it_is_written(value: object) -> None:
    assert loaded(value) == (WaiverRule("cert.expiring", "master-1", "known", date(2027, 1, 31)),)


def test_subject_and_day_may_be_left_out() -> None:
    assert loaded([{"code": "cert", "reason": "known"}]) == (WaiverRule("cert", "*", "known", None),)
    assert loaded([{"code": "cert", "reason": "known", "until": None}])[0].until is None
    assert loaded([]) == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("cert", "as YAML or as JSON in a string, found 'cert'"),
        ({"code": "cert"}, "wanted a list of waivers, "),
        (["cert"], "(not 'cert')"),
        ([GOOD | {"untill": "2027-01-01"}], "(not 'untill')"),
        ([{"code": "cert"}], "wanted reason: why it is borne (not none in {'code': 'cert'})"),
        ([GOOD | {"reason": "  "}], "wanted reason: why it is borne (not ' ')"),
        ([GOOD | {"reason": "two\nlines"}], "wanted reason: why it is borne (not "),
        ([{"reason": "x"}], "wanted code: a finding's code or a pattern of it"),
        ([GOOD | {"code": "a b"}], "(not 'a b')"),
        ([GOOD | {"code": 7}], "(not 7)"),
        ([GOOD | {"subject": None}], "wanted subject: a member's or the cluster's name, or '*' (not None)"),
        ([GOOD | {"until": "soon"}], "wanted until: a date such as 2027-01-31 (not 'soon')"),
        ([GOOD | {"until": "2027-02-30"}], "(not '2027-02-30')"),
        ([GOOD | {"until": "20270131"}], "(not '20270131')"),
        ([GOOD | {"until": 2027}], "(not 2027)"),
        ([GOOD | {"until": datetime(2027, 1, 1, tzinfo=timezone.utc)}], "wanted until: a date "),
        ([GOOD, GOOD | {"code": ""}], "(not '')"),
    ],
)
def test_a_bad_waiver_is_told_in_one_line_with_its_place(value: object, said: str) -> None:
    line = fault(value)
    assert line.startswith("master-1: etcd_waivers: wanted ")
    assert line.endswith("(set in group etcd)")
    assert said in line
    assert ", found " in line


JSONLIKE: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "x"]), inner, max_size=5),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(JSONLIKE)
def test_any_value_is_read_or_refused_in_lines(value: object) -> None:
    told: tuple[str, ...] = ()
    try:
        assert all(isinstance(one, WaiverRule) for one in loaded(value))
    except InventoryError as error:
        told = error.problems
    assert all("\n" not in line for line in told)
