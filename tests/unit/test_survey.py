"""The one command that reads a host, run by real shells on a real tree, and the reading of its answer.

`crictl` is a fake here: it prints what a real one printed (tests/data/crictl). The lab's tests go the real road.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nornir_etcd.layout import Layout
from nornir_etcd.observation import DataDirectory, FileState, HostObservation, Unknown
from nornir_etcd.runtimes import runtime
from nornir_etcd.survey import parse_survey, survey_script
from tests.unit.test_walmeta import wal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

RECORDED = Path(__file__).parents[1] / "data" / "crictl"
CONTAINERD = runtime("containerd")
TOKEN = "0123456789abcdef"  # noqa: S105 - a mark between parts
SHELLS = ("dash", "bash", "busybox")
TOOLS = ("id", "uname", "date", "stat", "sha256sum", "readlink", "cat", "ls", "od")
NODE_ID, CLUSTER_ID = 0xEB9D09678A271E33, 0x1C95EE24BA881A25
IMAGE = "sha256:9747768c9be01a94e45125d9493e74bfb5743261c894bb855c039b9eab6e4c90"


@dataclass
class Tree:
    """A host's files, below a folder of the test's own."""

    root: Path
    shell: str = "dash"
    tools: Collection[str] = TOOLS
    containers: str = "cat ps-all.json"
    images: str = "cat images.json"
    crictl: bool = True
    version: str = "cat version.txt"
    peers: Sequence[str] | None = None
    before: str = "/nowhere"  # a folder of commands that are found first

    @property
    def paths(self) -> Layout:
        """Where etcd's files lie."""
        base = f"{self.root}/kubernetes"
        return Layout(ca_dir=f"{base}/pki", kube_base_dir=base, data=f"{self.root}/lib/etcd")

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file and the folders above it."""
        at = Path(path)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
        at.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link and the folders above it."""
        at = Path(path)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.symlink_to(target)

    def deploy(self) -> None:
        """Leave what a deploy leaves."""
        paths = self.paths
        data = f"{paths.etcd}/..20261122"
        for name, mode in (("etcd.pem", 0o644), ("etcd-key.pem", 0o600), ("ca.pem", 0o644)):
            self.write(f"{data}/{name}", f"content of {name}\n".encode(), mode)
            self.link(f"{paths.etcd}/{name}", f"..data/{name}")
        self.link(f"{paths.etcd}/..data", "..20261122")
        Path(paths.etcd).chmod(0o700)
        for path, target in paths.links.items():
            self.link(path, target)
        self.write(paths.ca, b"content of ca.pem\n")
        self.write(paths.manifest, b"kind: Pod\n\n", 0o600)
        self.write(f"{paths.guard}/wal/0000000000000000-0000000000000000.wal", wal(NODE_ID, CLUSTER_ID) + bytes(65536))
        (Path(paths.guard) / "snap").mkdir()

    def output(self) -> bytes:
        """Run the script and return what it wrote; it must have succeeded in the shell's eyes."""
        tools = self.root / "bin"
        shutil.rmtree(tools, ignore_errors=True)
        tools.mkdir()
        for name in self.tools:
            found = shutil.which("busybox" if self.shell == "busybox" else name)
            assert found, f"{name} is missing on this machine"
            (tools / name).symlink_to(found)
        if self.crictl:
            cat = shutil.which("cat")
            answers = "\n".join(
                f"*' {name} '*) {command.replace('cat ', f'{cat} {RECORDED}/')};;"
                for name, command in (("ps", self.containers), ("images", self.images), ("version", self.version))
            )
            self.write(f"{tools}/crictl", f'#!/bin/sh\ncase " $* " in\n{answers}\nesac\n'.encode(), 0o755)
        done = subprocess.run(  # noqa: S603 - shells of this machine
            [*command_of(self.shell), survey_script(self.paths, CONTAINERD, TOKEN, peers=self.peers)],
            capture_output=True,
            timeout=30,
            check=False,
            env={"PATH": f"{self.before}:{tools}", "LC_ALL": "C"},
        )
        assert done.stderr == b""
        return done.stdout

    def survey(self) -> HostObservation:
        """Return what the host said."""
        began, output = time.time(), self.output()
        asked = (began, time.time())
        return parse_survey("node-1", output, TOKEN, self.paths, CONTAINERD, peers=self.peers, asked=asked)


