"""etcd's releases as data: which flags and probes a release knows. Pure: no I/O.

Flags and probes are keyed by patch release, since etcd brings new ones into old minors. Sources are etcd's own
CHANGELOG-3.x.md and the pull requests named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_TAG = re.compile(r"v?(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})([-+][0-9A-Za-z._+-]*)?", re.ASCII)


@dataclass(frozen=True, order=True)
class Version:
    """A release of etcd."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def line(self) -> tuple[int, int]:
        """The minor that it is of, as major and minor number."""
        return self.major, self.minor


SUPPORTED: Final = ((3, 4), (3, 5), (3, 6), (3, 7))
"""The minors whose flags and probes are known here."""

SECURITY_FLOOR: Final = (Version(3, 5, 33), Version(3, 6, 14), Version(3, 7, 1))
"""The first release of each minor in which a client cannot deny the service in the TLS handshake (CHANGELOG-3.x.md).
A minor before these has ended: it gets no fixes any more."""


@dataclass(frozen=True)
class BadRelease:
    """Releases that etcd itself advises against."""

    first: Version
    last: Version
    loses_data: bool
    why: str
    source: str
    use: Version  # the first one that is right again


KNOWN_BAD: Final = (
    BadRelease(
        Version(3, 5, 0),
        Version(3, 5, 2),
        loses_data=True,
        why="members may silently come to hold different data when one is killed under load",
        source="etcd#13766",
        use=Version(3, 5, 3),
    ),
    BadRelease(
        Version(3, 4, 21),
        Version(3, 4, 21),
        loses_data=False,
        why="etcd advises against it",
        source="CHANGELOG-3.4.md",
        use=Version(3, 4, 22),
    ),
    BadRelease(
        Version(3, 5, 5),
        Version(3, 5, 5),
        loses_data=False,
        why="etcd advises against it",
        source="CHANGELOG-3.5.md",
        use=Version(3, 5, 6),
    ),
)
"""Releases not to run in production."""


@dataclass(frozen=True)
class Floor:
    """The least release of its minor that may run beside the next minor, and why no earlier one may."""

    least: Version
    why: str
    source: str


_UPGRADE_3_6: Final = "https://etcd.io/docs/v3.6/upgrades/upgrade_3_6/"

STEP_FLOORS: Final = (
    Floor(Version(3, 5, 24), "adding or promoting members may then fail for too many learners", "etcd#19557"),
    Floor(Version(3, 5, 26), "members that were removed may then come back", "etcd#20967"),
    Floor(Version(3, 5, 32), "etcd's guide wants it on every member first", _UPGRADE_3_6),
    Floor(
        Version(3, 6, 11),
        "earlier ones may not run beside the next minor",
        "https://etcd.io/docs/v3.7/upgrades/upgrade_3_7/",
    ),
)
"""What every member of the lower minor must run while members of two minors are side by side."""

DOWNGRADES: Final = ((3, 6), (3, 7))
"""The minors whose server offers the way to the minor before (https://etcd.io/docs/v3.6/downgrades/): `downgrade
validate`, then `downgrade enable`, which turns the storage back before any member is replaced."""

AUTH_FORMAT: Final = (3, 5)
"""The minor that writes the WAL entries of authentication in another form than the one before: with authentication on,
the two must not run side by side (etcd#11943, https://etcd.io/docs/v3.5/upgrades/upgrade_3_5/)."""

WITHOUT_V2: Final = (3, 6)
"""The minor that starts no more on custom data in the store of the v2 API (upgrade_3_6.md)."""

TLS_MIN_VERSION: Final = (Version(3, 4, 25), Version(3, 5, 8))
"""--tls-min-version came with TLS 1.3 (etcd#15486 in 3.4, etcd#15483 in 3.5). Before, etcd itself asks for TLS 1.2."""

PROGRESS_NOTIFY: Final = (Version(3, 4, 11), Version(3, 5, 0))  # etcd#12216
COMPACT_HASH_CHECK: Final = (Version(3, 5, 5),)  # etcd#14039; never in 3.4
FEATURE_GATES: Final = (Version(3, 6, 0),)  # experimental flags became gates; 3.7 knows none of them (etcd#19959)
_LIVEZ_READYZ: Final = (Version(3, 4, 29), Version(3, 5, 11))  # etcd#17039 in 3.5
_SERIALIZABLE_HEALTH: Final = (Version(3, 5, 3),)  # etcd#13399, etcd#13706; 3.4.23 ignores the parameter

WATCH_PROGRESS_NOTIFY_INTERVAL: Final = "5s"
"""As kubeadm sets it, for the API server's consistent reads from its cache (KEP-2340)."""

