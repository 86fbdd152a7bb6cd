"""Host patterns of Ansible's inventories: `master-[01:03]`, `master-[a:c:2].example`, `[2001:db8::1]:2222`. Pure."""

from __future__ import annotations

import ipaddress
import re
import string

MOST_HOSTS = 10_000
"""Hosts that one pattern may stand for: more is a slip of the pen, and would fill memory."""

_RANGE = re.compile(r"\[([^\[\]]*)\]")
_BOUNDS = re.compile(r"(?P<first>[0-9]*|[A-Za-z]):(?P<last>[0-9]+|[A-Za-z])(?::(?P<step>[0-9]+))?")
_BRACKETED = re.compile(r"\[(.+)\]:([0-9]+)")
_WITH_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)")
_LABEL = re.compile(r"\w[\w-]*(?<![_-])")
_LAST_PORT = 65535


def expand(pattern: str) -> tuple[list[str], int | None]:
    """Return the hosts that a pattern stands for, in order, and their port where it names one.

    Args:
        pattern: a host's name, with any number of ranges, and `:PORT` behind it or not.

    Raises:
        ValueError: it is no such pattern, in words: wanted, found.
    """
    name, port = _split_port(pattern)
    if name.strip() in {"", "---"} or name.endswith(":"):
        raise ValueError(f"wanted a host, found {pattern!r}")
    names = [name]
    while _RANGE.search(names[0]) or "[" in names[0] or "]" in names[0]:
        names = [longer for one in names for longer in _expand_first(one)]
        if len(names) > MOST_HOSTS:
            raise ValueError(f"wanted at most {MOST_HOSTS} hosts, found {pattern!r}")
    return names, port


def _expand_first(name: str) -> list[str]:
    found = _RANGE.search(name)
    bounds = _BOUNDS.fullmatch(found[1]) if found else None
    if found is None or bounds is None:
        raise ValueError(f"wanted a range such as [1:3], [01:10:2] or [a:c], found {name!r}")
    head, tail = name[: found.start()], name[found.end() :]
    return [f"{head}{item}{tail}" for item in _items(bounds)]


def _items(bounds: re.Match[str]) -> list[str]:
    first, last, step = bounds["first"] or "0", bounds["last"], int(bounds["step"] or 1)
    if first.isalpha() != last.isalpha() or not step:
        raise ValueError(f"wanted two numbers or two letters, and a step above 0, found [{bounds[0]}]")
    if first.isalpha():
        letters = string.ascii_letters
        items = list(letters[letters.index(first) : letters.index(last) + 1 : step])
    else:
        width = len(first) if first.startswith("0") and len(first) > 1 else 0
        if width and width != len(last):
            raise ValueError(f"wanted as many digits in both ends of a range with leading zeros, found [{bounds[0]}]")
        if len(last) > len(str(_LAST_PORT)) or len(first) > len(last):
            raise ValueError(f"wanted an end of five digits at most, and none before it, found [{bounds[0]}]")
        items = [str(number).zfill(width) for number in range(int(first), int(last) + 1, step)]
    if not items:
        raise ValueError(f"wanted a range whose end is not before its beginning, found [{bounds[0]}]")
    return items


def _split_port(pattern: str) -> tuple[str, int | None]:
    name, port = pattern, None
    for form in (_BRACKETED, _WITH_PORT):  # one after the other, as Ansible does: [::1]:22 is an address in brackets
        if found := form.fullmatch(name):
            name, port = found[1], found[2]
    if port is None:
        return name, None
    if not _is_address(_RANGE.sub("1", name)):
        raise ValueError(f"wanted a host's name or address before the port, found {pattern!r}")
    if not 0 < int(port[:6]) <= _LAST_PORT or len(port) > len(str(_LAST_PORT)):
        raise ValueError(f"wanted a port from 1 to {_LAST_PORT}, found {pattern!r}")
    return name, int(port)


def _is_address(name: str) -> bool:
    if all(_LABEL.fullmatch(label) for label in name.split(".")):
        return True
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        return False
    return True