def command_of(shell: str) -> list[str]:
    """Return how a script is given to a shell, by its whole path; a shell that is not here skips the test."""
    found = shutil.which(shell)
    if not found:
        pytest.skip(f"{shell} is not on this machine (Debian: apt-get install busybox-static)")
    return [found, "sh", "-c"] if shell == "busybox" else [found, "-c"]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_host_with_nothing_on_it_is_read_whole(shell: str, tree: Tree) -> None:
    tree.shell, tree.containers = shell, "cat ps-none.json"
    seen = tree.survey()
    assert seen.error is None
    assert (seen.host, seen.uid, seen.hostname) == ("node-1", os.getuid(), os.uname().nodename)
    assert seen.clock > 1.7e9
    assert seen.files == {path: FileState("absent") for path in tree.paths.observed}
    assert seen.texts == {}
    assert seen.data == DataDirectory("absent")
    assert (seen.containers, seen.container) == ((), None)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_deployed_host_is_read_whole(shell: str, tree: Tree) -> None:
    tree.shell = shell
    tree.deploy()
    seen, paths = tree.survey(), tree.paths
    assert seen.error is None
    assert set(seen.files) == set(paths.observed)
    key = seen.files[f"{paths.etcd}/etcd-key.pem"]
    assert (key.kind, key.mode, key.target) == ("link", 0o600, "..data/etcd-key.pem")
    assert (key.owner, key.size) == (f"{os.getuid()}:{os.getgid()}", len("content of etcd-key.pem\n"))
    assert key.sha256 == hashlib.sha256(b"content of etcd-key.pem\n").hexdigest()
    assert seen.files[f"{paths.ca_dir}/etcd.pem"].target == "etcd/etcd.pem"
    assert seen.files[f"{paths.etcd}/..data"].target == "..20261122"
    folder = seen.files[paths.etcd]
    assert (folder.kind, folder.mode, folder.sha256) == ("directory", 0o700, "")
    manifest = seen.files[paths.manifest]
    assert (manifest.kind, manifest.mode) == ("file", 0o600)
    assert abs(seen.clock - manifest.mtime) < 60
    assert seen.texts == {
        paths.ca: "content of ca.pem\n",
        f"{paths.etcd}/etcd.pem": "content of etcd.pem\n",
        f"{paths.etcd}/ca.pem": "content of ca.pem\n",
        f"{paths.ca_dir}/etcd.pem": "content of etcd.pem\n",
        paths.manifest: "kind: Pod\n\n",
    }
    assert seen.data == DataDirectory("member", NODE_ID, CLUSTER_ID, ("member",))
    assert seen.container is not None
    assert (seen.container.state, seen.container.pod, seen.container.image_id) == (
        "CONTAINER_RUNNING",
        "etcd-node-1",
        IMAGE,
    )
    assert not isinstance(seen.images, Unknown)
    assert seen.images["registry.ikubeops.local/ikubeops/etcd:3.5.16-0"] == IMAGE


