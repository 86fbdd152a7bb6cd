"""What lies where in a tar archive. Its content is left where it is."""

from __future__ import annotations

import posixpath
import tarfile
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import ImageError
from nornir_etcd.images.blob import GZIP, Blob, unreadable

if TYPE_CHECKING:
    from pathlib import Path

MEMBERS = 20_000
"""More has no image: one of 127 layers in the oldest form has some 400."""
_LINKS = 8
_ZSTD, _XZ, _BZIP2 = b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\x00", b"BZh"
_COMPRESSED = {GZIP: "gzip", _ZSTD: "zstd", _XZ: "xz", _BZIP2: "bzip2"}
_BROKEN = (tarfile.TarError, ValueError, OverflowError, EOFError, LookupError, RecursionError)


def blobs(path: Path) -> dict[str, Blob]:
    """Return the files in an archive by their names; links to them stand for them.

    Args:
        path: the archive.

    Raises:
        ImageError: it cannot be read, is cut short, or is no plain tar.
    """
    try:
        head = _head(path)
        size = path.stat().st_size
        _refuse_other(path, head)
        files, links = _members(path, size)
    except OSError as error:
        raise unreadable(path, error) from error
    except _BROKEN as error:
        found = "one that is cut short" if "unexpected end" in str(error) else f"no tar: {error}"
        raise ImageError(
            str(path), wanted="a whole tar of images", found=found, remedy="copy the archive again"
        ) from error
    for name in links:
        target = _target(name, links)
        if target in files:
            files[name] = files[target]
    return files


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(512)


def _refuse_other(path: Path, head: bytes) -> None:
    """Refuse what is told by its first bytes: in words that help more than `no tar`."""
    wanted = "a tar of images"
    if not head:
        raise ImageError(str(path), wanted=wanted, found="an empty file", remedy="copy the archive again")
    if head.lstrip()[:1] == b"<":
        raise ImageError(
            str(path), wanted=wanted, found="HTML", remedy="a web page was saved in its place: fetch the archive again"
        )
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            raise ImageError(str(path), wanted=wanted, found=f"one compressed by {name}", remedy="unpack it first")


def _members(path: Path, size: int) -> tuple[dict[str, Blob], dict[str, str]]:
    """Return the files of a tar, and its links by where they lead."""
    files: dict[str, Blob] = {}
    links: dict[str, str] = {}
    with tarfile.open(path, "r:") as tar:
        for count, member in enumerate(tar):
            if count >= MEMBERS:
                raise ImageError(str(path), wanted=f"at most {MEMBERS} files", found="more", remedy="it is no image")
            name = posixpath.normpath(member.name)
            if member.issym():
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                links[name] = posixpath.normpath(member.linkname)
            elif member.isreg() and not member.issparse():
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                files[name] = Blob(path, name, member.offset_data, member.size)
    return files, links


def _target(name: str, links: dict[str, str]) -> str:
    for _ in range(_LINKS):
        if name not in links:
            break
        name = links[name]
    return name
