"""Where the files lie that a user may edit: in the workspace, else those that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.manifest import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    shipped = _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent
    candidates = [directory / "templates" / name for directory in (*directories, shipped)]
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
