"""The one command that reads a host, and the reading of its answer. Pure: no I/O.

Script and parser are the two ends of one format: parts between marker lines that carry a random token, each with its
exit code and what it wrote to stderr.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from nornir_etcd import apiserver
from nornir_etcd.layout import PURGED, REMOVED
from nornir_etcd.observation import (
    NOT_READ,
    ApiServerState,
    DataDirectory,
    FileState,
    HostObservation,
    Maybe,
    Unknown,
)
from nornir_etcd.surroundings.answer import clock_bounds, parse_surroundings
from nornir_etcd.surroundings.script import surroundings_script
from nornir_etcd.walmeta import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nornir_etcd.layout import Layout
    from nornir_etcd.runtimes import Runtime

T = TypeVar("T")

WAL_HEAD = 1024
"""Bytes of the first WAL segment that are read: its CRC and metadata records take some 60."""

READ_CLOCK = "date +%s.%N"

_FUNCTIONS = """\
exec 3>&1
part() {{
    name=$1; shift
    printf '\\n{token} begin %s\\n' "$name"
    said=$("$@" 2>&1 >&3); code=$?
    printf '\\n{token} end %s %s\\n%s\\n' "$name" "$code" "$said"
}}
sums() {{
    for path in {observed}; do [ ! -f "$path" ] || set -- "$@" "$path"; done
    [ $# -eq 0 ] || sha256sum -- "$@"
}}
links() {{ for path in {observed}; do [ ! -L "$path" ] || printf '%s|%s\\n' "$path" "$(readlink "$path")"; done; }}
wal() {{
    for path in {guard}/wal/*.wal; do
        [ -f "$path" ] || return 0
        od -An -v -tx1 -N {wal_head} "$path"
        return
    done
}}
"""

_PARTS = """\
part clock {read_clock}
part uid id -u
part hostname uname -n
part stat stat -L -c '%F|%a|%u:%g|%s|%Y|%n' {observed}
part sums sums
part links links
for path in {texts}; do [ ! -f "$path" ] || part "text:$path" cat "$path"; done
[ ! -d {data} ] || part data ls -A1 {data}
[ ! -d {guard} ] || part guard ls -A1 {guard}
part wal wal
part containers {containers}
part images {images}
{surroundings}{ended}"""

# The clock is read first and last: the less time lies outside, the closer its distance from the controller's is known.
_ENDED = f"part ended {READ_CLOCK}\n"

# The peers are probed while the rest is read; a pipe keeps what the probes say until its turn comes.
_BESIDE = """\
peers </dev/null | {{
exec 4<&0 </dev/null
{parts}}}
"""

_KINDS: dict[str, Literal["file", "directory"]] = {
    "regular file": "file",
    "regular empty file": "file",
    "directory": "directory",
}
# GNU: stat: cannot statx '/x': No such ...; busybox: stat: can't stat '/x': No such ...
_ABSENT = re.compile(r" '(/[^']*)': (?:No such file or directory|Not a directory)$", re.MULTILINE)

# A file system of its own brings lost+found, and keeps the data of a member that has left. etcd minds neither: it warns
# of a name that it does not know (identifyDataDirOrDie in server/etcdmain/etcd.go).
_NOT_ETCDS = re.compile(rf"lost\+found|member(?:{re.escape(REMOVED)}|{re.escape(PURGED)})\d{{8}}T\d{{6}}Z(?:-\d+)?")


@dataclass(frozen=True)
class Part:
    """What one command of the script wrote."""

    code: int
    out: str
    said: str  # stderr


def survey_script(paths: Layout, runtime: Runtime, token: str, *, peers: Sequence[str] | None = None) -> str:
    """Return the script (POSIX sh) that reads a host.

    Args:
        paths: where etcd's files lie; settings let no path through that a shell would split.
        runtime: the container runtime.
        token: random letters and digits that no output holds.
        peers: addresses of the other members, to read the host's surroundings as well; None where nothing is to be
            done there.
    """
    functions, surroundings = ("", "") if peers is None else surroundings_script(paths, runtime, peers)
    values = {
        "token": token,
        "read_clock": READ_CLOCK,
        "observed": " ".join(paths.observed),
        "texts": " ".join(paths.texts),
        "data": paths.data,
        "guard": paths.guard,
        "wal_head": WAL_HEAD,
        "containers": runtime.list_containers(),
        "images": runtime.list_images(),
        "surroundings": surroundings,
        "ended": "" if peers is None else _ENDED,
    }
    parts = _PARTS.format(**values)
    return _FUNCTIONS.format(**values) + functions + (parts if peers is None else _BESIDE.format(parts=parts))


def parse_survey(  # noqa: PLR0913 - the script's arguments, and its answer
    host: str,
    output: bytes,
    token: str,
    paths: Layout,
    runtime: Runtime,
    *,
    peers: Sequence[str] | None = None,
    asked: tuple[float, float] | None = None,
) -> HostObservation:
    """Return what a host said. What its answer lacks is unknown.

    Args:
        host: the host's name in the inventory.
        output: what the script wrote to stdout.
        token: as given to `survey_script`.
        paths: as given to `survey_script`.
        runtime: as given to `survey_script`.
        peers: as given to `survey_script`.
        asked: when the host was asked and when it had answered, in seconds since the epoch by the controller's clock.
    """
    parts = _split(output.decode(errors="replace"), token)
    if not {"uid", "clock", "images" if peers is None else "ended"} <= parts.keys():
        return HostObservation(host=host, error=Unknown(f"{host}: the observing command broke off"))
    files, texts = _files(parts, paths), _texts(parts, paths)
    return HostObservation(
        host=host,
        uid=_number(parts["uid"], -1),
        hostname=parts["hostname"].out.strip() if "hostname" in parts else "",
        clock=(clock_bounds(parts["clock"].out) or (0.0,))[0],
        files=files,
        texts=texts,
        containers=_asked(parts, "containers", runtime.parse_containers),
        images=_asked(parts, "images", runtime.parse_images),
        data=_data(parts, files.get(paths.data), paths),
        apiserver=_apiserver(parts, files, texts, paths, runtime),
        surroundings=NOT_READ if peers is None else parse_surroundings(parts, paths, runtime, peers, asked),
    )


def _split(text: str, token: str) -> dict[str, Part]:
    found = re.finditer(
        rf"\n{token} begin (\S+)\n(.*?)\n{token} end \1 (\d+)\n(.*?)(?=\n{token} begin |\Z)", text, re.DOTALL
    )
    return {one[1]: Part(code=int(one[3]), out=one[2], said=one[4].strip()) for one in found}


def _number(part: Part, otherwise: int) -> int:
    return int(part.out) if part.out.strip().isdecimal() else otherwise


def _asked(parts: dict[str, Part], name: str, parse: Callable[[str], T]) -> Maybe[T]:
    part = parts.get(name)
    if part is None:
        return NOT_READ
    if part.code:
        last = part.said.splitlines()[-1:] or [f"exit code {part.code}"]
        return Unknown(f"{name} of the runtime could not be listed: {last[0]}")
    try:
        return parse(part.out)
    except ValueError as error:
        return Unknown(f"{name} of the runtime could not be read: {error}")


def _texts(parts: dict[str, Part], paths: Layout) -> dict[str, str]:
    """Return the content of each file that could be read."""
    found = ((path, parts.get(f"text:{path}")) for path in paths.texts)
    return {path: part.out for path, part in found if part is not None and not part.code}


def _files(parts: dict[str, Part], paths: Layout) -> dict[str, FileState]:
    """Return the state of each observed path that is known. A path in neither list is one that could not be read."""
    rows = [line.split("|", 5) for line in parts["stat"].out.splitlines()] if "stat" in parts else []
    stat = {row[5]: row for row in rows if len(row) == 6}  # noqa: PLR2004 - the fields of the format
    sums = dict(_pairs(parts.get("sums"), "  ", swap=True))
    links = dict(_pairs(parts.get("links"), "|"))
    absent = set(_ABSENT.findall(parts["stat"].said)) if "stat" in parts else set()
    states: dict[str, FileState] = {}
    for path in paths.observed:
        state = None
        if path in stat:
            state = _state(stat[path], sums.get(path, ""), links.get(path))
        elif path in links:  # it leads nowhere
            state = FileState(kind="link", target=links[path])
        elif path in absent:
            state = FileState(kind="absent")
        if state is not None:
            states[path] = state
    return states


def _state(row: list[str], sha256: str, target: str | None) -> FileState | None:
    """Return what a row of stat says of a path, and the target where it is a link; None where it makes no sense."""
    kind, mode, owner, size, mtime, _ = row
    try:
        return FileState(
            kind=_KINDS.get(kind, "other") if target is None else "link",
            mode=int(mode, 8),
            owner=owner,
            size=int(size),
            mtime=float(mtime),
            sha256=sha256,
            target=target or "",
        )
    except ValueError:
        return None


def _pairs(part: Part | None, separator: str, *, swap: bool = False) -> list[tuple[str, str]]:
    pairs = [line.partition(separator) for line in part.out.splitlines()] if part else []
    return [(b, a) if swap else (a, b) for a, _, b in pairs]


def _apiserver(
    parts: dict[str, Part], files: dict[str, FileState], texts: dict[str, str], paths: Layout, runtime: Runtime
) -> Maybe[ApiServerState | None]:
    """Return the API server of the host; None where it is known to have neither a manifest nor one that runs."""
    containers = _asked(parts, "containers", lambda text: runtime.parse_containers(text, apiserver.CONTAINER))
    path = paths.apiserver_manifest
    state, text = files.get(path), texts.get(path)
    if text is not None:
        try:
            return ApiServerState(apiserver.parse(text), containers)
        except ValueError as error:
            return ApiServerState(Unknown(f"{path}: {error}"), containers)
    if state is None:
        return Unknown(f"{path} could not be read")
    if state.kind != "absent":
        return ApiServerState(Unknown(f"{path} could not be read"), containers)
    if isinstance(containers, Unknown):
        return containers
    return ApiServerState(None, containers) if any(one.running for one in containers) else None


def _data(parts: dict[str, Part], directory: FileState | None, paths: Layout) -> Maybe[DataDirectory]:
    if directory is None:
        return Unknown(f"{paths.data} could not be read")
    if directory.kind == "absent":
        return DataDirectory("absent")
    if "data" not in parts or parts["data"].code or "wal" not in parts:
        return Unknown(f"{paths.data} could not be listed")
    content = tuple(name for name in parts["data"].out.splitlines() if name and not _NOT_ETCDS.fullmatch(name))
    if parts["wal"].code:
        return Unknown(f"{paths.guard}/wal could not be read: {parts['wal'].said or 'no reason given'}")
    try:
        head = bytes.fromhex("".join(parts["wal"].out.split()))
        return DataDirectory("member", *identify(head), content) if head else _without_wal(content, parts.get("guard"))
    except ValueError as error:
        return Unknown(f"{paths.guard}/wal could not be read: {error}")


def _without_wal(content: tuple[str, ...], guard: Part | None) -> DataDirectory:
    if not content:
        return DataDirectory("empty")
    inside = tuple(f"member/{name}" for name in guard.out.splitlines() if name) if guard else ()
    if content == ("member",) and guard is not None and not guard.code and not inside:
        return DataDirectory("guard", content=content)
    return DataDirectory("other", content=content + inside)
