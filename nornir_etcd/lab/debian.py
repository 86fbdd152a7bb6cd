"""Debian packages of other suites than the machine's own: fetched and unpacked, never installed.

A private apt configuration is used, with the mirror of the machine's own sources and Debian's archive keyring, so
signatures are checked as always.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from nornir_etcd.lab.command import run
from nornir_etcd.lab.error import LabError

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# An update of a suite's index (10 MB for sid), then packages of some 20 MB.
TIMEOUT = 600


def mirror() -> str:
    """Find the Debian mirror in the machine's own apt sources.

    Raises:
        LabError: there is none.
    """
    lines = run("apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages").splitlines()
    uris = [line.split() for line in lines]
    # Without fetched indices (a fresh container) a target has no label yet; then the address must tell.
    labelled = [words[1] for words in uris if len(words) > 1 and words[0] == "Debian"]
    named = [words[-1] for words in uris if words and words[-1].rstrip("/").endswith("/debian")]
    for uri in labelled + named:
        return uri
    raise LabError("lab: apt sources: wanted a Debian mirror, found none; add one to /etc/apt/sources.list.d")


class Suite:
    """A Debian suite seen through apt in a directory of its own."""

    def __init__(self, name: str, uri: str, directory: Path) -> None:
        self.name = name
        self._directory = directory
        for part in ("lists/partial", "cache/archives/partial", "debs"):
            (directory / part).mkdir(parents=True)
        sources = directory / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {uri} {name} main\n", encoding="utf-8")
        options = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": directory / "lists",
            "Dir::State::Status": "/dev/null",
            "Dir::Cache": directory / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "1",
        }
        self._options = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]

    def unpack(self, packages: list[str]) -> tuple[Path, dict[str, str]]:
        """Fetch packages and unpack them into one tree.

        Returns:
            The tree's root, and the version of each package as Debian writes it.

        Raises:
            LabError: apt could not get one, or a signature does not hold.
        """
        run("apt-get", "-qq", "update", *self._options, timeout=TIMEOUT)
        debs = self._directory / "debs"
        run("apt-get", "-qq", "download", *self._options, *packages, cwd=str(debs), timeout=TIMEOUT)
        root, versions = self._directory / "root", {}
        for deb in sorted(debs.glob("*.deb")):
            run("dpkg-deb", "-x", str(deb), str(root))
            fields = run("dpkg-deb", "--show", "--showformat", "${Package} ${Version}", str(deb)).split()
            versions[fields[0]] = fields[1]
        return root, versions


def upstream(version: str) -> str:
    """Strip epoch and Debian revision: 1:3.5.16-4+b1 is 3.5.16."""
    return version.partition(":")[2].rpartition("-")[0] or version.rpartition("-")[0] or version


def architecture() -> str:
    """Name the machine's architecture as images do.

    Raises:
        LabError: no lab has been run on it.
    """
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    if platform.machine() not in names:
        raise LabError(f"lab: architecture {platform.machine()}: wanted one of {', '.join(names)}")
    return names[platform.machine()]
