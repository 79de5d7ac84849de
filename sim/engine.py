"""Cycles of one layer on the linear engine: `sim.engine_timing` for a single job without stalls, in closed forms.

The engine (`rtl_gen/engine.py`) has gates and no back-pressure inside, so that one layer is a recursion over its column
passes (one column tile, C outputs, of one super-tile). Everything is counted from the cycle in which the job's
registers are taken, to the last output beat:

- Tokens come a beat a cycle, sinks first; the lifting unit lets coefficients go in its own order, a token in at least
  `recip_width` cycles, and the scale unit passes them on. The token that opens a super-tile waits until the array has
  left the super-tile before the last one and drained; everything behind it waits as long.
- Weights and parameters of a pass are loaded while the array works on the pass before, each stream a beat a cycle.
- An array tile takes K steps, or `min_tile_cycles` where its drain takes longer. In the first pass of a super-tile it
  waits for its rows, in every pass for the weights, and for a half of the output buffer.
- Behind a pass: drain and rescale, then the inverse lifting of that rectangle, from one half of the output buffer while
  the array fills the other.

What is not RTL is the DRAM: where its rate is below a stream's beat a cycle, tokens come and weights load slower by
that factor, and the layer as a whole takes at least as long as all its bytes. Groups of channels that share a scale,
which the RTL refuses, take a division and a run of the array each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sim import haar, memory
from sim.engine_array import LOAD_SETUP, LOADED, NEVER, START, free_cycles, word_cycles
from sim.engine_front import arrivals, start_cycles
from sim.task import Task
from stamp_hw import super_tile
from stamp_hw.config import HwConfig
from stamp_hw.engine_params import EngineParams
from stamp_hw.haar_slots import HaarJob
from stamp_hw.super_tile import SuperTile


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCycles:
    """Cycles of one layer. `busy` to `tail` add up to `total`.

    `busy` the array streams operands or waits for its own drain; `wait_activations` for row slots to fill (the
    *exposed* part of the fill); `wait_weights`, `wait_output` for a half of those buffers; `wait_dram` the layer's
    bytes take longer than all of the above; `tail` from the last operand to the last output beat. `first_fill`
    the waits of the first super-tile's first pass, a part of them all. `fill` cycles until the last token's codes are
    there when nothing stops them. `array_tiles` array runs over all passes, `steps` of each.
    """

    total: int
    busy: int
    wait_activations: int
    wait_weights: int
    wait_output: int
    wait_dram: int
    tail: int
    first_fill: int
    fill: int
    array_tiles: int
    steps: int
    super_tiles: int
    column_tiles: int

    @property
    def utilization(self) -> float:
        """Steps over cycles of the array in its steady state, without the first fill and the last drain."""
        return self.array_tiles * self.steps / (self.total - self.wait_dram - self.tail - self.first_fill)

    @property
    def overlapped(self) -> int:
        """Cycles of the fill that hide under the array's work."""
        return max(0, self.fill - self.wait_activations)

    @property
    def exposed(self) -> int:
        """Cycles of the fill that do not: the array stands still meanwhile."""
        return self.fill - self.overlapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Cycle constants of a layer's passes.

    `tile` from a tile's last step to the next one's; `span` from its first step to its last, both included; `load` the
    beats of a pass's weights and parameters; `begin` first cycle in which loader and array work on the job.
    """

    tile: int
    span: int
    load: int
    begin: int

    @classmethod
    def of(cls, task: Task, hw: HwConfig, params: EngineParams) -> Rates:
        """From the blocks' own figures."""
        least = params.mac.min_tile_cycles
        later = sum(max(steps, least) for steps in task.groups[1:])
        beats = hw.cols * memory.parameter_bytes(hw, task.symmetric) + math.ceil(
            task.k * hw.cols * task.weight_bits / 8)
        return cls(tile=max(task.groups[0], least) + later, span=task.groups[0] + later,
                   load=max(task.k, hw.cols, memory.dram_cycles(beats, hw)),
                   begin=start_cycles(params, task.job.grid[0] if task.job.grid else 1) + 2 * START)


@dataclass(slots=True)
class _State:
    """Latest events: last step issued; ends of the last two passes; first cycle in which the loader can begin a pass
    and the inverse unit a job; halves of the output buffer, free from. Newest last."""

    last: int
    releases: tuple[int, int]
    load: int
    lifting: int
    free: tuple[int, int]
    wait_activations: int = 0
    wait_weights: int = 0
    wait_output: int = 0

    def relative(self) -> tuple[int, ...]:
        """The events seen from the last step: when this repeats, so does everything after it."""
        return (self.releases[0] - self.last, self.load - self.last, self.lifting - self.last,
                self.free[0] - self.last, self.free[1] - self.last)

    def shift(self, cycles: int, weights: int, output: int) -> None:
        """Everything `cycles` later, waits increased."""
        self.last += cycles
        self.load += cycles
        self.lifting += cycles
        self.releases = (self.releases[0] + cycles, self.releases[1] + cycles)
        self.free = (self.free[0] + cycles, self.free[1] + cycles)
        self.wait_weights += weights
        self.wait_output += output


