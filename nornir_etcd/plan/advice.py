"""What an operator should know of a change of version that is not refused for it. Pure: no I/O.

No release is looked up: the newest one is the newest of those that can be had and those in nornir_etcd.versions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nornir_etcd import versions
from nornir_etcd.flags import unknown_flags
from nornir_etcd.observation import NOT_READ, Unknown
from nornir_etcd.plan.change import ASK_AUTH, line, v2_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nornir_etcd.plan.change import Change
    from nornir_etcd.versions import Version


def advice(change: Change) -> tuple[str, ...]:
    """Return the warnings, one line each."""
    if change.kind == "unclear":
        return ()
    rules = (_wanted, _left, _cluster, _auth, _downgrade, _storage, _v2, _flags)
    return tuple(text for rule in rules for text in rule(change))


def _wanted(change: Change) -> Iterator[str]:
    wanted = change.wanted
    bad = versions.known_bad(wanted)
    if bad:
        found = f"{wanted}: {bad.why} ({bad.source})"
        yield line("etcd_version", "a release that etcd does not advise against", found, f"choose {bad.use} or later")
    if versions.has_ended(wanted):
        found = f"{wanted}: {wanted.major}.{wanted.minor} has ended and gets no fixes"
        remedy = f"go on to {versions.SECURITY_FLOOR[0]} or later afterwards"
        yield line("etcd_version", "a minor that still gets fixes", found, remedy)
    newest = _newest(wanted, change.known)
    if newest:
        floor = versions.security_floor(wanted)
        hole = ", in which a client can deny the service in the TLS handshake" if floor and wanted < floor else ""
        found = f"{wanted}{hole}; {newest} is the newest that is known here, and was not looked up"
        yield line("etcd_version", "the newest patch", found, f"choose {newest} or later")


def _newest(version: Version, known: Iterable[Version]) -> Version | None:
    """Return the newest patch of the same minor that is known of, where it is newer."""
    floor = versions.security_floor(version)
    newer = [one for one in (*known, *([floor] if floor else [])) if one.line == version.line and one > version]
    return max((one for one in newer if versions.known_bad(one) is None), default=None)


def _left(change: Change) -> Iterator[str]:
    """A step to the next minor starts from the newest patch (https://etcd.io/docs/v3.6/upgrades/upgrading-etcd/)."""
    for version, names in change.by_version(change.running).items():
        bad = versions.known_bad(version)
        if bad and bad.loses_data and version != change.wanted:
            found = f"{version}: {bad.why} ({bad.source})"
            remedy = "compare the hashes of all members (verify) before and after"
            yield line(f"{names}: data", "members that are known to hold the same", found, remedy)
        newest = _newest(version, change.known)
        if newest and change.kind == "minor" and version.line < change.wanted.line:
            found = f"{version}; {newest} is the newest that is known here, and was not looked up"
            yield line(names, "the newest patch before the next minor", found, f"upgrade to {newest} or later first")


def _cluster(change: Change) -> Iterator[str]:
    told = change.facts.cluster_version
    if change.kind == "minor" and isinstance(told, Unknown):
        yield line("cluster version", "to know it", f"none: {told.reason}", "see etcdcluster of /version on a member")


def _auth(change: Change) -> Iterator[str]:
    told = change.facts.auth
    if change.kind == "rollback" and versions.AUTH_FORMAT in change.borders and isinstance(told, Unknown):
        remedy = f"{ASK_AUTH}; 3.4 may then not read what 3.5 has written (etcd#11943)"
        yield line("authentication", "to know that it is off", f"none: {told.reason}", remedy)


def _downgrade(change: Change) -> Iterator[str]:
    told = change.facts.downgrade
    if not change.tells_downgrade or change.kind == "minor":
        return
    if isinstance(told, Unknown):
        found, remedy = f"none: {told.reason}", "see etcdctl endpoint status -w table"
        yield line("downgrade", "to know whether one is enabled", found, remedy)
    elif told is not None and change.kind != "downgrade-minor":
        found, remedy = f"one to {told.major}.{told.minor}", "finish it, or cancel it: etcdctl downgrade cancel"
        yield line("downgrade", "none enabled", found, remedy)


def _storage(change: Change) -> Iterator[str]:
    """A member of the former minor is there, so the storage should be the former one; nobody has said so."""
    if change.kind != "rollback" or not change.tells_downgrade:
        return
    for name, version in change.running.items():
        told = change.facts.storage.get(name, NOT_READ)
        if version.line > change.wanted.line and isinstance(told, Unknown):
            found, remedy = f"none: {told.reason}", "see etcdctl endpoint status -w table"
            yield line(f"{name}: storage version", "to know it", found, remedy)


def _v2(change: Change) -> Iterator[str]:
    """Whether the v2 API was ever on cannot be read from flags (https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/)."""
    names = [
        name
        for name in change.into_v3_only
        if isinstance(change.facts.v2_clean.get(name, NOT_READ), Unknown)
        and not isinstance(flags := change.facts.present_flags.get(name, NOT_READ), Unknown)
        and not v2_on(flags)
    ]
    if names:
        remedy = "if it ever was, run etcdutl check v2store (3.5.32 or later): 3.6 does not start on custom data"
        yield line(f"{', '.join(names)}: v2 API", "to know that it was never on", "only that it is off now", remedy)


def _flags(change: Change) -> Iterator[str]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, flags in change.facts.wanted_flags.items() if change.kind != "none" else ():
        for flag in unknown_flags(flags, change.wanted):
            found[flag].append(name)
    for flag, names in found.items():
        remedy = f"see etcd --help of {change.wanted}: etcd does not start on a flag that it does not know"
        yield line(f"{', '.join(names)}: --{flag}", "flags that are known here", "one that is not", remedy)
