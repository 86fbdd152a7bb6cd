"""Which findings are asked for: by code, by severity, and by what can be read. Pure: no I/O."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, get_args

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.report.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nornir_etcd.checks.kinds import Kind
    from nornir_etcd.report.model import Finding

MinSeverity = Literal["warning", "critical"]

_HIDDEN = {
    None: frozenset[Severity](),
    "warning": frozenset({Severity.OK}),
    "critical": frozenset({Severity.OK, Severity.WARNING}),
}
"""What each --min-severity hides. Never what is unknown: it may be critical."""


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    Attributes:
        check: patterns of the codes that are asked for; all where there is none.
        skip: patterns of the codes that are not.
        min_severity: the least that is told.
        left_out: codes of what cannot be read, since the hosts are not asked.
    """

    check: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    min_severity: MinSeverity | None = None
    left_out: tuple[str, ...] = ()

    def asks(self, code: str) -> bool:
        """Whether findings of this code are asked for."""
        wanted = not self.check or any(matches(pattern, code) for pattern in self.check)
        return wanted and code not in self.left_out and not any(matches(pattern, code) for pattern in self.skip)

    def tells(self, finding: Finding) -> bool:
        """Whether a finding is bad enough to be told."""
        return finding.severity not in _HIDDEN[self.min_severity]


EVERYTHING = Selection()


def matches(pattern: str, code: str) -> bool:
    """Whether a pattern is a code, the first words of one (`cert` of `cert.expiring`), or a glob that fits it."""
    return code == pattern or code.startswith(f"{pattern}.") or fnmatchcase(code, pattern)


def nearest(pattern: str, kinds: Iterable[Kind]) -> str:
    """Return the code, or the first word of codes, that is most like a pattern."""
    codes = [kind.code for kind in kinds]
    known = list(dict.fromkeys([*codes, *(code.partition(".")[0] for code in codes)]))
    return difflib.get_close_matches(pattern, known, 1, 0.0)[0]


def select(
    kinds: Sequence[Kind],
    *,
    check: Sequence[str] = (),
    skip: Sequence[str] = (),
    min_severity: MinSeverity | None = None,
    ssh: bool = True,
) -> Selection:
    """Return what is asked for.

    Args:
        kinds: what there is to be found.
        check: patterns of codes, see `matches`; all where there is none.
        skip: patterns of codes that are left out of those.
        min_severity: what is less is not told; what is unknown always is.
        ssh: whether the hosts are asked. If not, what reads them is left out.

    Raises:
        InventoryError: a pattern fits nothing, or nothing is left to be checked.
    """
    problems = [
        f"{option}: no check has the code '{pattern}'; the nearest is {nearest(pattern, kinds)}, and "
        "`nornir-etcd checks` prints them all"
        for option, patterns in (("--check", check), ("--skip", skip))
        for pattern in patterns
        if not any(matches(pattern, kind.code) for kind in kinds)
    ]
    if min_severity is not None and min_severity not in get_args(MinSeverity):
        problems.append(f"--min-severity: wanted {' or '.join(get_args(MinSeverity))}, found '{min_severity}'")
    if problems:
        raise InventoryError(*problems)
    chosen = Selection(tuple(check), tuple(skip), min_severity)
    asked = [kind for kind in kinds if chosen.asks(kind.code)]
    left_out = () if ssh else tuple(kind.code for kind in asked if "host" in kind.reads)
    if len(asked) == len(left_out):
        without = f" without SSH ({', '.join(left_out)} need it)" if left_out else ""
        raise InventoryError(f"the selection leaves no check{without}; `nornir-etcd checks` prints them all")
    return Selection(tuple(check), tuple(skip), min_severity, left_out)
