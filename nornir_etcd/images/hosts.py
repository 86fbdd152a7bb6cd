"""Loads an image into a host's own runtime over SSH, where there is no registry to pull from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images.bundle import Bundle
from nornir_etcd.images.platform import of_machine
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.upload import upload, use
from nornir_etcd.runtimes import runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

    from nornir_etcd.images.archive import Build
    from nornir_etcd.images.choice import Chosen
    from nornir_etcd.runtimes import Runtime

ROOM = 5
"""Times the size of the archive that must be free: the archive, the runtime's copy, and what layers unpack to."""
ASK_DEADLINE = 30.0
LOAD_DEADLINE = 600.0
"""Seconds in which a runtime unpacks an image on a slow disk."""
LISTED_WITHIN = 10.0
"""Seconds in which an image shows up: the CRI learns of what `ctr` imports by an event."""
LISTED_PAUSE = 0.2


def load(
    host: Host, config: Config, container_runtime: str, chosen: Chosen, begin: Callable[[int], Callable[[int], None]]
) -> bool:
    """Load an image into a host's runtime, under the name that the inventory has for it.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        container_runtime: the host's setting.
        chosen: the image.
        begin: is called with the bytes that are to be brought, and returns what is told how many are.

    Returns:
        Whether it was loaded; False where the host has this very image already.

    Raises:
        ImageError: there is none for the host's architecture, or the runtime does not list it in the end.
        RemoteError: the host could not be worked on.
    """
    if chosen.reference.digest:
        raise ImageError(
            str(chosen.reference),
            host=host.name,
            wanted="a reference without a digest: a runtime knows digests only of what it has pulled",
            found=chosen.reference.digest,
            remedy="leave the digest out of etcd_image, or push the image into a registry",
        )
    used = runtime(container_runtime)
    purpose = f"load of {chosen.reference}"
    asked = run_script(host, config, f"uname -m && {used.list_images()}", deadline=ASK_DEADLINE, purpose=purpose)
    machine, _, listed = asked.stdout.decode(errors="replace").partition("\n")
    build = chosen.build_for(host.name, of_machine(machine.strip()))
    if _has(host.name, used, listed, chosen, build):
        return False
    bundle = Bundle(chosen.reference, build)
    path = upload(host, config, bundle, room=ROOM * bundle.size, purpose=purpose, tell=begin(bundle.size))
    use(host, config, bundle.sha256, used.load(path), deadline=LOAD_DEADLINE, purpose=purpose)
    _await_listed(host, config, used, chosen, build)
    return True


def _has(host: str, used: Runtime, listed: str, chosen: Chosen, build: Build) -> bool:
    """Whether a runtime lists this very image under its name: by its ID, or by its manifest as newer Dockers do."""
    try:
        found = used.parse_digests(listed).get(chosen.reference.tagged, frozenset())
    except ValueError as error:
        raise ImageError(
            "the images of the runtime", host=host, wanted="a list", found=str(error), remedy="see that it answers"
        ) from error
    return not found.isdisjoint({build.config, build.digest})


def _await_listed(host: Host, config: Config, used: Runtime, chosen: Chosen, build: Build) -> None:
    ends = time.monotonic() + LISTED_WITHIN
    while True:
        done = run_script(host, config, used.list_images(), deadline=ASK_DEADLINE, purpose="list of images")
        if _has(host.name, used, done.stdout.decode(errors="replace"), chosen, build):
            return
        if time.monotonic() >= ends:
            raise ImageError(
                str(chosen.reference),
                host=host.name,
                wanted=f"it among the runtime's images with the ID {build.config[:19]}",
                found="none, though it was imported",
                remedy="see the runtime's images and log on the host",
            )
        time.sleep(LISTED_PAUSE)
