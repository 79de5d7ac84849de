"""Cycle model of the linear engine: lifting, scale, activation buffer, array, rescale, inverse lifting
(docs/contract.md §4).

Event level: tokens, array tiles and column passes, not clock edges. It is put together from the cycle models of the
blocks, which the RTL regression holds equal to the generated Verilog; the engine around them has no RTL yet, so that
**only the blocks' cycles are RTL-checked and the engine's are modelled**. What it does:

- Tokens arrive in job order, a beat a cycle (slower where the DRAM is), sinks first; the lifting unit lets
  coefficients go in its own order, the scale unit passes them on at its rate into the row slots of one half of the
  activation buffer. The half must be free: the stream stalls from the first token of a super-tile on until the array
  has left the super-tile before the last.
  The scale unit's own back-pressure is left out of the arrivals: where the divider is slower than a token's beats and
  the ring buffer is short, they come out early, never late (by 0 cycles on the shipped trace, 6 on 2-D grids of 32 x 32
  and 64 x 64 tokens on the default hardware, below 10 %
  of the fill in the worst of sixty drawn corners).
- For each super-tile, each column tile (C outputs) is one *pass* over its array tiles. In the first pass an array
  tile starts once its row slots are full, tiles in the order in which their last token arrives; the other passes run
  back to back.
- Weights of a pass (C parameter words, K beats of C weights, at the DRAM rate where that is slower) fill one half of
  the weight buffer while the array reads the other.
- Behind a pass: drain, rescale, then the inverse lifting of that super-tile and column tile, from one half of the
  output buffer while the array fills the other. That also holds for levels = 0, where an engine without lifting could
  send results sooner.
- A layer as a whole takes at least as long as the DRAM takes for its bytes (all streams together).

Cycles are counted from the first token's first beat on offer to the last output beat; the next layer's fill, which
the double job registers hide under this layer, is not overlapped, so that layers add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sim import haar, mac, memory, scale
from sim.task import Task
from stamp_hw import super_tile
from stamp_hw.config import HwConfig
from stamp_hw.haar_slots import HaarJob
from stamp_hw.params import FinishParams, HaarParams, MacParams, RescaleParams, ScaleParams
from stamp_hw.super_tile import SuperTile


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCycles:
    """Cycles of one layer. `busy` to `tail` add up to `total`.

    `busy` the array streams operands or waits for its own drain; `wait_activations` for row slots to fill (the
    *exposed* part of the fill); `wait_weights`, `wait_output` for a half of those buffers; `wait_dram` the layer's
    bytes take longer than all of the above; `tail` from the last operand to the last output beat. `fill` cycles in
    which the front end takes in tokens, unstalled; `overlapped` the part of it under a busy array. `array_tiles`
    array runs over all passes.
    """

    total: int
    busy: int
    wait_activations: int
    wait_weights: int
    wait_output: int
    wait_dram: int
    tail: int
    fill: int
    array_tiles: int
    super_tiles: int
    column_tiles: int

    @property
    def overlapped(self) -> int:
        """Cycles of the fill that hide under the array's work."""
        return max(0, self.fill - self.wait_activations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Cycle constants of one layer's passes.

    `tile` an array tile; `load` the weights of a pass; `first` from the start of a pass to its first coefficient in the
    output buffer; `last` from the end of a pass to its last one there.
    """

    tile: int
    load: int
    first: int
    last: int

    @classmethod
    def of(cls, task: Task, hw: HwConfig) -> Rates:
        """From the blocks' own figures. An array tile runs once for each group of input channels."""
        array, behind = MacParams.of(hw), RescaleParams.of(hw).latency
        tile = sum(mac.tile_cycles(array, steps) for steps in task.groups)
        # The first tile of a pass need not wait for a drain: mac.cycles, seen from the end of `tiles · tile` cycles.
        last = mac.cycles(array, task.groups) - tile + behind
        words = memory.dram_cycles(hw.cols * memory.parameter_bytes(hw, task.symmetric), hw)
        weights = memory.dram_cycles(math.ceil(task.k * hw.cols * task.weight_bits / 8), hw)
        return cls(tile=tile, load=max(hw.cols, words) + max(task.k, weights),
                   first=tile - 1 + array.drain_latency + behind, last=last)


@dataclass(slots=True)
class _State:
    """Ends of the latest events, newest last: column passes, weight load, inverse liftings."""

    passes: tuple[int, int] = (0, 0)
    load: int = 0
    inverses: tuple[int, int] = (0, 0)
    wait_activations: int = 0
    wait_weights: int = 0
    wait_output: int = 0

    def relative(self) -> tuple[int, ...]:
        """The events seen from the last pass's end: when this repeats, so does everything after it."""
        end = self.passes[1]
        return (self.passes[0] - end, self.load - end, self.inverses[0] - end, self.inverses[1] - end)


def simulate(task: Task, hw: HwConfig, limit: int | None = None) -> EngineCycles:
    """Cycles of one layer. Needs shapes only, no data; repeated shapes are remembered.

    Parameters
    ----------
    limit : tokens of a super-tile; None takes the job's own (`super_tile.token_limit`)

    Raises
    ------
    ConfigError : a Haar tile does not fit the activation buffer, a group is no whole number of beats
    """
    return _simulate(task, hw, super_tile.token_limit(task.job, hw) if limit is None else limit)


@lru_cache(maxsize=1024)
def _simulate(task: Task, hw: HwConfig, limit: int) -> EngineCycles:
    parts = super_tile.split(task.job, hw, limit)
    columns = -(-task.n // hw.cols)
    rates = Rates.of(task, hw)
    ready = arrivals(task, hw)
    tiles = [tiles_ready(part, ready, hw.rows) for part in parts]
    lead = -(-task.k // hw.lanes)  # a token's first code is written this long before its last
    entry = np.array([int(ready[part.rows[part.rows >= 0]].min()) for part in parts])
    delay = np.zeros(len(parts), np.int64)
    state = _State()
    busy = 0
    for index, part in enumerate(parts):
        if 0 < index < len(parts) - 1:
            # The next super-tile's first tokens come before this one's last (low-pass) ones, so that their wait for the
            # half that the super-tile before this one still holds delays these too.
            delay[index + 1] = max(delay[index], state.passes[1] - entry[index + 1] + lead)
        held = tiles[index] + delay[np.searchsorted(entry, tiles[index], side="right") - 1]
        inverse = inverse_cycles(task, part, hw)
        work = len(held) * rates.tile
        _pass(state, rates, work, inverse, np.sort(held))
        _more_passes(state, rates, work, inverse, columns - 1)
        busy += work * columns
    total = state.inverses[1] + HaarParams.inverse(hw).latency + FinishParams.of(hw).latency
    moved = memory.dram_bytes(task, hw, len(parts)).total
    slow = max(0, memory.dram_cycles(moved, hw) - total)
    return EngineCycles(
        total=total + slow, busy=busy, wait_activations=state.wait_activations, wait_weights=state.wait_weights,
        wait_output=state.wait_output, wait_dram=slow, tail=total - state.passes[1], fill=int(ready.max()),
        array_tiles=sum(map(len, tiles)) * columns, super_tiles=len(parts), column_tiles=columns,
    )


def arrivals(task: Task, hw: HwConfig) -> np.ndarray:
    """Cycles after which each token's codes are all in the buffer when nothing stalls: int64[n_sink + tokens], sinks
    first.

    Raises ConfigError for a group that the scale unit cannot take.
    """
    params = ScaleParams.of(hw)
    registers = params.job(tokens=task.tokens, k=task.k, group=task.group)
    beats = registers.beats
    sinks = np.arange(1, task.job.n_sink + 1) * beats
    lifted = len(sinks) * beats + 1 + haar.arrival(HaarParams.forward(hw), task.haar_job(beats))
    taken = np.concatenate([sinks, lifted])
    slow = hw.lanes * hw.in_width / 8 * hw.freq_hz / hw.dram_bytes_per_s
    if slow > 1:
        taken = np.ceil(taken * slow).astype(np.int64)
    # The scale unit: a group's codes follow its last beat by `latency`, and the group before it by the slower of its
    # beats and the divider (sim.scale.group_times without a full ring buffer, a token at a time).
    groups = scale.group_beats(registers)
    rate = sum(max(size, params.recip_width) for size in groups)
    last = groups[-1]
    after = params.latency + max(last, groups[0] - beats + rate - max(last, params.recip_width) + last)
    order = np.argsort(taken, kind="stable")
    steps = np.arange(len(taken)) * rate
    ready = np.empty_like(taken)
    ready[order] = np.maximum.accumulate(taken[order] + after - 1 - steps) + steps
    return ready


def tiles_ready(part: SuperTile, ready: np.ndarray, array_rows: int) -> np.ndarray:
    """Cycles after which the row slots of each array tile are full: int64[array tiles], in the order of the rows."""
    rows = np.append(ready, 0)[part.rows].max(axis=1)
    tiles = np.zeros(part.array_tiles * array_rows, np.int64)
    tiles[: len(rows)] = rows
    return tiles.reshape(-1, array_rows).max(axis=1)


def inverse_cycles(task: Task, part: SuperTile, hw: HwConfig) -> int:
    """Cycles in which the inverse lifting takes in one super-tile of one column tile, its own flush included."""
    grid = None if task.job.grid is None else (part.height, part.width)
    return haar.period(HaarParams.inverse(hw), HaarJob(tokens=part.tokens, levels=task.job.levels,
                                                       beats=hw.cols // hw.drain_lanes, grid=grid))


def _pass(state: _State, rates: Rates, work: int, inverse: int, ready: np.ndarray | None = None) -> None:
    """One column pass; `ready` (ascending) where its array tiles wait for their row slots."""
    before = state.passes[1]
    loaded = max(state.load, state.passes[0]) + rates.load
    drained = state.inverses[0] - rates.first
    start = max(before, loaded, drained)
    end, filled = start + work, before + work
    if ready is not None:
        # Tile j starts no earlier than `tile` after tile j − 1; what is left after the latest wait runs back to back.
        latest = int((ready - np.arange(len(ready)) * rates.tile).max()) + work
        end, filled = max(end, latest), max(filled, latest)
    state.wait_activations += filled - before - work
    if loaded >= drained:
        state.wait_weights += end - filled
    else:
        state.wait_output += end - filled
    state.load = loaded
    state.passes = (before, end)
    state.inverses = (state.inverses[1], max(end + rates.last, state.inverses[1]) + inverse)


def _more_passes(state: _State, rates: Rates, work: int, inverse: int, count: int) -> None:
    """`count` passes whose activations are there; once one leaves the relative state it found, the rest repeat it."""
    while count:
        seen, end, weights, output = state.relative(), state.passes[1], state.wait_weights, state.wait_output
        _pass(state, rates, work, inverse)
        count -= 1
        if state.relative() == seen:
            step = (state.passes[1] - end) * count
            state.passes = (state.passes[0] + step, state.passes[1] + step)
            state.load += step
            state.inverses = (state.inverses[0] + step, state.inverses[1] + step)
            state.wait_weights += (state.wait_weights - weights) * count
            state.wait_output += (state.wait_output - output) * count
            count = 0
