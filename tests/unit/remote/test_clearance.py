"""The scripts that clear a host, run by every shell there is, on a folder of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nornir_etcd.layout import Layout
from nornir_etcd.remote.clearance import NAMES, Clearance, clear_script, stop_script
from nornir_etcd.remote.exec import _stream
from nornir_etcd.remote.items import Item, MakeDirectory, MakeLink, SwitchDirectory, WriteFile
from nornir_etcd.remote.push import build_script
from tests.unit.tools import need

STAMP = "20260102T030405Z"
APPLETS = ("chmod", "dd", "grep", "ln", "ls", "mkdir", "mv", "readlink", "rm", "rmdir", "sha256sum", "stat", "wc")


def clearance(certificates: tuple[str, ...] = NAMES, *, purge: bool = False, identified: bool = True) -> Clearance:
    return Clearance(certificates, purge, identified, STAMP)


@dataclass
class Node:
    """A host whose files lie in a folder, and the shell that works on it."""

    root: Path
    command: list[str]
    path: str
    lead: tuple[str, ...] = field(default=())

    @property
    def paths(self) -> Layout:
        return Layout(f"{self.root}/kube/pki", f"{self.root}/kube", f"{self.root}/var/etcd")

    @property
    def data(self) -> Path:
        return Path(self.paths.data)

    def run(self, script: str, payload: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - the shells under test
            [*self.lead, *self.command, 'IFS= read -r boot; eval "$boot"'],
            input=_stream(script, payload),
            capture_output=True,
            env={"PATH": self.path, "HOME": str(self.root)},
            timeout=30,
            check=False,
        )
        stdout, stderr = (text.decode().split("=\n", 1)[-1] for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)

    def deploy(self) -> None:
        """Put there what a deploy does, and a member's data."""
        paths = self.paths
        items: list[Item] = [
            MakeDirectory(paths.etcd, 0o700),
            MakeDirectory(paths.manifests, 0o700),
            SwitchDirectory(paths.etcd, tuple((name, name.encode(), 0o600) for name in NAMES)),
            *(MakeLink(path, target) for path, target in paths.links.items()),
            WriteFile(paths.ca, b"the cluster's", 0o644),
            WriteFile(paths.apiserver_key, b"the API server's", 0o600),
            WriteFile(paths.manifest, b"etcd", 0o600),
            WriteFile(paths.former, b"former", 0o600),
        ]
        done = self.run(*build_script(items, f"{STAMP}-0011aabb"))
        assert done.returncode == 0, done.stderr
        self.fill(self.data)

    def fill(self, data: Path, content: str = "entries") -> None:
        (data / "member/wal").mkdir(parents=True)
        (data / "member/wal/0.wal").write_text(content)

    def stop(self, *, dry_run: bool = False) -> list[str]:
        done = self.run(stop_script(self.paths, dry_run=dry_run))
        assert done.returncode == 0, done.stderr
        return self.told(done)

    def script(self, wanted: Clearance | None = None, *, dry_run: bool = False, stopped: str = "exit 0") -> str:
        return clear_script(self.paths, wanted or clearance(), stopped=stopped, dry_run=dry_run)

    def clear(
        self, wanted: Clearance | None = None, *, dry_run: bool = False, stopped: str = "exit 0", says: str = ""
    ) -> list[str]:
        """Run the script, and return what it tells; held to end well, or to fail with these words."""
        done = self.run(self.script(wanted, dry_run=dry_run, stopped=stopped))
        assert (done.returncode == 0) is not bool(says), done.stderr
        if says:
            assert done.stderr.splitlines()[-1] == f"clear: {says}".replace("ROOT", str(self.root))
        return self.told(done)

    def told(self, done: subprocess.CompletedProcess[str]) -> list[str]:
        return done.stdout.replace(f"{self.root}/", "").splitlines()

    def everything(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))


