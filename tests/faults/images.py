"""Images that are no etcd, put into the lab's registry while it runs."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.lab.images import Storage
from tests.faults.faults import NODES, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nornir_etcd.lab import Lab

EXITS = "echo 'this is no etcd' >&2; exit 1"
NEVER_READY = "echo 'this is no etcd' >&2; trap 'exit 0' TERM; /bin/sleep 86400 & wait"


def add_image(lab: Lab, project: str, script: str, directory: Path, tags: Sequence[str] = ()) -> None:
    """Push an image PROJECT/etcd, whose etcd is a shell script, with these tags, or with every tag of the lab."""
    program = directory / f"etcd-{project}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    files = {"bin/sh": Path("/bin/sh"), "bin/sleep": Path("/bin/sleep"), "usr/local/bin/etcd": program}
    listed = subprocess.run(["ldd", "/bin/sh", "/bin/sleep"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S607 - of this machine's own libc
    for library in set(re.findall(r"(/\S+) \(0x", listed.stdout)):
        files[library[1:]] = Path(library)
    storage = Storage(lab.root("registry") / "var/lib/docker-registry")
    for tag in tags or lab.versions:
        storage.add(f"{project}/etcd", tag, {name: path.resolve() for name, path in files.items()}, ["etcd"])


@contextmanager
def without_image(lab: Lab, tag: str, node: str) -> Iterator[None]:
    """Take an etcd image from the registry, and from a host that does not run it."""
    tags = (
        lab.root("registry") / "var/lib/docker-registry/docker/registry/v2/repositories/ikubeops/etcd/_manifests/tags"
    )
    aside = tags.with_name(f"aside-{tag}")
    (tags / tag).rename(aside)
    try:
        forget_image(lab, tag, node)
        yield
    finally:
        aside.rename(tags / tag)


def forget_image(lab: Lab, tag: str, node: str) -> None:
    """Remove an etcd image from a host that does not run it."""
    image = f"registry.ikubeops.local/ikubeops/etcd:{tag}"
    lab.run(node, f"ctr -n k8s.io images rm --sync {image}", check=False)
    wait_for(lambda: image not in lab.run(node, "crictl images -o json").stdout, f"{node} has no {image}")


def forget_images(lab: Lab) -> None:
    """Remove etcd's images from every host: what is deployed next has to be pulled."""
    for node in NODES:
        lab.run(node, "ctr -n k8s.io images ls -q | grep /etcd | xargs -r ctr -n k8s.io images rm --sync")
        ask = f"crictl images -o json | grep -c '{lab.versions[0]}'"
        wait_for(lambda ask=ask, node=node: lab.run(node, ask, check=False).returncode, f"{node} forgets its images")  # type: ignore[misc]
