"""`stamp-hw report`: one HTML file of what `stamp-hw simulate --json`, `compare --json` or `sweep --out` wrote."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import check_apart, check_writable
from stamp_hw.cli.show import show


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    report: Path
    out: Path
    objectives: str | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Draws a report as one HTML file that needs nothing else: what it costs and what limits it, cycles by cause, "
        "energy, memory traffic, roofline, layers, accuracy, and every constant with its source; of a sweep its Pareto "
        "fronts and points; for light and dark screens and for paper. docs/report.md says what is in it.")
    parser.add_argument("report", type=Path, metavar="REPORT",
                        help="what `stamp-hw simulate --json` wrote, of a trace, of shapes or of a whole model, or "
                             "`stamp-hw compare --json`, or `stamp-hw sweep --out`")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the HTML file that is written")
    parser.add_argument("--objectives", metavar="LIST",
                        help="of a sweep: what its fronts are for, comma-separated, the first two on the axes of the "
                             "drawing (default time_s,energy_fj,pes)")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Read, draw, write."""
    from sim.report import page, read
    from stamp_hw.formats.files import atomic_file

    check_writable(options.out, folder=False)
    check_apart({"the report": options.report}, [("--out", options.out)])
    goals = None if options.objectives is None else [goal.strip() for goal in options.objectives.split(",")]
    text = page.render(read.read(options.report, goals))
    with atomic_file(options.out) as stream:
        stream.write(text)
    show(f"{options.out}: {len(text.encode()) / 1e3:,.0f} kB")
    return 0
