"""What the front decides: which jobs the engine runs, which coefficients take 8 bits (docs/contract.md §3.2, §4)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from rtl_gen.engine.layouts import key_layout
from stamp_hw.engine.params import EngineParams
from stamp_hw.hadamard_params import HadamardParams


def within(value: Value, low: int, high: int | Value) -> Value:
    """low ≤ value ≤ high, without what the width already says."""
    return (value >= low) & (value <= high)


def legal(fits: Value, tokens: Value, params: EngineParams) -> Value:
    """Whether the engine can run a job to its end: its registers pass every one of the `tests`; `tokens` = width ·
    height, in 1-D builds the width that was tested."""
    return fits.all() & within(tokens, 1, params.max_tokens) if params.axes == 2 else fits.all()


def tests(job: data.View, params: EngineParams) -> Value:
    """What a job's registers have to be, a bit a test, so that the engine can run it to its end.

    Registers that fit each other badly in any other way give wrong values or an overflow,
    never a stage that waits for ever.
    """
    side = (Value.cast(1) << job.levels)[: params.max_levels + 1]
    found = [
        within(job.width, 1, params.max_tokens),
        job.n_sink < params.max_tokens,
        within(job.beats, 1, params.max_beats),
        within(job.tail, 1, params.lanes),
        (job.beats != params.max_beats) | (job.tail <= params.max_k - (params.max_beats - 1) * params.lanes),
        job.columns != 0,
        within(job.out_beats, 1, params.chunks),
        within(job.out_keep, 1, params.rescale_lanes),
        job.tile_width != 0,
        (job.tile_width & (side - 1)[: params.max_levels]) == 0,
    ]
    if params.rotation is not None:
        found += whole_blocks(job, params, params.rotation)
    if params.axes == 1:
        return Cat(*found, job.levels <= params.max_levels)
    flat = (job.height == 1) & (job.tile_height == 1) & (job.levels <= params.max_levels)
    grid = ((job.levels <= params.max_levels // 2) & within(job.height, 1, params.max_tokens) & (job.n_sink == 0)
            & (job.tile_height != 0) & ((job.tile_height & (side - 1)[: params.max_levels]) == 0)
            & ((job.tile_width >= job.width) | (job.tile_height == side)))
    return Cat(*found, Mux(job.two_d, grid, flat))


def whole_blocks(job: data.View, params: EngineParams, unit: HadamardParams) -> list[Value]:
    """What the Hadamard unit asks of a job that it transforms; of another one it looks at `beats` alone."""
    on = [within(job.in_beats, 1, job.beats), within(job.in_tail, 1, params.lanes), job.hadamard_shift <= unit.levels]
    if unit.block_beats > 1:
        on.append((job.beats & (unit.block_beats - 1)) == 0)
    return [~job.hadamard | test for test in on]


def takes_8_bits(m: Module, coef: data.View, job: data.View, params: EngineParams) -> Value:
    """Whether a coefficient stands before the first one that takes 4 bits: one comparison of their keys."""
    key = Signal(key_layout(params))
    limit = Signal(key_layout(params))
    m.d.comb += [
        key.order.eq(Mux(coef.level == 0, 0, job.levels + 1 - coef.level)),
        key.column.eq(coef.column),
        limit.order.eq(job.hi_order),
        limit.column.eq(job.hi_column),
    ]
    if params.axes == 2:
        m.d.comb += [key.band.eq(coef.band), key.row.eq(coef.row), limit.band.eq(job.hi_band), limit.row.eq(job.hi_row)]
    return key.as_value() < limit.as_value()
