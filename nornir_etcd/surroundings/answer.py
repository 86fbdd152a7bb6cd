"""The reading of what a host says of its surroundings. Pure: no I/O."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Literal, TypeVar

from nornir_etcd.observation import (
    NOT_READ,
    ClockOffset,
    Kubelet,
    Listener,
    Manifests,
    Maybe,
    Surroundings,
    Unknown,
    Volume,
)
from nornir_etcd.surroundings.script import RUNS_ETCD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nornir_etcd.layout import Layout
    from nornir_etcd.runtimes import Runtime
    from nornir_etcd.survey import Part

T = TypeVar("T")

_KUBELET = re.compile(r"(\d+)\|(same|other|unset|unreadable)\|([^|]*)\|([^|]*)\|(.*)")
_LISTENS = re.compile(r" *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:0000 0A(?: +\S+){5} +(\d+)(?: .*)?")
_HELD = re.compile(r"socket (\d+) /proc/(\d+)/fd:")
_OWNER = re.compile(r"owner (\d+)\|(.*)\|([^|]*)")
_FOLDER = re.compile(r"(/[^|]*)\|(yes|no)\|(/.*)")
_FREE = re.compile(r".*?\s\d+\s+-?\d+\s+(-?\d+)\s+(?:\d+%|-)\s+(/.*)")
_SECONDS = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))?")
_IPV4_BYTES = 4
_SILENT = re.compile("timed out|no route to host|is unreachable|network is down", re.IGNORECASE)
_KILLED = (124, 137, 143)  # of `timeout`, or of what it ended


def parse_surroundings(
    parts: Mapping[str, Part],
    paths: Layout,
    runtime: Runtime,
    peers: Sequence[str],
    asked: tuple[float, float] | None,
) -> Surroundings:
    """Return what the parts say. What they lack is unknown.

    Args:
        parts: of the host's answer.
        paths: as given to `surroundings_script`.
        runtime: as given to `surroundings_script`.
        peers: as given to `surroundings_script`.
        asked: when the host was asked and when it had answered, in seconds since the epoch by the controller's clock.
    """

    def read(name: str, parse: Callable[[str], T]) -> Maybe[T]:
        part = parts.get(name)
        if part is None:
            return NOT_READ
        if part.code:
            return Unknown((part.said.splitlines()[-1:] or [f"{name}: exit code {part.code}"])[0])
        try:
            return parse(part.out)
        except ValueError as error:
            return Unknown(str(error))

    mounts = read("mounts", _mounts)
    lines = read("peers", str)
    return Surroundings(
        offset=_offset(parts, asked),
        missing_tools=read("tools", _lines),
        runtime=None if _runs_etcd(parts) else read("runtime", runtime.parse_name),
        sockets=read("sockets", _lines),
        digests=read("images", runtime.parse_digests),
        kubelets=read("kubelets", _kubelets),
        manifests=read("manifests", _manifests),
        listeners=read("ports", _listeners),
        volumes=read("volumes", lambda text: _volumes(text, paths, {} if isinstance(mounts, Unknown) else mounts)),
        peers={peer: lines if isinstance(lines, Unknown) else _probed(lines, peer) for peer in peers},
    )


def _runs_etcd(parts: Mapping[str, Part]) -> bool:
    return "runtime" in parts and parts["runtime"].code == RUNS_ETCD


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line)


def _offset(parts: Mapping[str, Part], asked: tuple[float, float] | None) -> Maybe[ClockOffset]:
    """Return how far the host's clock is from the controller's.

    The first reading was taken after the host was asked and the last one before it had answered.
    """
    if asked is None or "clock" not in parts or "ended" not in parts:
        return NOT_READ
    return clock_offset(parts["clock"].out, parts["ended"].out, asked)


def clock_offset(first: str, last: str, asked: tuple[float, float]) -> Maybe[ClockOffset]:
    """Return how far a host's clock is from the controller's.

    Args:
        first: what date printed after the host was asked.
        last: what date printed before the host had answered.
        asked: when that was, in seconds since the epoch by the controller's clock.
    """
    begun, ended = clock_bounds(first), clock_bounds(last)
    if begun is None or ended is None:
        return Unknown(f"date printed no time: {(last if begun else first).strip()[:40]!r}")
    return ClockOffset(low=ended[0] - asked[1], high=begun[1] - asked[0])


def clock_bounds(text: str) -> tuple[float, float] | None:
    """Return the bounds of a time that date printed; a date without %N (busybox) tells whole seconds only."""
    found = _SECONDS.match(text.strip())
    if found is None:
        return None
    seconds = float(found[0])
    return (seconds, seconds) if found[2] else (seconds, seconds + 1)


def _kubelets(text: str) -> tuple[Kubelet, ...]:
    found = []
    for line in _lines(text):
        match = _KUBELET.fullmatch(line)
        if match is None:
            raise ValueError(f"a kubelet's arguments could not be read: {line[:60]!r}")
        verdict: Literal["same", "other", "unset", "unreadable"] = match[2]  # type: ignore[assignment]  # of the pattern
        found.append(Kubelet(int(match[1]), verdict, match[3], match[5], match[4]))
    return tuple(found)


def _manifests(text: str) -> Manifests:
    lines = _lines(text)
    files = tuple(line.removeprefix("file ") for line in lines if line.startswith("file "))
    return Manifests(files, tuple(line.rpartition("/")[2] for line in lines if line.startswith("/")))


def _listeners(text: str) -> tuple[Listener, ...]:
    held = {found[1]: int(found[2]) for line in _lines(text) if (found := _HELD.fullmatch(line))}
    owners = {int(found[1]): found for line in _lines(text) if (found := _OWNER.fullmatch(line))}
    listeners = []
    for line in _lines(text):
        if found := _LISTENS.fullmatch(line):
            owner = owners.get(held.get(found[3], 0))
            pid, process, cgroup = (int(owner[1]), owner[2], owner[3]) if owner else (0, "", "")
            listeners.append(Listener(int(found[2], 16), _address(found[1]), pid, process, cgroup))
    return tuple(sorted(listeners, key=lambda one: (one.port, one.address)))


def _address(text: str) -> str:
    """Return the address that /proc/net/tcp writes as words in the byte order of the host, which is little-endian."""
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return str(IPv4Address(raw) if len(raw) == _IPV4_BYTES else IPv6Address(raw))


def _mounts(text: str) -> dict[str, bool]:
    """Return whether each mount is read-only; of two on one place the later one counts."""
    rows = [line.split() for line in _lines(text)]
    return {row[1]: "ro" in row[3].split(",") for row in rows if len(row) > 3}  # noqa: PLR2004 - device, place, type, options


def _volumes(text: str, paths: Layout, mounts: Mapping[str, bool]) -> dict[str, Volume]:
    lines = _lines(text)
    count = len(paths.volumes)
    folders = [found for line in lines[:count] if (found := _FOLDER.fullmatch(line))]
    free = [found for line in lines[count + 1 :] if (found := _FREE.fullmatch(line))]
    if [found[1] for found in folders] != list(paths.volumes) or len(free) != count:
        raise ValueError("the answer of df could not be read")
    volumes = {}
    for folder, space in zip(folders, free, strict=True):
        above = [place for place in mounts if f"{folder[3].rstrip('/')}/".startswith(f"{place.rstrip('/')}/")]
        read_only = mounts[max(above, key=len)] if above else False
        writable = folder[2] == "yes" and not read_only
        volumes[folder[1]] = Volume(folder[3], int(space[1]) * 1024, writable, space[2])
    return volumes


def _probed(text: str, peer: str) -> Maybe[Literal["open", "refused", "silent"]]:
    """Return what the probe of one peer came to."""
    found = re.search(rf"^{re.escape(peer)}\|(\d+)\|(.*(?:\n(?!\S*\|\d+\|).*)*)", text, re.MULTILINE)
    if found is None:
        return Unknown(text.strip()[:80] or "the probe said nothing")
    code, said = int(found[1]), found[2].strip()
    if code == 0:
        return "open"
    if "refused" in said.lower():
        return "refused"
    if code in _KILLED or _SILENT.search(said):
        return "silent"
    return Unknown((said.splitlines()[-1:] or [f"the probe ended with code {code}"])[0])
