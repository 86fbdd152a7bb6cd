"""May this cluster change to that release of etcd? Pure: no I/O.

Every rule names its source. What could not be read is never taken for fine. Where a rule hangs on it, the change is
refused if it is dangerous not to know, and else warned of (plan/advice.py):

- a member's version: refused, since one that is too old beside the new minor is what the floors keep away;
- authentication, between 3.4 and 3.5: refused, since the two do not read each other's WAL entries. Warned of where a
  step that has begun is taken back: to leave it half done is no safer;
- v2 data, on the way to 3.6: refused where the v2 API is on, or its flags are not known: 3.6 does not start on such
  data. Warned of where it is off: few clusters ever had it on, and 3.5 starts again where 3.6 refused to;
- a downgrade that may be enabled: refused on the way to another minor: the step might be one over two minors, counted
  from the protocol that the cluster then speaks. Warned of otherwise: patches start on either storage, and etcd itself
  refuses a second downgrade;
- the cluster's version: warned of, since the members' own versions bound it;
- the storage's version, where a step is taken back: warned of, since a member of the former minor shows it already;
- whether a release knows a flag: warned of, since the table of flags is not complete, and the first member shows it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd import versions
from nornir_etcd.flags import flag_faults
from nornir_etcd.observation import NOT_READ, Maybe, Unknown
from nornir_etcd.plan.advice import advice
from nornir_etcd.plan.change import ASK_AUTH, Change, Facts, line, v2_on
from nornir_etcd.plan.stages import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nornir_etcd.plan.change import Kind
    from nornir_etcd.versions import Version

_OTHER_WAY = "use etcd's own downgrade where it offers one, or restore the snapshot that was taken before"


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    kind: Kind
    origin: Version | None  # what the members run that are not on the wanted release yet; the one farthest from it
    started: bool  # members run the wanted release already, and others do not
    refusals: tuple[str, ...]  # each one line: thing, wanted, found; remedy
    warnings: tuple[str, ...]
    stages: tuple[Version, ...]  # from the origin to the wanted release, both included; empty where there is no way

    @property
    def path(self) -> str:
        """The stages as text, such as `3.4.23 -> 3.5.33 -> 3.6.14`."""
        return shown(self.stages)


def gate(
    running: Mapping[str, Maybe[Version]], wanted: Version, facts: Facts, known: Iterable[Version] = ()
) -> Verdict:
    """Judge whether the members may be changed to a release, one after the other.

    A step that has begun shows mixed versions, and is judged by what is left of it: it comes from what the members run
    that are not there yet. etcd lets members of neighbouring minors run side by side, and no others.

    Args:
        running: the version of every member, by its name.
        wanted: the release that all shall run.
        facts: what else is known of the cluster.
        known: releases that can be had, as from the images that an inventory or a registry names.
    """
    change = Change(
        {name: version for name, version in running.items() if not isinstance(version, Unknown)},
        {name: version for name, version in running.items() if isinstance(version, Unknown)},
        wanted,
        facts,
        tuple(known),
    )
    rules = (_unread, _unsupported, _apart, _distance, _offered, _floors, _bad, _auth, _v2, _downgrade, _turned, _flags)
    return Verdict(
        kind=change.kind,
        origin=change.origin,
        started=change.origin is not None and wanted in change.running.values(),
        refusals=tuple(text for rule in rules for text in rule(change)),
        warnings=advice(change),
        stages=change.stages,
    )


def may_go_back(from_: Version, to: Version, *, still_on_old: bool) -> str | None:
    """Return why members may not simply start the former release again, or None where they may.

    Within a minor they always may. Over a minor: only while a member of the former one is left, since the cluster then
    still speaks its protocol and keeps its storage (https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/: Rollback).

    Args:
        from_: the release that was gone to.
        to: the former one.
        still_on_old: a member of the former minor is left.
    """
    next_door = from_.line == (to.major, to.minor + 1)
    if to.line >= from_.line or (still_on_old and next_door):
        return None
    if from_.line in versions.DOWNGRADES:
        remedy = "use etcd's own downgrade (validate, then enable), one minor at a time, or restore a snapshot"
    else:
        remedy = "restore the snapshot that was taken before"
    wanted = f"a member that still runs {to.major}.{to.minor}" if next_door else "one minor back at most"
    return line(f"going back to {to}", wanted, f"a cluster that runs {from_}", remedy)


def _unread(change: Change) -> Iterator[str]:
    for name, unknown in change.unread.items():
        found = f"none: {unknown.reason}"
        yield line(f"{name}: version", "one that can be read", found, "make the member answer first")
    if not change.running and not change.unread:
        yield line("version", "the members' versions", "no member", "name the members in the inventory")


def _unsupported(change: Change) -> Iterator[str]:
    minors = ", ".join(f"{major}.{minor}" for major, minor in versions.SUPPORTED)
    for version in sorted({*change.running.values(), change.wanted}):
        if version.line not in versions.SUPPORTED:
            remedy = "go to or from it by hand, by etcd's own guide"
            yield line("version", f"one of {minors}, whose rules are known here", str(version), remedy)


def _apart(change: Change) -> Iterator[str]:
    if change.running and change.kind == "unclear":
        found = "; ".join(f"{version} on {names}" for version, names in change.by_version(change.running).items())
        yield line("versions", "members of neighbouring minors", found, "bring them to neighbouring minors by hand")


def _distance(change: Change) -> Iterator[str]:
    """One minor at a time, in either direction (https://etcd.io/docs/v3.6/upgrades/upgrading-etcd/)."""
    if change.kind == "unclear" or len(change.borders) <= 1:
        return
    remedy = "restore a snapshot of that minor: etcd offers no other way"
    if change.stages:
        remedy = f"go in stages, each a change of its own: {shown(change.stages)}"
    yield line("etcd_version", "one minor at a time", f"{change.wanted} after {change.origin}", remedy)


def _offered(change: Change) -> Iterator[str]:
    """The server must offer the way down (versions.DOWNGRADES)."""
    if change.kind == "downgrade-minor" and change.minors[-1] not in versions.DOWNGRADES:
        refused = may_go_back(max(change.running.values()), change.wanted, still_on_old=False)
        if refused:
            yield refused


def _floors(change: Change) -> Iterator[str]:
    """What the lower minor must run beside the next one (versions.STEP_FLOORS): what is left, or what is gone down to.

    Side by side is side by side whichever way the members go, and from below the floor nothing leads up again. A step
    that is taken back is not held to it: the members go back to what runs there.
    """
    if change.kind == "minor":
        below = [name for name, version in change.running.items() if version.line < change.wanted.line]
        held, word = change.by_version(below), "upgrade to"
    elif change.kind == "downgrade-minor":
        held, word = {change.wanted: "etcd_version"}, "choose"
    else:
        return
    for version, names in held.items():
        missed = versions.missed_floors(version)
        if missed:
            least = missed[-1].least
            reasons = "; ".join(f"{floor.why} ({floor.source})" for floor in missed)
            wanted = f"{least} or later beside {version.major}.{version.minor + 1}"
            yield line(names, wanted, f"{version}: {reasons}", f"{word} {least} or later first")


def _bad(change: Change) -> Iterator[str]:
    """No way to a release that loses data (versions.KNOWN_BAD), unless a step is taken back to what members run."""
    bad = versions.known_bad(change.wanted)
    back = change.kind == "rollback" and change.wanted in change.running.values()
    if bad and bad.loses_data and not back and change.kind not in ("none", "unclear"):
        found = f"{change.wanted}: {bad.why} ({bad.source})"
        yield line("etcd_version", "a release that keeps its data", found, f"choose {bad.use} or later")


def _auth(change: Change) -> Iterator[str]:
    """No rolling step between 3.4 and 3.5 with authentication on, either way (versions.AUTH_FORMAT)."""
    told = change.facts.auth
    if versions.AUTH_FORMAT not in change.borders or told is False:
        return
    wanted = "off, since 3.4 and 3.5 do not read each other's WAL entries of it (etcd#11943)"
    if not isinstance(told, Unknown):
        yield line("authentication", wanted, "on", "switch it off for the step: etcdctl auth disable")
    elif change.kind != "rollback":
        found = f"none that could be read: {told.reason}"
        yield line("authentication", wanted, found, ASK_AUTH)


def _v2(change: Change) -> Iterator[str]:
    """No way to 3.6 with custom data of the v2 API (https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/: V2 store)."""
    for name in change.into_v3_only:
        clean = change.facts.v2_clean.get(name, NOT_READ)
        flags = change.facts.present_flags.get(name, NOT_READ)
        if clean is False:
            found = "some"
        elif clean is True:
            continue
        elif isinstance(flags, Unknown):
            found = f"flags that could not be read ({flags.reason}), and no check of the store"
        elif v2_on(flags):
            found = "the v2 API on, and no check of the store"
        else:
            continue
        remedy = "run etcdutl check v2store (3.5.32 or later) on its data directory, and drop --enable-v2"
        yield line(f"{name}: v2 store", "no custom data, on which 3.6 does not start", found, remedy)


def _downgrade(change: Change) -> Iterator[str]:
    """No way to another minor while etcd is on its way down to a lower one (https://etcd.io/docs/v3.6/downgrades/)."""
    told = change.facts.downgrade
    if change.kind not in ("minor", "downgrade-minor") or not change.tells_downgrade or told is None:
        return
    if not isinstance(told, Unknown):
        if change.kind == "minor" or told.line != change.wanted.line:
            found, remedy = f"one to {told.major}.{told.minor}", "finish it, or cancel it: etcdctl downgrade cancel"
            yield line("downgrade", f"none enabled on the way to {change.wanted}", found, remedy)
    elif change.kind == "minor":
        found, remedy = f"none: {told.reason}", "see etcdctl endpoint status -w table"
        yield line("downgrade", "to know that none is enabled", found, remedy)


def _turned(change: Change) -> Iterator[str]:
    """Former binaries start on the former protocol and storage alone; a next step follows when the last has settled."""
    cluster, wanted = change.facts.cluster_version, change.wanted
    if change.kind == "rollback":
        told = {"cluster version": cluster}
        told |= {f"{name}: storage version": version for name, version in change.facts.storage.items()}
        for thing, version in told.items():
            if not isinstance(version, Unknown) and version.line > wanted.line:
                yield line(thing, f"{wanted.major}.{wanted.minor} at most", str(version), _OTHER_WAY)
    elif change.kind == "minor" and not isinstance(cluster, Unknown) and cluster.line < change.minors[0]:
        least = "{}.{}".format(*change.minors[0])
        remedy = "see that every member answers, and wait for the leader to raise it"
        yield line("cluster version", f"{least}, which every member runs at least", str(cluster), remedy)


def _flags(change: Change) -> Iterator[str]:
    """No flag that the wanted release does not start with: 3.7 knows no --experimental-*, 3.6 nothing of v2."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, flags in change.facts.wanted_flags.items() if change.kind != "none" else ():
        for fault in flag_faults(flags, change.wanted):
            found[fault].append(name)
    for fault, names in found.items():
        yield f"{', '.join(names)}: {fault}"
