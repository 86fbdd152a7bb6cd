"""How cri-dockerd writes a kubelet's Pods and containers as Docker's, and reads them again. Pure.

Names, labels and defaults are those of its core/naming.go, helpers.go, sandbox_helpers.go, container_create.go and
convert.go (github.com/Mirantis/cri-dockerd).
"""

from __future__ import annotations

from typing import Any

ANNOTATION = "annotation."
TYPE = "io.kubernetes.docker.type"
SANDBOX = "podsandbox"
CONTAINER = "container"
SANDBOX_ID = "io.kubernetes.sandbox.id"
LOG_PATH = "io.kubernetes.container.logpath"
SANDBOX_OOM_SCORE = -998
SANDBOX_SHARES = 2
SANDBOX_NAME = "POD"

_STATES = {"Up": "RUNNING", "Exited": "EXITED", "Created": "CREATED"}
_INTERNAL = {TYPE, SANDBOX_ID, LOG_PATH}


def sandbox_name(config: dict[str, Any]) -> str:
    """Name the container of a Pod's sandbox."""
    return _name(SANDBOX_NAME, config["metadata"], config["metadata"]["attempt"])


def container_name(sandbox: dict[str, Any], config: dict[str, Any]) -> str:
    """Name a Pod's container."""
    return _name(config["metadata"]["name"], sandbox["metadata"], config["metadata"]["attempt"])


def _name(container: str, pod: dict[str, Any], attempt: int) -> str:
    return "_".join(("k8s", container, pod["name"], pod["namespace"], pod["uid"], str(attempt)))


def sandbox_body(config: dict[str, Any], image: str, oom_floor: int) -> dict[str, Any]:
    """Build what Docker is asked for to make a Pod's sandbox.

    Args:
        config: the PodSandboxConfig; the Pod is on the host's network.
        image: of the pause container.
        oom_floor: the lowest OOM score that the host may set.
    """
    return {
        "Image": image,
        "Labels": _labels(config) | {TYPE: SANDBOX, "io.kubernetes.container.name": SANDBOX_NAME},
        "HostConfig": {
            "NetworkMode": "host",
            "IpcMode": "shareable",
            "CgroupParent": config["linux"]["cgroupParent"],
            "CpuShares": SANDBOX_SHARES,
            "OomScoreAdj": max(SANDBOX_OOM_SCORE, oom_floor),
            "SecurityOpt": ["seccomp=unconfined", "no-new-privileges"],
        },
    }


def container_body(sandbox_id: str, sandbox: dict[str, Any], config: dict[str, Any], oom_floor: int) -> dict[str, Any]:
    """Build what Docker is asked for to make a container in a sandbox.

    Args:
        sandbox_id: the sandbox's container.
        sandbox: the PodSandboxConfig.
        config: the ContainerConfig.
        oom_floor: the lowest OOM score that the host may set.
    """
    own = {
        TYPE: CONTAINER,
        LOG_PATH: f"{sandbox['logDirectory']}/{config['logPath']}",
        SANDBOX_ID: sandbox_id,
    }
    return {
        "Image": config["image"]["image"],
        "Entrypoint": config["command"] or None,
        "Cmd": config["args"] or None,
        "Env": [f"{one['key']}={one['value']}" for one in config["envs"]],
        "WorkingDir": config["workingDir"],
        "User": _user(config["linux"]["securityContext"]),
        "Labels": _labels(config) | own,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host_config(sandbox_id, sandbox, config, oom_floor),
    }


