"""`python -m benchmarks`: run the cases, print ratios and write all figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.cost import Cost
from benchmarks.floor import Floor
from benchmarks.subject import MEMBERS, Subject
from nornir_etcd.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
Case = tuple[str, Callable[[], Cost]]
Figures = dict[str, dict[str, list[Cost]]]


@contextmanager
def lab_of(hosts: int) -> Iterator[tuple[Lab, Subject, Floor]]:
    """Make a lab with its images on every host, a workspace for the program, and the floor."""
    made = Lab(f"bench-{os.getpid()}", hosts, preload=True)
    made.up()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            yield made, Subject(made, Path(directory)), Floor(made)
    finally:
        made.down()


def wipe(lab: Lab) -> None:
    """Make all hosts as new."""
    with ThreadPoolExecutor(max_workers=MEMBERS) as pool:
        list(pool.map(lambda node: lab.wipe(node.name), lab.nodes))


def small(runs: int, figures: Figures) -> None:
    """One cluster: the first deployment, a second one, verify; the program and the floor in turn."""
    with lab_of(MEMBERS) as (lab, subject, floor):
        subject.run("deploy")  # once unmeasured: bytecode, page cache, and the files that the floor pushes
        floor.keep_files()
        for _ in range(runs):
            wipe(lab)
            add(figures, "first deploy, 3 hosts", "floor", floor.deploy())
            wipe(lab)
            subject.forget()
            add(figures, "first deploy, 3 hosts", "program", subject.run("deploy"))
            floor.keep_files()
            add(figures, "second deploy, 3 hosts", "floor", floor.deploy_again())
            add(figures, "second deploy, 3 hosts", "program", subject.run("deploy"))
            add(figures, "verify, 3 hosts", "floor", floor.verify())
            add(figures, "verify, 3 hosts", "program", subject.run("verify"))


def large(hosts: int, runs: int, figures: Figures) -> None:
    """Many clusters: verify."""
    # All members share this machine's cores, which a timeout for members with their own takes for silence.
    patient = ("--set", "etcd_timeout=60")
    with lab_of(hosts) as (_, subject, floor):
        for cluster in subject.clusters:  # one by one: all at once outlast even that
            subject.run("deploy", *patient, "--filter", f"deploy_name={cluster}")
        floor.verify()
        for _ in range(runs):
            add(figures, f"verify, {hosts} hosts", "floor", floor.verify())
            add(figures, f"verify, {hosts} hosts", "program", subject.run("verify", *patient))


def add(figures: Figures, case: str, who: str, cost: Cost) -> None:
    """Keep what a run cost, and tell it."""
    figures.setdefault(case, {}).setdefault(who, []).append(cost)
    print(f"{case}: {who}: {cost.wall:.2f} s, CPU {cost.cpu:.2f} s, load {os.getloadavg()[0]:.1f}", flush=True)


def medians(costs: list[Cost]) -> dict[str, float]:
    """Return the median of each figure."""
    return {field.name: round(median(getattr(cost, field.name) for cost in costs), 3) for field in fields(Cost)}


def table(figures: Figures) -> str:
    """Draw the medians, ratios first."""
    lines = [
        "| medians | wall: ratio | program s | floor s | CPU: ratio | program s | floor s | handshakes | commands |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case, sides in figures.items():
        program, floor = medians(sides["program"]), medians(sides["floor"])
        cells = [case]
        for what in ("wall", "cpu"):
            ratio = program[what] / floor[what]
            cells += [f"**{ratio:.2f}**", f"{program[what]:.2f}", f"{floor[what]:.2f}"]
        cells += [f"{program['handshakes']:g}", f"{program['commands']:g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each case (default 5)")
    parser.add_argument("--hosts", type=int, default=30, help="for the case of many clusters; 0 leaves it out")
    chosen = parser.parse_args()
    figures: Figures = {}
    small(chosen.runs, figures)
    if chosen.hosts:
        large(chosen.hosts, chosen.runs, figures)
    now = datetime.now(tz=timezone.utc)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%dT%H%M%SZ}.json"
    cases = {
        case: {
            who: {"medians": medians(costs), "runs": [asdict(cost) for cost in costs]} for who, costs in sides.items()
        }
        for case, sides in figures.items()
    }
    content = {"taken_at": now.isoformat(), "cores": os.cpu_count(), "load": os.getloadavg(), "cases": cases}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(figures)}\n\n{path}")


if __name__ == "__main__":
    main()
