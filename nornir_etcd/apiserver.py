"""A kube-apiserver that runs as a static Pod: what its manifest says, and what it needs of its host. Pure: no I/O."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nornir_etcd.layout import CERTIFICATE_MODE, KEY_MODE
from nornir_etcd.manifest import TRUSTED_CA, items, pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nornir_etcd.layout import Layout
    from nornir_etcd.observation import HostObservation
    from nornir_etcd.signers.local import Pair

CONTAINER = "kube-apiserver"
"""The container's name, as kubeadm gives it."""
SECURE_PORT = 6443
"""Default of --secure-port."""

_ETCD = ("etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-servers", "etcd-servers-overrides")
_SERVING = ("bind-address", "secure-port")
_PROGRAMS = {CONTAINER, "apiserver"}  # hyperkube knows it as apiserver
_SHELL = re.compile(r"-[a-z]*c")
_EVERYWHERE = {"", "0.0.0.0", "::"}  # noqa: S104 - what a manifest may say; nothing is bound here


@dataclass(frozen=True)
class Mount:
    """A folder or file that the container sees."""

    path: str  # in the container
    host_path: str  # on the host; empty where it is none of the host's


@dataclass(frozen=True)
class ApiServer:
    """What a manifest says of its API server."""

    etcd_cafile: str  # each is empty where its flag is not there
    etcd_certfile: str
    etcd_keyfile: str
    etcd_servers: tuple[str, ...]
    trusted_ca: str  # the annotation TRUSTED_CA; empty where there is none
    mounts: tuple[Mount, ...]
    user: int = 0  # as which it runs
    address: str = "127.0.0.1"  # where it is asked from the host itself; empty: nowhere
    port: int = SECURE_PORT
    etcd_servers_overrides: tuple[tuple[str, tuple[str, ...]], ...] = ()  # a resource, and the servers of its own


@dataclass(frozen=True)
class Flag:
    """A flag in the words of a container's command."""

    at: int  # index of the word that has the value
    value: str
    head: str  # what stands before the value in that word: `--name=`, or nothing where the value is a word of its own


def parse(text: str) -> ApiServer:
    """Return what the manifest of an API server says.

    Args:
        text: YAML or JSON.

    Raises:
        ValueError: where it is no Pod with a container kube-apiserver, or flags cannot be told from its command: in
            one line.
    """
    manifest = pod(text)
    container = container_of(manifest)
    flags = flags_of(words_of(container), (*_ETCD, *_SERVING))
    last = {name: found[-1].value if found else "" for name, found in flags.items()}
    # A list may be given in parts: pflag's StringSlice adds up.
    servers = ",".join(flag.value for flag in flags["etcd-servers"])
    overrides = ",".join(flag.value for flag in flags["etcd-servers-overrides"])
    port = last["secure-port"] or str(SECURE_PORT)
    asked = bool(manifest["spec"].get("hostNetwork")) and port.isdecimal() and port != "0"
    return ApiServer(
        etcd_cafile=last["etcd-cafile"],
        etcd_certfile=last["etcd-certfile"],
        etcd_keyfile=last["etcd-keyfile"],
        etcd_servers=tuple(server for server in servers.split(",") if server),
        trusted_ca=_annotations(manifest).get(TRUSTED_CA, ""),
        mounts=tuple(_mounts(manifest["spec"], container)),
        user=_user(manifest["spec"], container),
        address=("127.0.0.1" if last["bind-address"] in _EVERYWHERE else last["bind-address"]) if asked else "",
        port=int(port) if asked else 0,
        etcd_servers_overrides=tuple(_override(one) for one in overrides.split(",") if one),
    )


def sees(apiserver: ApiServer, path: str) -> bool:
    """Whether the container sees a path of the host under the same path.

    Args:
        apiserver: what its manifest says.
        path: absolute.
    """
    nearest = _nearest(apiserver, path)
    return nearest is not None and nearest.host_path == nearest.path


def etcd_files(apiserver: ApiServer) -> tuple[str, ...]:
    """Return the host's files by which an API server asks its etcd, as far as it names them.

    A path that it does not see from the host is taken for one of the host's all the same.

    Args:
        apiserver: what its manifest says.
    """
    found = []
    for path in filter(None, (apiserver.etcd_cafile, apiserver.etcd_certfile, apiserver.etcd_keyfile)):
        nearest = _nearest(apiserver, path)
        above = nearest.path.rstrip("/") if nearest is not None else ""
        host = nearest.host_path.rstrip("/") if nearest is not None else ""
        found.append(posixpath.normpath(f"{host or above}{path.removeprefix(above)}"))
    return tuple(found)


def _nearest(apiserver: ApiServer, path: str) -> Mount | None:
    """Return the mount that a path in the container lies on: the longest, which hides what others have below it."""
    above = [mount for mount in apiserver.mounts if f"{path}/".startswith(f"{mount.path.rstrip('/')}/")]
    return max(above, key=lambda mount: len(mount.path), default=None)


def wanted_flags(paths: Layout) -> dict[str, str]:
    """Return the flags by which an API server asks our etcd with the files that we keep."""
    return {
        "etcd-cafile": paths.trusted_ca,
        "etcd-certfile": paths.apiserver_certificate,
        "etcd-keyfile": paths.apiserver_key,
    }


