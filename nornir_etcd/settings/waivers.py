"""Waivers: findings that somebody knows of and bears, as the inventory tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from nornir_etcd.settings.problems import Unwanted, shown
from nornir_etcd.settings.values import from_json

EVERY = "*"
WANTED = "a list of waivers, each a mapping of code, subject, reason and until"

_KEYS = ("code", "subject", "reason", "until")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,100}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_TEXT = 1000


@dataclass(frozen=True)
class WaiverRule:
    """Which findings are waived, and why.

    Attributes:
        code: of the findings; also what codes begin with (`cert`), or a pattern (`cert.*`).
        subject: the member or the cluster that they are about; `*` for all.
        reason: why they are borne.
        until: the last day on which it holds (UTC); None where it has no end.
    """

    code: str
    subject: str
    reason: str
    until: date | None


def waivers(value: object) -> tuple[WaiverRule, ...]:
    """Return the waivers of a host, from a list of mappings or from JSON in a string."""
    found = from_json(value, WANTED)
    if not isinstance(found, (list, tuple)):
        raise Unwanted(WANTED)
    return tuple(_waiver(item) for item in found)


def _waiver(item: object) -> WaiverRule:
    if not isinstance(item, Mapping):
        raise Unwanted(f"{WANTED} (not {shown(item)})")
    unknown = [key for key in item if key not in _KEYS]
    if unknown:
        raise Unwanted(f"{WANTED} (not {', '.join(map(shown, unknown))})")
    code = _line(item, "code", "code: a finding's code or a pattern of it, such as cert.expiring or cert.*")
    if not _PATTERN.fullmatch(code):
        raise Unwanted(f"code: a finding's code or a pattern of it (not {shown(code)})")
    return WaiverRule(
        code=code,
        subject=_line(item, "subject", "subject: a member's or the cluster's name, or '*'", EVERY),
        reason=_line(item, "reason", "reason: why it is borne"),
        until=_until(item.get("until")),
    )


def _line(item: Mapping[object, object], key: str, wanted: str, default: object = None) -> str:
    """Return a value that is text on one line."""
    found = item.get(key, default)
    if not isinstance(found, str) or not found.strip() or not found.isprintable() or len(found) > _MAX_TEXT:
        told = shown(found) if key in item else f"none in {shown(dict(item))}"
        raise Unwanted(f"{wanted} (not {told})")
    return found.strip()


def _until(found: object) -> date | None:
    """Return a day; YAML has read it already where it is not in quotes."""
    if found is None or (isinstance(found, date) and not isinstance(found, datetime)):
        return found
    try:
        if isinstance(found, str) and _DATE.fullmatch(found):
            return date.fromisoformat(found)
    except ValueError:  # such as the 30th of February
        pass
    raise Unwanted(f"until: a date such as 2027-01-31 (not {shown(found)})")
