"""containerd, asked through crictl.

Containers are found by their names and by the labels that a kubelet gives them, never by the Pod's full name, which
ends in the node's name as the kubelet knows it. Those of etcd and of an API server are listed at once: each call of
crictl takes longer than all else that an observation does.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nornir_etcd.observation import Container
from nornir_etcd.runtimes.loops import until_new, until_stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMESPACE = "--label io.kubernetes.pod.namespace=kube-system"
_CONTAINER_NAME = "io.kubernetes.container.name"

_NAME = re.compile(r"^RuntimeName: *(\S+)", re.MULTILINE)

_STOPPED = """\
running=$(crictl ps -q {named}) && known=$(crictl ps -a -o json {named}) && ready=$(crictl pods -q --state ready) ||
        exit 2
    still= before=
    for word in $known; do
        id=${{word#?}}
        id=${{id%%[!0-9A-Za-z]*}}
        case $before$ready in '"podSandboxId":'*"$id"*) still="its Pod $id is ready to start it again" ;; esac
        before=$word
    done
    for id in $running; do still="its container $id runs"; done"""


class Containerd:
    """The runtime `containerd`."""

    client = "crictl"
    tools: tuple[str, ...] = ("crictl",)

    def ask_name(self) -> str:
        """Return a command that asks the runtime what it is."""
        return "crictl version"

    def list_containers(self) -> str:
        """Return a command that lists the containers of etcd and of an API server, dead ones included."""
        return f"crictl ps -a -o json --name '^(etcd|kube-apiserver)$' {_NAMESPACE}"

    def list_images(self) -> str:
        """Return a command that lists the images on the host."""
        return "crictl images -o json"

    def pull(self, image: str) -> str:
        """Return a command that pulls an image and then lists the images on the host."""
        return f"crictl pull '{image}' >&2 && {self.list_images()}"

    def await_stop(self, seconds: int, name: str = "etcd") -> str:
        """Return a script that waits on the host until no container of that name runs, nor can be started again.

        That none runs is not enough: one that crashes again and again, as etcd does once it is removed from its
        cluster, is started anew until the kubelet has seen that its manifest is gone. Then the kubelet stops the Pod's
        sandbox as well, and in that no container is started any more.

        Its exit code is 0 when that is so, 1 when it was not in `seconds`, with what there is on stderr, and 2 where
        the runtime does not answer.
        """
        named = f"--name '^{name}$' {_NAMESPACE} --label {_CONTAINER_NAME}={name}"
        return until_stopped(_STOPPED.format(named=named), seconds)

    def load(self, path: str) -> str:
        """Return a command that takes in an archive of an image, which names it, from a file on the host.

        crictl has no such command; ctr comes with containerd, and the CRI has its images in the namespace k8s.io.
        """
        return f"ctr --namespace k8s.io images import '{path}' >&2"

    def await_container(self, known: Sequence[str], seconds: int, name: str = "etcd") -> str:
        """Return a script that waits on the host until there is a container whose ID is not among `known`.

        One that has exited again counts: a container that crashes at once would hardly ever be seen running.
        Its exit code is 0 when there is one and 1 when there was none in `seconds`.
        """
        named = f"--name '^{name}$' {_NAMESPACE} --label {_CONTAINER_NAME}={name}"
        return until_new(f"crictl ps -a -q {named}", known, seconds)

    def last_lines(self, container: str, lines: int) -> str:
        """Return a command that prints the last lines of a container's log (etcd writes them to stderr)."""
        return f"crictl logs --tail {lines} '{container}' 2>&1"

    def parse_containers(self, text: str, name: str = "etcd") -> tuple[Container, ...]:
        """Return the containers of that name, newest first. Raises ValueError on what is no such list."""
        found = [_container(entry) for entry in _entries(text, "containers") if _name(entry) == name]
        return tuple(sorted(found, key=lambda container: container.created_ns, reverse=True))

    def parse_name(self, text: str) -> str:
        """Return the runtime's own name for itself. Raises ValueError where it says none."""
        found = _NAME.search(text)
        if found is None:
            raise ValueError(f"wanted a line RuntimeName, found {text[:60]!r}")
        return found[1]

    def parse_images(self, text: str) -> dict[str, str]:
        """Return image IDs by tag. Raises ValueError on what is no such list."""
        return {
            str(tag): str(entry.get("id", ""))
            for entry in _entries(text, "images")
            for tag in _listed(entry, "repoTags")
        }

    def parse_digests(self, text: str) -> dict[str, frozenset[str]]:
        """Return, by tag, the image's ID and its digests in registries. Raises ValueError on what is no such list.

        The ID is of one architecture; a registry's digest may be of the list that covers all of them.
        """
        found: dict[str, frozenset[str]] = {}
        for entry in _entries(text, "images"):
            digests = {str(digest).rpartition("@")[2] for digest in _listed(entry, "repoDigests")}
            known = frozenset(digests | {str(entry.get("id", ""))}) - {""}
            found |= dict.fromkeys(map(str, _listed(entry, "repoTags")), known)
        return found


def _listed(entry: dict[str, Any], key: str) -> list[Any]:
    values = entry.get(key) or []
    if not isinstance(values, list):
        raise ValueError(f"wanted a list {key}, found {str(values)[:60]!r}")  # noqa: TRY004 - a wrong answer, no wrong call
    return values


def _entries(text: str, key: str) -> list[dict[str, Any]]:
    """Return the list under `key`. json raises a ValueError of its own."""
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"wanted JSON, found {text[:60]!r}") from error
    entries = document.get(key) if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f'wanted an object with a list "{key}", found {text[:60]!r}')
    return entries


def _name(entry: dict[str, Any]) -> str:
    try:
        return str(entry["labels"][_CONTAINER_NAME])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a container without {error}") from error


def _container(entry: dict[str, Any]) -> Container:
    try:
        return Container(
            id=str(entry["id"]),
            state=str(entry["state"]),
            pod=str(entry["labels"]["io.kubernetes.pod.name"]),
            attempt=int(entry["metadata"]["attempt"]),
            image_id=str(entry.get("imageId") or entry["imageRef"]),
            created_ns=int(entry["createdAt"]),
            image=_tag(entry),
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"a container without {error}") from error


def _tag(entry: dict[str, Any]) -> str:
    """Return the tag that the container was started from; runtimes of before CRI 1.29 leave it empty."""
    image = entry.get("image")
    return str(image.get("userSpecifiedImage") or "") if isinstance(image, dict) else ""
