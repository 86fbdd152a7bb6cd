"""Images: registries, projects and references, as values of variables."""

from __future__ import annotations

import re

from nornir_etcd.settings.addresses import ip_or_name
from nornir_etcd.settings.problems import Unwanted
from nornir_etcd.settings.values import text

# An image reference: https://github.com/distribution/reference/blob/main/reference.go (grammar at its top).
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PROJECT = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_REGISTRY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?")
_IMAGE = re.compile(
    rf"([^/\s]+)/({_COMPONENT}(?:/{_COMPONENT})*):([\w][\w.-]{{0,127}})(@sha256:[0-9a-f]{{64}})?", re.ASCII
)

_MAX_PORT = 65535
_MAX_PROJECT = 200


def registry(value: object) -> str:
    """Return a registry: host or host:port.

    A host without dot or port would be taken for a project on docker.io
    (splitDockerDomain, https://github.com/distribution/reference/blob/main/normalize.go).
    """
    wanted = "a registry as host or host:port, such as registry.example.com"
    found = text(value, wanted)
    match = _REGISTRY.fullmatch(found)
    if not match:
        raise Unwanted(wanted)
    host, port = match.groups()
    if port and not 0 < int(port) <= _MAX_PORT:
        raise Unwanted(wanted)
    if not port and "." not in host and not host.startswith("[") and host != "localhost":
        raise Unwanted(wanted, "without a dot or a port it would be taken for a project on docker.io")
    try:
        ip_or_name(host.strip("[]"))
    except Unwanted:
        raise Unwanted(wanted) from None
    return found


def registry_project(value: object) -> str:
    """Return a project of a registry: lower-case path components."""
    wanted = "a project in the registry, in lower case, such as ikubeops or team/etcd"
    found = text(value, wanted)
    if len(found) > _MAX_PROJECT or not _PROJECT.fullmatch(found):
        raise Unwanted(wanted)
    return found


def image(value: object) -> str:
    """Return a full image reference: registry/path:tag, optionally with a digest."""
    wanted = "an image with registry and tag, such as registry.example.com/project/etcd:3.5.16-0"
    found = text(value, wanted)
    match = _IMAGE.fullmatch(found)
    if not match:
        raise Unwanted(wanted)
    try:
        registry(match[1])
    except Unwanted as unwanted:
        raise Unwanted(wanted, unwanted.remedy) from None
    return found


def image_tag(reference: str) -> str:
    """Return the tag of an image reference that image() let through."""
    return reference.partition("@")[0].rpartition(":")[2]
