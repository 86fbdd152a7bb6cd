"""The static Pod of a member: its manifest as text. Pure: the caller reads the template and writes the result."""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from nornir_etcd import versions
from nornir_etcd.cluster import CLIENT_PORT, METRICS_PORT, PEER_PORT
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.layout import layout
from nornir_etcd.settings.addresses import initial_cluster_entries
from nornir_etcd.yamltext import quoted

if TYPE_CHECKING:
    from nornir_etcd.cluster import Cluster, Member

TEMPLATE = "etcd.yaml.j2"
"""The template's file name, in a workspace and in the package."""

METRICS_URL = f"http://127.0.0.1:{METRICS_PORT}"
"""Where etcd answers probes: plain HTTP on loopback, as kubeadm has it, since a kubelet has no client certificate."""

TRUSTED_CA = "nornir-etcd/trusted-ca"
"""The annotation that says with which CAs a Pod was started: the SHA-256 of `ca.pem` in etcd's folder. etcd and the API
server read them at their start alone, so that a change has to make another Pod
(https://etcd.io/docs/v3.5/op-guide/security/)."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # seven times as fast, where PyYAML was built with libyaml


@dataclass(frozen=True)
class FirstStart:
    """What etcd is told of its cluster for its first start, and reads at no later one.

    https://etcd.io/docs/v3.5/op-guide/clustering/: initial-cluster flags are ignored where there is data.

    Attributes:
        initial_cluster: the value of --initial-cluster: for a join, the live member list and the member itself.
        joining: whether it joins a cluster that lives (initial-cluster-state=existing) or bootstraps a new one.
    """

    initial_cluster: str
    joining: bool = False


@cache
def environment() -> jinja2.Environment:
    """Return the Jinja2 environment of the manifest, one for all: `quote` and `flag` are its filters."""
    env = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - the output is YAML; every value is quoted by a filter of our own
    )
    env.filters["quote"] = quoted
    env.filters["flag"] = _flag
    return env


def context(
    member: Member,
    cluster: Cluster,
    *,
    trusted: bytes | None,
    first_start: FirstStart | None = None,
) -> dict[str, Any]:
    """Return what the template sees. For `template_string(jinja_env=environment(), **context(...))` as well.

    Args:
        member: the member that the manifest is for.
        cluster: its cluster.
        trusted: PEM of the CAs that the member trusts, as they lie on its host; None where none is made yet.
        first_start: what it is told for its first start; a bootstrap of the inventory's members where it is None.
    """
    start = first_start or FirstStart(member.settings.etcd_initial_cluster or cluster.initial_cluster)
    settings = member.settings
    version = versions.parse(settings.etcd_version)
    client_urls, peer_urls = _listen_urls(member.address)
    return {
        "member": member,
        "cluster": cluster,
        "settings": settings,
        "paths": layout(settings),
        "listen_client_urls": client_urls,
        "listen_peer_urls": peer_urls,
        "metrics_url": METRICS_URL,
        "metrics_port": METRICS_PORT,
        "trusted_ca": fingerprint(trusted),
        "initial_cluster": start.initial_cluster,
        "initial_cluster_state": "existing" if start.joining else "new",
        "release_flags": versions.server_flags(version, settings.etcd_tls_min_version),
        "ready_path": versions.ready_path(version),
        "live_path": versions.live_path(version),
        "startup_path": versions.startup_path(version),
    }


def render(
    member: Member,
    cluster: Cluster,
    *,
    template: str,
    trusted: bytes | None,
    first_start: FirstStart | None = None,
) -> str:
    """Return the manifest of a member: the same input gives the same bytes.

    Args:
        member: the member that the manifest is for.
        cluster: its cluster.
        trusted: see `context`.
        template: the text of the template (`workspace.find_template`).
        first_start: see `context`.

    Raises:
        InventoryError: where the template is broken, or has lost what `require_safeguards` wants.
    """
    values = context(member, cluster, trusted=trusted, first_start=first_start)
    try:
        text = _compiled(template).render(values)
    except jinja2.TemplateError as error:
        line = f" line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise InventoryError(f"{member.name}: template {TEMPLATE}{line}: {one_line(error)}") from error
    require_safeguards(text, member, trusted)
    return text


def fingerprint(trusted: bytes | None) -> str:
    """Return what the annotation says of the CAs that a member trusts."""
    return hashlib.sha256(trusted).hexdigest() if trusted is not None else "of a CA that is to be made"


def trusted_ca(manifest: str) -> str:
    """Return what a manifest says of the CAs that its member was started with; empty where it says nothing."""
    return next((line.partition(":")[2].strip(" '\"") for line in manifest.splitlines() if _is_trusted_ca(line)), "")


def but_for_trust(manifest: str) -> str:
    """Return a manifest without what it says of CAs, to be compared with another one."""
    return "\n".join(line for line in manifest.splitlines() if not _is_trusted_ca(line))


def _is_trusted_ca(line: str) -> bool:
    return line.strip().startswith(f"{TRUSTED_CA}:")


def command_flags(manifest: str) -> dict[str, str]:
    """Return the flags of the etcd container in a manifest, by name without dashes.

    Raises:
        ValueError: where the text is not the manifest of a Pod with a container `etcd`, in one line.
    """
    return dict(_command_flags(manifest))


@lru_cache(maxsize=256)  # one manifest is asked about again and again, and to read it takes 2 ms
def _command_flags(manifest: str) -> tuple[tuple[str, str], ...]:
    for container in items(pod(manifest)["spec"], "containers"):
        if container.get("name") == "etcd":
            words = [container.get(key) for key in ("command", "args")]
            pairs = (
                word[2:].partition("=")
                for part in words
                if isinstance(part, list)
                for word in part
                if isinstance(word, str) and word.startswith("--")
            )
            # `$$` is how a Pod's command spells one `$`.
            return tuple((name, value.replace("$$", "$")) for name, _, value in pairs)
    raise ValueError("wanted a container named etcd, found none")


def first_start_of(manifest: str, member: Member) -> FirstStart | None:
    """Return what a manifest says of its member's first start; None where that is not about this member.

    Args:
        manifest: its text.
        member: whose it is: its name, with its peer URL, must stand in --initial-cluster (VerifyBootstrap in etcd's
            server/config/config.go).
    """
    try:
        flags = command_flags(manifest)
    except ValueError:
        return None
    found, state = flags.get("initial-cluster", ""), flags.get("initial-cluster-state", "new")
    own = [url for name, url in initial_cluster_entries(found) if name == member.name]
    wanted = [url for _, url in initial_cluster_entries(f"{member.name}={member.peer_url}")]
    if not own or own != wanted or state not in {"new", "existing"}:
        return None
    return FirstStart(found, joining=state == "existing")


@lru_cache(maxsize=256)
def image_of(manifest: str) -> str:
    """Return the image of the etcd container in a manifest; empty where there is none to be read."""
    try:
        containers = items(pod(manifest)["spec"], "containers")
    except ValueError:
        return ""
    return next((str(one.get("image", "")) for one in containers if one.get("name") == "etcd"), "")


def manifest_diff(old: str | None, new: str, path: str) -> str:
    """Return the unified diff from a host's manifest to the one wanted; empty where they match.

    Args:
        old: the text on the host, None where there is no file.
        new: the text wanted.
        path: the path on the host, for the headings.
    """
    before = [] if old is None else old.splitlines()
    after = new.splitlines()
    name = "/dev/null" if old is None else path
    lines = list(difflib.unified_diff(before, after, name, path, lineterm=""))
    if not lines and old is not None and old != new:
        return f"--- {path}\n+++ {path}\nline endings differ\n"
    return "".join(f"{line}\n" for line in lines)


@lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    return environment().from_string(template)


def _listen_urls(address: str) -> tuple[str, str]:
    """Return the values of --listen-client-urls and --listen-peer-urls for an address.

    Etcd binds to IP addresses alone ("expected IP in URL for binding", embed/config.go checkBindURLs), so a member
    known by a DNS name listens on all addresses; 0.0.0.0 is both families in Go, and takes 127.0.0.1 in.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"https://0.0.0.0:{CLIENT_PORT}", f"https://0.0.0.0:{PEER_PORT}"
    host = f"[{ip}]" if ip.version == 6 else str(ip)  # noqa: PLR2004 - IPv6
    # 127.0.0.1 is where the role's own etcdctl commands look; named twice, etcd could not bind it.
    clients = dict.fromkeys((f"https://127.0.0.1:{CLIENT_PORT}", f"https://{host}:{CLIENT_PORT}"))
    return ",".join(clients), f"https://{host}:{PEER_PORT}"


