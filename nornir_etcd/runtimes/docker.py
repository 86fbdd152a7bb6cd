"""Docker, asked through its own command line.

A kubelet drives it through cri-dockerd, which names a container k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT and gives it
the kubelet's labels (core/naming.go and container_create.go, https://github.com/Mirantis/cri-dockerd), as the kubelet
itself did up to 1.23. `docker ps` tells of an image only what the container was made from, which may be a digest in a
registry: the image's ID is told by `docker inspect`.
"""

from __future__ import annotations

import json
import re
import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nornir_etcd.observation import Container
from nornir_etcd.runtimes.loops import until_new, until_stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONTAINER_NAME = "io.kubernetes.container.name"
_TYPE = "io.kubernetes.docker.type"
_POD_NAME = "io.kubernetes.pod.name"
_NAMESPACE = "--filter label=io.kubernetes.pod.namespace=kube-system"

# A container that is removed between the two calls is asked for no more in the next turn. How many there are is told
# first, so that no answer that was cut off is taken for a whole one.
_LIST = """\
for turn in 1 2 3; do
    set -- $(docker ps -a -q --no-trunc --filter 'name=^/?k8s_(etcd|kube-apiserver)_' {namespace} || echo failed)
    case " $*" in *' failed') exit 1 ;; esac
    if [ $# -eq 0 ]; then echo 0; exit 0; fi
    if found=$(docker inspect --type container --format '{shape}' "$@"); then
        printf '%s\\n%s\\n' $# "$found"
        exit 0
    fi
done
exit 1
"""
_SHAPE = (
    '{"id":{{json .Id}},"name":{{json .Name}},"state":{{json .State.Status}},"created":{{json .Created}},'
    '"imageId":{{json .Image}},"image":{{json .Config.Image}},'
    f'"container":{{{{json (index .Config.Labels "{_CONTAINER_NAME}")}}}},'
    f'"pod":{{{{json (index .Config.Labels "{_POD_NAME}")}}}}}}'
)

_STOPPED = """\
running=$(docker ps -q --no-trunc {named}) &&
        known=$(docker ps -a --no-trunc --format '{{{{.Label "io.kubernetes.sandbox.id"}}}}' {named}) &&
        ready=$(docker ps -q --no-trunc {sandboxes}) || exit 2
    still=
    for id in $known; do
        case $ready in *"$id"*) still="its Pod $id is ready to start it again" ;; esac
    done
    for id in $running; do still="its container $id runs"; done"""

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
_ATTEMPT = re.compile(r"/?k8s_[^_]+_[^_]+_[^_]+_[^_]+_(\d{1,9})(?:_[0-9a-f]+)?")
"""The last part is there where cri-dockerd met a name that was taken (randomizeName in its core/naming.go)."""
_NONE = "<none>"


