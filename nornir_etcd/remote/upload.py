"""Brings large files to a host in pieces, each by a script of its own: what was cut off is gone on with.

A file grows under the name of its SHA-256, in a folder that is root's alone, and is used once it is whole and has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Protocol

from nornir_etcd.exceptions import CommandFailed, ConnectionLost
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.shell import failing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

FOLDER = "/var/lib/nornir-etcd-images"
"""Where files grow: not in a folder that others may write to, and where a host has space."""
STALE_DAYS = 7
"""What nobody has gone on with for so long is removed by the next upload."""
CHUNK = 4 * 1024 * 1024
"""Bytes of one script's stdin."""
CHUNK_DEADLINE = 300.0
"""Seconds for them: 14 KB/s are enough."""
DEADLINE = 120.0
"""Seconds in which a host reads what it has of a file."""
TRIES = 4
"""Sessions that may break without a piece of progress in between."""


class Source(Protocol):
    """What is brought: always the same bytes."""

    @property
    def size(self) -> int:
        """Bytes of it."""

    @property
    def sha256(self) -> str:
        """SHA-256 of it, in hexadecimal digits."""

    def sha256_to(self, stop: int) -> str:
        """Return the SHA-256 of its first bytes, in hexadecimal digits."""

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to `stop`."""


@dataclass(frozen=True)
class Standing:
    """What a host has of a file.

    Args:
        size: bytes.
        sha256: of them; empty where it has none.
        free: bytes that are free where it grows.
    """

    size: int
    sha256: str
    free: int


_STAND = """\
[ ! -L {folder} ] || fail {folder} 'is a link, a folder of root is wanted'
[ -d {folder} ] || attempt {folder} mkdir {folder}
[ "$(stat -c %u {folder})" = 0 ] || fail {folder} 'is not of root'
attempt {folder} chmod 700 {folder}
find {folder} -name '*.part' -mtime +{days} -exec rm -f {{}} +
have=0; sum=
[ ! -f {part} ] || {{ have=$(wc -c <{part}); sum=$(sha256sum <{part}) || exit; }}
set -- $(df -Pk {folder} | tail -n 1)
echo "$((have)) $4 ${{sum%% *}}"
"""
_APPEND = """\
[ {offset} -ne 0 ] || : >{part}
have=$(wc -c <{part}) || exit
[ "$have" -eq {offset} ] || fail {part} "has $((have)) bytes, {offset} are wanted: is another load at work?"
why=$({{ take {size} >>{part}; }} 2>&1) || fail {part} "cannot be written: ${{why%%"$newline"*}}"
[ "$(wc -c <{part})" -eq {stop} ] || fail {part} 'did not arrive whole'
"""
_WHOLE = """\
sum=$(sha256sum <{part}) || exit
[ "${{sum%% *}}" = {sha256} ] || {{ rm -f {part}; fail {part} 'had another SHA-256 and was removed: run again'; }}
"""
_DONE = """\
rm -f {part}
rmdir {folder} 2>/dev/null || :
"""


def part(sha256: str) -> str:
    """Return the path under which a file grows."""
    return f"{FOLDER}/{sha256}.part"


def upload(  # noqa: PLR0913 - what, where to, how much room, and who is told
    host: Host,
    config: Config,
    source: Source,
    *,
    room: int,
    purpose: str,
    tell: Callable[[int], None],
) -> str:
    """Bring a file to a host, or the rest of it; sessions that break are opened anew.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        source: the file.
        room: bytes that must be free for it, those included that the host has of it.
        purpose: what it is for, for errors.
        tell: is told how many bytes the host has.

    Returns:
        The path of the whole file, whose SHA-256 `use` checks.

    Raises:
        CommandFailed: the host has not the room, or cannot write.
        RemoteError: as `run_script` raises it.
    """
    failures, best = 0, -1
    while True:
        try:
            done = _begun(host, config, source, room, purpose)
            while True:
                if done > best:
                    failures, best = 0, done
                tell(done)
                if done == source.size:
                    return part(source.sha256)
                done = _append(host, config, source, done, purpose)
        except ConnectionLost:  # noqa: PERF203 - a retry
            failures += 1
            if failures >= TRIES:
                raise


def use(  # noqa: PLR0913 - which file, what is done with it, and how long that may take
    host: Host, config: Config, sha256: str, script: str, *, deadline: float, purpose: str
) -> None:
    """Run a script that uses a file which was brought, and remove the file.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        sha256: of the file; it is checked first. A file that has another one is removed.
        script: POSIX sh. Where it fails, the file stays for the next attempt.
        deadline: seconds.
        purpose: what it is for, for errors.

    Raises:
        CommandFailed: the file has another SHA-256, or the script failed.
        RemoteError: as `run_script` raises it.
    """
    words = _words(sha256)
    text = "\n".join([failing("load"), _WHOLE.format(**words), f"{{\n{script}\n}} || exit", _DONE.format(**words)])
    run_script(host, config, text, deadline=deadline, purpose=purpose)


def _begun(host: Host, config: Config, source: Source, room: int, purpose: str) -> int:
    """Return how many bytes the host has that can be gone on with."""
    text = f"{failing('load')}\n{_STAND.format(**_words(source.sha256), days=STALE_DAYS)}"
    done = run_script(host, config, text, deadline=DEADLINE, purpose=purpose)
    found = standing(done.stdout.decode(errors="replace"))
    if found is None:
        raise CommandFailed(
            f"{purpose}: what {FOLDER} has", host=host.name, wanted="sizes", found=repr(done.stdout[:80])
        )
    if found.free + found.size < room:
        raise CommandFailed(
            f"{purpose}: space in {FOLDER}",
            host=host.name,
            wanted=f"{megabytes(room)} free, for the archive and what the runtime makes of it",
            found=megabytes(found.free + found.size),
            remedy="make room on that file system",
        )
    usable = 0 < found.size <= source.size and source.sha256_to(found.size) == found.sha256
    return found.size if usable else 0


def standing(text: str) -> Standing | None:
    """Return what a host says that it has; None where it says no such thing."""
    have, free, sha256 = (*text.split(), "", "", "")[:3]
    if not (have.isascii() and have.isdigit() and free.isascii() and free.isdigit()):
        return None
    return Standing(int(have), sha256, int(free) * 1024)


def megabytes(size: int) -> str:
    """Return a size in words, rounded up."""
    return f"{-(-size // 1_000_000)} MB"


def _append(host: Host, config: Config, source: Source, done: int, purpose: str) -> int:
    stop = min(done + CHUNK, source.size)
    script = _APPEND.format(**_words(source.sha256), offset=done, size=stop - done, stop=stop)
    payload = b"".join(source.pieces(done, stop))
    run_script(host, config, f"{failing('load')}\n{script}", payload=payload, deadline=CHUNK_DEADLINE, purpose=purpose)
    return stop


def _words(sha256: str) -> dict[str, str]:
    return {"folder": quote(FOLDER), "part": quote(part(sha256)), "sha256": quote(sha256)}
