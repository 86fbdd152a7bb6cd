"""The notebook for operators, run as Jupyter runs it on the hosts of a lab."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbclient
import nbformat
import pytest

from tests.lab.workspace import MANIFEST, Workspace

if TYPE_CHECKING:
    from nornir_etcd.lab import Lab

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "ops.ipynb"


def load() -> Any:
    """Return the notebook as it is kept."""
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call] # nbformat's own


def test_the_notebook_is_kept_without_outputs_and_changes_nothing_by_itself() -> None:
    notebook = load()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    source = "\n".join(cell.source for cell in code)
    assert "sure = False\n" in source
    assert re.findall(r"deploy\(.*", source) == [
        "deploy(nr.with_processors([progress]), overrides=change, dry_run=True)",
        "deploy(nr.with_processors([progress]), overrides=change, dry_run=not sure)",
    ]


@pytest.mark.lab
def test_the_notebook_verifies_changes_and_verifies(
    fresh_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(fresh_lab, tmp_path)
    workspace.inventory()
    first = workspace.deploy()
    assert all(step["started_at"] and step["seconds"] for step in first.cluster["plan"])
    before = workspace.containers()
    notebook = load()
    cells = {cell.id: cell for cell in notebook.cells}
    cells["apply"].source = cells["apply"].source.replace("sure = False", "sure = True")
    monkeypatch.setenv("ETCD_WORKSPACE", str(tmp_path))
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()

    shown = {name: outputs(cell) for name, cell in cells.items() if cell.cell_type == "code"}
    assert not any(output["output_type"] == "stream" for cell in cells.values() for output in cell.get("outputs", []))
    assert "node-1" in shown["start"]
    for name in ("verify", "dry", "apply", "again"):
        assert "3 of 3 members healthy" in shown[name], name
        assert all(node.name in shown[name] for node in fresh_lab.nodes), name
    assert "etcd verify" in shown["verify"]
    assert re.search('class="badge (critical|unknown|warning|ok)"', shown["finding"])
    assert shown["evidence"].startswith("{")
    assert len(re.findall(r'<ins>\+ +- "--snapshot-count=20000"</ins>', html.unescape(shown["dry"]))) == 3
    assert "4 steps planned" in shown["dry"], "three members, and another one leads before the leader stops"
    assert "replace-manifest" in shown["step"]
    assert "2 of 3 voters stay" in shown["step"]
    assert "4 steps done" in shown["apply"]
    assert "manifest.drift" not in shown["again"].partition("<summary>all that is known")[0]

    after = workspace.containers()
    assert all(after.values())
    assert not set(before.values()) & set(after.values()), "every member runs anew"
    assert "--snapshot-count=20000" in fresh_lab.run("node-1", f"cat {MANIFEST}").stdout
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def outputs(cell: Any) -> str:
    """Return what a cell displays in the end."""
    data = [output["data"] for output in cell.outputs if "data" in output]
    return "\n".join(one.get("text/html", one["text/plain"]) for one in data)
