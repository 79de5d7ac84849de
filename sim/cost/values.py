"""What a layer's values add to the mean prices of a set made from gates, or take from them (docs/asic.md).

A set may have, of a unit, prices that follow the values: pJ of a beat by the bits that change in it. What they come to
takes the place of the mean prices' sum where the values are known: component `values` is the difference, so that the
others say what they say without a trace. A layer with a scale a block is charged by mean prices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sim import mac
from sim.cost import at_rest
from sim.cost.energy import EnergySet, Event
from sim.division import Division
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import changes
from stamp_hw.engine.changes import Passage
from stamp_hw.params import MacParams

COMPONENT = "values"
BASE = "base"  # a beat itself, among the measures
#: (component, events) of a unit; of those of `rescale` the others are its own.
_EVENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "lifting": ("lifting", ("forward_add",)), "inverse": ("lifting", ("inverse_add",)),
    "scale": ("scale", ("compare", "subtract", "round", "divide_step", "multiply")),
    "pe": ("mac", ("multiply_8bit_row", "multiply_4bit_row", "accumulate")),
    "rescale": ("rescale", ("multiply_span", "multiply_wsum", "multiply_mant", "add_mid", "add_total", "round")),
    "finish": ("rescale", ("bias",)), "array": ("control", ("array_step",)), "control": ("control", ("control_step",)),
}


def beats(task: Task, hw: HwConfig, division: Division) -> dict[str, int]:
    """Unit, of PEs `pe8` and `pe4` → what its prices are of: beats; steps; outputs of rescale and finish."""
    columns, _ = task.columns(hw)
    rows4 = [division.row_slots4] + [0] * (division.array_tiles - 1)
    steps = mac.events(MacParams.of(hw), [task.k] * division.array_tiles, rows4)
    of_token, out = -(-task.k // hw.lanes), task.job.tokens * task.out_beats(hw)
    return {"lifting": task.job.tokens * of_token, "scale": task.tokens * of_token,
            "pe8": steps.multiplies8 * columns, "pe4": steps.multiplies4 * columns,
            "array": task.k * division.array_tiles * columns, "control": task.k * division.array_tiles * columns,
            "rescale": task.tokens * columns * hw.cols, "inverse": out, "finish": out * hw.drain_lanes}


def followed(energy_set: EnergySet, run: Passage, counts: Mapping[str, int]) -> Iterator[tuple[str, int, float]]:
    """(unit, beats, pJ above rest) of each that the values are known to move."""
    for unit, prices in energy_set.follows.items():
        total, count = 0.0, 0
        for name in (("pe8", "pe4") if unit == at_rest.PE else (unit,)):
            measures = changes.of_layer(run, name)
            if not measures and counts.get(name):
                break
            each = prices.get(BASE, 0.0) + sum(prices.get(key, 0.0) * value for key, value in measures.items())
            total, count = total + counts[name] * each, count + counts[name]
        else:
            yield unit, count, total


def differences(energy_set: EnergySet, run: Passage, task: Task, hw: HwConfig, division: Division,
                events: Mapping[str, tuple[Event, ...]]) -> dict[str, tuple[int, float]]:
    """Unit → (beats, pJ by its values less pJ by the mean prices of its `events`)."""
    found = {}
    for unit, count, total in followed(energy_set, run, beats(task, hw, division)):
        component, names = _EVENTS[unit]
        mean = sum(energy_set.price(event) for event in events.get(component, ()) if event.name in names)
        found[unit] = count, total - mean
    return found
