"""Pushes an image into a registry: what is there already is not sent, and an upload that breaks is gone on with."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images.documents import INDEXES, MANIFESTS
from nornir_etcd.images.registry import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from nornir_etcd.images.blob import Blob
    from nornir_etcd.images.choice import Chosen
    from nornir_etcd.images.registry import Answer, Registry

CHUNK = 8 * 1024 * 1024
"""Bytes of one request: above the 5 MiB that registries on object stores want at least."""
TRIES = 4
"""Interruptions of one blob that are borne without a byte of progress in between."""
PAUSE = 1.0
"""Seconds before it is gone on, and as many more each time."""
_ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,15})")


def push(registry: Registry, chosen: Chosen, advance: Callable[[int], None]) -> bool:
    """Push an image, its manifest last, so that a tag never leads to what is not whole.

    Args:
        registry: where to.
        chosen: the image.
        advance: is told of bytes that have got there.

    Returns:
        Whether anything was sent; False where the tag leads to this very image already.

    Raises:
        ImageError: the registry does not take it.
    """
    repository, tag = chosen.reference.repository, chosen.reference.tag
    if _digest(registry, repository, tag) == chosen.digest:
        return False
    for build in chosen.builds:
        for digest, blob in build.blobs.items():
            _Upload(registry, repository, digest, blob, advance).run()
        _put(registry, repository, build.digest if chosen.index else tag, build.media_type, build.raw)
    if chosen.index:
        _put(registry, repository, tag, chosen.index_type, chosen.index)
    if (found := _digest(registry, repository, tag)) != chosen.digest:
        raise ImageError(
            str(chosen.reference), wanted=f"{chosen.digest} in the registry", found=found or "none", remedy="push again"
        )
    return True


def size(chosen: Chosen) -> int:
    """Return the bytes of an image's blobs."""
    return sum(build.size for build in chosen.builds)


def _digest(registry: Registry, repository: str, tag: str) -> str:
    """Return the digest that a tag leads to; empty where there is no such tag."""
    target = f"/v2/{repository}/manifests/{tag}"
    answer = registry.ask("HEAD", target, headers={"Accept": _ACCEPT})
    if answer.status == 404:  # noqa: PLR2004 - HTTP's own
        return ""
    if answer.status != 200:  # noqa: PLR2004
        raise registry.unexpected(target, answer, "200 or 404")
    return str(answer.headers.get("Docker-Content-Digest", ""))


def _put(registry: Registry, repository: str, name: str, media_type: str, raw: bytes) -> None:
    target = f"/v2/{repository}/manifests/{name}"
    answer = registry.ask("PUT", target, raw, {"Content-Type": media_type})
    if answer.status != 201:  # noqa: PLR2004 - HTTP's own
        raise registry.unexpected(target, answer, "201")


class _Upload:
    """The upload of one blob."""

    def __init__(
        self, registry: Registry, repository: str, digest: str, blob: Blob, advance: Callable[[int], None]
    ) -> None:
        self._registry = registry
        self._uploads = f"/v2/{repository}/blobs/uploads/"
        self._place = f"/v2/{repository}/blobs/{digest}"
        self._digest = digest
        self._blob = blob
        self._advance = advance
        self._told = 0
        self._location = ""
        self._done = 0

    def run(self) -> None:
        """Send the blob, unless the registry has it."""
        failures, best = 0, 0
        while True:
            try:
                if self._is_there():
                    self._tell(self._blob.size)
                    return
                self._begin()
                self._send()
                self._end()
            except Interrupted:  # noqa: PERF203 - a retry
                failures = failures + 1 if self._done <= best else 1
                best = max(best, self._done)
                if failures >= TRIES:
                    raise
                time.sleep(PAUSE * failures)
            else:
                return

    def _is_there(self) -> bool:
        answer = self._registry.ask("HEAD", self._place)
        if answer.status not in {200, 307, 404}:
            raise self._registry.unexpected(self._place, answer, "200 or 404")
        return answer.status != 404  # noqa: PLR2004 - HTTP's own

    def _begin(self) -> None:
        """Go on with an upload that the registry still knows, or begin a new one.

        One of which a piece arrived in part is known no more to Docker's registry (ResumeBlobUpload of
        https://github.com/distribution/distribution/blob/v2.8.2/registry/handlers/blobupload.go).
        """
        self._done = 0
        if self._location:
            answer = self._registry.ask("GET", self._location)
            found = _RANGE.fullmatch(str(answer.headers.get("Range", "")))
            # "0-0" is what a registry says of no byte, too; one byte alone never was sent.
            if answer.status == 204 and found and int(found[1]):  # noqa: PLR2004 - HTTP's own
                self._done = int(found[1]) + 1
                self._follow(answer, self._location)
                return
        answer = self._registry.ask("POST", self._uploads)
        if answer.status != 202:  # noqa: PLR2004
            raise self._registry.unexpected(self._uploads, answer, "202")
        self._follow(answer, self._uploads)

    def _send(self) -> None:
        while self._done < self._blob.size:
            stop = min(self._done + CHUNK, self._blob.size)
            body = b"".join(self._blob.pieces(self._done, stop))
            headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{self._done}-{stop - 1}"}
            answer = self._registry.ask("PATCH", self._location, body, headers)
            if answer.status != 202:  # noqa: PLR2004 - HTTP's own
                raise self._registry.unexpected(self._location, answer, "202")
            self._follow(answer, self._location)
            self._done = stop
            self._tell(stop)

    def _end(self) -> None:
        target = f"{self._location}{'&' if '?' in self._location else '?'}digest={quote(self._digest)}"
        answer = self._registry.ask("PUT", target)
        if answer.status != 201:  # noqa: PLR2004 - HTTP's own
            raise self._registry.unexpected(target, answer, "201")
        self._tell(self._blob.size)

    def _follow(self, answer: Answer, target: str) -> None:
        """Note where the registry wants the next piece: it keeps its state in that."""
        location = answer.headers.get("Location")
        self._location = self._registry.local(target, location) if location else target

    def _tell(self, done: int) -> None:
        """Tell of what is new: bytes that are sent a second time are not told twice."""
        if done > self._told:
            self._advance(done - self._told)
            self._told = done
