"""What is read out of docker, held to what a real one printed (20.10), and the scripts, run by real shells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.observation import Container
from nornir_etcd.runtimes import runtime
from nornir_etcd.runtimes.docker import Docker

RECORDED = Path(__file__).parents[2] / "data" / "docker"
DOCKER = Docker()
RUNNING = "a11a4dd7c122e33fe1b920979ab4c3611adfafe5325553c12f2dd6cec800ce09"
CRASHED = "aa474afc3ac6c6268a69994e80b480ed33557bb9139d24c8aeb2f91dece12a1f"
IMAGE = "sha256:24777e0b4e140200184a1ba208e706e1187e3ef244294ea2260256482c1fba5c"
DIGEST = "sha256:4aeb9f97c1f84242a2cf9aaadb73d3c53f5618f76fd7921e8b9d1be8e303f711"
ETCD = "registry.ikubeops.local/ikubeops/etcd"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def test_it_is_found_by_its_name() -> None:
    assert isinstance(runtime("docker"), Docker)


def test_a_container_that_runs_is_read_with_its_images_id_though_it_was_made_from_a_digest() -> None:
    (found,) = DOCKER.parse_containers(recorded("containers-running.txt"))
    assert found == Container(RUNNING, "CONTAINER_RUNNING", "etcd-node-1", 0, IMAGE, 1795653830824813651)
    assert found.running


def test_containers_that_crashed_are_read_newest_first_with_their_restarts() -> None:
    found = DOCKER.parse_containers(recorded("containers-crashed.txt"))
    assert [(one.attempt, one.state) for one in found] == [(number, "CONTAINER_EXITED") for number in (1, 0, 0)]
    assert found[0] == Container(CRASHED, "CONTAINER_EXITED", "etcd-node-1", 1, IMAGE, 1795653835209523242)
    assert [one.id for one in found][-1] == RUNNING
    assert not any(one.running for one in found)
    first, *lines = recorded("containers-crashed.txt").splitlines()
    assert DOCKER.parse_containers("\n".join([first, *lines[::-1]])) == found


def test_only_what_runs_is_said_to_run_and_a_random_end_of_a_name_is_no_restart() -> None:
    found = DOCKER.parse_containers(recorded("containers-states.txt"))
    assert [(one.attempt, one.state, one.running) for one in found] == [
        (2, "CONTAINER_RUNNING", True),
        (1, "CONTAINER_CREATED", False),
        (0, "CONTAINER_PAUSED", False),
    ]
    assert {one.image for one in found} == {f"{ETCD}:3.5.16-0"}, "these were made from a tag"


def test_an_api_server_is_told_apart() -> None:
    (found,) = DOCKER.parse_containers(recorded("containers-states.txt"), "kube-apiserver")
    assert (found.pod, found.attempt) == ("kube-apiserver-node-1", 7)
    assert DOCKER.parse_containers(recorded("containers-running.txt"), "kube-apiserver") == ()


def test_no_container_is_an_empty_list() -> None:
    assert DOCKER.parse_containers(recorded("containers-none.txt")) == ()


def test_images_are_read_by_every_tag_and_one_without_a_tag_is_left_out() -> None:
    found = DOCKER.parse_images(recorded("images.txt"))
    tags = (f"{ETCD}:3.5.16-0", f"{ETCD}:latest", "mirror.example/etcd:3.5.16-0")
    assert {tag: found[tag] for tag in tags} == dict.fromkeys(tags, IMAGE)
    assert set(found) - set(tags) == {"registry.ikubeops.local/pause:3.6"}
    assert DOCKER.parse_images("") == {}


def test_an_images_digests_are_known_by_every_tag_of_it() -> None:
    found = DOCKER.parse_digests(recorded("images.txt"))
    assert found[f"{ETCD}:3.5.16-0"] == found["mirror.example/etcd:3.5.16-0"] == {IMAGE, DIGEST}


def test_docker_says_what_it_is() -> None:
    assert DOCKER.parse_name(recorded("version.json")) == "docker"


def test_what_only_answers_to_its_name_is_another() -> None:
    """podman-docker; written by hand after podman's own answer."""
    server = {"Platform": {"Name": "linux/amd64/debian-12"}, "Components": [{"Name": "Podman Engine"}]}
    assert DOCKER.parse_name(json.dumps(server)) == "Podman Engine"


@pytest.mark.parametrize("name", ["daemon-down.txt", "version.txt", "version.json", "ps-crashed.txt", "inspect.json"])
def test_another_answer_is_refused(name: str) -> None:
    for parse in (DOCKER.parse_containers, DOCKER.parse_images, DOCKER.parse_digests):
        with pytest.raises(ValueError, match=r"^(wanted|Expecting|Extra data|Invalid|an image without)"):
            parse(recorded(name))


@pytest.mark.parametrize("name", ["daemon-down-version.txt", "version.txt", "images.txt", "containers-none.txt"])
def test_a_name_is_not_taken_from_another_answer(name: str) -> None:
    with pytest.raises(ValueError, match=r"^(wanted|Expecting|Extra data|Invalid)"):
        DOCKER.parse_name(recorded(name))