@dataclass(frozen=True, slots=True, kw_only=True)
class _Behind:
    """Cycles behind a pass: from its last step until it counts as complete (`word`); from the acceptance of its first
    lifting job until the inverse unit can take another one (`lifting`), until its half of the output buffer is free
    (`free`)."""

    word: int
    lifting: int
    free: int

    @classmethod
    def of(cls, task: Task, part: SuperTile, params: EngineParams, beats: int) -> _Behind:
        """A pass of `beats` beats a token: the sinks' lifting job, if there are any, and that of the rectangle."""
        grid = (part.height, part.width) if task.job.grid else None
        jobs = [HaarJob(tokens=part.tokens, levels=task.job.levels, beats=beats, grid=grid)]
        if task.job.n_sink and not part.first_tile:
            jobs.insert(0, HaarJob(tokens=task.job.n_sink, levels=0, beats=beats))
        unit = params.inverse
        return cls(word=word_cycles(params), lifting=sum(haar.period(unit, job) for job in jobs),
                   free=haar.cycles(unit, jobs))


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
    params = EngineParams.of(hw)
    parts = super_tile.split(task.job, hw, limit)
    columns, last_beats = task.columns(hw)
    rates = Rates.of(task, hw, params)
    come = arrivals(task, hw, parts)
    freed = free_cycles(params)
    # The first tile is issued without another one's drain in front of it.
    state = _State(last=rates.span - rates.tile - 1, releases=(NEVER, NEVER), load=rates.begin, lifting=0,
                   free=(NEVER, NEVER))
    delay = np.zeros(len(parts) + 1, np.int64)
    first_fill = 0
    for index, part in enumerate(parts):
        delay[index + 1] = delay[index]
        if 0 < index < len(parts) - 1:
            # The next super-tile's first tokens come before this one's last (low-pass) ones, so that their wait for the
            # half that the super-tile before this one still holds delays these too.
            delay[index + 1] = max(delay[index], state.last + freed - int(come.opens[index + 1]))
        arrived = (come.ready + delay[come.behind])[part.order]
        full, short = (_Behind.of(task, part, params, beats) for beats in (params.chunks, last_beats))
        _pass(state, rates, part.array_tiles, full if columns > 1 else short, arrived[part.ready])
        if index == 0:
            first_fill = state.last + 1 + rates.tile - rates.span - part.array_tiles * rates.tile
        _more_passes(state, rates, part.array_tiles, full, columns - 2)
        if columns > 1:
            _pass(state, rates, part.array_tiles, short)
        state.load = max(state.load, int(arrived[-1])) + 1  # now it is known whether another super-tile follows
    array_tiles = sum(part.array_tiles for part in parts) * columns
    total = state.free[1] + params.finish.latency
    slow = max(0, memory.dram_cycles(memory.dram_bytes(task, hw, len(parts)).total, hw) - total)
    return EngineCycles(
        total=total + slow, busy=array_tiles * rates.tile - (rates.tile - rates.span),
        wait_activations=state.wait_activations, wait_weights=state.wait_weights, wait_output=state.wait_output,
        wait_dram=slow, tail=total - state.last - 1, first_fill=first_fill, fill=int(come.ready.max()),
        array_tiles=array_tiles, steps=task.k, super_tiles=len(parts), column_tiles=columns,
    )


def _pass(state: _State, rates: Rates, tiles: int, behind: _Behind, ready: np.ndarray | None = None) -> None:
    """One column pass; `ready` where its array tiles wait for their rows."""
    before, work = state.last, tiles * rates.tile
    loaded = max(state.load, state.releases[0] + 1) + LOAD_SETUP + rates.load - 1 + LOADED
    filled = before + work
    if ready is not None:
        # Tile j follows tile j − 1 by at least `tile`; what is left after the latest wait runs back to back.
        filled = max(filled, int((ready - np.arange(tiles) * rates.tile).max()) + rates.span - 1 + work - rates.tile)
    weights, output = loaded + rates.span - 1 + work - rates.tile, state.free[0] + work - rates.tile
    state.last = max(filled, weights, output)
    state.wait_activations += filled - before - work
    if weights >= output:
        state.wait_weights += state.last - filled
    else:
        state.wait_output += state.last - filled
    accepted = max(state.last + behind.word, state.lifting)
    state.load, state.lifting = loaded, accepted + behind.lifting
    state.releases = (state.releases[1], state.last)
    state.free = (state.free[1], accepted + behind.free)


def _more_passes(state: _State, rates: Rates, tiles: int, behind: _Behind, count: int) -> None:
    """`count` passes whose activations are there; once one leaves the relative state it found, the rest repeat it."""
    while count > 0:
        seen, last, weights, output = state.relative(), state.last, state.wait_weights, state.wait_output
        _pass(state, rates, tiles, behind)
        count -= 1
        if state.relative() == seen:
            state.shift((state.last - last) * count, (state.wait_weights - weights) * count,
                        (state.wait_output - output) * count)
            count = 0
