"""One Pod on this host: a thread that brings the runtime to what the Pod wants, and at the end takes it down.

It keeps next to no state: each round it asks the runtime what there is, so a kubelet that was restarted, or a host
that was switched on again, goes on from there.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nornir_etcd.lab.host import volumes
from nornir_etcd.lab.host.client import RuntimeCallError, call
from nornir_etcd.lab.host.criprint import quote
from nornir_etcd.lab.host.pod import Pod, PodError, container_config, sandbox_config
from nornir_etcd.lab.host.probes import Prober

# The kubelet relists the runtime once a second; the lab's is a little keener.
PERIOD = 0.5
# Crash loop and image pull (pkg/kubelet/kubelet.go): 10 s, doubled up to 5 min. The first restart is not delayed.
BACKOFF = 10.0
MAX_BACKOFF = 300.0
# Failed mounts (goroutinemap/exponentialbackoff): 500 ms, doubled; the kubelet goes up to 2 min, the lab to 10 s.
MOUNT_BACKOFF = 0.5
MAX_MOUNT_BACKOFF = 10.0
PULL_TIMEOUT = 300.0
START_TIMEOUT = 60.0

Log = Callable[[str, str], None]


class Backoff:
    """Pauses that double from a first one up to a largest."""

    def __init__(self, first: float, largest: float) -> None:
        self._next = first
        self._largest = largest

    def pause(self) -> float:
        """Give the pause to make now."""
        now = self._next
        self._next = min(self._largest, now * 2)
        return now


class Worker(threading.Thread):
    """The life of one Pod; `delay` is waited before anything is started."""

    def __init__(self, pod: Pod, cgroup_parent: str, delay: float, log: Log) -> None:
        super().__init__(daemon=True, name=pod.name)
        self.pod = pod
        self.stopping = threading.Event()
        self.grace = pod.grace
        self._cgroup_parent = cgroup_parent
        self._delay = delay
        self._log = log
        self._mounts = Backoff(MOUNT_BACKOFF, MAX_MOUNT_BACKOFF)
        self._pulls = Backoff(BACKOFF, MAX_BACKOFF)
        self._not_before: dict[str, float] = {}
        self._crash_pause: dict[str, float] = {}
        self._probers: dict[str, Prober] = {}

    def stop(self, grace: int | None = None) -> None:
        """Take the Pod down, with other grace (seconds) than its own if given."""
        if grace is not None:
            self.grace = grace
        self.stopping.set()

    def run(self) -> None:
        """Sync until told to stop, then terminate."""
        self.stopping.wait(self._delay)
        while not self.stopping.is_set():
            try:
                pause = self._sync()
            except RuntimeCallError as error:
                self._complain(str(error))
                pause = 1.0
            except PodError as error:
                self._complain(str(error))
                pause = BACKOFF
            self.stopping.wait(pause)
        self._terminate()

    def _complain(self, problem: str) -> None:
        pod = f"{self.pod.namespace}/{self.pod.name}"
        message = f'"Error syncing pod, skipping" err={quote(problem)} pod="{pod}" podUID="{self.pod.uid}"'
        self._log("pod_workers.go:1324", message)

    def _sync(self) -> float:
        """Do what is due now.

        Returns:
            Seconds until the next look.
        """
        # Volumes are set up before a start and not looked at again while the Pod runs.
        for name, (path, kind) in self.pod.host_paths.items() if not self._running() else ():
            problem = volumes.check(path, kind)
            if problem:
                self._complain(f'MountVolume.SetUp failed for volume "{name}" : {problem}')
                return self._mounts.pause()
        sandbox, config = self._sandbox()
        for container in self.pod.containers:
            self._sync_container(container, sandbox, config)
        return PERIOD

    def _of_pod(self, method: str, key: str) -> list[dict[str, Any]]:
        """List what the runtime has of this Pod, newest first."""
        selector = {"labelSelector": {"io.kubernetes.pod.uid": self.pod.uid}}
        items: list[dict[str, Any]] = call(method, {"filter": selector})[key]
        return sorted(items, key=lambda item: int(item["createdAt"]), reverse=True)

    def _running(self) -> list[dict[str, Any]]:
        items = self._of_pod("ListContainers", "containers")
        return [item for item in items if item["state"] == "CONTAINER_RUNNING"]

    def _sandbox(self) -> tuple[str, dict[str, Any]]:
        """Find the Pod's sandbox, or run one; a dead one is never used again."""
        sandboxes = self._of_pod("ListPodSandbox", "items")
        if sandboxes and sandboxes[0]["state"] == "SANDBOX_READY":
            attempt = sandboxes[0]["metadata"]["attempt"]
            return sandboxes[0]["id"], sandbox_config(self.pod, attempt, self._cgroup_parent)
        for dead in sandboxes:
            call("StopPodSandbox", {"podSandboxId": dead["id"]}, timeout=START_TIMEOUT)
        attempt = sandboxes[0]["metadata"]["attempt"] + 1 if sandboxes else 0
        config = sandbox_config(self.pod, attempt, self._cgroup_parent)
        Path(self.pod.log_directory).mkdir(mode=0o755, parents=True, exist_ok=True)
        Path(self.pod.directory).mkdir(mode=0o750, parents=True, exist_ok=True)
        hosts = "# Kubernetes-managed hosts file (host network).\n" + Path("/etc/hosts").read_text(encoding="utf-8")
        (Path(self.pod.directory) / "etc-hosts").write_text(hosts, encoding="utf-8")
        answer = call("RunPodSandbox", {"config": config}, timeout=START_TIMEOUT)
        return answer["podSandboxId"], config

    def _sync_container(self, container: dict[str, Any], sandbox: str, config: dict[str, Any]) -> None:
        name = container["name"]
        items = [item for item in self._of_pod("ListContainers", "containers") if item["metadata"]["name"] == name]
        latest = items[0] if items else None
        if latest and latest["state"] == "CONTAINER_RUNNING":
            self._watch(container, latest["id"])
            return
        prober = self._probers.pop(name, None)
        if prober:
            prober.stop()
        if time.monotonic() < self._not_before.get(name, 0.0):
            return
        attempt = 0
        if latest:
            attempt = latest["metadata"]["attempt"] + 1
            if not self._may_restart(name, latest["id"]):
                return
            for old in items[1:]:
                # One dead container of a name is kept (the kubelet's MaxPerPodContainerCount).
                call("RemoveContainer", {"containerId": old["id"]})
        self._start(container, attempt, sandbox, config)

    def _may_restart(self, name: str, container_id: str) -> bool:
        """Hold a container back that has crashed again, counted from the end of its last run."""
        pause = self._crash_pause.get(name, 0.0)
        finished = int(call("ContainerStatus", {"containerId": container_id})["status"]["finishedAt"]) / 1e9
        if time.time() < finished + pause:
            self._not_before[name] = time.monotonic() + finished + pause - time.time()
            self._complain(
                f'failed to "StartContainer" for "{name}" with CrashLoopBackOff: "back-off {pause:.0f}s restarting '
                f'failed container={name} pod={self.pod.full_name}"'
            )
            return False
        self._crash_pause[name] = min(MAX_BACKOFF, pause * 2) if pause else BACKOFF
        return True

    def _watch(self, container: dict[str, Any], container_id: str) -> None:
        """Keep a prober on a running container; kill the container when the prober says so."""
        name = container["name"]
        prober = self._probers.get(name)
        if prober is None:
            prober = self._probers[name] = Prober(container, lambda text: self._log("prober.go:120", text))
            prober.start()
        if prober.failed:
            self._log("kuberuntime_container.go:800", f'"{prober.failed}" pod={quote(self.pod.full_name)}')
            self._stop_container(container_id)

    def _stop_container(self, container_id: str) -> None:
        call("StopContainer", {"containerId": container_id, "timeout": self.grace}, timeout=self.grace + 15)

    def _start(self, container: dict[str, Any], attempt: int, sandbox: str, config: dict[str, Any]) -> None:
        image_id = self._image(container, config)
        if image_id is None or self.stopping.is_set():
            return
        directory = Path(self.pod.directory) / "containers" / container["name"]
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        termination_log = directory / secrets.token_hex(4)
        termination_log.touch(mode=0o666)
        wanted = container_config(self.pod, container, attempt, image_id, str(termination_log))
        request = {"podSandboxId": sandbox, "config": wanted, "sandboxConfig": config}
        created = call("CreateContainer", request, timeout=START_TIMEOUT)
        call("StartContainer", {"containerId": created["containerId"]}, timeout=START_TIMEOUT)

    def _image(self, container: dict[str, Any], config: dict[str, Any]) -> str | None:
        """Find the container's image, pulling it as its policy says.

        Returns:
            The image's ID, or None when it cannot be had now.
        """
        image, name = container["image"], container["name"]
        policy = container.get("imagePullPolicy", "IfNotPresent")
        present = call("ImageStatus", {"image": {"image": image}}).get("image")
        if present and policy != "Always":
            return str(present["id"])
        if policy == "Never":
            self._complain(f'failed to "StartContainer" for "{name}" with ErrImageNeverPull')
            self._not_before[name] = time.monotonic() + self._pulls.pause()
            return None
        try:
            request = {"image": {"image": image}, "sandboxConfig": config}
            return str(call("PullImage", request, timeout=PULL_TIMEOUT)["imageRef"])
        except RuntimeCallError as error:
            trace = f'"PullImage from image service failed" err={quote(str(error))} image={quote(image)}'
            self._log("remote_image.go:250", trace)
            reason = f"container {name} start failed in pod {self.pod.full_name}: ErrImagePull: {error.description}"
            self._log("kuberuntime_manager.go:1727", f'"Unhandled Error" err={quote(reason)} logger="UnhandledError"')
            self._complain(f'failed to "StartContainer" for "{name}" with ErrImagePull: {quote(error.description)}')
            self._not_before[name] = time.monotonic() + self._pulls.pause()
            return None

    def _terminate(self) -> None:
        """Stop containers with their grace, then the sandbox; what is dead stays listed until it is collected."""
        for prober in self._probers.values():
            prober.stop()
        for _ in range(5):
            try:
                for item in self._running():
                    self._stop_container(item["id"])
                for sandbox in self._of_pod("ListPodSandbox", "items"):
                    call("StopPodSandbox", {"podSandboxId": sandbox["id"]}, timeout=START_TIMEOUT)
            except RuntimeCallError as error:  # noqa: PERF203 - a retry
                self._complain(str(error))
                time.sleep(1)
            else:
                return
