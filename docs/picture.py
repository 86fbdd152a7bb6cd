"""Draw a report as the program shows it: python docs/picture.py demo/report.json docs/report.svg."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from nornir_etcd.report.console import report_view
from nornir_etcd.report.document import from_json

WIDTH = 112
FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own frame without its fonts, which would be fetched from elsewhere."""


def main(report: Path, picture: Path) -> None:
    """Write the picture of a report.

    Args:
        report: JSON, as `--output` wrote it.
        picture: SVG.
    """
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    drawn = from_json(report.read_text(encoding="utf-8"))
    console.print(report_view(drawn))
    console.save_svg(str(picture), title=f"nornir-etcd {drawn.runbook}", code_format=FRAME, unique_id="report")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
