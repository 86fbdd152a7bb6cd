"""The program as a user meets it: options, faults, exit codes."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.program import PROGRAM, ROOT, RUNBOOKS, TIMEOUT, Done, full_device, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
inventory:
  plugin: SimpleInventory
  options: {host_file: hosts.yaml, group_file: groups.yaml, defaults_file: defaults.yaml}
logging: {log_file: nornir.log, loggers: [nornir, nornir_etcd]}
"""
HOSTS = """
node-1: {hostname: 192.0.2.11, groups: [etcd]}
node-2: {hostname: 192.0.2.12, groups: [etcd]}
node-3: {hostname: 192.0.2.13, groups: [etcd]}
bastion: {hostname: 192.0.2.1}
"""
HEAVY = (
    "nornir",
    "netmiko",
    "paramiko",
    "grpc",
    "cryptography",
    "pydantic",
    "rich",
    "jinja2",
    "yaml",
    "nornir_etcd.lab",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a good inventory, whose hosts nobody can reach."""
    for name, content in {"config.yaml": CONFIG, "hosts.yaml": HOSTS, "groups.yaml": "etcd: {}\n"}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def one_host(workspace: Path, port: int) -> None:
    """Make the inventory one of a single member, whose SSH is at a port of this machine."""
    (workspace / "hosts.yaml").write_text(
        f"node-1: {{hostname: 127.0.0.1, port: {port}, username: root, password: x, groups: [etcd]}}\n",
        encoding="utf-8",
    )


def faults(done: Done) -> list[str]:
    """Return the faults that were told, where nothing else was."""
    assert done.code == 2, done
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    assert all(line.startswith("error: ") for line in lines), done.err
    return [line.removeprefix("error: ") for line in lines]


@contextlib.contextmanager
def listener(*, says: bytes | None) -> Iterator[int]:
    """Yield a port that accepts connections, says something or nothing, and closes them only if it has spoken."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])
                    if says is not None:
                        accepted[-1].sendall(says)
                        accepted[-1].close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(TIMEOUT)
            for connection in accepted:
                connection.close()


@pytest.fixture
def closed_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


BAD_FILES = {
    "empty hosts": ("hosts.yaml", b"", "inventory: wanted at least one host in the group etcd, found none"),
    "broken hosts": ("hosts.yaml", b"node-1: [\n", "hosts.yaml: line 2: wanted YAML, "),
    "binary hosts": ("hosts.yaml", bytes(range(256)), "hosts.yaml: wanted YAML as utf-8 text, found other bytes"),
    "unknown group": ("hosts.yaml", b"a: {groups: [no]}\n", "host a: groups: wanted a group of the inventory (etcd)"),
    "empty configuration": ("config.yaml", b"", "config.yaml: wanted a mapping, "),
    "unknown plugin": ("config.yaml", b"inventory: {plugin: No}\n", "config.yaml: Nornir does not start with it: "),
    "unwritable log": (
        "config.yaml",
        CONFIG.replace("nornir.log", "missing/nornir.log").encode(),
        "config.yaml: Nornir does not start with it: [Errno 2] No such file or directory: ",
    ),
}
"""A selection: tests/unit/test_configuration.py has them all."""


@pytest.mark.parametrize(("name", "content", "said"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_told_by_its_place(workspace: Path, name: str, content: bytes, said: str) -> None:
    (workspace / name).write_bytes(content)
    (told,) = faults(run(PROGRAM, "deploy", cwd=workspace))
    assert told.startswith(said)


BAD_OPTIONS = {
    "missing configuration": (("--config", "no.yaml"), "no.yaml: wanted Nornir's configuration, found no such file"),
    "folder as configuration": (("--config", "."), ".: wanted Nornir's configuration, found no such file"),
    "unknown host": (("--hosts", "node-9"), "--hosts: node-9 is no host of the group etcd; there are node-1, "),
    "host of another group": (("--hosts", "node-1,bastion"), "--hosts: bastion is no host of the group etcd; "),
    "malformed variable": (("--set", "etcd_version"), "--set: wanted KEY=VALUE, found 'etcd_version'"),
    "malformed filter": (("--filter", "=x"), "--filter: wanted KEY=VALUE, found '=x'"),
    "nothing selected": (("--filter", "deploy_name=no"), "the selection leaves no host of the group etcd; there are "),
    "output in no folder": (
        ("--output", "no/report.json"),
        "--output: wanted a file in a folder that can be written, ",
    ),
    "output to a folder": (("--output", "."), "--output: wanted a file in a folder that can be written, found ."),
}


@pytest.mark.parametrize(("argv", "said"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_a_bad_option_is_told_in_one_line(workspace: Path, argv: tuple[str, ...], said: str) -> None:
    (told,) = faults(run(PROGRAM, "deploy", *argv, cwd=workspace))
    assert told.startswith(said)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--to", "nonsense"), "--to: wanted a version such as 3.5.16-0, found 'nonsense'"),
        (("--pause",), "--pause: wanted a terminal to ask on, found none"),
    ],
)
def test_an_upgrade_that_cannot_be_meant_is_told_in_one_line(workspace: Path, argv: tuple[str, ...], said: str) -> None:
    assert faults(run(PROGRAM, "upgrade", *argv, cwd=workspace)) == [said]


def test_the_help_of_upgrade_names_what_it_alone_has(tmp_path: Path) -> None:
    told = run(PROGRAM, "upgrade", "--help", cwd=tmp_path)
    words = " ".join(told.out.split())
    assert (told.code, told.err) == (0, "")
    assert "Change the version of etcd, one member at a time, with a snapshot before and a way back." in words
    assert "--to VERSION The version wanted, as an image's tag; else etcd_version." in words
    assert "--pause Ask between members whether to go on." in words


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--set", "etcd_vesion=3.5.16-0"), ("etcd_vesion", "etcd_version")),
        (("--set", "etcd_version=latest"), ("etcd_version", "latest")),
        (("--set", "etcd_data_dir=relative/path"), ("etcd_data_dir", "relative/path")),
        (("--set", "container_runtime=cri-o"), ("container_runtime", "cri-o", "containerd", "docker")),
        (("--set", "etcd_deploy_mode=systemd"), ("etcd_deploy_mode", "systemd", "manifest")),
        (("--set", "ca_dir={{ nothing }}"), ("ca_dir", "nothing")),
    ],
)
def test_a_bad_variable_is_told_with_what_is_allowed(
    workspace: Path, argv: tuple[str, ...], words: tuple[str, ...]
) -> None:
    told = faults(run(PROGRAM, "deploy", *argv, cwd=workspace))
    assert all(word in " ".join(told) for word in words)


def test_an_unknown_option_is_a_usage_error(workspace: Path) -> None:
    done = run(PROGRAM, "deploy", "--dryrun", cwd=workspace)
    assert (done.code, done.out) == (2, "")
    assert "No such option: --dryrun" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("runbook", ["certs", "deploy"])
def test_a_dry_run_that_reaches_nobody_says_why_and_writes_nothing(
    workspace: Path, closed_port: int, runbook: str
) -> None:
    one_host(workspace, closed_port)
    done = run(PROGRAM, runbook, "--dry-run", "--output", "report.json", cwd=workspace)
    assert (done.code, done.err) == (3, "")
    assert f"✗ node-1: no SSH session with 127.0.0.1:{closed_port}" in done.out
    assert "check that sshd runs there" in done.out
    report = json.loads((workspace / "report.json").read_text(encoding="utf-8"))
    assert (report["exit_code"], report["dry_run"], report["clusters"][0]["outcome"]) == (3, True, "refused")
    assert "connection refused" in report["clusters"][0]["members"][0]["ssh"]
    written = {path.name for path in workspace.iterdir()} - {"config.yaml", "hosts.yaml", "groups.yaml"}
    assert written == {"nornir.log", "report.json"}


def test_verify_tells_every_check_that_could_not_be_made(workspace: Path, closed_port: int) -> None:
    one_host(workspace, closed_port)
    done = run(PROGRAM, "verify", cwd=workspace)
    assert (done.code, done.err) == (1, "")
    assert done.out.count("found connection refused") == 1, "once, whatever hangs on it"
    assert "exit code 1: critical findings" in done.out


def test_a_wrong_option_of_ssh_is_told_of_the_host_and_its_member_is_asked_all_the_same(
    workspace: Path, closed_port: int
) -> None:
    """The task that finds it fails at once, on hosts on which other tasks are yet to run."""
    one_host(workspace, closed_port)
    extras = "connection_options: {netmiko: {extras: {alt_key_file: nowhere}}}"
    path = workspace / "hosts.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("groups:", f"{extras}, groups:"), encoding="utf-8")
    done = run(PROGRAM, "verify", cwd=workspace)
    assert (done.code, done.err) == (1, "")
    assert "alt_key_file nowhere does not exist" in done.out
    assert "internal error" not in done.out
    assert "client.unreachable" in done.out


@pytest.mark.parametrize("logging", ["{enabled: false}", "{log_file: nornir.log}"])
def test_nothing_that_is_logged_reaches_the_terminal(workspace: Path, logging: str) -> None:
    (workspace / "config.yaml").write_text(re.sub("(?m)^logging: .*$", f"logging: {logging}", CONFIG), encoding="utf-8")
    with listener(says=b"HTTP/1.0 400 Bad Request\r\n\r\n") as port:
        one_host(workspace, port)
        done = run(PROGRAM, "verify", cwd=workspace)
    assert (done.code, done.err) == (1, "")
    assert "Traceback" not in done.out


def test_an_interrupt_ends_the_run_at_once_and_without_a_traceback(workspace: Path) -> None:
    with listener(says=None) as port:
        one_host(workspace, port)
        process = start(PROGRAM, "deploy", cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            try:
                ends = time.monotonic() + TIMEOUT
                while not (workspace / "nornir.log").exists() and time.monotonic() < ends:
                    time.sleep(0.05)
                time.sleep(0.5)  # now it waits for the host, which never answers
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=5)
            finally:
                process.kill()
    assert process.returncode == 130
    assert out == b""
    assert err.decode().strip() == "error: interrupted; the next run goes on from what the hosts show"


def test_a_fault_of_the_program_itself_is_one_line_and_its_traceback_is_in_the_log(workspace: Path) -> None:
    (workspace / "broken.py").write_text(
        "from nornir_etcd.options import script\n"
        "def main(options):\n"
        "    with options.nornir() as nr:\n"
        "        raise ValueError('two\\nlines')\n"
        "script(main)\n",
        encoding="utf-8",
    )
    told = faults(run(sys.executable, "broken.py", cwd=workspace))
    assert told == ["internal error: ValueError: two lines; see the log"]
    assert "Traceback" in (workspace / "nornir.log").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_shown_all_the_same(workspace: Path, closed_port: int) -> None:
    one_host(workspace, closed_port)
    full = full_device(workspace)
    done = run(PROGRAM, "verify", "--output", str(full), cwd=workspace)
    assert (done.code, done.err) == (2, f"error: --output: {full}: No space left on device\n")
    assert "0 of 1 members healthy" in done.out


def test_a_device_is_written_to_and_not_replaced(workspace: Path, closed_port: int) -> None:
    one_host(workspace, closed_port)
    done = run(PROGRAM, "verify", "--output", "/dev/stderr", cwd=workspace)
    assert json.loads(done.err)["runbook"] == "verify"


def test_an_output_that_is_a_link_stays_one(workspace: Path, closed_port: int) -> None:
    one_host(workspace, closed_port)
    (workspace / "latest.json").symlink_to("report.json")
    run(PROGRAM, "verify", "--output", "latest.json", cwd=workspace)
    assert (workspace / "latest.json").is_symlink()
    assert json.loads((workspace / "report.json").read_text(encoding="utf-8"))["runbook"] == "verify"
    assert not [path for path in workspace.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("runbook", ["certs", "deploy", "verify"])
def test_a_script_takes_the_options_of_its_command_and_ends_as_it_does(
    workspace: Path, closed_port: int, runbook: str
) -> None:
    script = (sys.executable, str(RUNBOOKS / f"{runbook}.py"))
    usages = [run(*argv, "--help", cwd=workspace).out for argv in (script, (PROGRAM, runbook))]
    options, same = (set(re.findall(r"--[a-z-]+", usage)) for usage in usages)
    assert options == same
    assert options >= {"--config", "--filter", "--hosts", "--set", "--dry-run", "--output", "--verbose"}
    one_host(workspace, closed_port)
    ends = [run(*argv, "--dry-run", cwd=workspace) for argv in (script, (PROGRAM, runbook))]
    shown = [re.sub(r"\d+\.\d s", "", end.out) for end in ends]
    assert ends[0].code == ends[1].code != 0
    assert shown[0] == shown[1]


def test_the_shipped_workspace_is_sound(tmp_path: Path) -> None:
    shutil.copy(ROOT / "config.yaml", tmp_path)
    shutil.copytree(ROOT / "inventory", tmp_path / "inventory")
    done = run(PROGRAM, "verify", "--hosts", "nobody", cwd=tmp_path)
    assert faults(done) == ["--hosts: nobody is no host of the group etcd; there are master-1, master-2, master-3"]


def test_help_loads_nothing_that_it_does_not_need(tmp_path: Path) -> None:
    code = f"import sys, nornir_etcd.cli; print([name for name in {HEAVY} if name in sys.modules])"
    assert run(sys.executable, "-c", code, cwd=tmp_path).out == "[]\n"


def test_help_names_every_runbook(tmp_path: Path) -> None:
    done = run(PROGRAM, "--help", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert {path.stem for path in RUNBOOKS.glob("*.py")} <= set(done.out.split())


def test_the_lab_has_its_own_help(tmp_path: Path) -> None:
    done = run(PROGRAM, "lab", "--help", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert all(word in done.out for word in ("nornir-etcd lab", "up", "down", "status", "ssh"))


def test_options_before_the_name_of_a_runbook_are_refused(workspace: Path) -> None:
    done = run(PROGRAM, "certs", "--dry-run", "status", cwd=workspace)
    assert done.code == 2
    assert "wanted the options after 'status', found some before it" in done.err