def test_an_answer_that_was_cut_off_is_refused() -> None:
    whole = recorded("containers-crashed.txt")
    for end in range(len(whole) - 1):
        with pytest.raises(ValueError, match=r"."):
            DOCKER.parse_containers(whole[:end])


@pytest.mark.parametrize(
    "changed",
    [
        ('"created":"2026-11-26T00:43:50.824813651Z"', '"created":"yesterday"'),
        ('"created":"2026-11-26T00:43:50.824813651Z"', '"created":"2026-13-26T00:43:50Z"'),
        ("_0", ""),
        ("k8s_etcd", "etcd"),
        ('"state":"running",', ""),
        ('"imageId"', '"x"'),
    ],
)
def test_a_container_that_makes_no_sense_is_refused(changed: tuple[str, str]) -> None:
    text = recorded("containers-running.txt").replace(*changed)
    assert text != recorded("containers-running.txt")
    with pytest.raises(ValueError, match=r"."):
        DOCKER.parse_containers(text)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.text(max_size=3))
keys = ("id", "name", "state", "created", "imageId", "image", "container", "pod", "Repository", "Tag", "ID", "Digest")
entries = st.dictionaries(st.sampled_from((*keys, "Components")), values, max_size=12)


@given(st.lists(entries | values, max_size=3))
def test_no_lines_raise_anything_but_a_value_error(lines: list[object]) -> None:
    text = "\n".join(json.dumps(line) for line in lines)
    for parse in (DOCKER.parse_containers, DOCKER.parse_images, DOCKER.parse_digests, DOCKER.parse_name):
        for one in (text, f"{len(lines)}\n{text}"):
            with suppress(ValueError):
                parse(one)


@given(st.text(max_size=200))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    for parse in (DOCKER.parse_containers, DOCKER.parse_images, DOCKER.parse_digests, DOCKER.parse_name):
        with suppress(ValueError):
            parse(text)


def test_many_brackets_are_no_answer() -> None:
    with pytest.raises(ValueError, match="wanted"):
        DOCKER.parse_images("[" * 100000)


