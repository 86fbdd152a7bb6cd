from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.lab.host.criprint import fatal, human_size, klog, quote, rfc3339, table

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[2] / "data/crictl"


@pytest.mark.parametrize("name", ["images.txt", "ps-all-crashed.txt"])
def test_a_table_is_laid_out_as_recorded(capsys: pytest.CaptureFixture[str], name: str) -> None:
    recorded = (DATA / name).read_text(encoding="utf-8")
    head, *rows = [re.split(r"\s{3,}", line.rstrip()) for line in recorded.splitlines()]
    # POD ID and IMAGE ID hold one space; more than two part the columns.
    table(head, rows)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        line.rstrip() for line in recorded.splitlines()
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(40919670, "40.9MB"), (65311350, "65.3MB"), (686710, "687kB"), (12, "12B"), (2_500_000_000, "2.5GB")],
)
def test_sizes_are_written_as_recorded(size: int, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1795347239972323085, "2026-11-22T11:33:59.972323085Z"),
        (1795347239900000000, "2026-11-22T11:33:59.9Z"),
        (1795347239000000000, "2026-11-22T11:33:59Z"),
        (0, "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert rfc3339(nanoseconds) == text


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        (lambda: klog("remote_image.go:250", '"x"'), r'E\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ remote_image\.go:250\] "x"'),
    ],
)
def test_log_lines_are_klogs(line: Callable[[], str], pattern: str) -> None:
    assert re.fullmatch(pattern, line())


def test_last_words_are_logfmt_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert fatal('no "such"') == 1
    assert re.fullmatch(r'time="\S+Z" level=fatal msg="no \\"such\\""\n', capsys.readouterr().err)


def test_quotes_and_newlines_are_escaped() -> None:
    assert quote('a "b"\n') == '"a \\"b\\"\\n"'
