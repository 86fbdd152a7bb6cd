"""What runs a verification by itself, and what Prometheus makes of it: the files of schedule/."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cronsim import CronSim

from nornir_etcd.checks import KINDS
from nornir_etcd.report.model import CertificateReport, ClusterReport, Finding, Outcome, Report, Severity
from nornir_etcd.report.prometheus import to_prometheus
from tests.unit.program import PROGRAM, ROOT, run
from tests.unit.report import samples
from tests.unit.tools import need

SCHEDULE = ROOT / "schedule"
UNITS = SCHEDULE / "systemd"
SERVICE = UNITS / "nornir-etcd-verify.service"
CRONTAB = SCHEDULE / "cron" / "nornir-etcd-verify"
CRONJOB = SCHEDULE / "kubernetes" / "cronjob.yaml"
RULES = SCHEDULE / "rules" / "etcd.rules.yaml"
RULE_TESTS = SCHEDULE / "rules" / "etcd.rules.test.yaml"
PAGE = ROOT / "docs" / "schedule.md"

INSTALLED = "/opt/nornir-etcd/bin/nornir-etcd"
WORKSPACE = "/var/lib/nornir-etcd"
COLLECTED = "/var/lib/prometheus/node-exporter"
OTHERS = {"--system", "--home-dir", "--no-cache-dir", "--shell", "--now", "--from-file", "--collector"}
"""Options of the other programs that the page names."""
COMING = {"nornir_etcd_backup_timestamp_seconds"}
"""Metrics that a rule waits for."""
EXPOSURE = 20
"""Tenths of systemd's exposure level, of 100; below 50 it calls a service ok."""


def tool(*argv: str, cwd: Path) -> tuple[int, str]:
    """Run a tool; return its exit code and all that it said."""
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    return done.returncode, done.stdout + done.stderr


