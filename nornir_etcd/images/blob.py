"""Bytes of an image as they lie in a file, known by their SHA-256. Nothing of them is kept in memory."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = 1024 * 1024
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Blob:
    """A part of an archive.

    Args:
        archive: the file.
        name: what it is called in there, for errors.
        offset: where it begins in the file.
        size: bytes.
    """

    archive: Path
    name: str
    offset: int
    size: int

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to `stop` (to the end where it is None), a MiB at a time.

        Raises:
            ImageError: the file cannot be read, or has become shorter.
        """
        left = (self.size if stop is None else stop) - start
        try:
            with self.archive.open("rb") as stream:
                stream.seek(self.offset + start)
                while left > 0:
                    piece = stream.read(min(PIECE, left))
                    if not piece:
                        raise ImageError(
                            str(self.archive),
                            wanted=f"{self.size} bytes of {self.name}",
                            found=f"an end {left} bytes before",
                            remedy="copy the archive again",
                        )
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise unreadable(self.archive, error) from error

    def read(self) -> bytes:
        """Return all of it: for what is small."""
        return b"".join(self.pieces())

    def digest(self) -> str:
        """Return `sha256:...` of it."""
        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
        return f"sha256:{found.hexdigest()}"

    @property
    def gzipped(self) -> bool:
        """Whether it is compressed by gzip."""
        return b"".join(self.pieces(0, min(len(GZIP), self.size))) == GZIP

    def unpacked_digest(self) -> str:
        """Return `sha256:...` of what it is without gzip's compression.

        Raises:
            ImageError: it is not whole.
        """
        if not self.gzipped:
            return self.digest()
        found, unpacker = hashlib.sha256(), zlib.decompressobj(wbits=31)  # 31: with gzip's header and trailer
        try:
            for piece in self.pieces():
                found.update(unpacker.decompress(piece))
        except zlib.error as error:
            raise ImageError(
                str(self.archive), wanted=f"{self.name} compressed by gzip", found=str(error), remedy="copy it again"
            ) from error
        return f"sha256:{found.hexdigest()}"


def unreadable(path: Path, error: OSError) -> ImageError:
    """Return the error of a file that the operating system does not give."""
    return ImageError(str(path), wanted="a file that can be read", found=error.strerror or type(error).__name__)
