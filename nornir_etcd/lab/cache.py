"""What a lab needs from Debian, built once and kept: the registry's storage, the etcd tools for the hosts, and cfssl.

Kept under ${XDG_CACHE_HOME:-~/.cache}/nornir-etcd/lab. A build is made beside the old one and takes its place by
renames; it is trusted when every file it lists has the size it lists, and made anew after MAX_AGE, since sid moves.
When that fails and a sound old build is there (an air-gapped day), the old one stays in use.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.lab.debian import Suite, architecture, mirror, upstream
from nornir_etcd.lab.error import LabError
from nornir_etcd.lab.images import Storage, etcd_files

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITES = ("bookworm", "trixie", "sid")
CFSSL_SUITE = "trixie"  # has the role's own default, 1.6.5; of shared libraries it needs libc and libsqlite3
REPOSITORY = "ikubeops/etcd"
PAUSE = "pause"
PAUSE_TAG = "3.6"
# The role's own default; the hosts' etcdctl is of this version if Debian has it.
DEFAULT_VERSION = "3.5.16"
MAX_AGE = 7 * 24 * 3600
FORMAT = 2


@dataclass(frozen=True)
class Build:
    """A finished build."""

    directory: Path
    tags: list[str]

    @property
    def storage(self) -> Path:
        """The registry's storage."""
        return self.directory / "registry"

    @property
    def tools(self) -> list[Path]:
        """The programs etcdctl and etcdutl for the hosts."""
        return sorted((self.directory / "bin").iterdir())

    @property
    def cfssl(self) -> Path:
        """The program cfssl, for the controller; its folder is a `cfssl_dir`."""
        return self.directory / "cfssl/cfssl"


def root() -> Path:
    """Where builds are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "nornir-etcd" / "lab"


def ready() -> Build:
    """Give the kept build, made first or made anew where that is due.

    Raises:
        LabError: there is no sound build and none could be made.
    """
    directory = root() / f"{FORMAT}-{architecture()}"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked(directory.with_suffix(".lock")):
        kept = _read(directory)
        if kept and _age(directory) < MAX_AGE:
            return kept
        for left in directory.parent.glob(f"{directory.name}.new-*"):
            shutil.rmtree(left)
        new = Path(tempfile.mkdtemp(prefix=f"{directory.name}.new-", dir=directory.parent))
        try:
            _build(new)
            _replace(directory, new)
        except LabError:
            if not kept:
                raise
            # Try again tomorrow, not at every start.
            os.utime(directory / "build.json", times=(time.time(), time.time() - MAX_AGE + 24 * 3600))
        finally:
            shutil.rmtree(new, ignore_errors=True)
        built = _read(directory)
    if not built:
        raise LabError(f"lab: {directory}: the build is not sound; remove the directory and try again")
    return built


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _age(directory: Path) -> float:
    return time.time() - (directory / "build.json").stat().st_mtime


def _read(directory: Path) -> Build | None:
    """Read a build's list and hold its files against it, by size."""
    try:
        listed = json.loads((directory / "build.json").read_text(encoding="utf-8"))
        sound = all((directory / name).stat().st_size == size for name, size in listed["files"].items())
    except (OSError, ValueError, KeyError):
        return None
    return Build(directory, listed["tags"]) if sound else None


def _replace(directory: Path, new: Path) -> None:
    old = new.with_name(new.name + "-old")
    if directory.exists():
        directory.rename(old)
    new.rename(directory)
    shutil.rmtree(old, ignore_errors=True)


def version_key(tag: str) -> tuple[int, ...]:
    """Sort key of a tag."""
    return tuple(int(part) for part in tag.replace("-", ".").split(".") if part.isdigit())


def _build(directory: Path) -> None:
    """Fetch what Debian's suites have now and make the images and tools of it."""
    storage, uri = Storage(directory / "registry"), mirror()
    trees: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(dir=directory) as work:
        for name in SUITES:
            suite = Suite(name, uri, Path(work) / name)
            more = ["golang-cfssl"] if name == CFSSL_SUITE else []
            tree, versions = suite.unpack(["etcd-server", "etcd-client", "libc6", "catatonit", *more])
            version = upstream(versions["etcd-server"])
            storage.add(REPOSITORY, f"{version}-0", etcd_files(tree), ["etcd"])
            trees[f"{version}-0"] = tree
        tags = sorted(trees, key=version_key)
        pause = {"usr/local/bin/pause": trees[tags[0]] / "usr/bin/catatonit"}
        # catatonit -P does what a pause container is for: it waits and reaps.
        storage.add(PAUSE, PAUSE_TAG, pause, ["/usr/local/bin/pause", "-P"])
        default = f"{DEFAULT_VERSION}-0"
        _keep_tools(trees[default if default in trees else tags[-1]], directory / "bin")
        (directory / "cfssl").mkdir()
        shutil.copy2(Path(work) / CFSSL_SUITE / "root/usr/bin/cfssl", directory / "cfssl/cfssl")
    files = {
        path.relative_to(directory).as_posix(): path.stat().st_size for path in directory.rglob("*") if path.is_file()
    }
    content = json.dumps({"tags": tags, "files": files}, indent=1)
    (directory / "build.json").write_text(content, encoding="utf-8")
    directory.chmod(0o755)


def _keep_tools(tree: Path, target: Path) -> None:
    target.mkdir()
    for name in ("etcdctl", "etcdutl"):
        if (tree / "usr/bin" / name).exists():
            shutil.copy2(tree / "usr/bin" / name, target / name)
