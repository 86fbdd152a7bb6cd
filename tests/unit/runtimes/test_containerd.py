"""What is read out of crictl, held to what a real crictl printed, and the script that waits, run by real shells."""

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

RECORDED = Path(__file__).parents[2] / "data" / "crictl"
CONTAINERD = runtime("containerd")
RUNNING = "c9a03226666785441703ba4d8ddd3ff9ffc5538b70e9041bc06dfdae32717cd1"
CRASHED = "599cf024fa88898c248d860424d876a2b15406011099802116e59dcaca00ec8b"
IMAGE = "sha256:9747768c9be01a94e45125d9493e74bfb5743261c894bb855c039b9eab6e4c90"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ps.json", "ps-all.json", "ps-name-etcd.json"])
def test_a_container_that_runs_is_read(name: str) -> None:
    (found,) = CONTAINERD.parse_containers(recorded(name))
    assert found == Container(RUNNING, "CONTAINER_RUNNING", "etcd-node-1", 0, IMAGE, 1795347239972323085)
    assert found.running


def test_a_container_that_crashed_is_read_with_its_restarts() -> None:
    (found,) = CONTAINERD.parse_containers(recorded("ps-all-crashed.json"))
    assert found == Container(CRASHED, "CONTAINER_EXITED", "etcd-node-3", 3, IMAGE, 1795348499890955566)
    assert not found.running


def test_a_newer_runtime_tells_the_tag_and_the_id_of_the_image() -> None:
    """CRI 1.29 and later: `imageRef` may then be a digest in a registry."""
    document = json.loads(recorded("ps.json"))
    entry = document["containers"][0]
    entry["imageRef"], entry["imageId"] = "x/etcd@sha256:77", IMAGE
    entry["image"]["userSpecifiedImage"] = "x/etcd:3.5.16-0"
    (found,) = CONTAINERD.parse_containers(json.dumps(document))
    assert (found.image_id, found.image) == (IMAGE, "x/etcd:3.5.16-0")
    entry["image"] = None
    (found,) = CONTAINERD.parse_containers(json.dumps(document))
    assert found.image == ""


@pytest.mark.parametrize("name", ["ps-none.json", "ps-crashed-running-only.json", "ps-image-missing.json"])
def test_no_container_is_an_empty_list(name: str) -> None:
    assert CONTAINERD.parse_containers(recorded(name)) == ()


def test_the_newest_container_comes_first() -> None:
    entries = [json.loads(recorded(name))["containers"][0] for name in ("ps.json", "ps-all-crashed.json")]
    for order in (entries, entries[::-1]):
        found = CONTAINERD.parse_containers(json.dumps({"containers": order}))
        assert [container.id for container in found] == [CRASHED, RUNNING]


def test_images_are_read_by_every_tag() -> None:
    found = CONTAINERD.parse_images(recorded("images.json"))
    etcd = "registry.ikubeops.local/ikubeops/etcd"
    assert found[f"{etcd}:3.5.16-0"] == IMAGE
    assert {tag for tag in found if tag.startswith(etcd)} >= {f"{etcd}:3.4.23-0", f"{etcd}:3.5.16-0"}


def test_a_container_runs_the_image_that_is_listed_under_its_tag() -> None:
    (container,) = CONTAINERD.parse_containers(recorded("ps.json"))
    assert container.image_id in CONTAINERD.parse_images(recorded("images.json")).values()


@pytest.mark.parametrize("tags", ["[]", "null"])
def test_an_image_without_a_tag_is_left_out(tags: str) -> None:
    assert CONTAINERD.parse_images(f'{{"images": [{{"id": "sha256:1", "repoTags": {tags}}}]}}') == {}


@pytest.mark.parametrize(
    "name", ["runtime-down.txt", "version.txt", "images.txt", "ps-all-crashed.txt", "inspect.json"]
)
def test_another_answer_is_refused(name: str) -> None:
    for parse in (CONTAINERD.parse_containers, CONTAINERD.parse_images):
        with pytest.raises(ValueError, match=r"^(wanted|Expecting|Extra data|Invalid)"):
            parse(recorded(name))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100000,
        '{"images": [{"repoTags": 5}]}',
        '{"containers": null}',
        '{"containers": ["x"]}',
        '{"containers": [{"id": "x"}]}',
        '{"containers": [{"id": "x", "state": "s", "labels": null, "metadata": {}}]}',
        recorded("ps.json").replace('"1795347239972323085"', "Infinity"),
        recorded("ps.json").replace('"1795347239972323085"', '"soon"'),
        recorded("ps.json").replace('"attempt": 0', '"attempt": null'),
    ],
    ids=range(10),
)
def test_an_answer_that_makes_no_sense_is_refused(text: str) -> None:
    wanted = CONTAINERD.parse_images if '"images"' in text else CONTAINERD.parse_containers
    with pytest.raises(ValueError, match=r"."):
        wanted(text)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
