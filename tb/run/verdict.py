"""How `make demo` ends: what was compared, three figures, what was written and what to try next.

`python -m tb.run.verdict FOLDER` reads the reports that the demo left in its folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stamp_hw import exits

NEXT = "stamp-hw generate --config configs/fpga.yaml --out build/verilog"
REPORTS = {"smollm2.json": "block 0 of SmolLM2-135M, configs/language.yaml",
           "llama_small.json": "a small Llama trained here, configs/default.yaml"}
CHECKED = "verify.json"


def figures(report: Mapping[str, Any]) -> list[str]:
    """What STaMP buys and costs on the layers of a trace."""
    totals = report["totals"]
    stamp, first, four = (totals[name] for name in ("stamp", "first_n", "a4"))
    return [f"{stamp['sqnr_db'] - first['sqnr_db']:+.2f} dB SQNR at the input of a layer over first_n (8 bits for the "
            f"first tokens), both at {stamp['average_bits']:.3f} bits on average",
            f"× {stamp['cycles'] / four['cycles']:.3f} the cycles of 4 bits throughout",
            f"× {stamp['energy_pj'] / four['energy_pj']:.3f} its energy (modelled)"]


def compared(checked: Mapping[str, Any]) -> tuple[str, bool]:
    """What the RTL was compared in, and whether nothing differed."""
    sums = {name: sum(row[name] for row in checked["rows"]) for name in (
        "words", "mismatches", "timed_beats", "cycle_differences", "event_differences")}
    right = checked["exit_code"] == exits.OK and sums["words"] > 0
    return (f"{sums['words']:,} words of RTL against the golden model, {sums['mismatches']} mismatches; "
            f"{sums['timed_beats']:,} beats against the cycle model, {sums['cycle_differences']} differences; "
            f"{sums['event_differences']} differences in events"), right


def verdict(folder: Path) -> tuple[str, int]:
    """The text, and the exit code. Raises OSError, ValueError or KeyError for a folder that no demo left."""
    *reports, checked = (json.loads((folder / name).read_text("utf-8")) for name in (*REPORTS, CHECKED))
    said, right = compared(checked)
    pictures = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    verilog = sorted((folder / "verilog").glob("*.v"))
    lines = ["", f"demo: {'all equal' if right else 'NOT EQUAL'}", f"  {said}",
             *(line for name, report in zip(REPORTS.values(), reports, strict=True) for line in (
                 f"  {name}, {len(report['layers'])} layers:", *(f"    {figure}" for figure in figures(report)))),
             f"  written to {folder}: reports (*.json, *.csv), {len(verilog)} Verilog modules and testbenches",
             f"    {len(pictures)} pictures: {', '.join(map(str, pictures))}", f"  next: {NEXT}"]
    return "\n".join(lines) + "\n", exits.OK if right else exits.FOUND


if __name__ == "__main__":
    text, code = verdict(Path(sys.argv[1]))
    sys.stdout.write(text)
    sys.exit(code)
