"""The script that clears a host of what a member left there: certificate files and data. Pure: no I/O.

It looks at each thing where it lies and tells what it does, so it goes on where a killed one has stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from nornir_etcd.layout import CA, CERTIFICATE, KEY, PURGED, REMOVED
from nornir_etcd.remote.shell import call, failing

if TYPE_CHECKING:
    from nornir_etcd.layout import Layout

NAMES = (CERTIFICATE, KEY, CA)
"""Etcd's own files in its folder."""

_FUNCTIONS = r"""
act() { [ -n "$dry" ] || attempt "$@"; }
is_there() { [ -L "$1" ] || [ -e "$1" ]; }
is_folder() { [ -d "$1" ] && [ ! -L "$1" ]; }
is_mounted() {
    real=$(readlink -f "$1")
    while read -r _ at _; do [ "$at" != "$real" ] || return 0; done </proc/self/mounts
    return 1
}
remove() {
    is_there "$1" || return 0
    act "$1" rm -f "$1"
    printf '%s\n' "- $1"
}
remove_link() {
    [ ! -L "$1" ] || [ "$(readlink "$1")" != "$2" ] || remove "$1"
}
remove_empty() {
    is_folder "$1" && [ "$(ls -A "$1")" = "${2-}" ] || return 0
    act "$1" rmdir "$1"
    printf '%s\n' "- $1"
}
remove_tree() {
    is_folder "$1" || return 0
    act "$1" rm -rf "$1"
    printf '%s\n' "- $1"
}
remove_file() {
    remove_link "$1/$2" "..data/$2"
    for folder in "$1"/..[0-9]*T*Z-*; do remove "$folder/$2"; done
}
remove_folder() {
    for left in "$1"/.nornir-etcd-*; do remove "$left"; done
    for folder in "$1"/..[0-9]*T*Z-*; do remove_tree "$folder"; done
    [ ! -L "$1/..data" ] || remove "$1/..data"
    remove_empty "$1"
}
remove_purged() { for left in "$1"@purged@[0-9]*T*Z*; do remove_tree "$left"; done; }
set_aside() {
    { [ ! -L "$1" ] && ! is_mounted "$1"; } ||
        fail "$1" 'is a link or a mount point and cannot be renamed: move what is in it elsewhere and run again'
    aside=$1$2
    count=2
    while is_there "$aside"; do aside=$1$2-$count count=$((count + 1)); done
    act "$1" mv -T "$1" "$aside"
    [ -z "$purge" ] || act "$aside" rm -rf "$aside"
    printf '%s\n' "- $1"
    [ -n "$purge" ] || printf '%s\n' "+ $aside"
}
clear_data() {
    [ -d "$1" ] || return 0
    what=$1
    # What is a link or a mount point has its place for a reason, and a new member wants it there.
    if [ -L "$1" ] || is_mounted "$1"; then what=$1/member; fi
    gone=
    [ -z "$dry" ] || ! is_folder "$1/member" || gone=member
    if [ -z "$(ls -A "$1/member/" 2>/dev/null)" ]; then remove_empty "$1/member"
    elif [ -n "$purge" ]; then set_aside "$1/member" "$2"  # nothing beside it was identified
    else set_aside "$what" "$2"; return; fi
    [ "$what" != "$1" ] || remove_empty "$1" "$gone"
}
"""


@dataclass(frozen=True)
class Clearance:
    """What is to go.

    Args:
        certificates: etcd's certificate files, by name in its folder.
        purge: delete the data instead of moving it aside, where it is identified.
        identified: it is known to be a member's. What a killed purge has left is so in any case.
        stamp: a time (20260102T030405Z) for the name of the data that is moved aside.
    """

    certificates: tuple[str, ...]
    purge: bool
    identified: bool
    stamp: str


def stop_script(paths: Layout, *, dry_run: bool) -> str:
    """Return the script that takes the manifests away, upon which the kubelet stops the Pod.

    Args:
        paths: where files lie on the host.
        dry_run: tell alone.
    """
    return "\n".join((*_head(dry_run=dry_run), call("remove", paths.manifest), call("remove", paths.former)))


def clear_script(paths: Layout, wanted: Clearance, *, stopped: str, dry_run: bool) -> str:
    """Return the script that removes certificate files and moves or deletes the data of a member that is stopped.

    Nothing is done where there is a manifest, or where `stopped` fails. Each path that goes is told on stdout after
    `- `, and after `+ ` where its content is now.

    Args:
        paths: where files lie on the host.
        wanted: what is to go.
        stopped: a script that ends with 0 where no etcd runs.
        dry_run: tell alone, whether an etcd runs or not.
    """
    deleted = wanted.purge and wanted.identified
    lines = [*_head(dry_run=dry_run), f"purge={'yes' if deleted else ''}"]
    if not dry_run:
        manifest, data = quote(paths.manifest), quote(paths.data)
        lines += [
            f"! is_there {manifest} || fail {manifest} 'is there again: nothing was removed'",
            f"(\n{stopped}\n) >/dev/null 2>&1 || fail {data} 'an etcd may run on it again: nothing was removed'",
        ]
    lines += [
        call("remove_link", path, target)
        for path, target in paths.links.items()
        if target.rpartition("/")[2] in wanted.certificates
    ]
    lines += [call("remove_file", paths.etcd, name) for name in wanted.certificates]
    if set(wanted.certificates) == set(NAMES):
        lines.append(call("remove_folder", paths.etcd))
    if wanted.purge:  # what a killed one has left
        lines.append(call("remove_purged", paths.guard))
    mark = PURGED if deleted else REMOVED
    return "\n".join((*lines, call("clear_data", paths.data, f"{mark}{wanted.stamp}")))


def _head(*, dry_run: bool) -> tuple[str, ...]:
    return failing("clear"), _FUNCTIONS.strip().replace("@purged@", PURGED), f"dry={'yes' if dry_run else ''}"
