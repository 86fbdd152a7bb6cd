"""The part of the observing script that reads a host's surroundings: POSIX sh, some dozen processes. Pure: no I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nornir_etcd.cluster import CLIENT_PORT, METRICS_PORT, PEER_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.layout import Layout
    from nornir_etcd.runtimes import Runtime

TOOLS = (
    *("cat", "chmod", "date", "dd", "flock", "grep", "id", "ln", "ls", "mkdir", "mv", "od"),
    *("readlink", "rm", "rmdir", "sha256sum", "sleep", "stat", "timeout", "uname"),
)
"""What the scripts of survey, push, lock and the tasks call; the runtime names its own besides."""

PROBE_SECONDS = 2
"""Time-out of one probe of a peer's port: time for one retransmission of the SYN, which comes after 1 s (RFC 6298)."""

RUNS_ETCD = 3
"""What stands for the exit code of asking the runtime for its name where it was not asked, since an etcd runs."""

SOCKETS = {
    "containerd": ("/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock"),
    "docker": ("/run/docker.sock",),
    "cri-o": ("/run/crio/crio.sock",),
}
"""Where each runtime listens by default."""

_FUNCTIONS = r"""
newline='
'
kubelets=
etcds=
for line in $(grep -xE 'kubelet|etcd' /proc/[0-9]*/comm 2>/dev/null); do
    case $line in
        *:kubelet) kubelets="$kubelets ${line%/comm:*}" ;;
        *) etcds="$etcds ${line%/comm:*}" ;;
    esac
done
tools() {
    for tool in @tools@; do command -v "$tool" >/dev/null || printf '%s\n' "$tool"; done
    case $(mv --help 2>&1) in *-T*) ;; *) echo 'mv -T' ;; esac
}
sockets() { for path in @sockets@; do [ ! -S "$path" ] || printf '%s\n' "$path"; done; }
volumes() {
    set --
    for path in @folders@; do
        at=$path
        while [ -n "$at" ] && [ ! -e "$at" ]; do at=${at%/*}; done
        set -- "$@" "${at:=/}"
        if [ -w "$at" ]; then may=yes; else may=no; fi
        printf '%s|%s|%s\n' "$path" "$may" "$at"
    done
    df -Pk "$@"
}
mounts() { grep -E '^[^ ]+ (@ancestors@) ' /proc/self/mounts; }
manifests() {
    for path in @manifests@/*; do
        [ -f "$path" ] && [ "$path" != @manifest@ ] || continue
        printf 'file %s\n' "${path##*/}"
        set -- "$@" "$path"
    done
    named="^([^#]*[{,[:space:]-])?[\"']?name[\"']?:[[:space:]]*[\"']?etcd([\"',}[:space:]]|\$)"
    [ $# -eq 0 ] || grep -lE "$named" "$@" || :
}
kubelets() {
    [ -r /proc/self/comm ] || return 2
    for process in $kubelets; do kubelet "$process"; done
}
kubelet() {
    arguments "$(tr '\000' '\n' <"$1/cmdline")"
    source=--pod-manifest-path verdict=other
    if [ -z "$pods" ] && [ -n "$config" ]; then
        case $config in /*) ;; *) config=$(readlink "$1/cwd")/$config ;; esac
        source=$config
        if [ -r "$1/root$config" ]; then configured "$1/root$config" "$1/root${drop:-/nowhere}"
        else verdict=unreadable; fi
        case $pods in ''|/*) ;; *) pods=${config%/*}/$pods ;; esac
    fi
    if [ "${pods%/}" = @manifests@ ] || { [ -n "$pods" ] && [ "$1/root$pods" -ef @manifests@ ]; }; then verdict=same
    elif [ -z "$pods" ] && [ "$verdict" = other ]; then verdict=unset; fi
    printf '%s|%s|%s|%s|%s\n' "${1#/proc/}" "$verdict" "$source" "$endpoint" "$pods"
}
arguments() {
    pods= config= drop= endpoint= after=
    IFS=$newline
    set -f
    for word in $1; do
        word=$after$word after=
        case $word in
            --pod-manifest-path=*) pods=${word#*=} ;;
            --container-runtime-endpoint=*) endpoint=${word#*=} ;;
            --config=*) config=${word#*=} ;;
            --config-dir=*) drop=${word#*=} ;;
            --pod-manifest-path|--container-runtime-endpoint|--config|--config-dir) after=$word= ;;
        esac
    done
    set +f
    unset IFS
}
configured() {
    folder=$2
    set -- "$1"
    for more in "$folder"/*.conf; do [ ! -f "$more" ] || set -- "$@" "$more"; done
    setting staticPodPath "$@"
    pods=$value
    [ -n "$endpoint" ] || { setting containerRuntimeEndpoint "$@"; endpoint=$value; }
}
setting() {
    key=$1
    shift
    before="^\(.*[{,]\)\{0,1\}[[:space:]]*[\"']\{0,1\}"
    after="[\"']\{0,1\}[[:space:]]*:[[:space:]]*[\"']\{0,1\}"
    value=$(sed -n "s/$before$key$after\([^\"',}#]*\).*/\2/p" "$@")
    value=${value##*"$newline"}
    value=${value%"${value##*[![:space:]]}"}
}
ports() {
    [ -r /proc/net/tcp ] || return 2
    listening=$(grep -hE '^ *[0-9]+: [0-9A-F]+:(@ports@) [0-9A-F]+:0000 0A ' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    [ -n "$listening" ] || return 0
    printf '%s\n' "$listening"
    inodes=
    either=
    while read -r _ _ _ _ _ _ _ _ _ inode _; do inodes="$inodes $inode" either=$either${either:+|}$inode; done <<END
$listening
END
    set -- /dev/null
    for process in $etcds; do set -- "$@" "$process/fd"; done
    found=$(held "$either" "$@")
    for inode in $inodes; do
        case $found in *"socket $inode "*) ;; *) found=$(held "$either" /proc/[0-9]*/fd); break ;; esac
    done
    printf '%s\n' "$found"
    owners=
    for word in $found; do
        case $word$owners in
            /proc/*" $word "*) ;;
            /proc/*) owner "${word%/fd:}"; owners="$owners $word " ;;
        esac
    done
    return 0
}
held() {
    sockets=$1
    shift
    ls -l "$@" 2>/dev/null |
        sed -nE "/^\/proc\//h; /socket:\[($sockets)\]\$/{s/.*:\[([0-9]+)\]\$/socket \1/; G; s/\n/ /; p;}"
}
owner() {
    read -r name <"$1/comm" || return 0
    groups=
    while read -r line; do groups="$groups $line"; done <"$1/cgroup"
    printf 'owner %s|%s|%s\n' "${1#/proc/}" "$name" "$groups"
}
runtime() {
    # Asking takes as long as half of all this. An etcd that ran before the containers were listed, and still runs, is
    # among them where it is this runtime's; one that is gone by now may have been between two containers.
    for process in $etcds; do [ ! -e "$process/comm" ] || return @runs_etcd@; done
    @ask_name@
}
told() { while IFS= read -r line; do printf '%s\n' "$line"; done; }
peers() {
    command -v timeout >/dev/null || { echo 'no timeout'; return; }
    if command -v bash >/dev/null; then tool=bash
    elif command -v nc >/dev/null; then tool=nc
    else echo 'no bash and no nc'; return; fi
    for peer in @peers@; do probe "$peer" & done
    wait
}
probe() {
    if [ "$tool" = bash ]; then said=$(timeout @seconds@ bash -c ': <"/dev/tcp/$1/@peer_port@"' bash "$1" 2>&1)
    else said=$(connect "$1" 2>&1); fi
    printf '%s|%s|%s\n' "$1" "$?" "$said"
}
connect() {
    said=$(timeout @seconds@ nc -z -v -w @seconds@ "$1" @peer_port@ 2>&1)
    code=$?
    case $said in *'invalid option'*)  # busybox: its nc stays where it has connected, and says why where it has not
        said=$(timeout 3 nc -w @seconds@ "$1" @peer_port@ 2>&1 >/dev/null)
        code=$?
        [ -n "$said" ] || code=0 ;;
    esac
    printf '%s' "$said"
    return "$code"
}
"""

