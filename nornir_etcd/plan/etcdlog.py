"""What the log of an etcd that refuses to start says of its data, in etcd's own words. Pure: no I/O.

Only the words with which a process ends are believed: a panic, or a line of zap's level panic or fatal (C with 3.4's
capnslog). Elsewhere a log may quote what anybody has written into a key.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SHOWN = 200
"""Letters of a line that are quoted."""


@dataclass(frozen=True)
class Words:
    """Words with which etcd ends where its data are damaged."""

    pattern: re.Pattern[str]
    means: str


DAMAGED = (
    # ErrCRCMismatch of server/storage/wal/walpb/record.go. Bytes of the WAL flipped, or overwritten with zeros.
    Words(re.compile(r"\bwalpb: crc mismatch\b"), "a record of its WAL does not have the checksum it was written with"),
    # validate of go.etcd.io/raft's Config: the ID comes from the WAL's metadata record, which is its second. A WAL that
    # is empty; with 3.5, one whose first record is overwritten as well, since etcd repairs it by cutting all off.
    Words(re.compile(r"^cannot use none as id\b"), "its WAL does not tell whose it is"),
    # commitTo of go.etcd.io/raft's log.go. A WAL cut in the middle, or an older copy of the data: etcd repairs a torn
    # tail, which is none where the leader knows no more of the member than is left.
    Words(
        re.compile(r"\btocommit\(\d+\) is out of range \[lastIndex\(\d+\)\]"),
        "entries that it has acknowledged are missing from its WAL",
    ),
    # ErrInvalid and ErrChecksum of bbolt, as backend.go puts them (3.4 with capnslog: cannot open database at PATH).
    # Both meta pages overwritten, or the file cut below them. Other errors there are of disk, permission or version.
    Words(
        re.compile(r"\bopen database\b.*\b(?:invalid database|checksum error)\b"),
        "neither head of its database is valid",
    ),
    # RecoverSnapshotBackend of server/storage/backend.go, ErrNoDBSnapshot of api/snap/db.go. The database is missing,
    # empty, or older than the snapshot that the WAL goes on from.
    Words(
        re.compile(r"\bfailed to find database snapshot file \(snap: snapshot file doesn't exist\)"),
        "its database is missing, or older than its WAL",
    ),
    # freepages of bbolt's db.go, FastCheck of its page.go. Pages overwritten with zeros or anything.
    Words(re.compile(r"\bfreepages: failed to get all reachable pages\b"), "pages of its database are overwritten"),
    Words(
        re.compile(r"\bassertion failed: Page expected to be: \d+, but self identifies as \d+"),
        "pages of its database are overwritten",
    ),
)
"""Each was heard of 3.4.23, 3.5.16 or 3.5.30 whose data were damaged for it (tests/contract/test_damage.py), and stands
in the sources of 3.4 to 3.6.

Left out, since it may mean something else: SIGBUS ("unexpected fault address"), which a database that was cut short
ends with, and a disk that cannot be read as well; "wal: max entry size limit exceeded" of 3.4, which a request above
10 MB brings about, too; "has already been bootstrapped", which a missing WAL and a wrong --data-dir have in common; all
with "no space left on device", "permission denied" or "version mismatch" in it.
"""
NO_DAMAGE = re.compile(r"no space left|permission denied|version mismatch|input/output error|read-only file system")
READY = "ready to serve client requests"
"""What serveCtx.serve says once the member is part of the cluster (server/embed/serve.go): it has started."""
INCONSISTENT = "found data inconsistency with peers"  # InitialCheck of server/etcdserver/corrupt.go
_DIFFERS = "found different hash values from remote peer"  # of the same

_CAPNSLOG = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ C \| \S+: (.*)$")
_PANIC = re.compile(r"^(?:panic: |(?=fatal error: ))(.*)$")  # Go's own words


@dataclass(frozen=True)
class InitialCheck:
    """The hashes by which an etcd has refused to start beside its peers: its own is another than all of these."""

    release: str  # its own; empty where the log does not tell it
    peers: Mapping[int, frozenset[str]] = field(default_factory=dict)  # peer URLs by the hash that they have


def last_words(lines: Iterable[str]) -> list[str]:
    """Return with what an etcd has ended, in the order of its log; nothing where it ended without a word."""
    return [said for line in lines if (said := _grave(line))]


def damage(lines: Sequence[str]) -> str | None:
    """Return by which words a log says that the data are damaged, and what they mean; None where it does not.

    Args:
        lines: the whole log of one process. One that had started has not refused to.
    """
    if any(READY in line for line in lines):
        return None
    for said in last_words(lines):
        for words in DAMAGED:
            if words.pattern.search(said) and not NO_DAMAGE.search(said):
                return f"{words.means} ({shortened(said)})"
    return None


def initial_check(lines: Sequence[str]) -> InitialCheck | None:
    """Return by whose hashes an etcd has refused to start with other data; None where it has not, or tells no hash.

    That it differs from a peer says of neither of them that it is wrong. capnslog (3.4) names no peer URLs.
    """
    if not any(INCONSISTENT in said for said in last_words(lines)):
        return None
    release, peers = "", defaultdict[int, set[str]](set)
    for entry in map(_entry, lines):
        release = _text(entry.get("etcd-version")) or release
        number, urls = entry.get("remote-peer-hash"), entry.get("remote-peer-endpoints")
        if entry.get("msg") == _DIFFERS and isinstance(number, int) and isinstance(urls, list):
            peers[number] |= set(map(_text, urls))
    return InitialCheck(release, {number: frozenset(urls) for number, urls in peers.items()}) if peers else None


def shortened(said: str) -> str:
    """Return words of a log as they are quoted: one line, and not all of a long one."""
    text = " ".join(said.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _grave(line: str) -> str:
    """Return what a line says with which a process ends; empty for another."""
    entry = _entry(line)
    if entry.get("level") in {"panic", "fatal"}:
        return ": ".join(filter(None, (_text(entry.get("msg")), _text(entry.get("error")))))
    found = _PANIC.match(line) or _CAPNSLOG.match(line)
    return found[1] if found else ""


def _entry(line: str) -> dict[str, Any]:
    """Return a line of zap's JSON; empty for another."""
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
