"""Who holds a lock, as it is written where others read it: no secrets. Pure but for asking who this is."""

from __future__ import annotations

import getpass
import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

_LONGEST = 200
"""Characters of what others wrote that are shown."""


@dataclass(frozen=True)
class Holder:
    """One run of the program.

    Args:
        who: user and host of the controller.
        pid: process ID there.
        runbook: what is run.
        since: in UTC, by the controller's clock.
        hosts: addresses of the hosts whose locks it holds.
        run: random; tells two runs apart whatever else is the same.
    """

    who: str
    pid: int
    runbook: str
    since: datetime
    hosts: tuple[str, ...]
    run: str

    def __str__(self) -> str:
        return f"{self.who} (pid {self.pid}, {self.runbook}) since {since_when(self.since, datetime.now(timezone.utc))}"

    def text(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self) | {"since": self.since.isoformat(timespec="seconds")})


def since_when(since: datetime, now: datetime) -> str:
    """Return a time in words, with its date where that is not today's. Both in UTC."""
    form = "%H:%M:%S UTC" if since.date() == now.date() else "%Y-%m-%d %H:%M:%S UTC"
    return since.strftime(form)


def this_run(runbook: str, hosts: tuple[str, ...]) -> Holder:
    """Return this process as a holder.

    Args:
        runbook: what it runs.
        hosts: addresses of the hosts whose locks it takes.
    """
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user ID without a name
        user = str(os.geteuid())
    now = datetime.now(tz=timezone.utc)
    return Holder(f"{user}@{os.uname().nodename}", os.getpid(), runbook, now, hosts, secrets.token_hex(8))


def read_holder(text: str) -> Holder | str:
    """Return who wrote a note.

    Args:
        text: the note; whatever somebody has written there.

    Returns:
        The holder; where the note is none, words that stand for one.
    """
    shown = "".join(c if c.isprintable() else " " for c in text).strip()[:_LONGEST]
    if not shown:
        return "somebody who has left no name (yet)"
    try:
        found = json.loads(text)
        since = datetime.fromisoformat(found["since"]).astimezone(timezone.utc)
        words = [_plain(found[name]) for name in ("who", "runbook", "run")]
        who, runbook, run = words
        return Holder(who, int(found["pid"]), runbook, since, tuple(_plain(host) for host in found["hosts"]), run)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return f"somebody who has left the note {shown!r}"


def _plain(value: object) -> str:
    """Return a word that can be shown.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST:
        raise ValueError(value)
    return value
