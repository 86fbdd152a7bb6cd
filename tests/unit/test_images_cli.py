"""`nornir-etcd images` as a user meets it: what it prints, and what it refuses before anything is touched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.images.archives import make, pack, saved_files
from tests.unit.program import PROGRAM, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.program import Done

CONFIG = """
inventory:
  plugin: SimpleInventory
  options: {host_file: hosts.yaml, group_file: groups.yaml, defaults_file: defaults.yaml}
logging: {enabled: false}
"""
HOSTS = """
node-1: {hostname: 127.0.0.1, port: 1, groups: [etcd], data: {etcd_address: 192.0.2.11}}
node-2: {hostname: 127.0.0.1, port: 1, groups: [etcd], data: {etcd_address: 192.0.2.12}}
node-3: {hostname: 127.0.0.1, port: 1, groups: [etcd], data: {etcd_address: 192.0.2.13, registry: "127.0.0.1:1"}}
"""
FIRST, SECOND = "registry.ikubeops.local/ikubeops/etcd:3.5.16-0", "127.0.0.1:1/ikubeops/etcd:3.5.16-0"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name, content in {"config.yaml": CONFIG, "hosts.yaml": HOSTS, "groups.yaml": "etcd: {}\n"}.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "archives").mkdir()
    return tmp_path


def images(workspace: Path, *words: str, **env: str) -> Done:
    return run(PROGRAM, "images", *words, cwd=workspace, env=env)


def refusal(done: Done, code: int = 2) -> list[str]:
    assert (done.code, done.out) == (code, ""), done
    return done.err.splitlines()


def test_every_image_is_listed_once_with_the_hosts_that_need_it(workspace: Path) -> None:
    listed = images(workspace, "list")
    assert (listed.code, listed.err) == (0, "")
    rows = [line.split(maxsplit=1) for line in listed.out.splitlines()]
    assert rows == [["IMAGE", "HOSTS"], [SECOND, "node-3"], [FIRST, "node-1, node-2"]]
    found = json.loads(images(workspace, "list", "--format", "json", "--set", "etcd_version=3.5.33-0").out)
    assert found[1] == {"image": FIRST.replace("16", "33"), "hosts": ["node-1", "node-2"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--format", "xml"], "--format: wanted table or json, found 'xml'"),
        (["list", "--set", "etcd_version"], "--set: wanted KEY=VALUE, found 'etcd_version'"),
        (["push", "--from", "none"], "none: wanted a folder of archives, found No such file or directory"),
        (["push", "--from", "archives", "--password-env", "X"], "--password-env: wanted --user with it"),
        (
            ["push", "--from", "archives", "--ca", "x", "--plain-http"],
            "--ca: wanted with TLS alone, found --plain-http",
        ),
        (["load", "--from", "archives", "--hosts", "node-9"], "--hosts: node-9 is no host of the group etcd"),
    ],
)
def test_what_is_said_wrong_is_told_in_a_line(workspace: Path, words: list[str], said: str) -> None:
    (line,) = refusal(images(workspace, *words))
    assert line.startswith(f"error: {said}")


def test_a_password_comes_from_the_environment_or_a_terminal(workspace: Path) -> None:
    pack(workspace / "archives/a.tar", saved_files(make()))
    words = ("push", "--from", "archives", "--user", "pusher")
    (line,) = refusal(images(workspace, *words, "--password-env", "SECRET"))
    assert line.endswith("wanted the password in SECRET, found no such variable or an empty one")
    (line,) = refusal(images(workspace, *words))
    assert line.startswith("error: --user: wanted a terminal, found none; name an environment variable")
    done = images(workspace, *words, "--password-env", "SECRET", SECRET="NOT-SHOWN")  # noqa: S106 - the point
    assert (done.code, "NOT-SHOWN" in done.err) == (3, False)


def test_all_faults_of_all_archives_are_told_at_once_and_nothing_is_touched(workspace: Path) -> None:
    (workspace / "archives/a.tar").write_text("<!DOCTYPE html>")
    whole = pack(workspace / "archives/b.tar", saved_files(make())).read_bytes()
    (workspace / "archives/b.tar").write_bytes(whole[:5000])
    first, second = refusal(images(workspace, "load", "--from", "archives"))
    assert first.startswith("error: archives/a.tar: wanted a tar of images, found HTML")
    assert second.startswith("error: archives/b.tar: wanted ")


def test_an_image_that_no_archive_has_is_told_with_what_there_is(workspace: Path) -> None:
    pack(workspace / "archives/a.tar", saved_files(make(), "registry.k8s.io/etcd:3.5.15-0"))
    lines = refusal(images(workspace, "push", "--from", "archives"))
    assert [line.split(": ")[1] for line in lines] == [SECOND, FIRST]
    assert "found registry.k8s.io/etcd:3.5.15-0;" in lines[0]


def test_hosts_that_are_not_reached_are_told_each_in_a_line(workspace: Path) -> None:
    pack(workspace / "archives/a.tar", saved_files(make()))
    lines = refusal(images(workspace, "load", "--from", "archives", "--hosts", "node-2,node-1"), 4)
    assert [line.split(": ")[1] for line in lines] == ["node-2", "node-1"]