def runs(tmp_path: Path, shell: str, script: str, docker: str) -> tuple[int, str, str, float]:
    """Run a script beside a fake docker, which tells of its calls in a file; return how it ended.

    A real one is run by tests/lab/test_docker.py; here it removes a container or breaks at a given moment.
    """
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not on this machine (Debian: apt-get install busybox-static)")
    fake = tmp_path / "docker"
    fake.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n{docker}\n', encoding="utf-8")
    fake.chmod(0o755)
    started = time.monotonic()
    done = subprocess.run(  # noqa: S603 - shells of this machine
        [found, *(["sh"] if shell == "busybox" else []), "-c", script],
        capture_output=True,
        timeout=30,
        check=False,
        env={"PATH": f"{tmp_path}:{os.defpath}"},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode(), time.monotonic() - started


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_the_list_asks_for_both_names_at_once_and_is_read_as_it_is_printed(shell: str, tmp_path: Path) -> None:
    lines = recorded("containers-crashed.txt").splitlines()[1:]
    (tmp_path / "lines").write_text("\n".join(lines), encoding="utf-8")
    docker = f"case $1 in ps) echo one; echo two; echo three;; inspect) cat {tmp_path}/lines; echo;; esac"
    code, out, said, _ = runs(tmp_path, shell, DOCKER.list_containers(), docker)
    assert (code, said) == (0, "")
    assert DOCKER.parse_containers(out) == DOCKER.parse_containers(recorded("containers-crashed.txt"))
    listed, inspected = asked(tmp_path)
    assert listed == (
        "ps -a -q --no-trunc --filter name=^/?k8s_(etcd|kube-apiserver)_ "
        "--filter label=io.kubernetes.pod.namespace=kube-system"
    )
    assert inspected.startswith('inspect --type container --format {"id":{{json .Id}},')
    assert inspected.endswith(" one two three")


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_container_that_is_removed_while_it_is_asked_for_spoils_nothing(shell: str, tmp_path: Path) -> None:
    line = recorded("containers-running.txt").splitlines()[1]
    (tmp_path / "line").write_text(line, encoding="utf-8")
    docker = (
        f"case $1 in ps) echo one; [ -e {tmp_path}/gone ] || echo two;; "
        f'inspect) cat {tmp_path}/line; echo; case "$*" in *two) : >{tmp_path}/gone; '
        'echo "Error: No such container: two" >&2; exit 1;; esac;; esac'
    )
    code, out, _, _ = runs(tmp_path, shell, DOCKER.list_containers(), docker)
    assert (code, out) == (0, f"1\n{line}\n")
    assert len(asked(tmp_path)) == 4


@pytest.mark.parametrize("shell", ["dash", "busybox"])
@pytest.mark.parametrize("docker", ["echo one; exit 1", "exit 1", "case $1 in ps) echo one;; *) exit 1;; esac"])
def test_a_docker_that_fails_is_no_list(shell: str, docker: str, tmp_path: Path) -> None:
    code, out, said, _ = runs(tmp_path, shell, DOCKER.list_containers(), f"echo it is down >&2; {docker}")
    assert (code, out) == (1, "")
    assert "it is down" in said


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_waiting_ends_when_there_is_a_new_container_even_one_that_has_exited(shell: str, tmp_path: Path) -> None:
    script = DOCKER.await_container([CRASHED], 20)
    code, out, said, seconds = runs(tmp_path, shell, script, f"echo {CRASHED}; echo {RUNNING}")
    assert (code, out, said) == (0, "", "")
    assert seconds < 10
    (one,) = asked(tmp_path)
    assert one == (
        "ps -a -q --no-trunc --filter name=^/?k8s_etcd_ --filter label=io.kubernetes.pod.namespace=kube-system "
        "--filter label=io.kubernetes.container.name=etcd"
    )


@pytest.mark.parametrize("shell", ["dash", "busybox"])
@pytest.mark.parametrize("docker", [":", f"echo {RUNNING}", "echo it is down >&2; exit 1"])
def test_waiting_ends_in_time_where_only_known_containers_run(shell: str, docker: str, tmp_path: Path) -> None:
    code, _, said, seconds = runs(tmp_path, shell, DOCKER.await_container([CRASHED, RUNNING], 1), docker)
    assert code == 1
    assert seconds < 10
    assert ("it is down" in said) is ("down" in docker)


def listing(*, running: str = "", sandbox: str = "", ready: str = "") -> str:
    """Return a fake docker's lines: what runs, the sandboxes of all its containers, and which sandboxes run."""
    return (
        f"case $* in *podsandbox*) printf '%s' '{ready}' ;; *sandbox.id*) printf '%s' '{sandbox}' ;;\n"
        f"'ps -q '*) printf '%s' '{running}' ;; *) exit 9 ;; esac"
    )


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
@pytest.mark.parametrize(
    ("docker", "code", "told"),
    [
        (listing(), 0, ""),
        (listing(sandbox="5a", ready="7b"), 0, ""),
        (listing(sandbox="5a\n6c", ready="7b\n6c"), 1, "its Pod 6c is ready to start it again\n"),
        (listing(running=RUNNING, sandbox="5a", ready="5a"), 1, f"its container {RUNNING} runs\n"),
        (f"case $* in *podsandbox*) echo down >&2; exit 1 ;; esac; {listing()}", 2, "down\n"),
        (f"case $* in *sandbox.id*) echo down >&2; exit 1 ;; esac; {listing()}", 2, "down\n"),
        ("echo down >&2; exit 1", 2, "down\n"),
    ],
)
def test_a_container_has_stopped_only_where_docker_says_so_and_no_pod_of_it_is_ready(
    shell: str, docker: str, code: int, told: str, tmp_path: Path
) -> None:
    found, _, said, seconds = runs(tmp_path, shell, DOCKER.await_stop(1), docker)
    assert (found, said) == (code, told)
    assert seconds < 10
    named = (
        "--filter name=^/?k8s_etcd_ --filter label=io.kubernetes.pod.namespace=kube-system "
        "--filter label=io.kubernetes.container.name=etcd"
    )
    assert asked(tmp_path)[0] == f"ps -q --no-trunc {named}"


@pytest.mark.parametrize("shell", ["dash", "busybox"])
def test_an_image_is_pulled_and_then_listed_and_one_that_is_nowhere_is_not(shell: str, tmp_path: Path) -> None:
    code, out, said, _ = runs(tmp_path, shell, DOCKER.pull("reg/etcd:1"), 'echo "$1"')
    assert (code, out, said) == (0, "image\n", "pull\n")
    assert asked(tmp_path) == ["pull --quiet reg/etcd:1", "image ls --no-trunc --digests --format {{json .}}"]
    code, out, said, _ = runs(
        tmp_path, shell, DOCKER.pull("reg/etcd:1"), f"cat {RECORDED}/pull-failure.txt >&2; exit 1"
    )
    assert (code, out, said) == (1, "", recorded("pull-failure.txt"))


@pytest.mark.parametrize("shell", ["dash", "busybox"])
def test_an_image_is_loaded_from_a_file_and_what_docker_says_of_it_is_no_answer(shell: str, tmp_path: Path) -> None:
    code, out, said, _ = runs(tmp_path, shell, DOCKER.load("/var/x.part"), 'echo "Loaded image: reg/etcd:1"')
    assert (code, out, said) == (0, "", "Loaded image: reg/etcd:1\n")
    assert asked(tmp_path) == ["load --quiet --input /var/x.part"]


def test_nothing_of_it_calls_another_runtimes_tool_and_the_log_is_read_from_both_streams() -> None:
    scripts = (
        *(DOCKER.ask_name(), DOCKER.list_containers(), DOCKER.list_images(), DOCKER.pull("x/y:1"), DOCKER.load("/x")),
        *(DOCKER.await_container([], 1), DOCKER.await_stop(1), DOCKER.last_lines("abc", 20)),
    )
    assert not any("crictl" in script for script in scripts)
    assert DOCKER.last_lines("abc", 20) == "docker logs --tail 20 'abc' 2>&1"
    assert DOCKER.tools == (DOCKER.client,) == ("docker",)
