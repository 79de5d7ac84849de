"""What happens in each component while a layer runs, as priced events (docs/simulate.md lists them).

Counts of the blocks come from `sim.<block>.events`, which the RTL regression holds equal to counters in the generated
hardware; how many additions of which width one such event is follows from the equations in each block's docstring.
Buffers come from `sim.on_chip`, the DRAM from `sim.memory`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim import haar, hadamard, mac, memory, on_chip, rescale, scale
from sim.cost import bank_prices
from sim.cost.energy import Event
from sim.division import Division
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import MANT_WIDTH
from stamp_hw.hadamard_params import HadamardParams
from stamp_hw.params import INVERSE_WIDTH, CombineParams, HaarParams, MacParams, RescaleParams, ScaleParams


def events(task: Task, hw: HwConfig, division: Division) -> dict[str, tuple[Event, ...]]:
    """Component → events of one layer under a division."""
    columns, _ = task.columns(hw)
    moved = memory.dram_bytes(task, hw, division.super_tiles)
    return {
        "lifting": _lifting(task, hw),
        "scale": _scale(task, hw),
        "mac": _mac(task, columns, hw, division),
        "rescale": (*_rescale(task, columns, hw), *_combine(task, columns, hw, division)),
        "memory": tuple(bank_prices.event(own, *words)
                        for own, words in on_chip.accesses(task, hw, division).items()),
        "dram": tuple(Event(name=name, constant="dram.access", count=getattr(moved, name), bits=8)
                      for name in memory.OPERANDS),
    }


def _lifting(task: Task, hw: HwConfig) -> tuple[Event, ...]:
    """d = b − a and s = a + (d >> 1): two additions a butterfly and channel; and those of the Hadamard unit."""
    forward, inverse = HaarParams.forward(hw), HaarParams.inverse(hw)
    found = []
    for name, params, beats, finer in (("forward_add", forward, -(-task.k // hw.lanes), None),
                                       ("inverse_add", inverse, task.out_beats(hw), "inverse.add")):
        count = haar.events(params, [task.haar_job(beats)])
        additions = 2 * (count.butterflies + count.cross_butterflies) * params.lanes
        found.append(Event(name=name, constant="lifting.add", count=additions, at=params.out_width, finer=finer))
    return (*found, *_hadamard(task, hw))


def _hadamard(task: Task, hw: HwConfig) -> Iterator[Event]:
    """An addition a level and value, each level a bit wider (the price is linear in the bits: their mean will do), and
    the rounding."""
    if task.k_in is None:
        return
    params = HadamardParams.of(hw)
    job = params.job(tokens=task.tokens, k=task.k_in, shift=0)
    words = hadamard.events(params, job).beats * params.lanes
    widths = [min(params.width + 1 + level, params.sum_width) for level in range(1, params.levels + 1)]
    for name, count, at in (("hadamard_add", words * params.levels, sum(widths) / len(widths)),
                            ("hadamard_round", words, params.sum_width)):
        yield Event(name=name, constant="lifting.add", count=count, at=at, finer="hadamard.add")


def _scale(task: Task, hw: HwConfig) -> tuple[Event, ...]:
    """Two comparisons, a difference c − lo, a product and its rounding a coefficient; a subtraction a quotient bit."""
    params = ScaleParams.of(hw)
    count = scale.events(params, params.job(tokens=task.tokens, k=task.k, group=task.group))
    # With blocks a group's lo goes through a lane of its own, whose code is z.
    values, width = count.multiplies * (params.lanes + (params.block_beats > 0)), params.width
    return (
        Event(name="compare", constant="scale.add", count=2 * count.compares * params.lanes, at=width),
        Event(name="subtract", constant="scale.add", count=values, at=width + 1),
        Event(name="round", constant="scale.add", count=values, at=width + params.recip_width),
        Event(name="divide_step", constant="scale.add", count=count.divide_steps, at=width + 1),
        Event(name="multiply", constant="scale.multiply", count=values, at=width * params.recip_width),
    )


def _mac(task: Task, columns: int, hw: HwConfig, division: Division) -> tuple[Event, ...]:
    """A multiplication a PE and step; an accumulation in 8-bit rows, two in 4-bit rows. Empty rows run as 8-bit."""
    # Events are sums over rows: it does not matter which array tile has the 4-bit rows.
    rows4 = [division.row_slots4] + [0] * (division.array_tiles - 1)
    count = mac.events(MacParams.of(hw), [task.k] * division.array_tiles, rows4)
    eight, four = count.multiplies8 * columns, count.multiplies4 * columns
    return (
        Event(name="multiply_8bit_row", constant="mac.multiply", count=eight),
        Event(name="multiply_4bit_row", constant="mac.multiply", count=four, finer="mac.step4"),
        Event(name="accumulate", constant="mac.add", count=eight + 2 * four),
    )


def _rescale(task: Task, columns: int, hw: HwConfig) -> tuple[Event, ...]:
    """Of each output: span·(acc + mid·wsum), qmax·lo·wsum, their sum T, 17·T, T'·mant, rounding.

    Behind the inverse lifting one more addition an output: bias and the final rounding, one constant.
    """
    params = RescaleParams.of(hw)
    outputs = task.tokens * columns * hw.cols
    count = rescale.events(params, outputs // params.lanes)
    each = count.multiplies // rescale.MULTIPLIES_PER_LANE
    return (
        Event(name="multiply_span", constant="rescale.multiply", count=each, at=params.width * params.sum_width),
        Event(name="multiply_wsum", constant="rescale.multiply", count=each, at=params.width * params.wsum_width),
        Event(name="multiply_mant", constant="rescale.multiply", count=each, at=params.total_width * MANT_WIDTH),
        Event(name="add_mid", constant="rescale.add", count=count.outputs, at=params.sum_width),
        Event(name="add_total", constant="rescale.add", count=3 * count.outputs, at=params.total_width),
        Event(name="round", constant="rescale.add", count=count.outputs, at=params.product_width),
        Event(name="bias", constant="rescale.add", at=INVERSE_WIDTH, finer="finish.add",
              count=task.tokens * task.out_beats(hw) * hw.drain_lanes),
    )


def _combine(task: Task, columns: int, hw: HwConfig, division: Division) -> tuple[Event, ...]:
    """With blocks, of each sum of a block, those of empty row slots among them: span·acc, the span's offset, T."""
    if not hw.block:
        return ()
    params = CombineParams.of(hw)
    sums = on_chip.block_sums(task, hw, division) * columns * hw.cols
    return (
        Event(name="multiply_block", constant="rescale.multiply", count=sums, at=params.width * params.acc_width,
              finer="combine.multiply"),
        Event(name="add_block", constant="rescale.add", count=2 * sums, at=params.total_width, finer="combine.add"),
    )
