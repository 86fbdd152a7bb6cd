"""Scripts that wait on a host for what a runtime lists. POSIX sh."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNTIL = """\
until_=$(( $(date +%s) + {seconds} ))
while :; do
    {turn}
    [ "$(date +%s)" -lt "$until_" ] || exit 1
    sleep 0.2 2>/dev/null || sleep 1
done
"""
_STOP = """\
until_=$(( $(date +%s) + {seconds} ))
set -f
while :; do
    {turn}
    [ -n "$still" ] || exit 0
    [ "$(date +%s)" -lt "$until_" ] || break
    sleep 0.2 2>/dev/null || sleep 1
done
printf '%s\\n' "$still" >&2
exit 1
"""
_NEW = """\
for id in $({ids} | head -n 50); do
        case ' {known} ' in *" $id "*) ;; *) exit 0 ;; esac
    done"""


def until_new(ids: str, known: Sequence[str], seconds: int) -> str:
    """Return a script that waits until a command prints an ID that is not among `known`.

    Its exit code is 0 when there is one and 1 when there was none in `seconds`.
    """
    return _UNTIL.format(seconds=seconds, turn=_NEW.format(ids=ids, known=" ".join(known)))


def until_stopped(turn: str, seconds: int) -> str:
    """Return a script that waits until nothing is left that runs.

    Its exit code is 0 when that is so and 1 when it was not in `seconds`, with what there is on stderr.

    Args:
        turn: commands that leave in `still` what there is, and that may end the script with 2.
        seconds: how long.
    """
    return _STOP.format(seconds=seconds, turn=turn)
