"""The report as Markdown."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.report.markdown import text, to_markdown
from nornir_etcd.report.model import Severity
from nornir_etcd.report.summary import summary_line
from tests.unit.report import samples

EVERY = pytest.mark.parametrize("sample", samples.SAMPLES.values(), ids=samples.SAMPLES)


def cells(line: str) -> list[str]:
    """Return the cells of a row, as GitHub splits it: at each bar that is not escaped."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def tables(markdown: str) -> list[list[list[str]]]:
    """Return every table, outside of blocks of code."""
    found: list[list[list[str]]] = []
    inside, fence = False, ""
    for line in markdown.splitlines():
        if fence or line.startswith("```"):
            start = re.match("`+", line)
            fence = "" if fence and line == fence else fence or (start[0] if start else "")
            continue
        if line.startswith("| "):
            if not inside:
                found.append([])
            found[-1].append(cells(line))
        inside = line.startswith("| ")
    return found


@EVERY
def test_every_row_of_a_table_has_as_many_cells_as_its_headings(sample: samples.Maker) -> None:
    for rows in tables(to_markdown(sample())):
        assert {len(row) for row in rows} == {len(rows[0])}


@EVERY
def test_the_last_line_is_the_summary(sample: samples.Maker) -> None:
    assert to_markdown(sample()).endswith(f"\n\n{text(summary_line(sample()))}\n")


def test_what_is_not_ok_is_told_with_its_remedy_and_what_is_ok_by_its_code() -> None:
    report = samples.findings_of_each_severity()
    markdown = to_markdown(report)
    (rows,) = [rows for rows in tables(markdown) if rows[0][0] == "finding"]
    assert [row[0] for row in rows[2:]] == ["critical", "critical", "unknown", "warning"]
    for finding in report.clusters[0].findings:
        if finding.severity is not Severity.OK:
            assert [
                finding.severity.value,
                finding.subject,
                finding.code,
                text(finding.message),
                text(finding.remedy),
            ] in rows
    assert "ok: host.unreachable, client.unreachable, " in markdown


def test_what_is_waived_comes_last_with_reason_and_day() -> None:
    (rows,) = [rows for rows in tables(to_markdown(samples.deep_verify())) if rows[0][0] == "finding"]
    assert [row[0] for row in rows[2:]] == ["critical", "warning", "~~critical~~ waived", "~~warning~~ waived"]
    assert rows[4][3] == "an even number of members — waived: as it is"
    assert rows[5][3].endswith("— waived until 2026-12-31: frozen until the move")


def test_the_ways_between_members_are_a_matrix() -> None:
    (rows,) = [rows for rows in tables(to_markdown(samples.deep_verify())) if rows[0][0] == "peer port of"]
    assert rows[0] == ["peer port of", "master-1", "master-2", "master-3"]
    assert rows[2:] == [
        ["controller", "open", "open", "open"],
        ["master-1", "-", "open", "open"],
        ["master-2", "open", "-", "silent"],
        ["master-3", "open", "open", "-"],
    ]


def test_certificates_are_told_with_the_days_that_are_left() -> None:
    (rows,) = [rows for rows in tables(to_markdown(samples.deep_verify())) if rows[0][1] == "place"]
    assert rows[2][:3] == ["master-1", "client", "CN=master-1"]
    assert rows[2][5:] == ["CN=example CA", "1f", "2027-03-02", "100 days", ""]
    assert len(rows) == 2 + 6


def test_a_diff_is_a_block_of_code_that_nothing_in_it_can_close() -> None:
    step = samples.step("master-1", "replace-manifest", "r", diff="```\n# owned\n````\n+x")
    cluster = samples.dry_run().clusters[0].model_copy(update={"plan": [step]})
    markdown = to_markdown(samples.report("deploy", cluster))
    assert "`````diff\n```\n# owned\n````\n+x\n`````\n" in markdown


def test_text_of_a_host_is_neither_markup_nor_html_nor_control() -> None:
    assert text("<b>x</b> & [a](b) *c* `d` ~~e~~ |f|\n# g \x1b[0m") == (
        r"&lt;b&gt;x&lt;/b&gt; &amp; \[a\](b) \*c\* \`d\` \~\~e\~\~ \|f\| # g \\x1b\[0m"
    )
    assert text("etcd_renew_days _x_ __init__") == r"etcd_renew_days \_x\_ \_\_init\_\_"
    markdown = to_markdown(samples.hostile())
    assert not [char for char in markdown if unicodedata.category(char) in ("Cc", "Cf") and char not in "\n\t"]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_stays_in_its_cell(found: str) -> None:
    shown = text(found)
    assert "\n" not in shown
    assert "<" not in shown
    assert cells(f"| {shown} | x |")[1] == "x"
