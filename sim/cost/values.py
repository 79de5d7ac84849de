"""Energy that follows a layer's values, in place of the mean prices of a set made from gates (docs/asic.md).

A set may have, of a unit, prices that follow the values: pJ of a beat by the bits that change in it. Where the values
are known, the unit's events share what those come to as they share what mean prices do; a unit that has no event, as
lifting of a layer that is not transformed, has its beats for one. A layer with a scale a block is charged by mean
prices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sim import mac
from sim.cost import at_rest
from sim.cost.energy import EnergySet
from sim.division import Division
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import changes
from stamp_hw.engine.changes import Passage
from stamp_hw.params import MacParams

BASE = "base"  # a beat itself, among the measures


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCost:
    """`count` events of one kind and the energy of all of them."""

    count: int
    energy_pj: float


Costs = dict[str, dict[str, EventCost]]  # component → event
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


def by_values(energy_set: EnergySet, run: Passage, counts: Mapping[str, int], costs: Costs
              ) -> tuple[Costs, tuple[str, ...]]:
    """(`costs` with the energy of followed units by their values, those units)."""
    found = {component: dict(events) for component, events in costs.items()}
    units = []
    for unit, count, total in followed(energy_set, run, counts):
        component, names = _EVENTS[unit]
        events = found[component]
        own = [name for name in names if name in events]
        mean = sum(events[name].energy_pj for name in own)
        if mean:
            events |= {name: replace(events[name], energy_pj=events[name].energy_pj * total / mean) for name in own}
        else:
            events[f"{unit}_beats"] = EventCost(count=count, energy_pj=total)
        units.append(unit)
    return found, tuple(units)
