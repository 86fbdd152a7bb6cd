"""Pushes files to a host in one round trip: all staged and checked first, then renamed into place."""

from __future__ import annotations

import hashlib
import posixpath
import secrets
import time
from dataclasses import dataclass, field
from shlex import quote
from typing import TYPE_CHECKING

from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.items import Item, MakeDirectory, MakeLink, SwitchDirectory, WriteFile
from nornir_etcd.remote.shell import call, failing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

PREFIX = ".nornir-etcd-"
"""How staged files and links are named; what a killed push left is removed by the next one."""

_FUNCTIONS = r"""
links_to() { [ -L "$1" ] && [ "$(readlink "$1")" = "$2" ]; }
device() { stat -c %d "$1" 2>/dev/null; }
file_can_stand() {
    [ ! -d "$1" ] || fail "$1" 'is a directory, a file is wanted'
    [ ! -e "$1" ] || [ -f "$1" ] || fail "$1" 'is no regular file'
    [ -d "$2" ] || fail "$1" "the folder $2 is missing"
    [ -d "$3" ] || fail "$1" "the staging folder $3 is missing"
    [ "$(device "$2")" = "$(device "$3")" ] || fail "$1" "the staging folder $3 is on another file system"
}
link_can_stand() {
    [ -d "${1%/*}/" ] || fail "$1" 'its folder is missing'
    [ -L "$1" ] || [ ! -e "$1" ] || fail "$1" 'is in the way, a link is wanted'
}
stage_file() {
    why=$(set -C; { take "$3" conv=fsync >"$2"; } 2>&1) || fail "$1" "cannot be written: ${why%%"$newline"*}"
    if command -v sha256sum >/dev/null; then sum=$(sha256sum <"$2"); [ "${sum%% *}" = "$4" ]
    else [ "$(wc -c <"$2")" -eq "$3" ]; fi || fail "$1" 'its content did not arrive whole'
    attempt "$1" chmod "$5" "$2"
}
keep_copy() {
    why=$(set -C; umask 077; { dd if="$1" conv=fsync >"$2"; } 2>&1) || fail "$1" "cannot be copied: ${why%%"$newline"*}"
}
stage_link() { attempt "$1" ln -s "$3" "$2"; }
make_directory() {
    [ ! -L "$1" ] && [ ! -e "$1" ] || fail "$1" 'is no directory'
    attempt "$1" mkdir "$1"
    attempt "$1" chmod "$2" "$1"
}
set_mode() { [ "$(stat -c %a "$1" 2>/dev/null)" = "$2" ] || attempt "$1" chmod "$2" "$1"; }
put() { attempt "$2" mv -fT "$1" "$2"; }
put_link() { [ ! -L "$1" ] || put "$1" "$2"; }
remove_others() {
    for old in "$1"/..[0-9]*T*Z-*; do
        [ ! -d "$old" ] || [ -L "$old" ] || [ "${old##*/}" = "$2" ] || attempt "$old" rm -rf "$old"
    done
}
mv --help 2>&1 | grep -q -e -T || fail mv 'has no option -T on this host'
committing=
trap clean EXIT
trap 'exit 129' HUP INT TERM PIPE
"""


@dataclass
class _Build:
    """The script as it grows: the lines of each phase, and the bytes that phase 1 reads."""

    token: str
    folders: list[str] = field(default_factory=list)  # in which something is staged
    stage: list[str] = field(default_factory=list)
    commit: list[str] = field(default_factory=list)
    undo: list[str] = field(default_factory=list)  # in any case, what is in place excepted
    undo_uncommitted: list[str] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)
    count: int = 0

    def staged(self, folder: str) -> str:
        self.count += 1
        path = f"{folder}/{PREFIX}{self.token}-{self.count}"
        self.folders.append(folder)
        self.undo.append(call("rm -f", path))
        return path

    def content(self, path: str, staged: str, content: bytes, mode: int) -> None:
        self.payload.append(content)
        digest = hashlib.sha256(content).hexdigest()
        self.stage.append(call("stage_file", path, staged, str(len(content)), digest, f"{mode:04o}"))

    def link(self, path: str, target: str) -> None:
        staged = self.staged(posixpath.dirname(path))
        self.stage.append(f"{call('links_to', path, target)} || {call('stage_link', path, staged, target)}")
        self.commit.append(call("put_link", staged, path))