documents = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "containers",
                    "images",
                    "id",
                    "state",
                    "labels",
                    "metadata",
                    "attempt",
                    "imageRef",
                    "createdAt",
                    "repoTags",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(documents, st.sampled_from(["containers", "images"]))
def test_no_document_raises_anything_but_a_value_error(inside: object, key: str) -> None:
    for document in (inside, {key: inside}, {key: [inside]}):
        for parse in (CONTAINERD.parse_containers, CONTAINERD.parse_images):
            with suppress(ValueError):
                parse(json.dumps(document))


@given(st.text(max_size=200))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    for parse in (CONTAINERD.parse_containers, CONTAINERD.parse_images):
        with suppress(ValueError):
            parse(text)


def waits(tmp_path: Path, shell: str, crictl: str, script: str) -> tuple[int, str, float]:
    """Run a waiting script beside a fake crictl (it prints what a real one was seen to); return how it ended."""
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not on this machine (Debian: apt-get install busybox-static)")
    fake = tmp_path / "crictl"
    fake.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n{crictl}\n', encoding="utf-8")
    fake.chmod(0o755)
    started = time.monotonic()
    done = subprocess.run(  # noqa: S603 - shells of this machine
        [found, *(["sh"] if shell == "busybox" else []), "-c", script],
        capture_output=True,
        timeout=30,
        check=False,
        env={"PATH": f"{tmp_path}:{os.defpath}"},
    )
    assert done.stdout == b""
    return done.returncode, done.stderr.decode(), time.monotonic() - started


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_waiting_ends_when_there_is_a_new_container_even_one_that_has_exited(shell: str, tmp_path: Path) -> None:
    code, said, seconds = waits(
        tmp_path, shell, f"echo {CRASHED}; echo {RUNNING}", CONTAINERD.await_container([CRASHED], 20)
    )
    assert (code, said) == (0, "")
    assert seconds < 10
    (asked,) = (tmp_path / "asked").read_text(encoding="utf-8").splitlines()
    assert asked == (
        "ps -a -q --name ^etcd$ --label io.kubernetes.pod.namespace=kube-system "
        "--label io.kubernetes.container.name=etcd"
    )


@pytest.mark.parametrize("shell", ["dash", "busybox"])
@pytest.mark.parametrize("crictl", [":", f"echo {RUNNING}", "echo the runtime is down >&2; exit 1"])
def test_waiting_ends_in_time_where_only_known_containers_run(shell: str, crictl: str, tmp_path: Path) -> None:
    code, said, seconds = waits(tmp_path, shell, crictl, CONTAINERD.await_container([CRASHED, RUNNING], 1))
    assert code == 1
    assert seconds < 10
    assert ("the runtime is down" in said) is ("down" in crictl)


def test_a_known_id_is_known_whole_and_not_as_a_part_of_another(tmp_path: Path) -> None:
    code, _, _ = waits(tmp_path, "dash", f"echo {RUNNING[:13]}", CONTAINERD.await_container([RUNNING], 1))
    assert code == 0


