"""A call of Docker's API on its unix socket (docs.docker.com/engine/api), with nothing but the standard library."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlencode

from nornir_etcd.lab.host.client import RuntimeCallError

DOCKER_SOCKET = "/run/docker.sock"
# What dockerd 20.10 (Debian 12) speaks; a later one takes it as well.
API = "/v1.41"
_CODES = {404: "NotFound", 400: "InvalidArgument", 409: "AlreadyExists"}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Docker:
    """A dockerd at its socket."""

    def __init__(self, path: str = DOCKER_SOCKET) -> None:
        self._path = path

    def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, object] | None = None,
        body: object = None,
        timeout: float = 10,
    ) -> Any:
        """Call a method of the API.

        Args:
            method: GET, POST or DELETE.
            path: without version, e.g. /containers/json.
            query: what goes behind the question mark; what is no text is written as JSON.
            body: sent as JSON.
            timeout: seconds without a word from dockerd.

        Returns:
            What it answered, of an answer in several lines (a pull) the last; None where it is empty.

        Raises:
            RuntimeCallError: it refused, or is not there, in the words that cri-dockerd passes on.
        """
        words = {key: one if isinstance(one, str) else json.dumps(one) for key, one in (query or {}).items()}
        connection = _Connection(self._path, timeout)
        try:
            headers = {"Content-Type": "application/json"}
            content = None if body is None else json.dumps(body)
            connection.request(method, f"{API}{path}?{urlencode(words)}", content, headers)
            response = connection.getresponse()
            status, lines = response.status, response.read().splitlines()
        except (OSError, http.client.HTTPException) as error:
            reason = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
            raise RuntimeCallError("Unknown", f"{reason} ({error})") from None
        finally:
            connection.close()
        answer = json.loads(lines[-1]) if lines else None
        if status >= http.client.BAD_REQUEST:
            reason = (answer or {}).get("message", f"status {status}")
            raise RuntimeCallError(_CODES.get(status, "Unknown"), f"Error response from daemon: {reason}")
        return answer
