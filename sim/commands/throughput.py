"""`stamp-hw throughput`: how busy the array is, and what the transform costs, on arrays of four sizes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stamp_hw.cli.arguments import runs
from stamp_hw.cli.common import check_writable
from stamp_hw.cli.show import show


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for."""

    json: Path | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options; `run` is a function of them."""
    parser.description = (
        "Cycles of layers that fill the array, 4 × 4 to 32 × 32, all at 8 bits, all at 4 and mixed; of one column "
        "tile; and what the array waits for the transform. From the cycle model, which equals the RTL, with a memory "
        "that is fast enough. Takes seconds.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    runs(parser, Options, run)


def run(options: Options) -> int:
    """Compute, write, print."""
    from sim.studies.throughput import points, share
    from stamp_hw.formats.files import write_json
    from stamp_hw.text import align

    if options.json is not None:
        check_writable(options.json, folder=False)
    rows = {name: point.cycles() for name, point in points()}
    if options.json is not None:
        write_json(options.json, {
            name: {"total": cycles.total, "utilization": cycles.utilization, "share": share(cycles)}
            for name, cycles in rows.items()})
    show(align(("engine cycles (model)", "total", "utilization", "wait / total"), [
        (name, str(cycles.total), f"{100 * cycles.utilization:.2f} %", f"{100 * share(cycles):.3f} %")
        for name, cycles in rows.items()]))
    print()
    for size in (4, 8, 16, 32):
        eight, four = (rows[f"{size} x {size}, {bits} bits"] for bits in (8, 4))
        ratio = (eight.total - eight.first_fill - eight.tail) / (four.total - four.first_fill - four.tail)
        print(f"{size} x {size}: INT4 over INT8 in steady state {ratio:.3f}")
    return 0
