"""A change of version: what the members run, what is wanted, and what kind of step lies between. Pure: no I/O."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nornir_etcd.observation import NOT_READ, Maybe, Unknown
from nornir_etcd.plan.stages import stages
from nornir_etcd.versions import DOWNGRADES, SUPPORTED, WITHOUT_V2, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Line = tuple[int, int]
"""A minor, as major and minor number."""

Kind = Literal["none", "patch", "minor", "downgrade-patch", "downgrade-minor", "rollback", "unclear"]
"""rollback: a step to the next minor that has begun is taken back; etcd need not be told, while downgrade-minor wants
`downgrade enable` first. unclear: no version is known, or they are too far apart for one cluster."""

ASK_AUTH = "ask with etcdctl --user=nobody:x get x, which cannot log in where it is on, and not with auth status"
"""How an operator sees whether authentication is on. `etcdctl auth status` is not known to 3.4, and ends every 3.4 that
runs beside a later release for good (see nornir_etcd.connections.rpc.auth_enabled)."""


@dataclass(frozen=True)
class Facts:
    """What an observation can tell of a cluster beside its members' versions. Mappings are by member."""

    wanted_flags: Mapping[str, Mapping[str, str]]  # of the manifest that it shall get
    auth: Maybe[bool] = NOT_READ  # authentication by user and role is on
    cluster_version: Maybe[Version] = NOT_READ  # etcdcluster of /version: the minor whose protocol the members speak
    downgrade: Maybe[Version | None] = NOT_READ  # what etcd was told to go down to; 3.6 and later tell it
    storage: Mapping[str, Maybe[Version]] = field(default_factory=dict)  # storageVersion; 3.6 and later tell it
    present_flags: Mapping[str, Maybe[Mapping[str, str]]] = field(default_factory=dict)  # of the manifest on the host
    v2_clean: Mapping[str, Maybe[bool]] = field(default_factory=dict)  # whether `etcdutl check v2store` found nothing


@dataclass(frozen=True)
class Change:
    """What is to be judged."""

    running: Mapping[str, Version]  # by member, where it is known
    unread: Mapping[str, Unknown]  # the other members
    wanted: Version
    facts: Facts
    known: tuple[Version, ...]  # releases that can be had

    @property
    def minors(self) -> list[Line]:
        """The minors that members run, the least first."""
        return sorted({version.line for version in self.running.values()})

    @property
    def kind(self) -> Kind:
        """What lies between: over a minor, within one, up, down, or back where it came from."""
        if not self.running or not _neighbours(self.minors[0], self.minors[-1]):
            return "unclear"
        if self.minors[0] < self.wanted.line:
            return "minor"
        if self.minors[-1] > self.wanted.line:
            begun = self.wanted.line in self.minors and not isinstance(self.facts.downgrade, Version)
            return "rollback" if begun else "downgrade-minor"
        if not self._others:
            return "none"
        return "downgrade-patch" if max(self._others) > self.wanted else "patch"

    @property
    def origin(self) -> Version | None:
        """What the members run that are not on the wanted release yet; the release farthest from it."""
        if not self._others or self.kind == "unclear":
            return None
        return min(self._others) if self.kind in ("minor", "patch") else max(self._others)

    @property
    def _others(self) -> list[Version]:
        return [version for version in self.running.values() if version != self.wanted]

    @property
    def borders(self) -> list[Line]:
        """The upper minor of every border that members cross."""
        lines = [*self.minors, self.wanted.line]
        return [line for line in SUPPORTED if min(lines) < line <= max(lines)]

    @property
    def stages(self) -> tuple[Version, ...]:
        """The way from the origin to the wanted release, both included; empty where there is none."""
        if self.kind == "unclear":
            return ()
        origin = self.origin or self.wanted
        # What is taken back needs no way of etcd's: the former minor is still there.
        return (origin, self.wanted) if self.kind == "rollback" else stages(origin, self.wanted, self.known)

    @property
    def tells_downgrade(self) -> bool:
        """Whether a member runs a minor that tells of a downgrade."""
        return bool(self.minors) and self.minors[-1] in DOWNGRADES

    @property
    def into_v3_only(self) -> list[str]:
        """The members that go to a release that does not start on data of the v2 API."""
        if self.kind != "minor" or WITHOUT_V2 not in self.borders:
            return []
        return [name for name, version in self.running.items() if version.line < WITHOUT_V2]

    def by_version(self, names: Iterable[str]) -> dict[Version, str]:
        """Return the members, as text, by the version that they run."""
        found: dict[Version, list[str]] = defaultdict(list)
        for name in names:
            found[self.running[name]].append(name)
        return {version: ", ".join(members) for version, members in found.items()}


def _neighbours(low: Line, high: Line) -> bool:
    """Whether etcd lets members of two minors run side by side."""
    return low[0] == high[0] and high[1] - low[1] <= 1


def v2_on(flags: Mapping[str, str]) -> bool:
    """Return whether flags switch the v2 API on, as Go reads them: one without a value is true."""
    served = flags.get("enable-v2", "false").lower() not in ("false", "0", "f")
    return served or bool(flags.get("experimental-enable-v2v3"))


def line(thing: str, wanted: str, found: str, remedy: str) -> str:
    """Return a fault in one line."""
    return " ".join(f"{thing}: wanted {wanted}, found {found}; {remedy}".split())
