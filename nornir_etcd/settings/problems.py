"""Problems with an inventory, each told in one line."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_NAME = 100

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80
_REPR.maxlevel = 3


class Unwanted(ValueError):
    """A value is not one of those allowed.

    Args:
        wanted: what is allowed.
        remedy: what the operator can do, where that does not follow from `wanted`.
    """

    def __init__(self, wanted: str, remedy: str = "") -> None:
        self.wanted = wanted
        self.remedy = remedy
        super().__init__(wanted, remedy)

    def against(self, found: str) -> str:
        """Return the problem as text: wanted, found, remedy."""
        return f"wanted {self.wanted}, found {found}" + (f"; {self.remedy}" if self.remedy else "")


def shown(value: object) -> str:
    """Return a value as it stands in a message: on one line and cut to size, whatever it is."""
    try:
        return " ".join(_REPR.repr(value).split())
    except (ValueError, RecursionError):  # an integer of more digits than Python converts; a bottomless list
        return f"a value of type {type(value).__name__}"


def named(name: object) -> str:
    """Return a name (of a host, a variable, a layer) as it stands in a message."""
    plain = isinstance(name, str) and name.isprintable() and name == name.strip() != "" and len(name) <= _MAX_NAME
    return str(name) if plain else shown(name)


@dataclass(frozen=True)
class Problem:
    """One fault (or warning): of a host, or of a cluster as a whole."""

    subject: str  # name of the host, or "cluster NAME"
    key: str  # the variable
    text: str
    source: str = ""  # the layer that set the variable: "group etcd"; empty where none did


def problem_lines(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Return problems as lines; the same fault of one layer on several hosts is one line that names the layer."""
    alike: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in dict.fromkeys(problems):
        # Without a layer there is nothing that hosts could share.
        kind = (problem.source or problem.subject, problem.key, problem.text)
        alike.setdefault(kind, []).append(problem)
    return tuple(_line(same) for same in alike.values())


def _line(same: list[Problem]) -> str:
    text = _told(same)  # a template's own words may stand in it
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def _told(same: list[Problem]) -> str:
    first = same[0]
    line = f"{named(first.key)}: {first.text}" if first.key else first.text
    if len(same) > 1:
        return f"{named(first.source)} ({len(same)} hosts): {line}"
    foreign = first.source not in {"", f"host {first.subject}"}
    return f"{named(first.subject)}: {line}" + (f" (set in {named(first.source)})" if foreign else "")
