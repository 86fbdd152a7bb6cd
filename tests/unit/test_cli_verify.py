"""verify as a user or a scheduler meets it: selection, outputs, exit styles, lock, quiet."""

from __future__ import annotations

import fcntl
import json
import sys
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.checks import KINDS
from nornir_etcd.report.document import to_json
from tests.unit.program import PROGRAM, RUNBOOKS, Done, full_device, run
from tests.unit.report import samples

if TYPE_CHECKING:
    from pathlib import Path

    from nornir_etcd.report.model import Report

CONFIG = """
inventory:
  plugin: SimpleInventory
  options: {host_file: hosts.yaml, group_file: groups.yaml, defaults_file: defaults.yaml}
logging: {log_file: nornir.log, loggers: [nornir, nornir_etcd]}
"""
HOST = "node-1: {hostname: 127.0.0.1, port: 1, username: root, password: x, groups: [etcd]}\n"
CLIENT = "client.unreachable"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of one member on this machine, where no SSH and no etcd answers."""
    for name, content in {"config.yaml": CONFIG, "hosts.yaml": HOST, "groups.yaml": "etcd: {}\n"}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def verify(workspace: Path, *words: str) -> Done:
    """Run verify in the workspace."""
    return run(PROGRAM, "verify", *words, cwd=workspace)


def found(workspace: Path) -> dict[str, str]:
    """Return severities by code, as the report has them."""
    report = json.loads((workspace / "report.json").read_text(encoding="utf-8"))
    return {one["code"]: one["severity"] for cluster in report["clusters"] for one in cluster["findings"]}


def faked(workspace: Path, report: Report, *words: str) -> Done:
    """Run a script whose verify finds what a sample has: the options, outputs and the end of a run are real."""
    (workspace / "sample.json").write_text(to_json(report), encoding="utf-8")
    (workspace / "fake.py").write_text(
        "from pathlib import Path\n"
        "from nornir_etcd.options import VerifyOptions, script\n"
        "from nornir_etcd.report.document import from_json\n"
        "def main(options):\n"
        "    return from_json(Path('sample.json').read_text(encoding='utf-8'))\n"
        "script(main, VerifyOptions)\n",
        encoding="utf-8",
    )
    return run(sys.executable, "fake.py", *words, cwd=workspace)


def test_a_selection_limits_what_is_found(workspace: Path) -> None:
    done = verify(workspace, "--check", "*.unreachable", "--skip", "peer", "--output", "report.json")
    assert (done.code, done.err) == (1, "")
    assert found(workspace) == {"host.unreachable": "unknown", CLIENT: "critical"}


def test_what_is_less_is_hidden_and_what_is_unknown_never_is(workspace: Path) -> None:
    verify(workspace, "--min-severity", "critical", "--output", "report.json")
    assert set(found(workspace).values()) == {"critical", "unknown"}


def test_without_ssh_no_finding_is_about_it_and_a_note_names_what_is_left_out(workspace: Path) -> None:
    done = verify(workspace, "--no-ssh", "--output", "report.json")
    assert done.code == 1
    left_out = {kind.code for kind in KINDS if "host" in kind.reads}
    assert not left_out & set(found(workspace))
    assert "host.unreachable" in left_out
    (note,) = [line for line in done.out.splitlines() if "not checked, since the hosts were not asked" in line]
    assert "host.unreachable, " in note
    assert "not asked" in done.out
    assert "host not reached" not in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--check", "cert.expirng"), "--check: no check has the code 'cert.expirng'; the nearest is cert.expiring, "),
        (("--check", "preflight"), "--check: no check has the code 'preflight'; "),
        (("--skip", "*"), "the selection leaves no check; "),
        (("--check", "host", "--no-ssh"), "the selection leaves no check without SSH (host."),
        (("--min-severity", "bad"), "--min-severity: wanted warning or critical, found 'bad'"),
        (("--exit-style", "icinga"), "--exit-style: wanted default or nagios, found 'icinga'"),
        (("--output", "report.pdf"), "--output: wanted a name that ends in .json, .md, .html, .xml, .prom, "),
        (("--output", "a.json", "--output", "no/b.md"), "--output: wanted a file in a folder that can be written, "),
        (("--endpoints", "10.0.0.1"), "--endpoints: wanted --cacert"),
        (("--key", "k.pem"), "--key: wanted --endpoints with it"),
        (("--lock", "no/run.lock"), "--lock: wanted a file that can be written, "),
    ],
)
def test_a_bad_option_is_told_in_one_line_before_anything_is_looked_at(
    workspace: Path, words: tuple[str, ...], said: str
) -> None:
    done = verify(workspace, *words)
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"error: {said}")


def test_nagios_is_told_of_a_bad_option_in_its_own_style(workspace: Path) -> None:
    done = verify(workspace, "--min-severity", "a|b", "--exit-style=nagios")
    assert (done.code, done.out) == (
        3,
        "ETCD UNKNOWN - --min-severity: wanted warning or critical, found 'a/b'\n",
    )


def test_an_unknown_option_is_unknown_to_nagios_too(workspace: Path) -> None:
    for words in (("--exit-style", "nagios", "--bogus"), ("--bogus", "--exit-style=nagios")):
        done = verify(workspace, *words)
        assert (done.code, done.out) == (3, "ETCD UNKNOWN - wrong usage: see --help\n")
        assert "No such option: --bogus" in done.err
    assert verify(workspace, "--bogus").code == 2


def test_every_output_is_written_in_its_form(workspace: Path) -> None:
    names = [f"report{suffix}" for suffix in (".json", ".md", ".html", ".xml", ".prom")]
    done = verify(workspace, *(word for name in names for word in ("--output", name)))
    assert done.err == ""
    starts = ["{", "# nornir-etcd verify", "<!doctype html>", "<?xml ", "# HELP "]
    for name, start in zip(names, starts, strict=True):
        assert (workspace / name).read_text(encoding="utf-8").lower().startswith(start.lower()), name


def test_an_output_that_fails_is_told_and_the_others_are_written(workspace: Path) -> None:
    full = full_device(workspace)
    words = ("--output", str(full), "--output", "report.json")
    done = verify(workspace, *words)
    assert (done.code, done.err) == (2, f"error: --output: {full}: No space left on device\n")
    assert "0 of 1 members healthy" in done.out
    assert found(workspace)
    (workspace / "report.json").unlink()
    nagios = verify(workspace, *words, "--exit-style", "nagios")
    assert nagios.code == 3
    assert nagios.out.startswith(f"ETCD UNKNOWN - --output: {full}: No space left on device\n")
    assert found(workspace)


def test_a_host_that_was_not_reached_is_told_apart(workspace: Path) -> None:
    done = verify(workspace, "--check", "host.unreachable")
    assert done.code == 4
    assert "1 unknown · 1 host not reached" in done.out
    assert "exit code 4: a check could not be made" in done.out


@pytest.mark.parametrize(
    ("words", "code", "word"),
    [(("--check", CLIENT), 2, "CRITICAL"), (("--check", "host.unreachable"), 3, "UNKNOWN")],
)
def test_nagios_gets_its_code_and_its_line_first(workspace: Path, words: tuple[str, ...], code: int, word: str) -> None:
    done = verify(workspace, *words, "--exit-style", "nagios", "-v")
    first, *_ = done.out.splitlines()
    assert (done.code, done.err) == (code, "")
    assert first.startswith(f"ETCD {word} - verify: 0 of 1 members healthy, nothing changed · ")
    assert "|" not in first


@pytest.mark.parametrize(
    ("sample", "default", "nagios"),
    [("second_deploy", 0, 0), ("findings_of_each_severity", 1, 2), ("failed_step", 3, 2), ("refused", 3, 3)],
)
def test_a_run_ends_as_its_report_says(workspace: Path, sample: str, default: int, nagios: int) -> None:
    report = samples.SAMPLES[sample]()
    assert faked(workspace, report).code == default
    assert faked(workspace, report, "--exit-style", "nagios").code == nagios


def test_quiet_says_nothing_where_all_is_well_and_what_is_not_otherwise(workspace: Path) -> None:
    assert faked(workspace, samples.second_deploy(), "--quiet") == Done(0, "", "")
    loud = faked(workspace, samples.findings_of_each_severity(), "--quiet")
    assert loud.code == 1
    assert "master-3 has raised NOSPACE" in loud.out
    assert "answers a linearizable read" not in loud.out
    nagios = faked(workspace, samples.second_deploy(), "--quiet", "--exit-style", "nagios")
    assert (nagios.code, nagios.out.count("\n")) == (0, 1), "the line is what Nagios shows"


def test_a_lock_that_another_run_holds_ends_the_run_at_once(workspace: Path) -> None:
    with (workspace / "run.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        done = verify(workspace, "--lock", "run.lock", "--output", "report.json", "--quiet")
        assert done == Done(4, "", "error: another run holds run.lock\n")
        nagios = verify(workspace, "--lock", "run.lock", "--exit-style", "nagios")
        assert (nagios.code, nagios.out) == (3, "ETCD UNKNOWN - another run holds run.lock\n")
        assert not (workspace / "report.json").exists()
    assert verify(workspace, "--lock", "run.lock").code == 1


def test_waivers_of_the_inventory_take_findings_out_of_the_exit_code_and_stay_visible(workspace: Path) -> None:
    (workspace / "groups.yaml").write_text(
        "etcd:\n  data:\n    etcd_waivers:\n"
        "      - {code: client.unreachable, subject: node-1, reason: moved on Monday, until: 2999-12-31}\n"
        "      - {code: cert, reason: former, until: 2020-01-01}\n"
        "      - {code: crt, reason: misspelt}\n",
        encoding="utf-8",
    )
    done = verify(workspace, "--check", CLIENT, "--check", "waiver", "--output", "report.json", "--output", "r.md")
    assert (done.code, done.err) == (0, "")
    assert found(workspace) == {CLIENT: "critical", "waiver.expired": "warning"}
    assert "waived until 2999-12-31: moved on Monday" in done.out
    assert "the waiver of cert ended on 2020-01-01: former" in done.out
    assert "warning: cluster example: etcd_waivers: no check has the code 'crt'; the nearest is cert" in done.out
    assert "waived until 2999-12-31: moved on Monday" in (workspace / "r.md").read_text(encoding="utf-8")


def test_the_script_has_the_options_of_the_command(workspace: Path) -> None:
    command = run(PROGRAM, "verify", "--help", cwd=workspace).out.split()
    script = run(sys.executable, str(RUNBOOKS / "verify.py"), "--help", cwd=workspace).out.split()
    for option in (
        "--check",
        "--skip",
        "--min-severity",
        "--no-ssh",
        "--endpoints",
        "--lock",
        "--quiet",
        "--exit-style",
    ):
        assert option in command
        assert option in script


def test_the_checks_are_listed_in_each_form(tmp_path: Path) -> None:
    table = run(PROGRAM, "checks", cwd=tmp_path)
    assert (table.code, table.err) == (0, "")
    lines = table.out.splitlines()
    assert [line.split()[0] for line in lines] == ["check", *(kind.code for kind in KINDS)]
    markdown = run(PROGRAM, "checks", "--format", "markdown", cwd=tmp_path).out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in markdown[2:]] == [kind.code for kind in KINDS]
    listed = json.loads(run(PROGRAM, "checks", "--format", "json", cwd=tmp_path).out)
    assert [one["code"] for one in listed] == [kind.code for kind in KINDS]
    (space,) = [one for one in listed if one["code"] == "preflight.space"]
    assert space["settings"]["etcd_free_data_bytes"] == "536870912"
    assert run(PROGRAM, "checks", "--format", "csv", cwd=tmp_path).err == (
        "error: --format: wanted table, markdown, json, found 'csv'\n"
    )
