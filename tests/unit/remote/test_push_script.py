"""The push script, run by every shell there is, on a folder of this machine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nornir_etcd.remote.exec import _stream
from nornir_etcd.remote.items import Item, MakeDirectory, MakeLink, SwitchDirectory, WriteFile
from nornir_etcd.remote.push import build_script

TOKEN = "20260102T030405Z-0011aabb"  # noqa: S105 - names a push
LATER = "20260102T030406Z-0011aabb"
KEY = b"-----BEGIN\x00\xff\n'\"$(exit 9)\n\n"


Shell = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(params=["dash", "bash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """Runs a push as the host's `sh` would: stdin is the stream that `run_script` sends."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    tools = tmp_path / "tools"
    tools.mkdir()
    command = [name, "-c"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if name == "busybox":  # its own dd, mv, sync, stat, sha256sum
        for applet in (
            "dd",
            "mv",
            "ln",
            "stat",
            "sha256sum",
            "readlink",
            "chmod",
            "mkdir",
            "rmdir",
            "rm",
            "wc",
            "grep",
        ):
            (tools / applet).symlink_to(str(shutil.which("busybox")))
        environment["PATH"] = str(tools)
        command = [str(shutil.which("busybox")), "sh", "-c"]

    def run(
        items: Sequence[Item] | tuple[str, bytes], token: str = TOKEN, cut: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        stream = _stream(*(items if isinstance(items, tuple) else build_script(items, token)))
        stream = stream[: len(stream) - cut]
        return subprocess.run(  # noqa: S603 - the shells under test
            [*command, 'IFS= read -r boot; eval "$boot"'],
            input=stream,
            capture_output=True,
            env=environment,
            timeout=30,
            check=False,
        )

    return run


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything(root: Path) -> dict[str, object]:
    """All that is under a folder: kind, mode, content or target."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            found[name] = mode(path)
        else:
            found[name] = (mode(path), path.read_bytes())
    return found


def layout(root: Path, key: bytes = KEY) -> list[Item]:
    """What a deploy pushes to a node."""
    return [
        MakeDirectory(f"{root}/kube/pki dir/etcd", 0o700),
        MakeDirectory(f"{root}/kube/manifests", 0o755),
        SwitchDirectory(f"{root}/kube/pki dir/etcd", (("etcd.pem", b"cert\n", 0o644), ("etcd-key.pem", key, 0o600))),
        WriteFile(f"{root}/kube/pki dir/ca.pem", b"ca\n", 0o644),
        MakeLink(f"{root}/kube/pki dir/etcd.pem", "etcd/etcd.pem", replace_file=True),
        MakeLink(f"{root}/kube/pki dir/it's", "etcd/etcd-key.pem"),
        WriteFile(f"{root}/kube/manifests/etcd.yaml", b"", 0o600, staging=f"{root}/kube"),
    ]


def test_everything_stands_in_place_with_its_mode(shell: Shell, tmp_path: Path) -> None:
    done = shell(layout(tmp_path / "r"))
    assert done.returncode == 0, done.stderr
    pki = tmp_path / "r/kube/pki dir"
    assert everything(tmp_path / "r") == {
        "kube": 0o755,
        "kube/manifests": 0o755,
        "kube/manifests/etcd.yaml": (0o600, b""),
        "kube/pki dir": 0o755,
        "kube/pki dir/ca.pem": (0o644, b"ca\n"),
        "kube/pki dir/etcd": 0o700,
        "kube/pki dir/etcd.pem": "etcd/etcd.pem",
        "kube/pki dir/it's": "etcd/etcd-key.pem",
        "kube/pki dir/etcd/..data": f"..{TOKEN}",
        f"kube/pki dir/etcd/..{TOKEN}": 0o755,
        f"kube/pki dir/etcd/..{TOKEN}/etcd.pem": (0o644, b"cert\n"),
        f"kube/pki dir/etcd/..{TOKEN}/etcd-key.pem": (0o600, KEY),
        "kube/pki dir/etcd/etcd.pem": "..data/etcd.pem",
        "kube/pki dir/etcd/etcd-key.pem": "..data/etcd-key.pem",
    }
    assert (pki / "it's").read_bytes() == KEY


def test_a_second_push_switches_and_leaves_no_old_folder(shell: Shell, tmp_path: Path) -> None:
    shell(layout(tmp_path / "r"))
    foreign = tmp_path / "r/kube/pki dir/etcd/..keep"
    foreign.mkdir()
    done = shell(layout(tmp_path / "r", key=b"new"), LATER)
    assert done.returncode == 0, done.stderr
    etcd = tmp_path / "r/kube/pki dir/etcd"
    assert sorted(p.name for p in etcd.iterdir()) == [
        "..20260102T030406Z-0011aabb",
        "..data",
        "..keep",
        "etcd-key.pem",
        "etcd.pem",
    ]
    assert (etcd / "etcd-key.pem").read_bytes() == b"new"


@pytest.mark.parametrize("cut", [1, 20, 40, 700, 3000, 6000])
def test_a_cut_stream_changes_nothing(shell: Shell, tmp_path: Path, cut: int) -> None:
    root = tmp_path / "r"
    root.mkdir()
    items = [
        *layout(root)[:-1],
        WriteFile(f"{root}/kube/manifests/etcd.yaml", b"x" * 30, 0o600, staging=f"{root}/kube"),
    ]
    shell(items[:2])
    before = everything(root)
    done = shell(items, cut=cut)
    assert done.returncode != 0
    assert everything(root) == before


def test_directories_made_for_a_failed_push_are_removed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    done = shell([MakeDirectory(f"{tmp_path}/r/a/b", 0o700), WriteFile(f"{tmp_path}/r/a/b/c", b"abc", 0o600)], cut=1)
    assert done.stderr.endswith(f"push: {tmp_path}/r/a/b/c: its content did not arrive whole\n".encode())
    assert everything(tmp_path / "r") == {}


def test_a_directory_where_a_file_is_wanted_is_an_error_before_anything_changes(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "r"
    (root / "x/full").mkdir(parents=True)
    before = everything(root)
    done = shell([WriteFile(f"{root}/first", b"1", 0o600), WriteFile(f"{root}/x", b"2", 0o600)])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"push: {root}/x: is a directory, a file is wanted".encode()
    assert everything(root) == before


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_link_replaces_no_file_unasked(shell: Shell, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "etcd.pem"
    path.write_text("old") if kind == "file" else path.mkdir()
    done = shell([MakeLink(str(path), "etcd/etcd.pem", replace_file=kind == "directory")])
    assert done.returncode == 1
    assert b"is in the way, a link is wanted" in done.stderr
    assert not path.is_symlink()


def test_a_file_replaced_by_a_link_is_kept_beside_it(shell: Shell, tmp_path: Path) -> None:
    path, kept = tmp_path / "etcd.pem", tmp_path / f"etcd.pem.nornir-etcd-{TOKEN}"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as in_use:  # as by a container that has the file mounted
        done = shell([MakeLink(str(path), "etcd/etcd.pem", replace_file=True)])
        assert done.returncode == 0, done.stderr
        assert stat.S_IMODE(os.fstat(in_use.fileno()).st_mode) == 0o644
    assert str(path.readlink()) == "etcd/etcd.pem"
    assert kept.read_text() == "old"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_link_that_is_right_is_left_alone_and_another_is_replaced(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "right").symlink_to("x")
    (tmp_path / "wrong").symlink_to("y")
    inode = (tmp_path / "right").lstat().st_ino
    done = shell([MakeLink(f"{tmp_path}/{name}", "x") for name in ("right", "wrong")])
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "right").lstat().st_ino == inode
    assert str((tmp_path / "wrong").readlink()) == "x"


def test_what_a_killed_push_staged_is_removed_by_the_next(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / f".nornir-etcd-{TOKEN}-3").write_text("half a key")
    shell([WriteFile(f"{tmp_path}/a", b"1", 0o600)], LATER)
    assert [p.name for p in tmp_path.glob(".nornir-etcd-*")] == []
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_directory_keeps_what_is_in_it_and_gets_its_mode(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    (folder / "member").write_text("x")
    done = shell([MakeDirectory(str(folder), 0o700)])
    assert done.returncode == 0, done.stderr
    assert (mode(folder), (folder / "member").read_text()) == (0o700, "x")


def test_a_missing_staging_folder_is_named(shell: Shell, tmp_path: Path) -> None:
    done = shell([WriteFile(f"{tmp_path}/a", b"1", 0o600, staging=f"{tmp_path}/nowhere")])
    assert (
        done.stderr.splitlines()[-1] == f"push: {tmp_path}/a: the staging folder {tmp_path}/nowhere is missing".encode()
    )


SHM = "/dev/shm"  # noqa: S108 - a second file system


@pytest.mark.skipif(not Path(SHM).is_dir(), reason="needs a second file system")
def test_a_staging_folder_on_another_file_system_is_refused(shell: Shell, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=SHM) as elsewhere:
        done = shell([WriteFile(f"{tmp_path}/a", b"1", 0o600, staging=elsewhere)])
    assert done.stderr.splitlines()[-1].endswith(b"is on another file system")
    assert not (tmp_path / "a").exists()


def test_a_failed_write_is_reported_with_its_reason(shell: Shell, tmp_path: Path) -> None:
    script, payload = build_script([WriteFile(f"{tmp_path}/a", b"1", 0o600)], TOKEN)
    done = shell((script.replace('>"$2"', ">/dev/full"), payload))
    assert b"No space left on device" in done.stderr.splitlines()[-1]
    assert everything(tmp_path) == {name: found for name, found in everything(tmp_path).items() if "tools" in name}


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a/", "/", "//a", "/a\nb", "/a\x00b", ""])
def test_a_path_that_could_be_mistaken_is_refused(path: str) -> None:
    for make in (
        lambda: WriteFile(path, b"", 0o600),
        lambda: MakeDirectory(path, 0o700),
        lambda: MakeLink(path, "x"),
        lambda: SwitchDirectory(path, ()),
    ):
        with pytest.raises(ValueError, match=r"path|control"):
            make()


@pytest.mark.parametrize("name", ["a/b", "..data", ".", "", ".hidden"])
def test_a_switched_file_needs_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|form"):
        SwitchDirectory("/a", ((name, b"", 0o600),))


def test_one_path_is_pushed_once() -> None:
    with pytest.raises(ValueError, match="pushed twice: /a"):
        build_script([WriteFile("/a", b"", 0o600), MakeLink("/a", "b")], TOKEN)


def test_content_is_in_neither_script_nor_repr() -> None:
    items = [WriteFile("/a", b"SECRET", 0o600), SwitchDirectory("/b", (("k", b"SECRET", 0o600),))]
    script, payload = build_script(items, TOKEN)
    assert "SECRET" not in script + repr(items)
    assert payload == b"SECRETSECRET"
