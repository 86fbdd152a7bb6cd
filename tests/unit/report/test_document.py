"""The report as JSON."""

from __future__ import annotations

import json
from datetime import timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nornir_etcd.report
from nornir_etcd.report.document import from_json, schema, to_json
from nornir_etcd.report.model import ClusterReport, Finding, MemberReport, Report, StepReport
from tests.unit.program import PROGRAM, run
from tests.unit.report import samples

SHIPPED = Path(nornir_etcd.report.__file__).with_name("report.schema.json")
EVERY = pytest.mark.parametrize("sample", samples.SAMPLES.values(), ids=samples.SAMPLES)

FINDINGS = st.builds(Finding)
STEPS = st.builds(StepReport, seconds=st.floats(0, 1e6), log=st.lists(st.text(), max_size=3))
CLUSTERS = st.builds(
    ClusterReport,
    members=st.lists(st.builds(MemberReport), max_size=3),
    plan=st.lists(STEPS, max_size=3),
    findings=st.lists(FINDINGS, max_size=3),
)
REPORTS = st.builds(
    Report,
    clusters=st.lists(CLUSTERS, max_size=2),
    started_at=st.datetimes(timezones=st.just(timezone.utc)),
    finished_at=st.datetimes(timezones=st.just(timezone.utc)),
)


def is_valid(text: str) -> bool:
    """Whether JSON is as the shipped schema has it."""
    jsonschema.validate(json.loads(text), json.loads(SHIPPED.read_text(encoding="utf-8")))
    return True


def test_the_shipped_schema_is_the_models() -> None:
    assert json.loads(SHIPPED.read_text(encoding="utf-8")) == schema(), "nornir-etcd report schema > report.schema.json"


def test_the_program_prints_the_shipped_schema(tmp_path: Path) -> None:
    done = run(PROGRAM, "report", "schema", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == SHIPPED.read_text(encoding="utf-8")


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@EVERY
def test_a_report_is_as_the_schema_has_it(sample: samples.Maker) -> None:
    assert is_valid(to_json(sample()))


@EVERY
def test_a_report_is_read_as_it_was_written(sample: samples.Maker) -> None:
    text = to_json(sample())
    assert from_json(text) == sample()
    assert to_json(from_json(text)) == text


@settings(max_examples=60, deadline=None)
@given(REPORTS)
def test_any_report_is_valid_and_is_read_as_it_was_written(report: Report) -> None:
    text = to_json(report)
    assert is_valid(text)
    assert from_json(text) == report
    assert to_json(from_json(text)) == text
    assert text.encode()


def test_the_exit_code_and_whether_anything_changed_are_written_for_readers() -> None:
    document = json.loads(to_json(samples.failed_step()))
    assert document["exit_code"] == 3
    assert document["changed"] is True


def test_nothing_can_be_added_that_the_model_does_not_have() -> None:
    def closed(part: dict[str, Any]) -> bool:
        return "properties" not in part or part["additionalProperties"] is False

    assert all(closed(part) for part in [schema(), *schema()["$defs"].values()])


def test_no_field_is_for_key_material() -> None:
    names = {name for part in [schema(), *schema()["$defs"].values()] for name in part.get("properties", ())}
    assert not {name for name in names for word in ("key", "pem", "secret", "password", "token") if word in name}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("\x00\x01", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "JSON that is no object"),
        ("{}", "first tool: Field required"),
        ('{"schema_version": "2"}', "first schema_version: Input should be '1'"),
    ],
    ids=["empty", "binary", "deep", "list", "object", "version"],
)
def test_what_is_no_report_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[]"])
def test_show_says_in_one_line_that_a_file_is_no_report(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    done = run(PROGRAM, "report", "show", "report.json", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: report.json: wanted a report of nornir-etcd, found ")
    assert done.err.count("\n") == 1