def test_the_content_of_a_key_is_not_read(tree: Tree) -> None:
    tree.deploy()
    assert b"content of etcd-key.pem" not in tree.output()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ((), "empty"),
        (("lost+found/",), "empty"),
        (("member/",), "guard"),
        (("member/", "lost+found/"), "guard"),
        (("member.removed-20260102T030405Z/wal/", "member.purged-20260102T030405Z-2/"), "empty"),
        (("member/", "member.removed-20260102T030405Z/"), "guard"),
        (("member.removed/",), "other"),
        (("member/", "notes"), "other"),
        (("member/.hidden",), "other"),
        (("member/snap/", "member/wal/"), "other"),
        (("member/wal.tmp/", "member/snap/db"), "other"),
        (("backup.tar",), "other"),
        ((".hidden",), "other"),
        (("member",), "other"),
        (("two\nlines",), "other"),
    ],
)
def test_a_data_directory_is_what_is_in_it(shell: str, entries: tuple[str, ...], state: str, tree: Tree) -> None:
    tree.shell = shell
    data = Path(tree.paths.data)
    data.mkdir(parents=True)
    for entry in entries:
        if entry.endswith("/"):
            (data / entry).mkdir(parents=True)
        else:
            tree.write(f"{data}/{entry}", b"x")
    found = tree.survey().data
    assert not isinstance(found, Unknown)
    assert found.state == state


@pytest.mark.parametrize("content", [b"", b"no WAL", bytes(1024), wal(1, 2)[:30]])
def test_a_wal_that_cannot_be_read_is_unknown_and_never_a_guard(content: bytes, tree: Tree) -> None:
    tree.write(f"{tree.paths.guard}/wal/0000000000000000-0000000000000000.wal", content)
    found = tree.survey().data
    assert isinstance(found, Unknown) or found.state == "other"


def test_the_first_wal_file_tells(tree: Tree) -> None:
    for name in ("0000000000000001-0000000000000010", "0000000000000000-0000000000000000"):
        tree.write(f"{tree.paths.guard}/wal/{name}.wal", wal(7, 8))
    tree.write(f"{tree.paths.guard}/wal/0.tmp", b"x")
    assert tree.survey().data == DataDirectory("member", 7, 8, ("member",))


@pytest.mark.parametrize("kind", ["file", "dangling link", "loop"])
def test_a_data_directory_that_is_none_is_unknown(kind: str, tree: Tree) -> None:
    data = tree.paths.data
    if kind == "file":
        tree.write(data, b"x")
    else:
        tree.link(data, data if kind == "loop" else "nowhere")
    assert isinstance(tree.survey().data, Unknown)


def test_a_data_directory_behind_a_link_is_read(tree: Tree) -> None:
    real = tree.root / "disk"
    real.mkdir()
    tree.link(tree.paths.data, str(real))
    seen = tree.survey()
    assert seen.files[tree.paths.data].kind == "link"
    assert seen.data == DataDirectory("empty")


@pytest.mark.parametrize("target", ["nowhere", "ca.pem"])
def test_a_link_that_leads_nowhere_is_a_link_and_not_absent(target: str, tree: Tree) -> None:
    tree.link(tree.paths.ca, target)
    assert tree.survey().files[tree.paths.ca] == FileState("link", target=target)


def test_a_file_where_a_folder_is_wanted_makes_what_is_below_it_absent(tree: Tree) -> None:
    tree.write(tree.paths.ca_dir, b"a file")
    assert tree.survey().files[f"{tree.paths.etcd}/etcd.pem"] == FileState("absent")


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_host_without_a_tool_is_unknown_in_what_the_tool_would_have_told(shell: str, tool: str, tree: Tree) -> None:
    tree.shell = shell
    tree.deploy()
    whole = tree.survey()
    tree.tools = [name for name in TOOLS if name != tool]
    seen = tree.survey()
    invented_nothing(seen, whole)
    if tool in {"stat", "ls", "od"}:
        assert isinstance(seen.data, Unknown)


def invented_nothing(seen: HostObservation, whole: HostObservation) -> None:
    """Hold what was read of an incomplete answer to what is true: it says less, or the same."""
    if seen.error is not None:
        assert seen == HostObservation(seen.host, error=seen.error)
        return
    for path, state in seen.files.items():
        full = whole.files[path]
        assert full.kind in {state.kind, "link"}
        assert state.sha256 in {"", full.sha256}
    for path, text in seen.texts.items():
        assert text == whole.texts[path] or not text
    for name in ("data", "images", "containers"):
        assert isinstance(getattr(seen, name), Unknown) or getattr(seen, name) == getattr(whole, name)
    assert seen.uid in {-1, whole.uid}