class Docker:
    """The runtime `docker`."""

    client = "docker"
    tools: tuple[str, ...] = ("docker",)

    def ask_name(self) -> str:
        """Return a command that asks the runtime what it is."""
        return "docker version --format '{{json .Server}}'"

    def list_containers(self) -> str:
        """Return a command that lists the containers of etcd and of an API server, dead ones included."""
        return "sh -c " + shlex.quote(_LIST.format(namespace=_NAMESPACE, shape=_SHAPE))

    def list_images(self) -> str:
        """Return a command that lists the images on the host."""
        return "docker image ls --no-trunc --digests --format '{{json .}}'"

    def pull(self, image: str) -> str:
        """Return a command that pulls an image and then lists the images on the host."""
        return f"docker pull --quiet '{image}' >&2 && {self.list_images()}"

    def load(self, path: str) -> str:
        """Return a command that takes in an archive of an image, which names it, from a file on the host."""
        return f"docker load --quiet --input '{path}' >&2"

    def await_container(self, known: Sequence[str], seconds: int, name: str = "etcd") -> str:
        """Return a script that waits on the host until there is a container whose ID is not among `known`.

        One that has exited again counts: a container that crashes at once would hardly ever be seen running.
        Its exit code is 0 when there is one and 1 when there was none in `seconds`.
        """
        return until_new(f"docker ps -a -q --no-trunc {_named(name)}", known, seconds)

    def await_stop(self, seconds: int, name: str = "etcd") -> str:
        """Return a script that waits on the host until no container of that name runs, nor can be started again.

        As with containerd: in a sandbox that runs, the kubelet may start a container again that has crashed. A sandbox
        is a container of its own here.

        Its exit code is 0 when that is so, 1 when it was not in `seconds`, with what there is on stderr, and 2 where
        Docker does not answer.
        """
        turn = _STOPPED.format(named=_named(name), sandboxes=f"--filter label={_TYPE}=podsandbox {_NAMESPACE}")
        return until_stopped(turn, seconds)

    def last_lines(self, container: str, lines: int) -> str:
        """Return a command that prints the last lines of a container's log (etcd writes them to stderr)."""
        return f"docker logs --tail {lines} '{container}' 2>&1"

    def parse_containers(self, text: str, name: str = "etcd") -> tuple[Container, ...]:
        """Return the containers of that name, newest first. Raises ValueError on what is no such list."""
        count, _, rest = text.partition("\n")
        entries = _lines(rest)
        if count != str(len(entries)):
            raise ValueError(f"wanted a number of containers and as many lines, found {text[:60]!r}")
        found = [_container(entry) for entry in entries if entry.get("container") == name]
        return tuple(sorted(found, key=lambda container: container.created_ns, reverse=True))

    def parse_name(self, text: str) -> str:
        """Return the runtime's own name for itself. Raises ValueError where it says none.

        What answers to the name docker need not be Docker: podman-docker does as well, and has no Engine.
        """
        components = [entry.get("Components") for entry in _lines(text)]
        names = [
            one.get("Name") for found in components if isinstance(found, list) for one in found if isinstance(one, dict)
        ]
        if not names:
            raise ValueError(f"wanted a server with its components, found {text[:60]!r}")
        return "docker" if "Engine" in names else str(names[0])

    def parse_images(self, text: str) -> dict[str, str]:
        """Return image IDs by tag. Raises ValueError on what is no such list."""
        rows = [_image(entry) for entry in _lines(text)]
        return {tag: image_id for tag, image_id, _ in rows if tag}

    def parse_digests(self, text: str) -> dict[str, frozenset[str]]:
        """Return, by tag, the image's ID and its digests in registries. Raises ValueError on what is no such list.

        An image with several tags or digests has several lines, and not each tag is shown with each digest.
        """
        rows = [_image(entry) for entry in _lines(text)]
        known: dict[str, set[str]] = {}
        for _, image_id, digest in rows:
            known.setdefault(image_id, {image_id}).update({digest} - {""})
        return {tag: frozenset(known[image_id]) for tag, image_id, _ in rows if tag}


def _named(name: str) -> str:
    return f"--filter 'name=^/?k8s_{name}_' {_NAMESPACE} --filter label={_CONTAINER_NAME}={name}"


def _lines(text: str) -> list[dict[str, Any]]:
    """Return the object of each line. json raises a ValueError of its own."""
    try:
        entries = [json.loads(line) for line in text.splitlines() if line]
    except RecursionError as error:
        raise ValueError(f"wanted lines of JSON, found {text[:60]!r}") from error
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"wanted a JSON object a line, found {text[:60]!r}")
    return entries


def _container(entry: dict[str, Any]) -> Container:
    try:
        return Container(
            id=str(entry["id"]),
            # In the words of the CRI, as cri-dockerd tells them.
            state=f"CONTAINER_{entry['state']}".upper(),
            pod=str(entry["pod"]),
            attempt=_attempt(str(entry["name"])),
            image_id=str(entry["imageId"]),
            created_ns=_nanoseconds(str(entry["created"])),
            image=_tag(str(entry["image"])),
        )
    except KeyError as error:
        raise ValueError(f"a container without {error}") from error


def _attempt(name: str) -> int:
    found = _ATTEMPT.fullmatch(name)
    if found is None:
        raise ValueError(f"wanted a container's name as a kubelet gives it, found {name[:60]!r}")
    return int(found[1])


def _nanoseconds(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"wanted a time in UTC, found {text[:60]!r}")
    seconds = datetime.fromisoformat(f"{found[1]}+00:00").timestamp()
    return int(seconds) * 10**9 + int((found[2] or "").ljust(9, "0"))


def _tag(image: str) -> str:
    """Return the tag that the container was made from; a kubelet names the image by its ID or digest."""
    return "" if image.startswith("sha256:") or "@" in image else image


def _image(entry: dict[str, Any]) -> tuple[str, str, str]:
    """Return tag, image ID and digest of a line; tag and digest are empty where there is none."""
    try:
        repository, tag, image_id, digest = (str(entry[key]) for key in ("Repository", "Tag", "ID", "Digest"))
    except KeyError as error:
        raise ValueError(f"an image without {error}") from error
    named = _NONE not in {repository, tag}
    return f"{repository}:{tag}" if named else "", image_id, "" if digest == _NONE else digest
