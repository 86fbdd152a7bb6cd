"""A stand-in for cri-dockerd on lab hosts: the CRI over a real dockerd. No cri-dockerd can be had from Debian or PyPI.

It serves the calls of the stand-in for the kubelet, and those of crictl's version, ps, pods, images and pull. What is
done in Docker is what cri-dockerd does there (dockernames.py).
"""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nornir_etcd.lab.host import dockernames
from nornir_etcd.lab.host.client import RuntimeCallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir_etcd.lab.host.docker import Docker

# Seconds between SIGTERM and SIGKILL for a sandbox.
SANDBOX_GRACE = 10


class CriDockerd:
    """The CRI of a host with Docker; requests and responses are JSON-like dicts in protobuf's JSON form."""

    def __init__(self, docker: Docker, pause_image: str, oom_floor: int) -> None:
        self._docker = docker
        self._pause_image = pause_image
        self._oom_floor = oom_floor
        self._methods: dict[str, Callable[[dict[str, Any], float], dict[str, Any]]] = {
            "Version": self._version,
            "ListPodSandbox": self._list_sandboxes,
            "RunPodSandbox": self._run_sandbox,
            "StopPodSandbox": self._stop_sandbox,
            "RemovePodSandbox": self._remove_sandbox,
            "ListContainers": self._list_containers,
            "ContainerStatus": self._container_status,
            "CreateContainer": self._create_container,
            "StartContainer": self._start_container,
            "StopContainer": self._stop_container,
            "RemoveContainer": self._remove_container,
            "ListImages": self._list_images,
            "ImageStatus": self._image_status,
            "PullImage": self._pull_image,
        }

    def call(self, method: str, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Call a CRI method.

        Args:
            method: name of the rpc, e.g. ListContainers.
            request: its request in protobuf's JSON form.
            timeout: seconds.

        Returns:
            The response in protobuf's JSON form.

        Raises:
            RuntimeCallError: Docker refused or is not there, or the lab's cri-dockerd does not serve the method.
        """
        if method not in self._methods:
            raise RuntimeCallError("Unimplemented", f"method {method} not implemented by the lab's cri-dockerd")
        return self._methods[method](request, timeout)

    def _version(self, _: dict[str, Any], timeout: float) -> dict[str, Any]:
        told = self._docker.call("GET", "/version", timeout=timeout)
        return {
            "version": "0.1.0",
            "runtimeName": "docker",
            "runtimeVersion": told["Version"],
            "runtimeApiVersion": "v1",
        }

    def _list(self, kind: str, request: dict[str, Any], sandbox: str = "") -> list[dict[str, Any]]:
        wanted = request.get("filter", {})
        labels = [f"{dockernames.TYPE}={kind}"]
        labels += [f"{key}={one}" for key, one in wanted.get("labelSelector", {}).items()]
        labels += [f"{dockernames.SANDBOX_ID}={sandbox}"] if sandbox else []
        filters = {"label": labels} | ({"id": [wanted["id"]]} if wanted.get("id") else {})
        found: list[dict[str, Any]] = self._docker.call(
            "GET", "/containers/json", query={"all": "1", "filters": filters}
        )
        return found

    def _list_sandboxes(self, request: dict[str, Any], _: float) -> dict[str, Any]:
        items = [dockernames.read_sandbox(one) for one in self._list(dockernames.SANDBOX, request)]
        return {"items": _in_state(items, request)}

    def _list_containers(self, request: dict[str, Any], _: float) -> dict[str, Any]:
        sandbox = request.get("filter", {}).get("podSandboxId", "")
        items = [dockernames.read_container(one) for one in self._list(dockernames.CONTAINER, request, sandbox)]
        return {"containers": _in_state(items, request)}

    def _run_sandbox(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        config = request["config"]
        if not self._image(self._pause_image):
            self._pull_image({"image": {"image": self._pause_image}}, timeout)
        body = dockernames.sandbox_body(config, self._pause_image, self._oom_floor)
        made = self._create(dockernames.sandbox_name(config), body, timeout)
        self._docker.call("POST", f"/containers/{made}/start", timeout=timeout)
        return {"podSandboxId": made}

    def _create(self, name: str, body: dict[str, Any], timeout: float) -> str:
        """Make a container; one of its name that was made and not started, since its kubelet was killed, goes first."""
        query: dict[str, object] = {"name": name}
        try:
            made = self._docker.call("POST", "/containers/create", query=query, body=body, timeout=timeout)
        except RuntimeCallError as error:
            if error.code != "AlreadyExists":
                raise
            self._docker.call("DELETE", f"/containers/{name}", query={"v": "1"}, timeout=timeout)
            made = self._docker.call("POST", "/containers/create", query=query, body=body, timeout=timeout)
        return str(made["Id"])

    def _stop_sandbox(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        return self._stop(request["podSandboxId"], SANDBOX_GRACE, timeout)

    def _remove_sandbox(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        for one in self._list(dockernames.CONTAINER, {}, request["podSandboxId"]):
            self._remove_container({"containerId": one["Id"]}, timeout)
        return self._remove(request["podSandboxId"], timeout)

    def _create_container(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        sandbox, config = request["sandboxConfig"], request["config"]
        body = dockernames.container_body(request["podSandboxId"], sandbox, config, self._oom_floor)
        return {"containerId": self._create(dockernames.container_name(sandbox, config), body, timeout)}

    def _start_container(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        container = request["containerId"]
        try:
            self._docker.call("POST", f"/containers/{container}/start", timeout=timeout)
        finally:
            self._link_log(container)
        return {}

    def _link_log(self, container: str) -> None:
        """Let the log's place in the Pod's folder lead to Docker's own file."""
        found = self._docker.call("GET", f"/containers/{container}/json")
        link = Path(found["Config"]["Labels"][dockernames.LOG_PATH])
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(found["LogPath"])

    def _container_status(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        found = self._docker.call("GET", f"/containers/{request['containerId']}/json", timeout=timeout)
        state = found["State"]
        return {
            "status": {
                "id": found["Id"],
                "exitCode": state["ExitCode"],
                "startedAt": str(_nanoseconds(state["StartedAt"])),
                "finishedAt": str(_nanoseconds(state["FinishedAt"])),
                "logPath": found["Config"]["Labels"][dockernames.LOG_PATH],
            }
        }

    def _stop_container(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        return self._stop(request["containerId"], request.get("timeout", 0), timeout)

    def _stop(self, container: str, grace: int, timeout: float) -> dict[str, Any]:
        with _nothing_there():
            self._docker.call("POST", f"/containers/{container}/stop", query={"t": str(grace)}, timeout=timeout)
        return {}

    def _remove_container(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        with _nothing_there():
            found = self._docker.call("GET", f"/containers/{request['containerId']}/json")
            Path(found["Config"]["Labels"][dockernames.LOG_PATH]).unlink(missing_ok=True)
        return self._remove(request["containerId"], timeout)

    def _remove(self, container: str, timeout: float) -> dict[str, Any]:
        with _nothing_there():
            query: dict[str, object] = {"v": "1", "force": "1"}
            self._docker.call("DELETE", f"/containers/{container}", query=query, timeout=timeout)
        return {}

    def _list_images(self, _: dict[str, Any], timeout: float) -> dict[str, Any]:
        found = self._docker.call("GET", "/images/json", timeout=timeout)
        return {"images": [dockernames.read_image(one) for one in found]}

    def _image(self, reference: str) -> dict[str, Any] | None:
        with _nothing_there():
            return dockernames.read_image(self._docker.call("GET", f"/images/{reference}/json"))
        return None

    def _image_status(self, request: dict[str, Any], _: float) -> dict[str, Any]:
        found = self._image(request["image"]["image"])
        return {"image": found} if found else {}

    def _pull_image(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        reference = request["image"]["image"]
        repository, _, tag = reference.rpartition(":")
        query: dict[str, object] = {"fromImage": repository, "tag": tag}
        said = self._docker.call("POST", "/images/create", query=query, timeout=timeout)
        found = self._image(reference)
        if "error" in said or found is None:
            raise RuntimeCallError("Unknown", str(said.get("error", "the image was pulled and is not there")))
        # As cri-dockerd: the digest in the registry where there is one, and a container is made from that.
        return {"imageRef": next(iter(found["repoDigests"]), found["id"])}


@contextlib.contextmanager
def _nothing_there() -> Iterator[None]:
    """Let be what is not there (any more)."""
    try:
        yield
    except RuntimeCallError as error:
        if error.code != "NotFound":
            raise


def _in_state(items: list[dict[str, Any]], request: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = request.get("filter", {}).get("state", {}).get("state")
    return [one for one in items if wanted in {None, one["state"]}]


def _nanoseconds(text: str) -> int:
    """Read a time as Go writes it (RFC 3339, up to nanoseconds, UTC); Go's zero time is 0."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    when = dt.datetime.fromisoformat(f"{seconds}+00:00")
    return max(0, int(when.timestamp()) * 10**9 + int(fraction.ljust(9, "0") or 0))