def test_a_file_that_could_not_be_read_is_not_taken_for_an_empty_one() -> None:
    usual = {"uid": (0, "0\n", ""), "clock": (0, "1\n", ""), "images": (0, "{}", "")}
    failed = {
        f"text:{PATHS.manifest}": (1, "", f"cat: {PATHS.manifest}: Input/output error"),
        f"text:{PATHS.ca}": (0, "", ""),
    }
    assert parse_survey("h", answer(usual | failed), TOKEN, PATHS, CONTAINERD).texts == {PATHS.ca: ""}


def test_a_host_without_crictl_is_unknown_in_its_containers(tree: Tree) -> None:
    tree.crictl = False
    seen = tree.survey()
    for found in (seen.containers, seen.images):
        assert isinstance(found, Unknown)
        assert "crictl" in found.reason
        assert "not found" in found.reason
    assert seen.container is None


def test_a_runtime_that_is_down_is_unknown_in_its_own_words(tree: Tree) -> None:
    first = (RECORDED / "runtime-down.txt").read_text(encoding="utf-8").splitlines()[0]
    tree.containers = tree.images = f"printf '%s\\n' '{first}' >&2; exit 1"
    seen = tree.survey()
    assert seen.containers == Unknown(f"containers of the runtime could not be listed: {first}")
    assert seen.images == Unknown(f"images of the runtime could not be listed: {first}")
    assert seen.data == DataDirectory("absent"), "the rest is known"


def test_warnings_of_a_runtime_that_answers_are_no_part_of_its_answer(tree: Tree) -> None:
    tree.containers = "echo 'level=warning msg=\"no config\"' >&2; cat ps-all.json"
    assert tree.survey().container is not None


def test_an_answer_that_is_no_list_is_unknown(tree: Tree) -> None:
    tree.images = "echo surprise"
    found = tree.survey().images
    assert isinstance(found, Unknown)
    assert found.reason.startswith("images of the runtime could not be read: ")


HOSTILE = (
    f"\n{TOKEN[::-1]} begin uid\n0\n{TOKEN[::-1]} end uid 0\n\n",
    "\nbegin data\nend data 0\n",
    "$(touch /tmp/never) `id` ' \" \\ %s %d\n",
    "no newline at the end",
    "\n\n\nempty lines\n\n\n",
    "carriage\r\nreturn\x0bvertical\x0cfeed\x85\u2028\n",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("shell", SHELLS)
def test_the_content_of_a_file_is_read_byte_for_byte_and_never_obeyed(shell: str, text: str, tree: Tree) -> None:
    tree.shell = shell
    tree.write(tree.paths.manifest, text.encode())
    seen = tree.survey()
    assert seen.error is None
    assert seen.texts[tree.paths.manifest] == text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_any_bytes_in_a_file_are_read_and_leave_the_rest_alone(content: bytes, tree: Tree) -> None:
    tree.write(tree.paths.manifest, content)
    seen = tree.survey()
    assert seen.error is None
    assert seen.texts[tree.paths.manifest] == content.decode(errors="replace")
    assert seen.files[tree.paths.manifest].sha256 == hashlib.sha256(content).hexdigest()
    assert seen.data == DataDirectory("absent")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tree, bytes]:
    """Return a deployed host and its whole answer."""
    tree = Tree(tmp_path_factory.mktemp("whole"))
    tree.deploy()
    return tree, tree.output()


