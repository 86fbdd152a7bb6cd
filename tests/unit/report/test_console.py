"""The report on a terminal and in a log."""

from __future__ import annotations

import io
import re
import unicodedata
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from nornir_etcd.report.console import SPARE, print_report, report_view
from nornir_etcd.report.document import to_json
from nornir_etcd.report.model import ClusterReport, Outcome, Report, Severity
from tests.unit.program import PROGRAM, run, run_on_terminal
from tests.unit.report import samples

if TYPE_CHECKING:
    from pathlib import Path

SGR = re.compile(r"\x1b\[[\d;]*m")
EVERY = pytest.mark.parametrize("sample", samples.SAMPLES.values(), ids=samples.SAMPLES)


def drawn(report: Report, width: int = 120, *, verbose: bool = False, colours: bool = False) -> str:
    """Return what a terminal of that width shows."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colours, color_system="truecolor" if colours else None)
    console.print(report_view(report, verbose=verbose))
    return stream.getvalue()


def logged(report: Report, capsys: pytest.CaptureFixture[str], *, verbose: bool = False) -> str:
    """Return what a file gets."""
    print_report(report, verbose=verbose)
    return capsys.readouterr().out


@EVERY
@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(sample: samples.Maker, width: int) -> None:
    assert all(len(line) <= width for line in drawn(sample(), width, verbose=True).splitlines())


@EVERY
def test_every_member_of_the_inventory_is_shown(sample: samples.Maker) -> None:
    text = drawn(sample(), 200)
    assert all(member.name in text for cluster in sample().clusters for member in cluster.members)


@EVERY
def test_a_log_has_no_escapes_no_frames_and_no_blanks_at_the_end(
    sample: samples.Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = logged(sample(), capsys, verbose=True).splitlines()
    assert not any("\x1b" in line or re.search("[─│╭╮╯╰]", line) for line in lines)
    assert all(line == line.rstrip() for line in lines)


def test_a_log_has_every_fact_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = samples.findings_of_each_severity()
    lines = logged(report, capsys).splitlines()
    for finding in report.clusters[0].findings:
        if finding.severity is not Severity.OK:
            assert sum(finding.message in line for line in lines) == 1
            assert any(finding.remedy in line for line in lines)


def test_text_of_a_host_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for text in (
        SGR.sub("", drawn(samples.hostile(), verbose=True, colours=True)),
        logged(samples.hostile(), capsys, verbose=True),
    ):
        harmful = {char for char in text if unicodedata.category(char) in ("Cc", "Cf") and char not in "\n\t"}
        assert not harmful
        assert text.count("\\x1b[2J") >= 8
        assert "\\u202e" in text


def test_text_of_a_host_is_no_markup_and_sets_no_colour() -> None:
    text = drawn(samples.hostile(), 400)
    assert text.count("[bold red]not markup[/]") >= 8


def test_text_of_a_host_forges_no_line() -> None:
    forged = samples.member("master-1", "10.88.0.11", version="3.5.16\ncluster other: unchanged")
    report = samples.report("verify", ClusterReport(name="example", outcome=Outcome.CHECKED, members=[forged]))
    assert not any(line.startswith("cluster other") for line in drawn(report).splitlines())
    assert "3.5.16 cluster other" in drawn(report)


def test_findings_that_are_ok_are_counted_and_shown_only_where_asked_for() -> None:
    brief, full = drawn(samples.second_deploy()), drawn(samples.second_deploy(), verbose=True)
    assert "answers a linearizable read" not in brief
    assert "31 ok" in brief
    assert full.count("answers a linearizable read") == 1


def test_the_worst_findings_come_first() -> None:
    text = drawn(samples.findings_of_each_severity(), verbose=True)
    places = [text.index(f"  {word} ") for word in ("critical", "unknown", "warning", "ok")]
    assert places == sorted(places)


def test_what_several_checks_say_in_the_same_words_is_said_once() -> None:
    dead = "node-5: no answer"
    codes = ("host.unreachable", "container.down", "member.data")
    findings = [samples.finding(code, Severity.UNKNOWN, "node-5", dead, "make it reachable") for code in codes]
    member = samples.blank("node-5", "10.88.0.15", dead)
    text = drawn(
        samples.report(
            "verify",
            ClusterReport(name="green", outcome=Outcome.CHECKED, members=[member], findings=findings),
        )
    )
    assert text.count(dead) == 1
    assert text.count("make it reachable") == 1
    assert all(code in text for code in codes)
    assert "3 unknown" in text


def test_what_is_unknown_since_a_host_was_not_reached_is_one_row_with_what_to_do_about_it() -> None:
    dead = "node-5: no answer"
    findings = [
        samples.finding("host.clock", Severity.UNKNOWN, "node-5", f"the clock was not read: {dead}", "see date"),
        samples.finding("host.unreachable", Severity.UNKNOWN, "node-5", dead, "make it reachable"),
        samples.finding("member.hash", Severity.UNKNOWN, "node-5", "the member was not asked", "ask it"),
        samples.finding("client.unreachable", Severity.CRITICAL, "node-5", f"no port: {dead}", "open it"),
        samples.finding("ca.unequal", Severity.UNKNOWN, "green", f"not known: {dead}"),
    ]
    member = samples.blank("node-5", "10.88.0.15", dead)
    cluster = ClusterReport(name="green", outcome=Outcome.CHECKED, members=[member], findings=findings)
    text = drawn(samples.report("verify", cluster))
    assert text.count(dead) == 2
    assert "see date" not in text
    assert all(words in text for words in ("make it reachable", "host.clock", "the member was not asked", "open it"))
    assert "not known: node-5 was not reached" in text
    assert "4 unknown" in text


def test_what_is_waived_comes_last_with_reason_and_day() -> None:
    lines = drawn(samples.deep_verify(), 400).splitlines()
    (first,) = (number for number, line in enumerate(lines) if line.startswith("  finding"))
    assert [line.split()[0] for line in lines[first + 1 : first + 9]] == (
        ["critical", "→", "warning", "→", "waived", "waived:", "waived", "waived"]
    )
    assert "critical: an even number of members" in lines[first + 5]
    assert "waived until 2026-12-31: frozen until the move" in lines[first + 8]
    coloured = drawn(samples.deep_verify(), 400, colours=True)
    assert "\x1b[2mwaived until 2026-12-31: frozen until the move" in coloured
    assert "2 waived" in lines[-2]


def test_the_ways_between_members_and_the_certificates_are_shown_where_asked_for() -> None:
    brief, full = drawn(samples.deep_verify(), 400), drawn(samples.deep_verify(), 400, verbose=True)
    assert "peer port of" not in brief
    assert "served on" not in brief
    lines = [line.split() for line in full.splitlines()]
    assert ["peer", "port", "of", "master-1", "master-2", "master-3"] in lines
    assert ["master-2", "open", "-", "silent"] in lines
    (served,) = [line for line in lines if line[:2] == ["master-1", "client"]]
    assert served == ["master-1", "client", "CN=master-1", "-", "any", "CN=example", "CA", "1f", "100", "days", "-"]


def test_a_status_of_certificates_shows_them_without_being_asked_twice() -> None:
    held = [samples.certificate("certs/example/client.pem", "admin", usages=["clientAuth"])]
    own = [
        samples.certificate("/pki/etcd.pem", "a", sans=["a", "10.0.0.1"], usages=["serverAuth"], served=[2379, 2380])
    ]
    members = [samples.member("a", "10.0.0.1", certificates=own)]
    cluster = ClusterReport(name="example", outcome=Outcome.CHECKED, members=members, certificates=held)
    lines = [" ".join(line.split()) for line in drawn(samples.report("certs status", cluster), 400).splitlines()]
    assert "controller certs/example/client.pem admin - clientAuth CN=example CA 1f 100 days -" in lines
    assert "a /pki/etcd.pem a a, 10.0.0.1 serverAuth CN=example CA 1f 100 days 2379, 2380" in lines


def test_hosts_that_nobody_wanted_to_reach_are_no_fault() -> None:
    member = samples.member("node-5", "10.88.0.15", ssh="not asked, as was wanted (--no-ssh)")
    text = drawn(samples.report("verify", ClusterReport(name="x", outcome=Outcome.CHECKED, members=[member])))
    assert "not asked" in text
    assert "✗" not in text
    assert "no SSH" not in text


def test_what_is_the_same_of_several_members_is_one_row() -> None:
    rows = [line.split() for line in drawn(samples.second_deploy(), 200, verbose=True).splitlines()]
    assert ["ok", "all", "members", "member.version", "runs", "3.5.16"] in rows
    some = [samples.finding("version.bad", Severity.WARNING, f"master-{n}", "runs 3.5.5", "upgrade") for n in (1, 3)]
    members = samples.second_deploy().clusters[0].members
    cluster = ClusterReport(name="example", outcome=Outcome.CHECKED, members=members, findings=some)
    lines = drawn(samples.report("verify", cluster)).splitlines()
    assert sum("runs 3.5.5" in line for line in lines) == 1
    assert any(line.split()[:4] == ["warning", "master-1,", "master-3", "version.bad"] for line in lines)


def test_why_a_host_was_not_reached_is_told_where_nothing_else_tells_it() -> None:
    member = samples.blank("node-5", "10.88.0.15", "node-5: connection refused; start sshd")
    text = drawn(
        samples.report("deploy", ClusterReport(name="green", outcome=Outcome.UNCHANGED, members=[member]), dry_run=True)
    )
    assert "node-5: connection refused; start sshd" in text
    assert "no SSH" in text


def test_a_second_deploy_says_that_nothing_changed() -> None:
    text = drawn(samples.second_deploy())
    assert "cluster example: unchanged" in text
    assert "3 of 3 members healthy, nothing changed" in text
    assert "exit code" not in text


def test_a_dry_run_shows_every_diff_and_every_reason() -> None:
    text = drawn(samples.dry_run())
    assert text.count("+    - --quota-backend-bytes=8589934592") == 3
    assert text.count("     - --name=master-1") == 3, "the indentation of a line is part of it"
    assert "deploy (dry run)" in text


def test_a_deploy_shows_diffs_and_every_reason_only_where_asked_for() -> None:
    brief, full = drawn(samples.healthy_deploy(), 400), drawn(samples.healthy_deploy(), 400, verbose=True)
    assert "+kind: Pod" not in brief
    assert "a new certificate; and 5 more (-v)" in brief
    assert "+kind: Pod" in full
    assert "/var/lib/etcd/member is to be prepared for the first start" in full


def test_steps_that_are_the_same_on_all_members_are_one_row() -> None:
    lines = drawn(samples.healthy_deploy()).splitlines()
    assert sum("start-member" in line for line in lines) == 1
    assert any("start-member" in line and "all members" in line for line in lines)


def test_disruptive_steps_are_a_row_each_in_their_order() -> None:
    rows = [line for line in drawn(samples.dry_run()).splitlines() if line.startswith("  planned")]
    assert [row.split()[2] for row in rows] == ["master-2", "master-3", "master-1"]


def test_a_failed_step_is_shown_with_its_error_and_the_containers_log() -> None:
    report = samples.failed_step()
    text = drawn(report, 400)
    assert any("failed" in line and "master-3" in line for line in text.splitlines())
    assert report.clusters[0].plan[-1].error in text
    assert all(line in text for line in samples.LOG)
    assert "exit code 3: a step failed or was refused" in text


def test_a_refusal_is_told_with_its_remedy() -> None:
    assert samples.refused().clusters[0].refusals[0] in drawn(samples.refused(), 400)


def test_a_narrow_terminal_goes_without_columns_and_breaks_no_word_of_the_member_table() -> None:
    text = drawn(samples.healthy_deploy(), 80)
    assert "container" not in text.splitlines()[2]
    assert SPARE[0] == "container"
    row = next(line for line in text.splitlines() if line.startswith("  master-1"))
    assert row.split() == ["master-1", "10.88.0.11", "healthy", "leader", "3.5.16", "364", "days", "changed"]


def test_long_names_and_addresses_stay_whole() -> None:
    for width in (80, 120, 200):
        assert "control-plane-1.rack-12.fra1.example.internal" in drawn(samples.long_addresses(), width)
    assert "2001:db8:85a3:8d3:1319:8a2e:370:7341" in drawn(samples.long_addresses(), 200)


def written(report: Report, folder: Path) -> str:
    """Return the path of the report as `--output` writes it."""
    path = folder / "report.json"
    path.write_text(to_json(report), encoding="utf-8")
    return str(path)


def test_a_locale_without_arrows_gets_the_report_all_the_same(tmp_path: Path) -> None:
    path = written(samples.failed_step(), tmp_path)
    done = run(PROGRAM, "report", "show", path, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert (done.code, done.err) == (0, "")
    assert "the container crashes again and again" in done.out


def test_a_reader_that_goes_away_gets_no_traceback(tmp_path: Path) -> None:
    findings = samples.fine({f"host-{number}": "" for number in range(150)})
    cluster = ClusterReport(name="example", outcome=Outcome.CHECKED, members=[], findings=findings)
    path = written(samples.report("verify", cluster), tmp_path)
    done = run("/bin/sh", "-c", '"$0" report show -v "$1" | head -n 1', PROGRAM, path, cwd=tmp_path)
    assert (done.out, done.err) == ("cluster example: checked\n", "")


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False)]
)
def test_a_terminal_gets_colours_unless_it_can_or_should_have_none(
    tmp_path: Path, environment: dict[str, str], coloured: bool
) -> None:
    path = written(samples.second_deploy(), tmp_path)
    code, text = run_on_terminal(PROGRAM, "report", "show", path, cwd=tmp_path, stream="stdout", env=environment)
    assert code == 0
    assert ("\x1b[32m" in text) is coloured
    assert "3 of 3 members healthy" in SGR.sub("", text)
