"""The files that a report is written to: one form for each suffix, each file by a rename."""

from __future__ import annotations

import logging
import os
import secrets
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import InventoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nornir_etcd.report.model import Report

logger = logging.getLogger(__name__)


def _json(report: Report) -> str:
    from nornir_etcd.report.document import to_json  # noqa: PLC0415 - a run loads the forms that it writes

    return to_json(report)


def _markdown(report: Report) -> str:
    from nornir_etcd.report.markdown import to_markdown  # noqa: PLC0415 - as above

    return to_markdown(report)


def _html(report: Report) -> str:
    from nornir_etcd.report.html import to_html  # noqa: PLC0415 - as above

    return to_html(report)


def _junit(report: Report) -> str:
    from nornir_etcd.report.junit import to_junit  # noqa: PLC0415 - as above

    return to_junit(report)


def _prometheus(report: Report) -> str:
    from nornir_etcd.report.prometheus import to_prometheus  # noqa: PLC0415 - as above
    from nornir_etcd.report.summary import summary_line  # noqa: PLC0415

    return f"{to_prometheus(report)}# {' '.join(summary_line(report).split())}\n"


FORMS: dict[str, Callable[[Report], str]] = {
    ".json": _json,
    ".md": _markdown,
    ".html": _html,
    ".xml": _junit,
    ".prom": _prometheus,
}
"""Suffix -> form. `.xml` is JUnit's; `.prom` is for the textfile collector of Prometheus' node exporter."""
PROM_MODE = 0o644
"""The node exporter runs as a user of its own and must read the file, whatever the umask of the run."""


def check_outputs(paths: Sequence[Path]) -> None:
    """Find out before the run, not after it, that a report cannot be written.

    Raises:
        InventoryError: with every path that is unfit.
    """
    problems = [problem for path in paths if (problem := _problem(path))]
    if problems:
        raise InventoryError(*(f"--output: {problem}" for problem in problems))


def write_outputs(paths: Sequence[Path], report: Report) -> Iterator[str]:
    """Write the report to every path, and yield a line for each that could not be written."""
    for path in paths:
        if failed := _failure(path, report):
            yield f"--output: {path}: {failed}"


def _failure(path: Path, report: Report) -> str:
    """Write one file; return why it could not be written, or an empty string."""
    try:
        _write(path, FORMS.get(path.suffix.lower(), _json)(report))
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:  # a fault of one form must not take the others away
        logger.exception("--output: %s", path)
        return f"internal error: {type(error).__name__}; see the log"
    return ""


def _is_device(path: Path) -> bool:
    """Whether it is such as /dev/stdout: written to as it stands, since a rename would put a file in its place."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _problem(path: Path) -> str:
    if _is_device(path):
        return "" if os.access(path, os.W_OK) else f"wanted something that can be written to, found {path}"
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        return f"wanted a file in a folder that can be written, found {path}"
    if path.suffix.lower() not in FORMS:
        return f"wanted a name that ends in {', '.join(FORMS)}, found {path}"
    return ""


def _write(path: Path, text: str) -> None:
    """Write a file by a rename on its own file system, so that a reader never sees half of one.

    Raises:
        OSError: it cannot be written; nothing of it is left behind.
    """
    if _is_device(path):
        path.write_text(text, encoding="utf-8")
        return
    target = path.resolve()
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            if path.suffix.lower() == ".prom":
                os.fchmod(descriptor, PROM_MODE)
        staged.replace(target)
    except OSError:
        staged.unlink()
        raise
