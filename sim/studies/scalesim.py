"""Products of given shapes as SCALE-Sim counts them: the report of `stamp-hw simulate --mode scalesim`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.engine.compat import DATAFLOWS
from sim.task import Shape
from stamp_hw.config import HwConfig
from stamp_hw.text import align

SCHEMA_VERSION = 1
NAMES = {"os": "output-stationary", "ws": "weight-stationary", "is": "input-stationary"}
_UTILIZATION_DIGITS = 9


def document(shapes: Sequence[Shape], dataflows: Sequence[str], hw: HwConfig, version: str) -> dict[str, Any]:
    """Shape → dataflow → its figures, and the totals of each dataflow over all shapes."""
    counts = {shape.name: {name: DATAFLOWS[name](shape.tokens, shape.k, shape.n, hw.rows, hw.cols)
                           for name in dataflows} for shape in shapes}
    return {
        "schema_version": SCHEMA_VERSION, "version": version, "mode": "scalesim", "rows": hw.rows, "cols": hw.cols,
        "shapes": {shape: {name: {"cycles": count.cycles, "folds": count.folds, "fold_cycles": count.fold_cycles,
                                  "macs": count.macs, "utilization": _rounded(count.utilization)}
                           for name, count in found.items()} for shape, found in counts.items()},
        "totals": {name: {"cycles": sum(found[name].cycles for found in counts.values()),
                          "macs": sum(found[name].macs for found in counts.values())} for name in dataflows},
    }


def render(report: Mapping[str, Any]) -> str:
    """A line a shape and dataflow, and what the figures are."""
    rows = [(shape, NAMES[name], f"{one['cycles']:,}", f"{one['folds']:,}", f"{one['fold_cycles']:,}",
             "–" if one["utilization"] is None else f"{100 * one['utilization']:.2f}")
            for shape, found in report["shapes"].items() for name, one in found.items()]
    if len(report["shapes"]) > 1:
        rows += [("TOTAL", NAMES[name], f"{total['cycles']:,}", "", "", "") for name, total in report["totals"].items()]
    table = align(("shape", "dataflow", "cycles", "folds", "cycles a fold", "util %"), rows, left=2)
    return (f"{table}\n\n{report['rows']} × {report['cols']} array, counted as SCALE-Sim 3.0.0 counts it: the array "
            "alone, 8 bits, no overlap of\nfolds, no memory; equal to its Total Cycles (docs/simulate.md). Without "
            "--mode: the engine itself.")


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_UTILIZATION_DIGITS}g}")