def push(host: Host, config: Config, items: Sequence[Item], *, deadline: float) -> None:
    """Put files, directories and links on a host.

    All that can fail is done first: everything is written beside its place, flushed to disk and checked (SHA-256 where
    the host has sha256sum, else the size). Until then nothing on the host changes but for directories that are made;
    a push that fails so far, or whose connection breaks, leaves the host as it was. Then each item is renamed into
    place in the order given: a single file is never seen half, but a host that dies between two renames has the first
    alone.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        items: what to put there, a directory before what stands in it; files of some MB at most.
        deadline: seconds for all of it.

    Raises:
        ValueError: two items have one path.
        CommandFailed: an item cannot be put in place; the error names it and the reason.
        RemoteError: as `run_script` raises it.
    """
    if not items:
        return
    token = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"
    script, payload = build_script(items, token)
    run_script(host, config, script, payload=payload, deadline=deadline, purpose=f"push of {len(items)} items")


def build_script(items: Sequence[Item], token: str) -> tuple[str, bytes]:
    """Return the script that puts items in place, and what it reads.

    Args:
        items: what to put on a host.
        token: a time and a random part (`20260102T030405Z-89abcdef`), the name of all that this push stages.

    Returns:
        A POSIX sh script for `run_script`, and its payload.

    Raises:
        ValueError: two items have one path.
    """
    paths = [item.path for item in items if not isinstance(item, MakeDirectory)]
    if twice := sorted({path for path in paths if paths.count(path) > 1}):
        raise ValueError(f"pushed twice: {', '.join(twice)}")
    build = _Build(token)
    for item in items:
        if isinstance(item, WriteFile):
            _add_file(build, item)
        elif isinstance(item, MakeDirectory):
            _add_directory(build, item)
        elif isinstance(item, SwitchDirectory):
            _add_switch(build, item)
        else:
            _add_link(build, item)
    stale = [f"{quote(folder)}/{PREFIX}*" for folder in dict.fromkeys(build.folders)]
    script = [
        failing("push"),
        _FUNCTIONS.strip(),
        f"clean() {{\n{_lines(build.undo)}",
        f'[ -n "$committing" ] || {{ :\n{_lines(build.undo_uncommitted[::-1])}}}\n}} 2>/dev/null',
        *([f"rm -f {' '.join(stale)}"] if stale else []),
        *build.stage,
        "committing=yes",
        *build.commit,
    ]
    return "\n".join(script), b"".join(build.payload)


def _add_file(build: _Build, item: WriteFile) -> None:
    staged = build.staged(item.staged_in)
    build.stage.append(call("file_can_stand", item.path, posixpath.dirname(item.path), item.staged_in))
    build.content(item.path, staged, item.content, item.mode)
    build.commit.append(call("put", staged, item.path))


def _add_directory(build: _Build, item: MakeDirectory) -> None:
    parts = item.path.split("/")[1:]
    for depth in range(1, len(parts) + 1):
        path = "/" + "/".join(parts[:depth])
        mode = item.mode if path == item.path else 0o755
        build.count += 1
        made = f"made_{build.count}"
        build.stage.append(f"[ -d {quote(path)} ] || {{ {made}=yes; {call('make_directory', path, f'{mode:o}')}; }}")
        build.undo_uncommitted.append(f'[ -z "${{{made}-}}" ] || {call("rmdir", path)}')
    build.commit.append(call("set_mode", item.path, f"{item.mode:o}"))


def _add_switch(build: _Build, item: SwitchDirectory) -> None:
    folder, data = f"..{build.token}", f"{item.path}/..data"
    build.stage.append(call("link_can_stand", data))
    # 0755 as the kubelet has it: who may look inside is decided by the directory around it and by each file's mode.
    build.stage.append(call("make_directory", f"{item.path}/{folder}", "755"))
    build.undo.append(f"{call('links_to', data, folder)} || {call('rm -rf', f'{item.path}/{folder}')}")
    for name, content, mode in item.files:
        build.stage.append(call("link_can_stand", f"{item.path}/{name}"))
        build.content(f"{item.path}/{name}", f"{item.path}/{folder}/{name}", content, mode)
    build.link(data, folder)
    for name, _, _ in item.files:
        build.link(f"{item.path}/{name}", f"..data/{name}")
    build.commit.append(call("remove_others", item.path, folder))


def _add_link(build: _Build, item: MakeLink) -> None:
    if item.replace_file:
        # A copy, for root alone: who has the file itself in use, as a container has, goes on as it was.
        aside = f"{item.path}{PREFIX}{build.token}"
        is_file = f"[ ! -f {quote(item.path)} ] || [ -L {quote(item.path)} ]"
        build.stage.append(f"{is_file} || {call('keep_copy', item.path, aside)}")
        build.stage.append(f"{is_file} && {call('link_can_stand', item.path)}")
        build.undo_uncommitted.append(call("rm -f", aside))
    else:
        build.stage.append(call("link_can_stand", item.path))
    build.link(item.path, item.target)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