@pytest.fixture(params=["dash", "bash", "busybox", "zsh"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    """A host with nothing on it, once for each shell; zsh as it is where it is called sh."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    root, tools = tmp_path / "root", tmp_path / "tools"
    for folder in (root / "var", root / "kube", tools):
        folder.mkdir(parents=True)
    command, path = [name, "-c"], os.environ["PATH"]
    if name == "busybox":  # its own mv, ls, readlink
        for applet in APPLETS:
            (tools / applet).symlink_to(str(shutil.which("busybox")))
        command, path = [str(shutil.which("busybox")), "sh", "-c"], str(tools)
    if name == "zsh":
        (tools / "sh").symlink_to(str(shutil.which("zsh")))
        command = [str(tools / "sh"), "-c"]
    return Node(root, command, path)


LEFT = [
    *("kube", "kube/manifests", "kube/pki", "kube/pki/apiserver-etcd-client-key.pem", "kube/pki/ca.pem"),
    "var",
]
ASIDE = f"var/etcd.removed-{STAMP}"
KEPT = [ASIDE, f"{ASIDE}/member", f"{ASIDE}/member/wal", f"{ASIDE}/member/wal/0.wal"]


def test_all_that_a_member_left_goes_and_its_data_is_kept_aside(node: Node) -> None:
    node.deploy()
    assert node.stop() == ["- kube/manifests/etcd.yaml", "- kube/etcd.yaml.former"]
    told = node.clear()
    assert told[-2:] == ["- var/etcd", f"+ {ASIDE}"]
    assert {"- kube/pki/etcd.pem", "- kube/pki/etcd-key.pem", "- kube/pki/etcd", "- kube/pki/etcd/..data"} <= set(told)
    assert node.everything() == sorted([*LEFT, *KEPT])
    assert (node.root / KEPT[-1]).read_text() == "entries"


def test_a_second_run_finds_nothing_to_do(node: Node) -> None:
    node.deploy()
    node.stop()
    node.clear()
    before = node.everything()
    assert (node.stop(), node.clear()) == ([], [])
    assert node.everything() == before


def test_a_dry_run_tells_the_same_and_changes_nothing(node: Node) -> None:
    node.deploy()
    before = node.everything()
    planned = [*node.stop(dry_run=True), *node.clear(dry_run=True)]
    assert node.everything() == before
    done = [*node.stop(), *node.clear()]
    # The folder is emptied first, which in a dry run it is not, and of what is in it each file is told.
    inside = {line for line in planned + done if line.startswith("- kube/pki/etcd")} - {"- kube/pki/etcd.pem"}
    assert [line for line in planned if line not in inside] == [line for line in done if line not in inside]


def test_without_certificates_they_stay(node: Node) -> None:
    node.deploy()
    node.stop()
    assert node.clear(clearance(())) == ["- var/etcd", f"+ {ASIDE}"]
    assert (node.root / "kube/pki/etcd-key.pem").read_bytes() == b"etcd-key.pem"


def test_what_an_api_server_uses_stays_readable_and_the_key_goes(node: Node) -> None:
    node.deploy()
    node.stop()
    node.clear(clearance(("etcd.pem", "etcd-key.pem")))
    assert (node.root / "kube/pki/etcd/ca.pem").read_bytes() == b"ca.pem"
    assert not [name for name in node.everything() if "etcd-key" in name or name.endswith("etcd.pem")]
    assert node.clear(clearance(("etcd.pem", "etcd-key.pem"))) == []


def test_other_files_in_the_folder_and_other_links_stay(node: Node) -> None:
    node.deploy()
    node.stop()
    (node.root / "kube/pki/etcd/ca.key").write_text("kubeadm's")
    (node.root / "kube/pki/etcd.pem").unlink()
    (node.root / "kube/pki/etcd.pem").write_text("an operator's")
    node.clear()
    left = {name for name in node.everything() if name.startswith("kube/pki/etcd")}
    assert left == {"kube/pki/etcd", "kube/pki/etcd/ca.key", "kube/pki/etcd.pem"}
    assert node.clear() == []


def test_a_key_that_a_killed_push_left_goes_too(node: Node) -> None:
    node.deploy()
    node.stop()
    left = node.root / "kube/pki/etcd/..20260102T030406Z-0011aabb"
    left.mkdir()
    (left / "etcd-key.pem").write_text("staged")
    (node.root / "kube/pki/etcd/.nornir-etcd-20260102T030406Z-0011aabb-1").symlink_to("x")
    node.clear()
    assert not (node.root / "kube/pki/etcd").exists()


@pytest.mark.parametrize("purge", [False, True])
def test_killed_at_any_moment_it_is_finished_by_the_same_command(node: Node, *, purge: bool) -> None:
    """A kill is made by a shell that ends before one of its commands: of those each is a moment."""
    for moment in range(40):
        shutil.rmtree(node.root)
        for folder in ("var", "kube"):
            (node.root / folder).mkdir(parents=True)
        node.deploy()
        node.stop()
        striking = 'struck=0\nstrike() { [ "$struck" -lt MOMENT ] || exit 99; struck=$((struck + 1)); }\n'
        script = node.script(clearance(purge=purge)).replace("act() { ", "act() { strike; ", 1)
        assert "act() { strike; " in script
        done = node.run(striking.replace("MOMENT", str(moment)) + script)
        assert done.returncode in {0, 99}, done.stderr
        node.clear(clearance(purge=purge))
        assert node.everything() == sorted(LEFT if purge else [*LEFT, *KEPT])
        if done.returncode == 0:
            assert moment > 10
            return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("ended", ["exit 1", "exit 2", "kill -9 $$"])
def test_nothing_is_touched_where_an_etcd_may_run(node: Node, ended: str) -> None:
    node.deploy()
    node.stop()
    before = node.everything()
    if "kill" in ended:
        assert node.run(node.script(stopped=ended)).returncode
    else:
        node.clear(stopped=ended, says="ROOT/var/etcd: an etcd may run on it again: nothing was removed")
    assert node.everything() == before


def test_nothing_is_touched_where_the_manifest_is_back(node: Node) -> None:
    node.deploy()
    before = node.everything()
    node.clear(says="ROOT/kube/manifests/etcd.yaml: is there again: nothing was removed")
    assert node.everything() == before


def test_a_name_that_is_taken_is_never_overwritten(node: Node) -> None:
    node.deploy()
    node.stop()
    (node.root / ASIDE).mkdir()  # a rename would take the place of an empty directory
    (node.root / f"{ASIDE}-2").symlink_to("nowhere")
    assert node.clear()[-1] == f"+ {ASIDE}-3"
    assert list((node.root / ASIDE).iterdir()) == []
    assert (node.root / f"{ASIDE}-3/member/wal/0.wal").read_text() == "entries"


@pytest.mark.parametrize("entries", [(), ("member",)])
def test_an_empty_directory_and_a_mere_guard_are_removed(node: Node, entries: tuple[str, ...]) -> None:
    node.data.mkdir()
    for entry in entries:
        (node.data / entry).mkdir()
    wanted = [*(f"- var/etcd/{entry}" for entry in entries), "- var/etcd"]
    assert node.clear(dry_run=True) == wanted
    assert node.clear() == wanted
    assert not node.data.exists()


@pytest.mark.parametrize("entry", ["notes.txt", "member", ".hidden"])
def test_what_is_no_data_of_etcds_stays(node: Node, entry: str) -> None:
    node.data.mkdir()
    (node.data / entry).write_text("precious")
    assert node.clear(clearance(purge=True)) == []
    assert (node.data / entry).read_text() == "precious"


@pytest.mark.parametrize("entry", ["member/notes", "member/.hidden"])
def test_a_member_directory_with_anything_in_it_is_kept(node: Node, entry: str) -> None:
    (node.data / "member").mkdir(parents=True)
    (node.data / entry).write_text("precious")
    assert node.clear(clearance(purge=True, identified=False)) == ["- var/etcd", f"+ {ASIDE}"]
    assert (node.root / ASIDE / entry).read_text() == "precious"


def test_a_purge_deletes_what_is_identified_and_nothing_beside_it(node: Node) -> None:
    node.deploy()
    node.stop()
    beside = [ASIDE, "var/etcd.purged", "var/etcd-2"]
    for name in beside:
        (node.root / name).mkdir()
    told = ["- var/etcd/member", "- var/etcd"]
    assert node.clear(clearance((), purge=True), dry_run=True) == told
    assert node.clear(clearance(purge=True))[-2:] == told
    assert node.everything() == sorted([*LEFT, *beside])


def test_a_purge_leaves_what_lies_beside_the_data(node: Node) -> None:
    node.fill(node.data)
    beside = ["notes.txt", "member.purged-by-hand", f"member.removed-{STAMP}"]
    for name in beside:
        (node.data / name).mkdir()
    (node.data / f"member.purged-{STAMP}-2").mkdir()
    told = [f"- var/etcd/member.purged-{STAMP}-2", "- var/etcd/member"]
    assert node.clear(clearance(purge=True), dry_run=True) == told
    assert node.clear(clearance(purge=True)) == told
    assert sorted(path.name for path in node.data.iterdir()) == sorted(beside)
    assert node.clear(clearance(purge=True)) == []


def test_a_data_directory_that_is_a_link_keeps_its_place(node: Node) -> None:
    node.fill(node.root / "disk/etcd")
    node.data.symlink_to("../disk/etcd")
    aside = f"var/etcd/member.removed-{STAMP}"
    assert node.clear() == ["- var/etcd/member", f"+ {aside}"]
    assert node.data.is_symlink()
    assert (node.root / aside / "wal/0.wal").read_text() == "entries"
    assert node.clear() == []
    node.fill(node.data, "later")
    assert node.clear()[-1] == f"+ {aside}-2"
    (node.data / "member").mkdir()
    assert node.clear(clearance(purge=True)) == ["- var/etcd/member"]


def test_a_link_in_the_place_of_member_itself_is_refused(node: Node) -> None:
    node.fill(node.root / "disk")
    (node.root / "real").mkdir()
    node.data.symlink_to(node.root / "real")
    (node.data / "member").symlink_to(node.root / "disk/member")
    node.clear(
        says="ROOT/var/etcd/member: is a link or a mount point and cannot be renamed: "
        "move what is in it elsewhere and run again"
    )
    assert (node.root / "disk/member/wal/0.wal").read_text() == "entries"


def mounted(node: Node, *folders: str) -> None:
    """Bind each folder on itself, in a mount namespace of each script's own: so a file system of its own looks."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    mount = "".join(f"{need('mount', 'mount')} --bind {node.root}/{one} {node.root}/{one} && " for one in folders)
    lead = (need("unshare", "util-linux"), "--mount", "--propagation", "private")
    node.lead = (*lead, "/bin/sh", "-c", mount + 'exec "$@"', "sh")


def test_a_data_directory_that_is_a_mount_point_keeps_its_place(node: Node) -> None:
    node.deploy()
    node.stop()
    (node.data / "lost+found").mkdir()
    mounted(node, "var/etcd")
    aside = f"var/etcd/member.removed-{STAMP}"
    planned = node.clear(clearance(()), dry_run=True)
    assert node.clear(clearance(())) == planned == ["- var/etcd/member", f"+ {aside}"]
    assert (node.root / aside / "wal/0.wal").read_text() == "entries"
    assert node.clear(clearance(())) == []
    (node.data / "member").mkdir()
    assert node.clear(clearance(())) == ["- var/etcd/member"]
    assert node.data.is_dir()


def test_a_purge_empties_a_mount_point(node: Node) -> None:
    node.fill(node.data)
    killed = node.data / f"member.purged-{STAMP}"
    killed.mkdir()
    mounted(node, "var/etcd")
    assert node.clear(clearance(purge=True)) == [f"- var/etcd/member.purged-{STAMP}", "- var/etcd/member"]
    assert list(node.data.iterdir()) == []


def test_a_mount_point_in_the_place_of_member_itself_is_refused(node: Node) -> None:
    node.fill(node.data)
    mounted(node, "var/etcd", "var/etcd/member")
    node.clear(
        says="ROOT/var/etcd/member: is a link or a mount point and cannot be renamed: "
        "move what is in it elsewhere and run again"
    )
    assert (node.data / "member/wal/0.wal").read_text() == "entries"


def test_a_manifest_that_cannot_be_removed_is_named_with_the_reason(node: Node) -> None:
    (node.root / "kube/manifests/etcd.yaml").mkdir(parents=True)
    done = node.run(stop_script(node.paths, dry_run=False))
    assert done.returncode == 1
    assert done.stderr.startswith(f"clear: {node.root}/kube/manifests/etcd.yaml: rm: ")
    assert done.stderr.lower().endswith("is a directory\n")
