"""Operations that the drain of the array paces, in a report: with what they wait, and what would lift it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sim.engine.drain import relief
from stamp_hw.config import HwConfig


def figures(steps: int, hw: HwConfig) -> dict[str, int]:
    """`steps` of a tile, `tile_cycles` that it takes, `rescale_lanes` that would make it `tile_cycles_then`."""
    found = relief(steps, hw)
    return {"steps": found.steps, "tile_cycles": found.cycles, "rescale_lanes": found.lanes,
            "tile_cycles_then": found.then}


def said(drained: Iterable[tuple[str, Mapping[str, int]]], lanes: int) -> list[str]:
    """A sentence for all operations (what they are called, figures) whose tiles are alike; `lanes` that there are."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, found in drained:
        key = found["steps"], found["tile_cycles"], found["rescale_lanes"], found["tile_cycles_then"]
        alike.setdefault(key, []).append(name)
    return [f"Drain: {', '.join(names)}: the sums of a tile of {steps:,} steps take {cycles:,} cycles to leave the "
            f"array; {_remedy(steps, cycles, wanted, then, lanes)}"
            for (steps, cycles, wanted, then), names in alike.items()]


def _remedy(steps: int, cycles: int, wanted: int, then: int, lanes: int) -> str:
    if then == cycles:
        return "no hw.rescale_lanes makes that shorter."
    lifted = "lifts that" if then <= steps else f"makes that {then:,}"
    return f"hw.rescale_lanes={wanted} in place of {lanes} {lifted}."
