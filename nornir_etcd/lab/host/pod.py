"""A static Pod: its manifest, and what the kubelet asks the runtime for to run it. Pure; what it cannot run it refuses.

Names, labels, annotations and paths are those of a kubelet 1.36 (facts recorded with `crictl inspect` and `inspectp`).
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

import yaml

LOG_ROOT = "/var/log/pods"
POD_ROOT = "/var/lib/kubelet/pods"
# kubelet's defaults and constants (k8s.io/api/core/v1, pkg/kubelet/qos, pkg/kubelet/cm).
DEFAULT_GRACE = 30
CPU_PERIOD = 100_000
MIN_SHARES = 2
CRITICAL_PRIORITY = 2_000_000_000
CRITICAL_OOM_SCORE = -997
MASKED_PATHS = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9, "": 1}
_NAMESPACES = {"network": "NODE", "pid": "CONTAINER"}


class PodError(Exception):
    """A manifest that is no Pod, or a Pod that this kubelet cannot run."""


@dataclass(frozen=True)
class Pod:
    """A static Pod of this host; another uid is another Pod, as for the kubelet."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]

    @property
    def full_name(self) -> str:
        """How the kubelet's log names it."""
        return f"{self.name}_{self.namespace}({self.uid})"

    @property
    def log_directory(self) -> str:
        """Where the logs of its containers lie."""
        return f"{LOG_ROOT}/{self.namespace}_{self.name}_{self.uid}"

    @property
    def directory(self) -> str:
        """Where the kubelet keeps the files it mounts into it."""
        return f"{POD_ROOT}/{self.uid}"

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Its containers, as the manifest gives them."""
        return list(self.spec["containers"])

    @property
    def grace(self) -> int:
        """Seconds between SIGTERM and SIGKILL."""
        return int(self.spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE))

    @property
    def host_paths(self) -> dict[str, tuple[str, str]]:
        """Path and type of each hostPath volume, by the volume's name."""
        return {
            volume["name"]: (volume["hostPath"]["path"], volume["hostPath"].get("type") or "")
            for volume in self.spec.get("volumes") or []
        }


def parse(text: str, path: str, hostname: str, seen: str) -> Pod:
    """Read a manifest.

    Args:
        text: YAML or JSON.
        path: the manifest's file; part of the Pod's identity.
        hostname: the host's; the Pod's name ends in it.
        seen: RFC 3339 time at which the manifest was first seen.

    Returns:
        The Pod; its uid is a hash of what the manifest says, so a rewrite that says the same is the same Pod.

    Raises:
        PodError: the text is no Pod manifest, or asks for what this stand-in does not do.
    """
    try:
        manifest = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PodError(f"couldn't parse as pod: {' '.join(str(error).split())}") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "Pod":
        raise PodError("couldn't parse as pod: Object 'Kind' is missing or not Pod")
    metadata, spec = manifest.get("metadata") or {}, manifest.get("spec") or {}
    if not metadata.get("name") or not spec.get("containers"):
        raise PodError("invalid pod: metadata.name and spec.containers are required")
    _refuse_unsupported(spec)
    identity = json.dumps([hostname, path, manifest], sort_keys=True, default=str)
    uid = hashlib.md5(identity.encode(), usedforsecurity=False).hexdigest()
    own = {"kubernetes.io/config.hash": uid, "kubernetes.io/config.seen": seen, "kubernetes.io/config.source": "file"}
    return Pod(
        name=f"{metadata['name']}-{hostname}",
        namespace=metadata.get("namespace") or "default",
        uid=uid,
        labels={key: str(value) for key, value in (metadata.get("labels") or {}).items()},
        annotations={key: str(value) for key, value in (metadata.get("annotations") or {}).items()} | own,
        spec=spec,
    )


def _refuse_unsupported(spec: dict[str, Any]) -> None:
    if not spec.get("hostNetwork"):
        raise PodError("network is not ready: this host has no CNI, only hostNetwork Pods run")
    for volume in spec.get("volumes") or []:
        if "hostPath" not in volume:
            raise PodError(f"volume {volume.get('name')}: the lab's kubelet mounts hostPath volumes only")
    for key in ("initContainers", "ephemeralContainers"):
        if spec.get(key):
            raise PodError(f"{key}: not run by the lab's kubelet")
    for container in spec["containers"]:
        for key in ("startupProbe", "livenessProbe", "readinessProbe"):
            if key in container and "httpGet" not in container[key]:
                raise PodError(f"container {container.get('name')}: {key}: the lab's kubelet probes by httpGet only")


def quantity(text: object) -> float:
    """Read a Kubernetes quantity: 100m, 0.5, 100Mi, 2G.

    Raises:
        PodError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|k|M|G|)", str(text))
    if not match:
        raise PodError(f"quantities must match the regular expression: {text!r}")
    number, unit = match.groups()
    return float(number) / 1000 if unit == "m" else float(number) * _BINARY[unit]


def sandbox_config(pod: Pod, attempt: int, cgroup_parent: str) -> dict[str, Any]:
    """Build the PodSandboxConfig of a Pod, in protobuf's JSON form."""
    return {
        "metadata": {"name": pod.name, "uid": pod.uid, "namespace": pod.namespace, "attempt": attempt},
        "logDirectory": pod.log_directory,
        "labels": pod.labels | _pod_labels(pod),
        "annotations": pod.annotations,
        "linux": {
            "cgroupParent": cgroup_parent,
            "securityContext": {"namespaceOptions": _NAMESPACES, "seccomp": {}},
            "overhead": {},
            "resources": {"cpuPeriod": CPU_PERIOD, "cpuShares": MIN_SHARES},
        },
    }


