"""The files that a report is written to."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.report import outputs
from nornir_etcd.report.document import from_json, to_json
from nornir_etcd.report.markdown import to_markdown
from nornir_etcd.report.outputs import FORMS, check_outputs, write_outputs
from nornir_etcd.report.summary import summary_line
from tests.unit.program import full_device, null_device, run
from tests.unit.report import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir_etcd.report.model import Report


@pytest.fixture
def umask() -> Iterator[None]:
    """The umask of a careful user."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("suffix", FORMS)
def test_every_form_is_written_and_nothing_besides(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix}"
    check_outputs([path])
    assert list(write_outputs([path], samples.deep_verify())) == []
    assert path.read_text(encoding="utf-8") == FORMS[suffix](samples.deep_verify())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMS)
def test_every_form_ends_with_the_summary(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix}"
    assert list(write_outputs([path], samples.refused())) == []
    text = re.sub(r"(?s)<script.*?</script>", "", path.read_text(encoding="utf-8"))
    end = re.sub(r"<(?!!--)[^>]*>|\s+", " ", text)[-300:]
    assert all(word in end for word in ("2 of 3 members healthy, nothing changed", "31 ok", "4.2 s"))


def test_the_last_line_for_prometheus_is_a_comment_that_its_parser_passes_over() -> None:
    *samples_before, last = FORMS[".prom"](samples.deep_verify()).splitlines()
    assert last == f"# {summary_line(samples.deep_verify())}"
    assert list(text_string_to_metric_families("\n".join(samples_before))) == list(
        text_string_to_metric_families(FORMS[".prom"](samples.deep_verify()))
    )


def test_the_suffix_decides_whatever_its_case(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.MD"]
    assert list(write_outputs(paths, samples.refused())) == []
    assert paths[0].read_text(encoding="utf-8") == to_json(samples.refused())
    assert paths[1].read_text(encoding="utf-8") == to_markdown(samples.refused())


@pytest.mark.parametrize("name", ["report", "report.txt", "json", ".json", "report.json.gz"])
def test_another_suffix_is_refused_with_the_five_that_there_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(InventoryError) as caught:
        check_outputs([tmp_path / name])
    assert caught.value.problems == (
        f"--output: wanted a name that ends in .json, .md, .html, .xml, .prom, found {tmp_path / name}",
    )


def test_every_path_that_is_unfit_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").touch()
    paths = [tmp_path / name for name in ("good.json", "no/report.json", "folder.json", "x.pdf", "file/report.md")]
    with pytest.raises(InventoryError) as caught:
        check_outputs(paths)
    assert [problem.rpartition(" ")[2] for problem in caught.value.problems] == [str(path) for path in paths[1:]]


def test_only_the_file_for_prometheus_is_readable_whatever_the_umask(tmp_path: Path, umask: None) -> None:  # noqa: ARG001 - it is set
    paths = [tmp_path / f"report{suffix}" for suffix in FORMS]
    assert list(write_outputs(paths, samples.deep_verify())) == []
    assert {path.suffix: mode(path) for path in paths} == dict.fromkeys(FORMS, 0o600) | {".prom": 0o644}


def test_a_file_that_cannot_be_written_is_one_line_and_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "b.md":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    paths = [tmp_path / name for name in ("a.json", "b.md", "c.xml")]
    assert list(write_outputs(paths, samples.deep_verify())) == [f"--output: {paths[1]}: No space left on device"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "c.xml"]


def test_a_form_that_fails_takes_no_other_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Report) -> str:
        raise KeyError("x")

    monkeypatch.setitem(outputs.FORMS, ".md", broken)
    paths = [tmp_path / "a.md", tmp_path / "b.json"]
    assert list(write_outputs(paths, samples.refused())) == [
        f"--output: {paths[0]}: internal error: KeyError; see the log"
    ]
    assert from_json(paths[1].read_text(encoding="utf-8")) == samples.refused()


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("old", encoding="utf-8")
    with path.open(encoding="utf-8") as reader:
        assert list(write_outputs([path], samples.refused())) == []
        assert reader.read() == "old"
    assert from_json(path.read_text(encoding="utf-8")) == samples.refused()


def test_a_link_stays_one(tmp_path: Path) -> None:
    link = tmp_path / "latest.json"
    link.symlink_to("2026.json")
    check_outputs([link])
    assert list(write_outputs([link], samples.refused())) == []
    assert link.is_symlink()
    assert from_json((tmp_path / "2026.json").read_text(encoding="utf-8")) == samples.refused()


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    null, full = null_device(tmp_path), full_device(tmp_path)
    check_outputs([null, full])
    assert list(write_outputs([null, full], samples.refused())) == [f"--output: {full}: No space left on device"]
    assert null.is_char_device()
    assert full.is_char_device()


def test_a_run_loads_the_forms_that_it_writes_and_no_others(tmp_path: Path) -> None:
    code = (
        "import sys, nornir_etcd.report.outputs; print([n for n in sys.modules if n.startswith('nornir_etcd.report.')])"
    )
    assert "markdown" not in run(sys.executable, "-c", code, cwd=tmp_path).out
