"""The lock of one host: a process on it that holds a file's lock for as long as signs of life come from here.

The process runs on a channel of the host's session. What ends the session (this program killed, too) ends its stdin,
and so the process and the lock, at once; where nobody can tell the host (a network that is cut, a controller that has
lost its power), the process misses the signs of life and ends some seconds later. The kernel frees the lock with it.
"""

from __future__ import annotations

import threading
from collections import deque
from shlex import quote
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import CommandFailed, CommandMissing
from nornir_etcd.hold import Hold, now
from nornir_etcd.remote.exec import start_script

if TYPE_CHECKING:
    import paramiko
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

FOLDER = "/run/nornir-etcd"
"""Root's alone, in a folder of root's: nobody else can put a link or a file there. A reboot empties it, and ends the
processes that held a lock."""

DEADLINE = 20.0
"""Seconds for a host to say whether its lock is taken."""

_SIGN = b"\n"

# The lock stands on the open file 9 of this shell. Its children do not get it: one that outlived the shell would go on
# holding the lock. What waits for a sign is a process of its own, since POSIX read has no time-out; it reads byte by
# byte, so no sign is lost between two of them. The note is emptied while the lock is still held.
_SCRIPT = r"""
for tool in flock stat timeout; do
    command -v "$tool" >/dev/null || { printf 'missing %s\n' "$tool"; exit; }
done
mkdir "$folder" 2>/dev/null
found=$(stat -c '%F of user %u, mode %a' "$folder" 2>&1)
[ "$found" = "directory of user $(id -u), mode 700" ] || { printf 'unfit %s\n' "$found"; exit; }
exec 9<>"$folder/lock"
why=$(flock -n 9 2>&1)
case $?$why in
    0*) ;;
    1) read -r note <"$folder/lock"; printf 'held %s\n' "$note"; exit ;;
    *) printf 'unfit flock: %s\n' "$why"; exit ;;
esac
printf '%s\n' "$note" >"$folder/lock"
echo taken
while timeout "$seconds" sh -c 'IFS= read -r sign' 9>&-; do echo; done
: >"$folder/lock"
"""


class HostLock:
    """A host's lock that is held.

    Args:
        channel: of the process that holds it.
        hold: how surely.
    """

    def __init__(self, channel: paramiko.Channel, hold: Hold) -> None:
        self._channel = channel
        self._hold = hold
        self._sent: deque[float] = deque()  # signs whose echo has not come yet
        self._hearing = threading.Lock()

    def sign(self) -> None:
        """Send a sign of life; for one thread alone."""
        self.lost()
        if self._hold.ended:
            return
        self._sent.append(now())
        try:
            self._channel.sendall(_SIGN)
        except OSError:
            self._hold.end("the SSH session broke")

    def lost(self) -> str:
        """Return why the lock is not held for certain, in one line; empty while it is."""
        with self._hearing:
            while self._channel.recv_ready():
                for _ in range(min(self._channel.recv(1024).count(_SIGN), len(self._sent))):
                    self._hold.confirm(self._sent.popleft())
            if self._channel.closed or self._channel.eof_received:
                self._hold.end("the process that held it, or the SSH session under it, has ended")
        return self._hold.lost()

    def free(self) -> None:
        """Have the process free the lock and end. Does not wait for it: see `close`."""
        self._hold.end("it was freed")
        try:
            self._channel.shutdown_write()
        except OSError:  # it has gone before
            self._channel.close()

    def close(self, timeout: float) -> None:
        """Wait some seconds for the process to have ended, and close its channel."""
        if not self._channel.closed:
            self._channel.status_event.wait(timeout)
        self._channel.close()


def take_host_lock(  # noqa: PLR0913 - all but the first three are keywords with one meaning each
    host: Host, config: Config, note: str, *, seconds: int, folder: str = FOLDER, deadline: float = DEADLINE
) -> HostLock | str:
    """Take a host's lock, or say who has it. Does not wait for it.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        note: one line for whoever finds the lock taken; kept in the file, which is root's alone.
        seconds: how long the host keeps the lock without a sign of life.
        folder: where the file lies; made where it is missing, but not its parents.
        deadline: seconds for the host to answer.

    Returns:
        The lock; or the note of who holds it, empty where there is none.

    Raises:
        CommandMissing: the host has no flock or no timeout.
        CommandFailed: the folder is not root's alone, or its file system has no locks.
        RemoteError: as `run_script` raises it.
    """
    sent = now()
    values = f"folder={quote(folder)} seconds={seconds} note={quote(note)}"
    channel, line = start_script(host, config, values + _SCRIPT, deadline=deadline, purpose="lock of the host")
    word, _, rest = line.decode(errors="replace").partition(" ")
    if word == "taken":
        return HostLock(channel, Hold(f"{host.name}: the lock of the host", seconds, sent))
    channel.close()
    if word == "held":
        return rest
    if word == "missing":
        raise CommandMissing(
            f"lock of the host: {rest} is not on the host",
            host=host.name,
            wanted=f"{rest} in the PATH of a non-interactive shell",
            found="no such command",
            remedy=f"install {rest}" + (" (Debian, RHEL: util-linux)" if rest == "flock" else ""),
        )
    raise CommandFailed(
        f"lock of the host: {folder} cannot hold it",
        host=host.name,
        wanted="a folder of root's alone (0700), on a file system with locks",
        found=rest,
        remedy=f"see what {folder} is and remove it",
    )