def _flag(value: object, name: str) -> str:
    """Return a quoted command-line flag. `$` is doubled: the kubelet expands `$(NAME)` in a Pod's command."""
    return quoted(f"--{name}={value}".replace("$", "$$"))


def pod(manifest: str) -> dict[str, Any]:
    """Return the Pod that a manifest holds; its `spec` is a mapping.

    Raises:
        ValueError: where it holds none, in one line.
    """
    try:
        found = yaml.load(manifest, Loader=_LOADER)  # noqa: S506 - a safe loader either way
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError) as error:
        # The last three: what PyYAML makes of a value that is not what its tag says, such as `!!bool x`.
        raise ValueError(f"wanted YAML, found {one_line(error)}") from error
    if not isinstance(found, dict) or found.get("kind") != "Pod" or not isinstance(found.get("spec"), dict):
        raise ValueError("wanted the manifest of a Pod, found something else")
    return found


def items(spec: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the mappings in a list of a Pod's spec, whatever else a manifest made by hand has there."""
    found = spec.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def require_safeguards(manifest: str, member: Member, trusted: bytes | None) -> None:
    """Refuse a manifest without what a template of the user's own must not lose.

    That is the volume that keeps a member which lost its data from starting empty, and the annotation that restarts a
    member whose CAs have changed.

    Raises:
        InventoryError: where one is missing, or the text is no Pod.
    """
    guard = {"path": layout(member.settings).guard, "type": "Directory"}
    try:
        volumes = items(pod(manifest)["spec"], "volumes")
    except ValueError as error:
        raise InventoryError(f"{member.name}: template {TEMPLATE}: {error}") from error
    if not any(volume.get("hostPath") == guard for volume in volumes):
        raise InventoryError(
            f"{member.name}: template {TEMPLATE}: wanted a hostPath volume of type Directory on {guard['path']}, found "
            "none; without it a member that lost its data would start empty under its old ID"
        )
    if trusted_ca(manifest) != fingerprint(trusted):
        raise InventoryError(
            f"{member.name}: template {TEMPLATE}: wanted the annotation {TRUSTED_CA}: "
            "{{ trusted_ca | quote }}, found none; without it a member would go on with CAs that are replaced"
        )


def one_line(error: Exception) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())
