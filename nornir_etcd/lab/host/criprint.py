"""How crictl and the kubelet print: JSON, tables, logfmt and klog lines."""

from __future__ import annotations

import json
import os
import sys
import time

TYPE_CHECKING = False  # importing typing costs a quick program 4 ms
if TYPE_CHECKING:
    from typing import Any

# text/tabwriter as crictl sets it: a cell is at least this wide, or its longest text and this much space.
_MIN_CELL = 20
_PADDING = 3


def quote(text: str) -> str:
    """Quote as Go's %q does for printable text."""
    return json.dumps(text, ensure_ascii=False)


def print_json(value: Any, *, sort: bool = False) -> None:
    """Print as crictl does: two spaces, keys sorted where it prints a map."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=sort, ensure_ascii=False) + "\n")


def say(*lines: str) -> None:
    """Print lines on stdout."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print a table as Go's text/tabwriter does."""
    lines = [head, *rows]
    widths = [max(_MIN_CELL, *(len(line[column]) + _PADDING for line in lines)) for column in range(len(head))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        say("".join(cells[:-1]) + line[-1])


def human_size(size: int) -> str:
    """Write a size as crictl does: three digits and a decimal unit."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004 - a decimal unit
            break
        value, unit = value / 1000, larger
    return f"{value:.3g}{unit}"


def rfc3339(nanoseconds: int) -> str:
    """Write a time as Go does (RFC 3339, up to nanoseconds, UTC); 0 is Go's zero time."""
    if nanoseconds == 0:
        return "0001-01-01T00:00:00Z"
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def klog(source: str, message: str) -> str:
    """Build an error line of klog, the log library of crictl's CRI client and of the kubelet."""
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 10**6):06d}"
    return f"E{stamp} {os.getpid():7d} {source}] {message}"


def fatal(message: str) -> int:
    """Print crictl's last words on stderr.

    Returns:
        Its exit code.
    """
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"time={quote(stamp)} level=fatal msg={quote(message)}\n")
    return 1