@settings(max_examples=400, deadline=None)
@given(share=st.floats(0, 1))
def test_an_answer_that_is_cut_anywhere_invents_nothing(share: float, whole: tuple[Tree, bytes]) -> None:
    tree, output = whole
    full = parse_survey("node-1", output, TOKEN, tree.paths, CONTAINERD)
    seen = parse_survey("node-1", output[: int(share * len(output))], TOKEN, tree.paths, CONTAINERD)
    invented_nothing(seen, full)
    if seen.error is not None:
        assert seen.error.reason == "node-1: the observing command broke off"


def test_an_answer_that_is_cut_in_its_last_part_breaks_off(whole: tuple[Tree, bytes]) -> None:
    tree, output = whole
    end = output.rindex(f"\n{TOKEN} end images".encode())
    assert parse_survey("node-1", output[: end + 1], TOKEN, tree.paths, CONTAINERD).error is not None
    assert parse_survey("node-1", output, TOKEN, tree.paths, CONTAINERD).error is None


def answer(parts: Mapping[str, tuple[int, str, str]]) -> bytes:
    """Return an answer made of parts: exit code, stdout and stderr of each."""
    return "".join(
        f"\n{TOKEN} begin {name}\n{out}\n{TOKEN} end {name} {code}\n{said}\n"
        for name, (code, out, said) in parts.items()
    ).encode(errors="replace")


PATHS = Layout(ca_dir="/x/etcd-certs", kube_base_dir="/x/kube", data="/x/etcd")
NAMES = ("uid", "hostname", "clock", "stat", "sums", "links", "data", "guard", "wal", "containers", "images")
words = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "0",
            "\u00b2",
            "[" * 20000,
            "a|b|c|d|e|/x/etcd",
            "directory|700|0:0|4096|1|/x/etcd",
            "regular file|9|0:0|x|y|/x/etcd",
            '{"containers": [{}]}',
            '{"images": [{"repoTags": 5}]}',
            "stat: cannot statx '/x/etcd': No such file or directory",
        ]
    ),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.tuples(st.integers(0, 255), words, words)))
def test_an_answer_that_makes_no_sense_is_read_without_an_error(parts: dict[str, tuple[int, str, str]]) -> None:
    usual = {"uid": (0, "0\n", ""), "clock": (0, "1\n", ""), "images": (0, "{}", "")}
    seen = parse_survey("h", answer(usual | parts), TOKEN, PATHS, CONTAINERD)
    assert seen.error is None or "broke off" in seen.error.reason


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_that_broke_off(output: bytes) -> None:
    assert parse_survey("h", output, TOKEN, PATHS, CONTAINERD).error is not None


@pytest.mark.parametrize("absent", ["No such file or directory", "Not a directory"])
def test_only_a_path_that_is_named_itself_is_absent(absent: str) -> None:
    """An unreadable mount is not absent because a path that begins with its name is."""
    said = f"stat: cannot statx '/x/etcd': Input/output error\nstat: cannot statx '/x/etcd-certs/ca.pem': {absent}"
    usual = {"uid": (0, "0\n", ""), "clock": (0, "1\n", ""), "images": (0, "{}", ""), "stat": (1, "", said)}
    seen = parse_survey("h", answer(usual), TOKEN, PATHS, CONTAINERD)
    assert seen.files == {PATHS.ca: FileState("absent")}
    assert seen.data == Unknown("/x/etcd could not be read")


def test_a_stat_that_makes_no_sense_leaves_the_path_unknown() -> None:
    usual = {"uid": (0, "0\n", ""), "clock": (0, "1\n", ""), "images": (0, "{}", "")}
    odd = {"stat": (0, "directory|rwx|0:0|4096|1|/x/etcd", "")}
    seen = parse_survey("h", answer(usual | odd), TOKEN, PATHS, CONTAINERD)
    assert "/x/etcd" not in seen.files
    assert isinstance(seen.data, Unknown)


def test_an_observation_that_broke_off_holds_no_fact() -> None:
    seen = parse_survey("h", b"", TOKEN, PATHS, CONTAINERD)
    assert seen == replace(HostObservation("h"), error=Unknown("h: the observing command broke off"))
