"""What one layer costs on the hardware under one job: cycles, bytes, energy and the figures made of them.

Needs shapes only, so that full-size models can be estimated without their data.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim import memory
from sim.cost import activity, at_rest, values
from sim.cost.energy import EnergySet
from sim.cost.values import EventCost
from sim.division import Division
from sim.engine import closed_form
from sim.engine.closed_form import EngineCycles
from sim.memory import DramBytes
from sim.port import Plan
from sim.task import Shape, Task
from stamp_hw.config import HwConfig, NpuConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.changes import Passage
from stamp_hw.engine.super_tile import Size
from stamp_hw.scale import scale_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One layer on the hardware.

    `task`; `size` (width, height) of its super-tiles; `cycles`; `dram`; `events` component → event → count and energy;
    `macs` useful multiply-accumulates; `row_slot_steps` steps of a row slot and a column that worked on a real token
    and output (a 4-bit token fills half a slot); `scale_bits` bits of a token's scales (`stamp_hw.scale.scale_bits`);
    `followed` units whose energy follows the layer's values; `freq_hz`; `pes` = R · C; `port_bytes` that the one port
    moves in whole bursts and `port_bytes_per_s` that it can, None where there is none (`hw.memory`).
    """

    task: Task
    size: Size
    cycles: EngineCycles
    dram: DramBytes
    events: dict[str, dict[str, EventCost]]
    macs: int
    row_slot_steps: float
    scale_bits: float
    freq_hz: float
    pes: int
    port_bytes: int | None
    port_bytes_per_s: float | None
    followed: tuple[str, ...] = ()


def energy_fj(task: Task, hw: HwConfig, division: Division, energy_set: EnergySet) -> int:
    """Energy of a layer's events: of each the nearest whole number, so that sums are exact. What units take at rest,
    whatever the super-tiles, is not in it."""
    return sum(round(1000 * energy_set.price(event)) for events in activity.events(task, hw, division).values()
               for event in events)


def cost(shape: Shape, config: NpuConfig, energy_set: EnergySet, limit: int | Size | None = None,
         run: Passage | None = None) -> Cost:
    """Cost of a layer; `limit` tokens a super-tile, or its (width, height), None for the job's own
    (`super_tile.token_limit`). With the layer's values, `run`, energy follows them where the set can.

    Raises
    ------
    ConfigError : a job beyond the hardware; an energy set whose gates are of other hardware
    """
    energy_set.check(config.hw)
    hw, task = config.hw, Task.of(shape, config)
    limit = super_tile.token_limit(task.job, hw) if limit is None else limit
    size = super_tile.tile_size(task.job, hw, limit)
    parts = super_tile.divide(task.job, *size, hw.rows)
    division = Division.of(parts)
    products = task.channels_in * task.n
    cycles = closed_form.simulate(task, hw, size)
    steps = task.k * division.array_tiles * task.columns(hw)[0]
    counted = activity.events(task, hw, division) | at_rest.steps(energy_set, steps)
    resting = at_rest.energy_pj(energy_set, hw, cycles.total)
    costs = {component: {event.name: EventCost(count=event.count, energy_pj=energy_set.price(event))
                         for event in events} for component, events in counted.items()}
    followed: tuple[str, ...] = ()
    if run is not None:
        costs, followed = values.by_values(energy_set, run, values.beats(task, hw, division), costs)
    return Cost(
        task=task, size=size, cycles=cycles,
        dram=memory.dram_bytes(task, hw, division.super_tiles),
        events=costs | {component: {name: EventCost(count=cycles.total, energy_pj=taken)
                                    for name, taken in units.items()} for component, units in resting.items()},
        followed=followed,
        macs=task.job.tokens * products, row_slot_steps=task.job.average_bits / 8 * task.job.tokens * products,
        scale_bits=scale_bits(config, task.job, shape.k), freq_hz=float(hw.freq_hz), pes=hw.rows * hw.cols,
        port_bytes=None if hw.memory is None else Plan.of(task, hw, parts).moved,
        port_bytes_per_s=None if hw.memory is None else hw.memory.effective_bytes_per_s,
    )