OWN_FLAGS: Final = frozenset(
    {
        "advertise-client-urls",
        "cert-file",
        "client-cert-auth",
        "data-dir",
        "election-timeout",
        "experimental-compact-hash-check-enabled",
        "experimental-initial-corrupt-check",
        "experimental-watch-progress-notify-interval",
        "feature-gates",
        "heartbeat-interval",
        "initial-advertise-peer-urls",
        "initial-cluster",
        "initial-cluster-state",
        "initial-cluster-token",
        "key-file",
        "listen-client-urls",
        "listen-metrics-urls",
        "listen-peer-urls",
        "name",
        "peer-cert-file",
        "peer-client-cert-auth",
        "peer-key-file",
        "peer-trusted-ca-file",
        "quota-backend-bytes",
        "snapshot-count",
        "tls-min-version",
        "trusted-ca-file",
        "watch-progress-notify-interval",
    }
)
"""Every flag that the manifest sets itself, on whatever release; etcd_extra_args must name none of them."""


REFUSED_FLAGS: Final = {
    "config-file": "etcd then ignores every other flag",
    "discovery": "the members come from the inventory",
    "discovery-srv": "the members come from the inventory",
    "force-new-cluster": "it throws the other members out",
    "unsafe-no-fsync": "a power cut then loses acknowledged writes",
    "wal-dir": "the Pod mounts the data directory alone",
}
"""Flags that etcd_extra_args must not name, each with the reason."""


def parse(tag: str) -> Version:
    """Return the release that an image tag or etcd itself names.

    Args:
        tag: such as "3.5.16", "v3.5.16" or "3.5.16-0"; what follows the patch number is a build of the same release.

    Raises:
        ValueError: where the tag names no release, in one line.
    """
    match = _TAG.fullmatch(tag)
    if not match:
        raise ValueError(f"wanted a version such as 3.5.16-0, found {tag!r}")
    return Version(int(match[1]), int(match[2]), int(match[3]))


def knows(version: Version, since: tuple[Version, ...]) -> bool:
    """Return whether a release has what came with `since`.

    Args:
        version: the release asked about.
        since: the first release that has it, one for each minor that it was brought into; later minors have it too.
    """
    for first in since:
        if first.line == version.line:
            return version >= first
    return version > max(since)


def security_floor(version: Version) -> Version | None:
    """Return the least release of the same minor that has no known hole; None where no floor of it is known."""
    return next((one for one in SECURITY_FLOOR if one.line == version.line), None)


def has_ended(version: Version) -> bool:
    """Return whether the release's minor gets no fixes any more."""
    return version.line < SECURITY_FLOOR[0].line


def known_bad(version: Version) -> BadRelease | None:
    """Return why a release is known to be bad, or None."""
    return next((one for one in KNOWN_BAD if one.first <= version <= one.last), None)


def missed_floors(version: Version) -> tuple[Floor, ...]:
    """Return the floors that a release misses to run beside the minor that follows it, the least first."""
    return tuple(floor for floor in STEP_FLOORS if floor.least.line == version.line and version < floor.least)


def server_flags(version: Version, tls_min_version: str) -> dict[str, str]:
    """Return the flags that depend on the release: corruption checks, progress notification, least TLS version.

    Args:
        version: the release that gets the flags.
        tls_min_version: "TLS1.2" or "TLS1.3"; left out where the release has no such flag.

    Returns:
        Flag names without dashes, and their values, in a fixed order.
    """
    flags: dict[str, str] = {}
    if knows(version, FEATURE_GATES):
        flags["feature-gates"] = "InitialCorruptCheck=true,CompactHashCheck=true"
        flags["watch-progress-notify-interval"] = WATCH_PROGRESS_NOTIFY_INTERVAL
    else:
        flags["experimental-initial-corrupt-check"] = "true"
        if knows(version, COMPACT_HASH_CHECK):
            flags["experimental-compact-hash-check-enabled"] = "true"
        if knows(version, PROGRESS_NOTIFY):
            flags["experimental-watch-progress-notify-interval"] = WATCH_PROGRESS_NOTIFY_INTERVAL
    if knows(version, TLS_MIN_VERSION):
        flags["tls-min-version"] = tls_min_version
    return flags


def ready_path(version: Version) -> str:
    """Return the path that tells whether a member can serve: both paths ask for a leader and a linearizable read."""
    return "/readyz" if knows(version, _LIVEZ_READYZ) else "/health"


def live_path(version: Version) -> str:
    """Return the path that tells whether a member's process works, whatever its peers do.

    A liveness probe on plain /health restarts every member of a cluster that has lost its quorum (etcd#13340). A
    release that has nothing else is asked for /metrics: it needs no quorum, and a process that hangs does not answer.
    """
    if knows(version, _LIVEZ_READYZ):
        return "/livez"
    return "/health?serializable=true" if knows(version, _SERIALIZABLE_HEALTH) else "/metrics"


def startup_path(version: Version) -> str:
    """Return the path of the startup probe: /readyz as kubeadm has it, else the live path.

    A startup probe that fails restarts the container too, so plain /health is no more fit for it than for liveness.
    """
    return "/readyz" if knows(version, _LIVEZ_READYZ) else live_path(version)
