"""What every division of a layer costs at least: cycles and energy, of all candidates at once.

Bounds of cycles follow from single terms of the recursion in `sim.engine.passes`: whatever else a pass waits for only
makes it later; `sim.mapping.port_bounds` says more of a memory behind one port. Energy is a sum of events whose counts
are affine in a division's counts, so that its bound is that affine function less what rounding to whole fJ can make of
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim import dram, haar, memory
from sim.cost import activity
from sim.cost.energy import EnergySet, Event
from sim.division import Division
from sim.dram import FULL
from sim.engine.array import LOAD_SETUP, LOADED, word_cycles
from sim.engine.arrivals import Arrivals
from sim.engine.passes import Rates
from sim.mapping.candidates import Candidates
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.haar_slots import HaarJob

#: More than the relative error of any of these sums and products of float64.
FLOATS = 1e-9


def least_cycles(task: Task, hw: HwConfig, found: Candidates) -> np.ndarray:
    """At most the cycles of each candidate (`closed_form.simulate`), of a memory that never waits but for the time that
    the layer's bytes take: int64[candidates]."""
    params = EngineParams.of(hw)
    rates = Rates.of(task, hw, params)
    one_load = LOAD_SETUP + rates.load - 1 + LOADED
    arrivals = Arrivals(task, hw, (), FULL)
    arrivals.take_all()
    closing = arrivals.ready[task.job.n_sink :]  # of Haar tile n the low-pass token n is the last
    begins = Begins(first_load=rates.begin + one_load,
                    last_load=rates.begin + task.columns(hw)[0] * found.super_tiles * one_load,
                    first_rows=closing[found.first_haar - 1], all_rows=int(closing.max()))
    bytes_take = {count: dram.cycles(memory.dram_bytes(task, hw, count).total, hw)
                  for count in set(found.super_tiles.tolist())}
    return np.asarray(np.maximum(ends(task, hw, found, begins),
                                 [bytes_take[count] for count in found.super_tiles.tolist()]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Begins:
    """Cycles from which on at the earliest there are weights and parameters of the first pass (`first_load`) and of the
    last one (`last_load`), the first super-tile's codes (`first_rows`) and those of all tokens (`all_rows`): of all
    candidates, or int64[candidates]."""

    first_load: int | np.ndarray
    last_load: int | np.ndarray
    first_rows: int | np.ndarray
    all_rows: int | np.ndarray


def ends(task: Task, hw: HwConfig, found: Candidates, begins: Begins) -> np.ndarray:
    """Cycles of each candidate at least: int64[candidates].

    The last pass ends no earlier than its weights' load, the array tiles of all passes in a row, behind the first load
    or behind the first super-tile's last token, and the last super-tile's passes behind the job's last token allow.
    Behind it are the last inverse lifting, and in front of that those of all passes in a row.
    """
    params = EngineParams.of(hw)
    rates, columns = Rates.of(task, hw, params), task.columns(hw)[0]
    lead, tiles = rates.span - 1, columns * found.array_tiles
    last = np.maximum.reduce([
        begins.first_load + lead + (tiles - 1) * rates.tile,
        begins.last_load + lead + (found.last_tiles - 1) * rates.tile,
        begins.first_rows + params.order_cycles + lead + (tiles - found.first_tiles) * rates.tile,
        begins.all_rows + params.order_cycles + lead + (columns - 1) * found.last_tiles * rates.tile,
    ])
    first = begins.first_load + lead + (found.first_tiles - 1) * rates.tile
    lifting, final = _back(task, hw, params, found)
    return np.asarray(np.maximum(last, first + lifting) + word_cycles(params) + final + params.finish.latency)


def _back(task: Task, hw: HwConfig, params: EngineParams, found: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """(cycles of the inverse liftings of all passes but the last one, of that one to its last output beat), at least:
    every token takes a busy slot."""
    unit, (columns, beats) = params.inverse, task.columns(hw)
    tokens = task.job.tokens
    full, short = (haar.slot_cycles(unit, HaarJob(tokens=1, levels=0, beats=count)) for count in (params.chunks, beats))
    liftings = found.super_tiles * unit.job_cycles
    last = unit.job_cycles + found.last_tokens * short
    before = (columns - 1) * (liftings + tokens * full) + liftings + tokens * short - last
    return before, last - (short - beats) + unit.latency


def least_energy(task: Task, hw: HwConfig, found: Candidates, energy_set: EnergySet) -> np.ndarray:
    """At most the energy of each candidate in fJ (`layer_cost.energy_fj`): float64[candidates]."""
    origin = Division(super_tiles=1, array_tiles=1, row_slots=0, row_slots4=0)

    def events_of(division: Division) -> list[Event]:
        return [event for part in activity.events(task, hw, division).values() for event in part]

    def price(events: Sequence[Event]) -> float:
        return 1000 * sum(map(energy_set.price, events))

    events = events_of(origin)
    first = price(events)
    least = np.full(len(found), first)
    for name in Division.__slots__:
        start = getattr(origin, name)
        more = price(events_of(replace(origin, **{name: start + 1}))) - first
        least += (getattr(found, name) - start) * more
    rounding = 0.5 * len(events)  # half a fJ of every event
    return np.asarray(least * (1 - FLOATS) - rounding)
