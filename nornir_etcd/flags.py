"""The life of etcd's flags as data: which release starts with which flag, and which no more. Pure: no I/O.

etcd does not start on a flag, or a value of one, that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nornir_etcd.versions import (
    COMPACT_HASH_CHECK,
    FEATURE_GATES,
    OWN_FLAGS,
    PROGRESS_NOTIFY,
    TLS_MIN_VERSION,
    Version,
    knows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class FlagLife:
    """Which releases know a flag."""

    since: tuple[Version, ...]  # the first one of each minor that it was brought into
    until: Version | None = None  # the first one that knows it no more
    instead: str = ""  # what has taken its place


_3_4: Final = (Version(3, 4, 0),)
_3_5: Final = (Version(3, 5, 0),)
_3_6: Final = (Version(3, 6, 0),)
_NO_EXPERIMENTS: Final = Version(3, 7, 0)  # etcd#19959

_RENAMED: Final = {
    "bootstrap-defrag-threshold-megabytes": _3_5,
    "compact-hash-check-time": COMPACT_HASH_CHECK,
    "compaction-batch-limit": _3_4,
    "compaction-sleep-interval": (Version(3, 5, 16),),  # etcd#18514
    "corrupt-check-time": _3_4,
    "distributed-tracing-address": _3_5,
    "distributed-tracing-instance-id": _3_5,
    "distributed-tracing-sampling-rate": (Version(3, 5, 11),),  # etcd#16951
    "distributed-tracing-service-name": _3_5,
    "downgrade-check-time": _3_5,
    "enable-distributed-tracing": _3_5,
    "memory-mlock": _3_5,
    "peer-skip-client-san-verification": _3_4,
    "snapshot-catchup-entries": (Version(3, 5, 14),),  # etcd#17808
    "warning-apply-duration": (Version(3, 4, 16), Version(3, 5, 0)),  # etcd#12448
    "warning-unary-request-duration": _3_6,
    "watch-progress-notify-interval": PROGRESS_NOTIFY,
}
"""Flags that lost the prefix `experimental-` with 3.6, and the first releases that had them with it."""

_GATED: Final = {
    "compact-hash-check-enabled": (COMPACT_HASH_CHECK, "CompactHashCheck"),
    "enable-lease-checkpoint": (_3_4, "LeaseCheckpoint"),
    "enable-lease-checkpoint-persist": ((Version(3, 4, 20), Version(3, 5, 2)), "LeaseCheckpointPersist"),  # etcd#13508
    "initial-corrupt-check": (_3_4, "InitialCorruptCheck"),
    "stop-grpc-service-on-defrag": ((Version(3, 5, 14),), "StopGRPCServiceOnDefrag"),  # etcd#17914
    "txn-mode-write-with-shared-buffer": (_3_5, "TxnModeWriteWithSharedBuffer"),
}
"""Flags, without `experimental-`, that became feature gates with 3.6, and the first releases that had them as flags."""

_ALWAYS: Final = [
    "auth-token",
    "auto-compaction-mode",
    "auto-compaction-retention",
    "auto-tls",
    "backend-batch-interval",
    "backend-batch-limit",
    "bcrypt-cost",
    "cipher-suites",
    "client-cert-allowed-hostname",
    "client-crl-file",
    "cors",
    "enable-grpc-gateway",
    "enable-pprof",
    "grpc-keepalive-interval",
    "grpc-keepalive-min-time",
    "grpc-keepalive-timeout",
    "host-whitelist",
    "initial-election-tick-advance",
    "log-level",
    "log-outputs",
    "logger",
    "max-request-bytes",
    "max-snapshots",
    "max-txn-ops",
    "max-wals",
    "metrics",
    "peer-auto-tls",
    "peer-cert-allowed-cn",
    "peer-cert-allowed-hostname",
    "peer-crl-file",
    "pre-vote",
    "strict-reconfig-check",
]

FLAG_LIVES: Final = {
    **dict.fromkeys((*_ALWAYS, *OWN_FLAGS), FlagLife(_3_4)),
    "auth-token-ttl": FlagLife((Version(3, 4, 10), Version(3, 5, 0))),  # etcd#11980
    "backend-bbolt-freelist-type": FlagLife(_3_5),
    "client-cert-file": FlagLife(_3_5),
    "client-key-file": FlagLife(_3_5),
    "debug": FlagLife(_3_4, Version(3, 5, 0), "log-level"),
    "enable-log-rotation": FlagLife(_3_5),
    "enable-v2": FlagLife(_3_4, Version(3, 6, 0)),
    "experimental-backend-bbolt-freelist-type": FlagLife(_3_4, Version(3, 5, 0), "backend-bbolt-freelist-type"),
    "experimental-enable-v2v3": FlagLife(_3_4, Version(3, 6, 0)),
    "feature-gates": FlagLife(FEATURE_GATES),
    "listen-client-http-urls": FlagLife(TLS_MIN_VERSION),  # the same releases: etcd#15589
    "log-format": FlagLife(_3_6),
    "log-output": FlagLife(_3_4, Version(3, 5, 0), "log-outputs"),
    "log-package-levels": FlagLife(_3_4, Version(3, 5, 0), "log-level"),
    "log-rotation-config-json": FlagLife(_3_5),
    "max-concurrent-streams": FlagLife((Version(3, 4, 20), Version(3, 5, 5))),  # etcd#14251, etcd#14219
    "max-learners": FlagLife(_3_6),
    "next-cluster-version-compatible": FlagLife((Version(3, 4, 31),), Version(3, 5, 0)),  # etcd#17330
    "peer-client-cert-file": FlagLife(_3_5),
    "peer-client-key-file": FlagLife(_3_5),
    **{
        f"proxy{part}": FlagLife(_3_4, Version(3, 6, 0))
        for part in ("", "-dial-timeout", "-failure-wait", "-read-timeout", "-refresh-interval", "-write-timeout")
    },
    "raft-read-timeout": FlagLife(_3_5),
    "raft-write-timeout": FlagLife(_3_5),
    "self-signed-cert-validity": FlagLife(_3_5),
    "socket-reuse-address": FlagLife(_3_5),
    "socket-reuse-port": FlagLife(_3_5),
    "tls-max-version": FlagLife(TLS_MIN_VERSION),
    "tls-min-version": FlagLife(TLS_MIN_VERSION),
    "v2-deprecation": FlagLife(_3_5),
    **dict.fromkeys(_RENAMED, FlagLife(_3_6)),
    **{f"experimental-{name}": FlagLife(since, _NO_EXPERIMENTS, name) for name, since in _RENAMED.items()},
    **{
        f"experimental-{name}": FlagLife(since, _NO_EXPERIMENTS, f"feature-gates={gate}")
        for name, (since, gate) in _GATED.items()
    },
}
"""Every flag whose life is known, by name without dashes; other flags may be etcd's all the same.

