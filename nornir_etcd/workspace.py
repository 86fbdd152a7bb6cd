"""The files that a user may edit: where they lie (in the workspace, else with the package), and laying them out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.manifest import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PARTS = ("config.yaml", "inventory", "notebooks", "runbooks", "schedule", "templates")
"""What a workspace is made of."""

_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / "_workspace"  # in a wheel; in a source tree the same files lie beside the package


def find_template(name: str, directories: Sequence[Path]) -> Path:
    """Return the path of a template: the first workspace that has it wins, then the package's own.

    Args:
        name: the template's file name.
        directories: workspaces, nearest first; each is looked at under `templates/`.

    Raises:
        InventoryError: where there is no such template.
    """
    candidates = [directory / "templates" / name for directory in (*directories, _shipped())]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InventoryError(f"template {name}: not found, looked for {', '.join(map(str, candidates))}")


def manifest_template() -> str:
    """Return the text of the static Pod's template: the working directory's, else the package's.

    Raises:
        InventoryError: where there is none.
    """
    return find_template(TEMPLATE, [Path.cwd()]).read_text(encoding="utf-8")


def lay_out(directory: Path, own: Mapping[str, str] | None = None) -> None:
    """Copy the workspace that comes with the package, whole or not at all. Nothing is written over.

    Args:
        directory: where to; made where there is none.
        own: the text of files that take the place of those that come with the package, or are added, by their path.

    Raises:
        InventoryError: with every file that is in the way, or with what cannot be written.
    """
    files = {directory / path.relative_to(_shipped()): path.read_bytes() for path in _files(_shipped())}
    files |= {directory / name: text.encode() for name, text in (own or {}).items()}
    folders = sorted({folder for target in files for folder in target.parents})
    in_the_way = [target for target in files if os.path.lexists(target)]
    in_the_way += [folder for folder in folders if os.path.lexists(folder) and not folder.is_dir()]
    if in_the_way:
        raise InventoryError(*(f"{path}: wanted nothing there yet, found it; it stays as it is" for path in in_the_way))
    made: list[Path] = []
    try:
        for target, content in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                made.append(target)
                stream.write(content)
    except OSError as error:
        for target in made:
            target.unlink(missing_ok=True)
        raise InventoryError(
            f"{error.filename or directory}: wanted to write there, found: {error.strerror}"
        ) from error


def _shipped() -> Path:
    return _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent


def _files(root: Path) -> Iterator[Path]:
    """Yield the files of a workspace, by name."""
    for part in PARTS:
        found = [root / part] if (root / part).is_file() else sorted((root / part).rglob("*"))
        yield from (path for path in found if path.is_file() and path.suffix != ".pyc")
