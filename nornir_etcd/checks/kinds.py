"""What kinds of findings there are: each has a stable code, and `nornir-etcd checks` prints this. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["host", "endpoint"]


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        code: stable, such as `member.unstarted`.
        asks: the question that it answers, in one line.
        reads: what it cannot be made without: the host (over SSH), the member's endpoint, or both. Without SSH
            (`--no-ssh`) what reads the host is left out.
        worst: the worst that it may come to, besides unknown.
        settings: the variables that hold its thresholds.
        rule: where the rule comes from; empty where it is plain.
    """

    code: str
    asks: str
    reads: frozenset[Source]
    worst: Literal["warning", "critical"]
    settings: tuple[str, ...] = ()
    rule: str = ""


HOST: frozenset[Source] = frozenset({"host"})
ENDPOINT: frozenset[Source] = frozenset({"endpoint"})
BOTH: frozenset[Source] = HOST | ENDPOINT
NOTHING: frozenset[Source] = frozenset()
"""Such as the size of a cluster, which the inventory tells."""
