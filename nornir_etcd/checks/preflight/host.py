"""Has the host what the work on it takes: tools, a runtime, space, and file systems that can be written to?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nornir_etcd import runtimes
from nornir_etcd.checks.evidence import Check
from nornir_etcd.checks.preflight.answers import surroundings
from nornir_etcd.layout import layout
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.state import known_status

if TYPE_CHECKING:
    from nornir_etcd.checks.evidence import Evidence
    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import Kubelet, Maybe
    from nornir_etcd.report.model import Finding

MIB = 1024 * 1024

_SOCKETS = {"docker": "docker", "containerd": "containerd", "crio": "cri-o"}
"""Runtimes, by a word in the name of the socket that a kubelet is told of (up to 1.23 it had a dockershim.sock)."""


def tools(seen: Evidence, member: Member) -> Finding:
    """Check that every command is there that the scripts call."""
    asked = Check("preflight.tools", member.name)
    missing = surroundings(seen.observation, member).missing_tools
    if isinstance(missing, Unknown):
        return asked.unknown(f"the commands could not be looked for: {missing.reason}", "look at the host's shell")
    if missing:
        names = ", ".join(missing)
        return asked.critical(f"commands are missing: {names}", f"install {names} where root's PATH finds them")
    return asked.ok("every command is there")


def runtime(seen: Evidence, member: Member) -> Finding:
    """Check that the container runtime answers and is of the kind that the inventory names."""
    asked = Check("preflight.runtime", member.name)
    read = surroundings(seen.observation, member)
    wanted = member.settings.container_runtime
    client = runtimes.runtime(wanted).client
    sockets = "" if isinstance(read.sockets, Unknown) else ", ".join(read.sockets)
    evidence = {"sockets": sockets or "none", "wanted": wanted}
    for endpoint in _endpoints(read.kubelets):
        if (used := _named(endpoint)) not in {"", wanted}:
            return asked.critical(
                f"wanted {wanted}, found a kubelet that runs its Pods with {used} ({endpoint})",
                "set container_runtime to what the kubelet uses",
                found=used,
                **evidence,
            )
    if isinstance(read.runtime, Unknown):
        there = f"only {sockets} is there" if sockets and wanted not in sockets else "it does not answer"
        return asked.critical(
            f"wanted {wanted}: {there}: {read.runtime.reason}",
            f"install and start {wanted}, and see that `{client} version` answers on the host",
            **evidence,
        )
    if read.runtime is None:
        container = seen.host(member.name).container
        if container is None or not container.running:
            return asked.unknown(
                f"an etcd runs that {wanted} does not list, so the runtime was not told", "stop that etcd", **evidence
            )
        return asked.ok(f"{wanted} runs this member", **evidence)
    if read.runtime != wanted:
        return asked.critical(
            f"wanted {wanted}, found {read.runtime}",
            f"set container_runtime to what the host runs, or see why `{client} version` names another",
            found=read.runtime,
            **evidence,
        )
    return asked.ok(f"{wanted} answers", **evidence)


def _endpoints(kubelets: Maybe[tuple[Kubelet, ...]]) -> list[str]:
    """Return where the kubelets that will run the Pod find their runtime, as far as that is told."""
    return [] if isinstance(kubelets, Unknown) else [one.runtime for one in kubelets if one.verdict == "same"]


def _named(endpoint: str) -> str:
    """Return the runtime that answers at an endpoint, by the name of its socket; empty where that says nothing."""
    socket = endpoint.rpartition("/")[2]
    return next((name for word, name in _SOCKETS.items() if word in socket), "")


def writable(seen: Evidence, member: Member, *, starts: bool) -> Finding:
    """Check that the file systems are not read-only."""
    asked = Check("preflight.writable", member.name)
    volumes = surroundings(seen.observation, member).volumes
    paths = layout(member.settings)
    if isinstance(volumes, Unknown):
        return asked.unknown(f"the file systems could not be read: {volumes.reason}", "see df on the host")
    wanted = paths.volumes if starts else (paths.ca_dir,)
    found = {path: volumes[path] for path in wanted}
    read = {path: volume.mount for path, volume in found.items()}
    refused = [path for path, volume in found.items() if not volume.writable]
    if refused:
        mounts = ", ".join(dict.fromkeys(found[path].mount for path in refused))
        return asked.critical(
            f"cannot be written to: {', '.join(refused)}",
            f"see why it is read-only (mount, dmesg; file system at {mounts}) and mount it for writing",
            **read,
        )
    return asked.ok("every folder can be written to", **read)


def space(seen: Evidence, member: Member, *, starts: bool) -> Finding:
    """Check that there is space for what is written now, and, with a warning, for what the database may grow to."""
    asked = Check("preflight.space", member.name)
    volumes = surroundings(seen.observation, member).volumes
    paths, settings = layout(member.settings), member.settings
    if isinstance(volumes, Unknown):
        return asked.unknown(f"the free space could not be read: {volumes.reason}", "see df on the host")
    wanted = dict.fromkeys(
        (paths.ca_dir, paths.kube_base_dir) if starts else (paths.ca_dir,), settings.etcd_free_config_bytes
    )
    if starts:
        wanted[paths.data] = settings.etcd_free_data_bytes
    read = {path: f"{volumes[path].free // MIB} MiB free" for path in wanted}
    short = [path for path, least in wanted.items() if volumes[path].free < least]
    if short:
        told = ", ".join(
            f"{path} (wanted {wanted[path] // MIB} MiB free, found {volumes[path].free // MIB})" for path in short
        )
        return asked.critical(
            f"too little space: {told}", "make room, or set etcd_free_data_bytes or etcd_free_config_bytes", **read
        )
    status = known_status(seen.endpoint(member.name))
    growth = max(0, settings.etcd_quota_backend_bytes - (status.db_size if status else 0))
    free = volumes[paths.data].free
    if starts and free < growth + settings.etcd_free_data_bytes:
        return asked.warning(
            f"{paths.data} has {free // MIB} MiB free, and the database may grow by {growth // MIB} MiB to its quota",
            "enlarge the file system, or lower etcd_quota_backend_bytes",
            **read,
        )
    return asked.ok("there is space enough", **read)