3.4 and 3.5 as their binaries take them (tests/contract/test_etcd_flags.py) and as CHANGELOG-3.x.md dates them, 3.6 and
3.7 by "Flags added" and "Flags removed" of upgrade_3_6.md and upgrade_3_7.md. In which early patch a flag came is known
only where it is named."""

GONE_VALUES: Final = {
    ("discovery-fallback", "proxy"): Version(3, 6, 0),
    ("logger", "capnslog"): Version(3, 5, 0),
    ("v2-deprecation", "not-yet"): Version(3, 6, 0),
}
"""Values that a flag takes no more, with the first release that does not start on them (server/etcdmain/config.go)."""


def knows_flag(version: Version, name: str) -> bool | None:
    """Return whether a release starts with a flag; None where that is not known here.

    Args:
        version: the release.
        name: of the flag, without dashes.
    """
    if name.startswith("experimental-") and version >= _NO_EXPERIMENTS:
        return False
    life = FLAG_LIVES.get(name)
    if life is None:
        return None
    return knows(version, life.since) and (life.until is None or version < life.until)


def flag_faults(flags: Mapping[str, str], version: Version) -> tuple[str, ...]:
    """Return why a release would not start with flags, one line each.

    Args:
        flags: of etcd_extra_args or of a whole manifest, by name without dashes.
        version: the release that would start with them.
    """
    return tuple(_faults(flags, version))


def _faults(flags: Mapping[str, str], version: Version) -> Iterator[str]:
    for name, value in flags.items():
        gone = GONE_VALUES.get((name, value))
        if knows_flag(version, name) is False:
            life = FLAG_LIVES.get(name, FlagLife(_3_4, _NO_EXPERIMENTS))
            yield f"--{name}: wanted flags that etcd {version} knows, found one {_when(life, version)}"
        elif gone is not None and version >= gone:
            yield (
                f"--{name}: wanted a value that etcd {version} takes, found {value}, which is gone since {gone}; "
                "remove the flag from etcd_extra_args"
            )


def _when(life: FlagLife, version: Version) -> str:
    """Return when the flag was known, and what to do."""
    if life.until is None or version < life.until:
        since = " and ".join(f"{first} of {first.major}.{first.minor}" for first in life.since)
        return f"that came with {since}; remove it from etcd_extra_args while etcd is {version}"
    if life.instead.startswith("feature-gates="):
        gate = life.instead.partition("=")[2]
        return f"that is gone since {life.until} (it became the feature gate {gate}); remove it from etcd_extra_args"
    put = f"write {life.instead} in its place" if life.instead else "remove it from etcd_extra_args"
    return f"that is gone since {life.until}; {put}"


def unknown_flags(flags: Mapping[str, str], version: Version) -> tuple[str, ...]:
    """Return the flags of which it is not known here whether a release starts with them: a word misspelt, or a new one.

    Args:
        flags: of etcd_extra_args or of a whole manifest, by name without dashes.
        version: the release that would start with them.
    """
    return tuple(name for name in flags if knows_flag(version, name) is None)