def loaded(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# systemd


def verified(folder: Path, *, service: str | None = None) -> tuple[int, str]:
    """What systemd says of the units, the program being where it is here."""
    analyze = need("systemd-analyze", "systemd")
    text = service or SERVICE.read_text(encoding="utf-8")
    (folder / SERVICE.name).write_text(text.replace(INSTALLED, PROGRAM), encoding="utf-8")
    timer = SERVICE.with_suffix(".timer")
    (folder / timer.name).write_text(timer.read_text(encoding="utf-8"), encoding="utf-8")
    return tool(analyze, "verify", f"./{SERVICE.name}", f"./{timer.name}", cwd=folder)


def test_systemd_has_nothing_to_say_of_the_units(tmp_path: Path) -> None:
    assert verified(tmp_path) == (0, "")


def test_systemd_would_have_said_something(tmp_path: Path) -> None:
    _, said = verified(tmp_path, service=SERVICE.read_text(encoding="utf-8").replace("ProtectClock", "ProtectClok"))
    assert "ProtectClok" in said


def test_the_service_may_do_little_more_than_it_needs(tmp_path: Path) -> None:
    analyze = need("systemd-analyze", "systemd")
    code, said = tool(analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", str(SERVICE), cwd=tmp_path)
    assert code == 0, said


def unit(path: Path) -> configparser.ConfigParser:
    """A unit, as systemd reads one in which no key stands twice."""
    made = configparser.ConfigParser(interpolation=None)
    made.optionxform = str
    made.read_string(path.read_text(encoding="utf-8").replace("\\\n", " "))
    return made


def test_the_service_fails_where_nothing_could_be_checked_and_not_for_warnings() -> None:
    """Warnings end with 0. Whatever does not is no success: Python ends with 1 where the program cannot be loaded."""
    service = unit(SERVICE)["Service"]
    assert service["Type"] == "oneshot"
    assert "SuccessExitStatus" not in service
    assert "--exit-style" not in service["ExecStart"]


def test_the_service_may_write_where_it_writes() -> None:
    service = unit(SERVICE)["Service"]
    argv = shlex.split(service["ExecStart"])
    written = {str(Path(path).parent) for option, path in pairwise(argv) if option in {"--output", "--lock"}}
    assert written == {WORKSPACE, COLLECTED}
    assert f"/var/lib/{service['StateDirectory']}" == service["WorkingDirectory"] == WORKSPACE
    assert service["ReadWritePaths"].removeprefix("-") == COLLECTED


def test_the_timer_starts_the_service() -> None:
    assert SERVICE.with_suffix(".timer").is_file()
    assert unit(SERVICE.with_suffix(".timer"))["Install"]["WantedBy"] == "timers.target"


# cron


def cron_entry() -> re.Match[str]:
    """The one entry of the crontab: schedule, user, command. Every other line is a comment or a variable."""
    lines = CRONTAB.read_text(encoding="utf-8").splitlines()
    rest = [line for line in lines if line and not re.match(r"#|[A-Z]+=", line)]
    assert len(rest) == 1
    found = re.fullmatch(r"((?:\S+ ){5})([a-z][-a-z0-9]*) (.+)", rest[0])
    assert found
    return found


def test_cron_runs_it_once_an_hour() -> None:
    start = datetime(2026, 11, 22, 13, 0, tzinfo=timezone.utc)
    times = CronSim(cron_entry()[1].strip(), start)
    assert [next(times) - start for _ in range(3)] == [timedelta(minutes=17 + 60 * hour) for hour in range(3)]


def test_cron_takes_the_file_as_it_is(tmp_path: Path) -> None:
    """A file of cron.d with a dot in its name is passed over, and % is a line end (cron(8), crontab(5))."""
    assert re.fullmatch(r"[-_A-Za-z0-9]+", CRONTAB.name)
    assert CRONTAB.read_text(encoding="utf-8").endswith("\n")
    assert "%" not in cron_entry()[3]
    assert tool("/bin/sh", "-n", "-c", cron_entry()[3], cwd=tmp_path) == (0, "")


def test_cron_and_systemd_run_the_same_command() -> None:
    move, command = cron_entry()[3].split(" && ")
    assert move == f"cd {WORKSPACE}"
    assert shlex.split(command) == shlex.split(unit(SERVICE)["Service"]["ExecStart"])
    assert cron_entry()[2] == unit(SERVICE)["Service"]["User"]


# Kubernetes


def pod() -> dict[str, Any]:
    """The Pod that the CronJob starts."""
    found: dict[str, Any] = loaded(CRONJOB)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("version", ["1.25", kubernetes_validate.latest_version()])
def test_kubernetes_takes_the_cron_job(version: str) -> None:
    kubernetes_validate.validate(loaded(CRONJOB), version, strict=True)


@pytest.mark.parametrize("change", [{"concurrencyPolicy": 1}, {"schedul": "x"}, {"schedule": None}])
def test_kubernetes_would_not_have_taken_another(change: dict[str, Any]) -> None:
    document = loaded(CRONJOB)
    document["spec"] |= change
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.25", strict=True)


def test_jobs_neither_overlap_nor_try_again() -> None:
    spec = loaded(CRONJOB)["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod()["restartPolicy"] == "Never"
    assert next(CronSim(spec["schedule"], datetime(2026, 11, 22, 13, 0, tzinfo=timezone.utc))).minute == 17


def test_the_pod_is_as_the_restricted_profile_wants_it() -> None:
    """See https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted."""
    (container,) = pod()["containers"]
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_an_image_that_nobody_has_set_is_no_image() -> None:
    """Upper case is no name of a repository, so Kubernetes says InvalidImageName and fetches nothing."""
    (container,) = pod()["containers"]
    assert re.match(r"[A-Z]+/", container["image"])


def test_the_pod_reads_what_is_mounted() -> None:
    (container,) = pod()["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    named = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"] if "=" in argument)
    assert {str(Path(named[option]).parent) for option in ("cacert", "cert", "key")} < mounts.keys()
    assert container["workingDir"] in mounts
    assert set(mounts.values()) == {volume["name"] for volume in pod()["volumes"]}
    (secret,) = (volume["secret"] for volume in pod()["volumes"] if "secret" in volume)
    assert secret["secretName"] in CRONJOB.read_text(encoding="utf-8").split("apiVersion")[0]


# the options that all of these use


def options(text: str) -> set[str]:
    """Every long option in a text."""
    return set(re.findall(r"(?<![-\w])--[a-z][-a-z]*", text))


@pytest.mark.parametrize("source", ["service", "cron", "kubernetes"])
def test_every_option_is_one_of_verify(source: str, tmp_path: Path) -> None:
    used = {
        "service": unit(SERVICE)["Service"]["ExecStart"],
        "cron": cron_entry()[3],
        "kubernetes": " ".join(pod()["containers"][0]["args"]),
    }[source]
    assert len(options(used)) >= 3
    assert shlex.split(used.replace(INSTALLED, "").split("&&")[-1])[0] == "verify"
    assert options(used) <= options(run(PROGRAM, "verify", "--help", cwd=tmp_path).out)


def test_the_runbooks_name_checks_and_commands_that_there_are(tmp_path: Path) -> None:
    said = " ".join(str(rule["annotations"]["runbook"]) for rule in rules())
    codes = {kind.code for kind in KINDS}
    for pattern in re.findall(r"--check ([a-z.]+)", said):
        assert any(code == pattern or code.startswith(f"{pattern}.") for code in codes), pattern
    for command in set(re.findall(r"nornir-etcd ([a-z]+)\b(?!-)", said)) - {"verify"}:
        assert run(PROGRAM, command, "--help", cwd=tmp_path).code == 0, command


# Prometheus


def rules() -> list[dict[str, Any]]:
    """Every rule."""
    return [rule for group in loaded(RULES)["groups"] for rule in group["rules"]]


def names_in(expression: str) -> set[str]:
    """The metrics of an expression."""
    return set(re.findall(r"\b(?:etcd|nornir_etcd|x509|grpc_server)_\w+|\bup\b", expression))


def test_promtool_has_nothing_to_say_of_the_rules() -> None:
    promtool = need("promtool", "prometheus")
    code, said = tool(promtool, "check", "rules", RULES.name, cwd=RULES.parent)
    assert (code, f"SUCCESS: {len(rules())} rules found" in said) == (0, True), said


def test_the_rules_pass_their_own_tests() -> None:
    promtool = need("promtool", "prometheus")
    code, said = tool(promtool, "test", "rules", RULE_TESTS.name, cwd=RULES.parent)
    assert code == 0, said


def test_every_alert_is_tested_firing_and_silent() -> None:
    checked = [one for test in loaded(RULE_TESTS)["tests"] for one in test["alert_rule_test"]]
    fires = {(one["alertname"], alert["exp_labels"]["severity"]) for one in checked for alert in one["exp_alerts"]}
    silent = {one["alertname"] for one in checked if not one["exp_alerts"]}
    assert fires == {(rule["alert"], rule["labels"]["severity"]) for rule in rules()}
    assert silent == {rule["alert"] for rule in rules()}


def test_every_alert_says_what_is_wrong_where_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        about_one = "absent(" not in rule["expr"]
        assert ("{{ $labels.cluster }}" in rule["annotations"]["description"]) is about_one, rule["alert"]


def test_the_rules_read_metrics_that_a_report_has() -> None:
    """But for etcd's own, and for what is still to come."""
    ours = {name for rule in rules() for name in names_in(rule["expr"]) if name.startswith(("nornir_etcd", "x509"))}
    written = set(re.findall(r"^(\w+)\{", to_prometheus(broken()), re.MULTILINE))
    assert ours - written == COMING


def test_the_rules_name_codes_that_there_are() -> None:
    said = [text for rule in rules() for text in re.findall(r'(?<!\w)code!?=~?"([^"]+)"', rule["expr"])]
    named = {code.replace("[.]", ".") for text in said for code in text.split("|")}
    assert named
    assert named <= {kind.code for kind in KINDS}


def broken() -> Report:
    """A verification, at the beginning of time, of a cluster in which everything of ours is to be told."""
    began = datetime(1970, 1, 1, tzinfo=timezone.utc)
    ends = {"leaf": (False, timedelta(days=6)), "ca": (True, timedelta(days=29))}
    held = [
        CertificateReport(
            place=f"/etc/kubernetes/pki/{name}.pem",
            subject=name,
            issuer="ca",
            serial="1",
            not_before=began,
            not_after=began + lasts,
            is_ca=is_ca,
        )
        for name, (is_ca, lasts) in ends.items()
    ]
    findings = [
        Finding(code="cluster.hash", severity=Severity.CRITICAL, subject="blue", message="m"),
        Finding(code="member.unhealthy", severity=Severity.CRITICAL, subject="a", message="m"),
        Finding(code="host.unreachable", severity=Severity.UNKNOWN, subject="a", message="m"),
    ]
    members = [
        samples.member("a", "10.0.0.1", version="3.5.16", certificates=held, alarms=["NOSPACE", "CORRUPT"]),
        samples.member("b", "10.0.0.2", version="3.5.33"),
    ]
    cluster = ClusterReport(name="blue", outcome=Outcome.FAILED, error="e", members=members, findings=findings)
    return samples.report("verify", cluster).model_copy(update={"started_at": began, "finished_at": began})


def fired(report: Report, alerts: set[str], folder: Path) -> tuple[int, str]:
    """What promtool says where these alerts, and no others, are to fire of a report that is 200 minutes old."""
    promtool = need("promtool", "prometheus")
    lines = [line.rsplit(" ", 1) for line in to_prometheus(report).splitlines() if not line.startswith("#")]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": f"{float(value):f}x240"} for series, value in lines],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0',
                "eval_time": "200m",
                "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(alerts)],
            }
        ],
    }
    document = {"rule_files": [str(RULES)], "evaluation_interval": "5m", "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return tool(promtool, "test", "rules", "test.yaml", cwd=folder)


def test_a_report_makes_every_alert_of_ours_fire(tmp_path: Path) -> None:
    (group,) = (group for group in loaded(RULES)["groups"] if group["name"] == "nornir-etcd")
    alerts = {rule["alert"] for rule in group["rules"]} - {"nornirEtcdBackupOld", "nornirEtcdNeverVerified"}
    code, said = fired(broken(), alerts, tmp_path)
    assert code == 0, said


def test_a_report_of_a_healthy_cluster_makes_none_fire_but_for_its_age(tmp_path: Path) -> None:
    began = datetime(1970, 1, 1, tzinfo=timezone.utc)
    report = samples.second_deploy().model_copy(update={"started_at": began, "finished_at": began})
    code, said = fired(report, {"nornirEtcdNotVerified"}, tmp_path)
    assert code == 0, said


# the page


def table() -> str:
    """The alerts as the page has them."""
    rows = ["| alert | severity | after | what is wrong |", "|---|---|---|---|"]
    rows += [
        f"| `{rule['alert']}` | {rule['labels']['severity']} | {rule.get('for', 'at once')} "
        f"| {rule['annotations']['summary']} |"
        for rule in rules()
    ]
    return "\n".join(rows)


def test_the_page_has_the_alerts_as_the_rules_have_them() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE.name}:\n{table()}"


def test_the_page_names_files_that_there_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for path in sorted(path for path in SCHEDULE.rglob("*") if path.is_file()):
        assert str(path.relative_to(ROOT)) in text
    assert options(text) <= options(run(PROGRAM, "verify", "--help", cwd=ROOT).out) | OTHERS