def obstacles(apiserver: ApiServer, paths: Layout, host: HostObservation) -> list[str]:
    """Return why the API server could not start with `wanted_flags`, each in a few words.

    Args:
        apiserver: what its manifest says.
        paths: where files lie on the host.
        host: what is known of them.
    """
    found = []
    for path in wanted_flags(paths).values():
        state = host.files.get(path)
        if not sees(apiserver, path):
            found.append(f"{path} is not mounted into its container")
        if state is None or state.kind == "absent":
            found.append(f"{path} is {'absent' if state else 'not known to be there'}")
    if apiserver.user:
        found.append(f"it runs as user {apiserver.user}, who cannot read {paths.apiserver_key}")
    return found


def file_differences(paths: Layout, pair: Pair, host: HostObservation) -> dict[str, str]:
    """Return what differs between the host's files of the API server and the controller's, in a few words by path.

    Args:
        paths: where they lie on the host.
        pair: what the controller's folder has for this host.
        host: what is known of it.
    """
    found = {}
    for path, content, mode in client_files(paths, pair):
        state = host.files.get(path)
        if state is None or state.kind == "absent":
            found[path] = "is absent"
        elif state.sha256 != hashlib.sha256(content).hexdigest():
            found[path] = "differs"
        elif state.mode != mode:
            found[path] = f"has mode {state.mode:04o}, wanted {mode:04o}"
    return found


def client_files(paths: Layout, pair: Pair) -> list[tuple[str, bytes, int]]:
    """Return path, content and mode of the API server's key and certificate, as far as the pair has them."""
    files = (
        (paths.apiserver_key, pair.key, KEY_MODE),
        (paths.apiserver_certificate, pair.certificate, CERTIFICATE_MODE),
    )
    return [(path, content, mode) for path, content, mode in files if content is not None]


def container_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the API server's container.

    Raises:
        ValueError: the Pod has none, in one line.
    """
    found = [one for one in items(manifest["spec"], "containers") if one.get("name") == CONTAINER]
    if not found:
        raise ValueError(f"wanted a container named {CONTAINER}, found none")
    return found[0]


def words_of(container: dict[str, Any]) -> list[str]:
    """Return a container's command and args as one list.

    Raises:
        ValueError: one of them is no list of strings, in one line.
    """
    words: list[str] = []
    for key in ("command", "args"):
        part = container.get(key)
        part = [] if part is None else part
        if not isinstance(part, list) or not all(isinstance(word, str) for word in part):
            raise ValueError(f"wanted a list of strings under {key}, found something else")
        words += part
    return words


def _first_flag(words: Sequence[str]) -> int:
    """Return where the flags of the API server begin: after its own name, or with the first word of all."""
    for at, word in enumerate(words):
        if posixpath.basename(word) in _PROGRAMS:
            return at + 1
        if _SHELL.fullmatch(word):
            break
    if words and words[0].startswith("--"):  # the image knows what to start
        return 0
    raise ValueError(f"wanted a command that starts {CONTAINER} itself, found {' '.join(words[:2])[:60]!r}")


def flags_of(words: Sequence[str], names: Iterable[str]) -> dict[str, list[Flag]]:
    """Return where each of some flags stands, all of which take a value.

    Both `--name=value` and `--name value` are read, and `_` for `-`, as the API server does (WordSepNormalizeFunc in
    k8s.io/component-base/cli/flag). `$$` is how a Pod's command spells one `$`.

    Args:
        words: command and args.
        names: of the flags, without dashes.

    Raises:
        ValueError: flags cannot be told from the command, in one line.
    """
    found: dict[str, list[Flag]] = {name: [] for name in names}
    at = _first_flag(words)
    while at < len(words):
        name, equals, value = words[at].partition("=")
        head = name + equals
        flag = name[2:].replace("_", "-") if name.startswith("--") else ""
        if words[at] == "--":
            raise ValueError("wanted flags alone, found the word -- among them")
        if flag in found:
            if not equals:
                at, head = at + 1, ""
                if at == len(words):
                    raise ValueError(f"wanted a value after {name}, found none")
                value = words[at]
            found[flag].append(Flag(at, value.replace("$$", "$"), head))
        at += 1
    return found


def _annotations(manifest: dict[str, Any]) -> dict[str, str]:
    metadata = manifest.get("metadata")
    found = metadata.get("annotations") if isinstance(metadata, dict) else None
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _override(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a resource and its servers: `group/resource#servers`, semicolon separated (kube-apiserver --help)."""
    resource, _, servers = text.partition("#")
    return resource, tuple(server for server in servers.split(";") if server)


def _mounts(spec: dict[str, Any], container: dict[str, Any]) -> Iterable[Mount]:
    """Yield every mount, those too that only hide what is below their path."""
    volumes = {
        str(volume.get("name")): source["path"]
        for volume in items(spec, "volumes")
        if isinstance(source := volume.get("hostPath"), dict) and isinstance(source.get("path"), str)
    }
    for mount in items(container, "volumeMounts"):
        path, below = mount.get("mountPath"), mount.get("subPath") or ""
        if not isinstance(path, str) or not path.startswith("/"):
            continue
        host_path = volumes.get(str(mount.get("name")), "")
        known = host_path and isinstance(below, str) and "subPathExpr" not in mount
        host_path = posixpath.normpath(posixpath.join(host_path, below)) if known else ""
        yield Mount(posixpath.normpath(path), host_path)


def _user(spec: dict[str, Any], container: dict[str, Any]) -> int:
    """Return as which user the container runs: its own setting, else the Pod's, else root."""
    for one in (container, spec):
        context = one.get("securityContext")
        user = context.get("runAsUser") if isinstance(context, dict) else None
        if isinstance(user, int):
            return user
    return 0