def _pod_labels(pod: Pod) -> dict[str, str]:
    return {
        "io.kubernetes.pod.name": pod.name,
        "io.kubernetes.pod.namespace": pod.namespace,
        "io.kubernetes.pod.uid": pod.uid,
    }


def container_config(
    pod: Pod, container: dict[str, Any], attempt: int, image_id: str, termination_log: str
) -> dict[str, Any]:
    """Build the ContainerConfig of one of a Pod's containers, in protobuf's JSON form.

    Args:
        pod: the Pod.
        container: the container in its manifest.
        attempt: how often it has been restarted.
        image_id: the image's ID in the runtime.
        termination_log: a file of the host to be mounted at terminationMessagePath.

    Raises:
        PodError: a mount of an unknown volume, or a quantity that is none.
    """
    message_path = container.get("terminationMessagePath", "/dev/termination-log")
    canonical = json.dumps(container, sort_keys=True, default=str).encode()
    return {
        "metadata": {"name": container["name"], "attempt": attempt},
        "image": {"image": image_id},
        "command": [str(word) for word in container.get("command") or []],
        "args": [str(word) for word in container.get("args") or []],
        "workingDir": container.get("workingDir", ""),
        "envs": [{"key": item["name"], "value": str(item.get("value", ""))} for item in container.get("env") or []],
        "mounts": [
            *_volume_mounts(pod, container),
            {"containerPath": "/etc/hosts", "hostPath": f"{pod.directory}/etc-hosts"},
            {"containerPath": message_path, "hostPath": termination_log},
        ],
        "labels": {"io.kubernetes.container.name": container["name"]} | _pod_labels(pod),
        "annotations": {
            "io.kubernetes.container.hash": f"{zlib.crc32(canonical):08x}",
            "io.kubernetes.container.restartCount": str(attempt),
            "io.kubernetes.container.terminationMessagePath": message_path,
            "io.kubernetes.container.terminationMessagePolicy": container.get("terminationMessagePolicy", "File"),
            "io.kubernetes.pod.terminationGracePeriod": str(pod.grace),
        },
        "logPath": f"{container['name']}/{attempt}.log",
        "linux": {"resources": _resources(pod, container), "securityContext": _security_context(pod, container)},
    }


def _volume_mounts(pod: Pod, container: dict[str, Any]) -> list[dict[str, Any]]:
    mounts = []
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in pod.host_paths:
            raise PodError(f"container {container['name']}: volumeMounts: no volume named {mount['name']}")
        path, _ = pod.host_paths[mount["name"]]
        read_only = bool(mount.get("readOnly", False))
        mounts.append({"containerPath": mount["mountPath"], "hostPath": path, "readonly": read_only})
    return mounts


def _resources(pod: Pod, container: dict[str, Any]) -> dict[str, Any]:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    cpu = quantity(requests.get("cpu", limits.get("cpu", 0)))
    critical = pod.spec.get("priorityClassName") == "system-node-critical"
    critical = critical or int(pod.spec.get("priority", 0)) >= CRITICAL_PRIORITY
    return {
        "cpuPeriod": CPU_PERIOD,
        "cpuShares": max(MIN_SHARES, int(cpu * 1024)),
        "cpuQuota": int(quantity(limits.get("cpu", 0)) * CPU_PERIOD),
        "memoryLimitInBytes": int(quantity(limits.get("memory", 0))),
        "oomScoreAdj": CRITICAL_OOM_SCORE if critical else 1000,
        "hugepageLimits": [{"pageSize": "2MB"}, {"pageSize": "1GB"}],
    }


def _security_context(pod: Pod, container: dict[str, Any]) -> dict[str, Any]:
    own = container.get("securityContext") or {}
    merged = (pod.spec.get("securityContext") or {}) | own
    capabilities = own.get("capabilities") or {}
    seccomp = (merged.get("seccompProfile") or {}).get("type", "Unconfined")
    context = {
        "namespaceOptions": _NAMESPACES,
        "runAsUser": {"value": int(merged.get("runAsUser", 0))},
        "privileged": bool(own.get("privileged", False)),
        "readonlyRootfs": bool(own.get("readOnlyRootFilesystem", False)),
        "noNewPrivs": own.get("allowPrivilegeEscalation") is False,
        "maskedPaths": MASKED_PATHS,
        "readonlyPaths": READONLY_PATHS,
        "seccomp": {"profileType": seccomp},
    }
    if "runAsGroup" in merged:
        context["runAsGroup"] = {"value": int(merged["runAsGroup"])}
    if capabilities:
        context["capabilities"] = {
            "addCapabilities": capabilities.get("add") or [],
            "dropCapabilities": capabilities.get("drop") or [],
        }
    return context