_PARTS = r"""
part tools tools
part sockets sockets
part volumes volumes
part mounts mounts
part manifests manifests
part kubelets kubelets
part ports ports
part runtime runtime
part peers told <&4
"""

_PLACE = re.compile(r"@(\w+)@")


def surroundings_script(paths: Layout, runtime: Runtime, peers: Sequence[str]) -> tuple[str, str]:
    """Return the functions and the parts that read a host's surroundings.

    Args:
        paths: where etcd's files lie.
        runtime: the container runtime.
        peers: addresses of the other members.
    """
    values = {
        "tools": " ".join((*TOOLS, *runtime.tools)),
        "sockets": " ".join(path for group in SOCKETS.values() for path in group),
        "folders": " ".join(paths.volumes),
        "ancestors": "|".join(_ancestors(paths)),
        "manifests": paths.manifests,
        "manifest": paths.manifest,
        "ports": "|".join(f"{port:04X}" for port in (CLIENT_PORT, PEER_PORT, METRICS_PORT)),
        "peers": " ".join(peers),
        "peer_port": str(PEER_PORT),
        "seconds": str(PROBE_SECONDS),
        "ask_name": runtime.ask_name(),
        "runs_etcd": str(RUNS_ETCD),
    }
    functions, parts = (_PLACE.sub(lambda found: values[found[1]], text) for text in (_FUNCTIONS, _PARTS))
    return functions, parts


def _ancestors(paths: Layout) -> list[str]:
    """Return, as extended regular expressions, every path that a mount below which etcd's folders lie may have."""
    found = {"/"}
    for path in paths.volumes:
        parts = path.split("/")
        found |= {"/".join(parts[:count]) for count in range(2, len(parts) + 1)}
    return sorted(path.replace(".", "[.]").replace("+", "[+]") for path in found)
