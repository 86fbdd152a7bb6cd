"""The kinds of findings with the defaults of their settings: what `nornir-etcd checks` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd.checks import KINDS
from nornir_etcd.report.catalogue import Entry
from nornir_etcd.settings.model import Settings

if TYPE_CHECKING:
    from nornir_etcd.checks.kinds import Kind


def catalogue() -> list[Entry]:
    """Return every kind of finding, in the order in which they are made."""
    return [_entry(kind) for kind in KINDS]


def _entry(kind: Kind) -> Entry:
    settings = {name: _default(name) for name in kind.settings}
    return Entry(kind.code, kind.asks, tuple(sorted(kind.reads)), kind.worst, settings, kind.rule)


def _default(name: str) -> str:
    found = Settings.model_fields[name].default
    return "none" if found in (None, ()) else str(found)
