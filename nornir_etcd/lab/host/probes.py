"""Startup, liveness and readiness probes of one running container, by HTTP, as the kubelet times them."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# A probe succeeds with a status from 200 up to 399 (pkg/probe/http).
_GOOD = range(200, 400)


@dataclass(frozen=True)
class Probe:
    """A probe of a container; times in seconds, defaults those of the Pod API."""

    kind: str
    host: str
    port: int
    path: str
    tls: bool
    delay: float
    period: float
    timeout: float
    failures: int

    @classmethod
    def read(cls, kind: str, data: dict[str, Any]) -> Probe:
        """Read a probe from a container's manifest."""
        target = data["httpGet"]
        return cls(
            kind=kind,
            host=target.get("host") or "127.0.0.1",
            port=int(target["port"]),
            path=target.get("path") or "/",
            tls=target.get("scheme", "HTTP").upper() == "HTTPS",
            delay=float(data.get("initialDelaySeconds", 0)),
            period=float(data.get("periodSeconds", 10)),
            timeout=float(data.get("timeoutSeconds", 1)),
            failures=int(data.get("failureThreshold", 3)),
        )

    def check(self) -> str | None:
        """Probe once.

        Returns:
            What went wrong, or None.
        """
        connection: http.client.HTTPConnection
        if self.tls:
            # The kubelet does not verify the certificate of what it probes.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            connection.request("GET", self.path, headers={"User-Agent": "kube-probe/lab", "Connection": "close"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"Get {self.host}:{self.port}{self.path}: {str(error) or type(error).__name__}"
        finally:
            connection.close()
        return None if status in _GOOD else f"HTTP probe failed with statuscode: {status}"


class Prober(threading.Thread):
    """Probe a container until it is told to stop, or the startup or liveness probe has failed for good.

    `failed` is then what the kubelet's log says; the Pod's worker kills the container.
    """

    def __init__(self, container: dict[str, Any], log: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self.failed: str | None = None
        self._name = container["name"]
        self._log = log
        self._stopping = threading.Event()
        names = ("startupProbe", "livenessProbe", "readinessProbe")
        self._probes = {name: Probe.read(name, container[name]) for name in names if name in container}

    def stop(self) -> None:
        """Stop probing, soon."""
        self._stopping.set()

    def run(self) -> None:
        """Let startup succeed first, then take liveness and readiness in turn."""
        startup = self._probes.pop("startupProbe", None)
        if startup and not self._succeed_once(startup):
            return
        started = time.monotonic()
        due = {probe: started + probe.delay for probe in self._probes.values()}
        misses = dict.fromkeys(due, 0)
        while due and not self._stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
            probe = min(due, key=lambda one: due[one])
            due[probe] = time.monotonic() + probe.period
            misses[probe] = self._count(probe, misses[probe])
            if probe.kind == "livenessProbe" and misses[probe] >= probe.failures:
                self.failed = f"Container {self._name} failed liveness probe, will be restarted"
                return

    def _succeed_once(self, probe: Probe) -> bool:
        misses, pause = 0, probe.delay
        while not self._stopping.wait(pause):
            pause = probe.period
            misses = self._count(probe, misses)
            if misses == 0:
                return True
            if misses >= probe.failures:
                self.failed = f"Container {self._name} failed startup probe, will be restarted"
                return False
        return False

    def _count(self, probe: Probe, misses: int) -> int:
        problem = probe.check()
        if problem:
            self._log(f'"Probe failed" probeType="{probe.kind}" containerName="{self._name}" probeResult="{problem}"')
            return misses + 1
        return 0