def _host_config(sandbox_id: str, sandbox: dict[str, Any], config: dict[str, Any], oom_floor: int) -> dict[str, Any]:
    resources, context = config["linux"]["resources"], config["linux"]["securityContext"]
    capabilities = context.get("capabilities", {})
    security = ["seccomp=unconfined"] if context["seccomp"]["profileType"] == "Unconfined" else []
    return {
        "Binds": [
            f"{one['hostPath']}:{one['containerPath']}{':ro' if one.get('readonly') else ''}"
            for one in config["mounts"]
        ],
        "RestartPolicy": {"Name": "no"},
        "NetworkMode": f"container:{sandbox_id}",
        "IpcMode": f"container:{sandbox_id}",
        "UTSMode": "host",
        "CgroupParent": sandbox["linux"]["cgroupParent"],
        "CpuShares": resources["cpuShares"],
        "CpuPeriod": resources["cpuPeriod"],
        "CpuQuota": resources["cpuQuota"],
        "Memory": resources["memoryLimitInBytes"],
        "OomScoreAdj": max(resources["oomScoreAdj"], oom_floor),
        "Privileged": context["privileged"],
        "ReadonlyRootfs": context["readonlyRootfs"],
        "CapAdd": capabilities.get("addCapabilities", []),
        "CapDrop": capabilities.get("dropCapabilities", []),
        "SecurityOpt": [*security, *(["no-new-privileges"] if context["noNewPrivs"] else [])],
    }


def _user(context: dict[str, Any]) -> str:
    ids = [context["runAsUser"], *([context["runAsGroup"]] if "runAsGroup" in context else [])]
    return ":".join(str(one["value"]) for one in ids)


def _labels(config: dict[str, Any]) -> dict[str, str]:
    return {**config["labels"], **{f"{ANNOTATION}{key}": value for key, value in config["annotations"].items()}}


def _told(labels: dict[str, str]) -> dict[str, dict[str, str]]:
    """Take Docker's labels apart into the kubelet's labels and annotations."""
    return {
        "labels": {key: one for key, one in labels.items() if key not in _INTERNAL and not key.startswith(ANNOTATION)},
        "annotations": {key.removeprefix(ANNOTATION): one for key, one in labels.items() if key.startswith(ANNOTATION)},
    }


def read_sandbox(entry: dict[str, Any]) -> dict[str, Any]:
    """Read a PodSandbox out of Docker's list."""
    _, _, name, namespace, uid, attempt = entry["Names"][0].split("_")[:6]
    return {
        "id": entry["Id"],
        "metadata": {"name": name, "uid": uid, "namespace": namespace, "attempt": int(attempt)},
        "state": "SANDBOX_READY" if entry["Status"].startswith("Up") else "SANDBOX_NOTREADY",
        "createdAt": _nanoseconds(entry),
        **_told(entry["Labels"]),
        "runtimeHandler": "",
    }


def read_container(entry: dict[str, Any]) -> dict[str, Any]:
    """Read a Container out of Docker's list."""
    _, name, _, _, _, attempt = entry["Names"][0].split("_")[:6]
    # cri-dockerd reads the state out of this text, so a container that is paused runs: "Up 2 minutes (Paused)".
    state = next((state for word, state in _STATES.items() if entry["Status"].startswith(word)), "UNKNOWN")
    return {
        "id": entry["Id"],
        "podSandboxId": entry["Labels"][SANDBOX_ID],
        "metadata": {"name": name, "attempt": int(attempt)},
        "image": {"image": entry["Image"], "annotations": {}},
        "imageRef": entry["ImageID"],
        "state": f"CONTAINER_{state}",
        "createdAt": _nanoseconds(entry),
        **_told(entry["Labels"]),
    }


def _nanoseconds(entry: dict[str, Any]) -> str:
    """Docker's list tells seconds; a number of 64 bits is text in protobuf's JSON form."""
    return str(entry["Created"] * 10**9)


def read_image(entry: dict[str, Any]) -> dict[str, Any]:
    """Read an Image out of Docker's list or its inspection."""
    return {
        "id": entry["Id"],
        "repoTags": entry["RepoTags"] or [],
        "repoDigests": entry["RepoDigests"] or [],
        "size": str(entry["Size"]),
        "username": "",
        "pinned": False,
    }