def listing(*, running: str = "", known: str = "ps-none.json", ready: str = "") -> str:
    """Return a fake crictl's lines: what runs, the recorded list of all containers, and which Pods are ready."""
    return (
        f"case $* in 'ps -q '*) printf '%s' '{running}' ;; 'ps -a -o json '*) cat {RECORDED / known} ;;\n"
        f"'pods -q --state ready') printf '%s' '{ready}' ;; *) exit 9 ;; esac"
    )


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
@pytest.mark.parametrize(("known", "ready"), [("ps-none.json", ""), ("ps-all-crashed.json", RUNNING)])
def test_waiting_for_a_stop_ends_where_nothing_runs_and_no_pod_of_it_is_ready(
    shell: str, known: str, ready: str, tmp_path: Path
) -> None:
    crictl = listing(known=known, ready=ready)
    code, said, seconds = waits(tmp_path, shell, crictl, CONTAINERD.await_stop(20))
    assert (code, said) == (0, "")
    assert seconds < 10
    named = "--name ^etcd$ --label io.kubernetes.pod.namespace=kube-system --label io.kubernetes.container.name=etcd"
    assert (tmp_path / "asked").read_text(encoding="utf-8").splitlines() == [
        f"ps -q {named}",
        f"ps -a -o json {named}",
        "pods -q --state ready",
    ]


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_a_container_that_crashes_again_and_again_has_not_stopped_while_its_pod_is_ready(
    shell: str, tmp_path: Path
) -> None:
    """So etcd is between two starts after it was removed from its cluster."""
    pod = json.loads(recorded("ps-all-crashed.json"))["containers"][0]["podSandboxId"]
    crictl = listing(known="ps-all-crashed.json", ready=f"{RUNNING}\n{pod}\n")
    code, said, _ = waits(tmp_path, shell, crictl, CONTAINERD.await_stop(0))
    assert (code, said) == (1, f"its Pod {pod} is ready to start it again\n")


@pytest.mark.parametrize("shell", ["dash", "busybox"])
def test_waiting_for_a_stop_ends_in_time_where_a_container_runs(shell: str, tmp_path: Path) -> None:
    crictl = listing(running=RUNNING, known="ps.json")
    code, said, seconds = waits(tmp_path, shell, crictl, CONTAINERD.await_stop(1))
    assert (code, said) == (1, f"its container {RUNNING} runs\n")
    assert seconds < 10


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
@pytest.mark.parametrize("fails", ["ps -q", "ps -a", "pods"])
def test_a_runtime_that_does_not_answer_has_not_said_that_nothing_runs(shell: str, fails: str, tmp_path: Path) -> None:
    crictl = f"case $* in '{fails}'*) echo the runtime is down >&2; exit 1 ;; esac\n{listing()}"
    code, said, seconds = waits(tmp_path, shell, crictl, CONTAINERD.await_stop(20))
    assert (code, said) == (2, "the runtime is down\n")
    assert seconds < 10


def test_an_image_is_quoted_and_the_log_is_read_from_stderr() -> None:
    assert CONTAINERD.pull("reg/etcd:1") == "crictl pull 'reg/etcd:1' >&2 && crictl images -o json"
    assert CONTAINERD.load("/var/x.part") == "ctr --namespace k8s.io images import '/var/x.part' >&2"
    assert CONTAINERD.last_lines("abc", 20) == "crictl logs --tail 20 'abc' 2>&1"


def named(name: str) -> str:
    """Return a listing as of one more container: a real one of etcd, and the same again under another name."""
    document = json.loads(recorded("ps-all.json"))
    other = json.loads(recorded("ps-all-crashed.json"))["containers"][0]
    other["metadata"]["name"] = other["labels"]["io.kubernetes.container.name"] = name
    other["labels"]["io.kubernetes.pod.name"] = f"{name}-node-1"
    return json.dumps({"containers": [other, *document["containers"]]})


def test_containers_of_etcd_and_of_an_api_server_are_listed_at_once_and_told_apart() -> None:
    assert "--name '^(etcd|kube-apiserver)$'" in CONTAINERD.list_containers()
    listed = named("kube-apiserver")
    assert [one.id for one in CONTAINERD.parse_containers(listed)] == [RUNNING]
    (found,) = CONTAINERD.parse_containers(listed, "kube-apiserver")
    assert (found.id, found.pod, found.attempt) == (CRASHED, "kube-apiserver-node-1", 3)
    assert CONTAINERD.parse_containers(recorded("ps-all.json"), "kube-apiserver") == ()


def test_waiting_for_an_api_server_asks_for_it_alone() -> None:
    script = CONTAINERD.await_container([], 1, "kube-apiserver")
    assert "--name '^kube-apiserver$'" in script
    assert "--label io.kubernetes.container.name=kube-apiserver" in script


def test_dead_containers_are_listed_too() -> None:
    """A crash-looping etcd is missing from `crictl ps`."""
    assert " -a " in CONTAINERD.list_containers()
