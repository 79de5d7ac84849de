"""Cycles of one layer on the linear engine: `sim.engine_timing` for a single job whose output never stalls, in closed
forms.

The engine (`rtl_gen/engine.py`) has gates and no back-pressure inside, so that one layer is a recursion over its column
passes (one column tile, C outputs, of one super-tile). Everything is counted from the cycle in which the job's
registers are taken, to the last output beat:

- Tokens come as the memory gives them (`sim.dram`), sinks first; the lifting unit lets coefficients go in its own
  order, a token in at least `recip_width` cycles, and the scale unit passes them on. The token that opens a super-tile
  waits until the array has left the super-tile before the last one and drained; everything behind it waits as well.
- Weights and parameters of a pass are loaded while the array works on the pass before, each stream as the memory gives
  it.
- An array tile takes K steps, or `min_tile_cycles` where its drain takes longer. In the first pass of a super-tile it
  waits for its rows, in every pass for the weights, and for a half of the output buffer.
- Behind a pass: drain and rescale, then the inverse lifting of that rectangle, from one half of the output buffer while
  the array fills the other.

The layer as a whole takes at least as long as the memory takes for all its bytes. Groups of channels that share a
scale, which the RTL refuses, take a division and a run of the array each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sim import dram, memory
from sim.dram import FULL, Rate
from sim.engine_array import NEVER, free_cycles
from sim.engine_arrivals import Arrivals
from sim.engine_passes import Behind, Rates, State, more_passes, one_pass
from sim.task import Task
from stamp_hw import super_tile
from stamp_hw.config import HwConfig
from stamp_hw.engine_params import EngineParams
from stamp_hw.super_tile import SuperTile

#: What a layer's cycles are counted for; they add up to its total.
PARTS = ("streaming", "wait_drain", "wait_activations", "wait_weights", "wait_output", "wait_dram_activations",
         "wait_dram_weights", "wait_dram_bytes", "tail")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCycles:
    """Cycles of one layer. `streaming` to `tail` add up to `total`.

    `streaming` the array takes an operand step; `wait_drain` it waits for its own drain, where a tile has fewer steps
    than that takes; `wait_activations` for row slots to fill, `wait_weights`, `wait_output` for a half of those
    buffers; `wait_dram_activations`, `wait_dram_weights` for tokens and weights that would have been there in time, had
    the memory given a beat in every cycle; `wait_dram_bytes` the layer's bytes take longer than all of these; `tail`
    from the last operand to the last output beat. `first_fill` the waits of the first super-tile's first pass, a part
    of them all. `fill` cycles until the last token's codes are there when no gate stops them. `array_tiles` array runs
    over all passes, `steps` of each. `bottleneck` what paces the layer, see `name_bottleneck`.
    """

    total: int
    streaming: int
    wait_drain: int
    wait_activations: int
    wait_weights: int
    wait_output: int
    wait_dram_activations: int
    wait_dram_weights: int
    wait_dram_bytes: int
    tail: int
    first_fill: int
    fill: int
    array_tiles: int
    steps: int
    super_tiles: int
    column_tiles: int
    bottleneck: str

    @property
    def busy(self) -> int:
        """The array works on tiles: it streams operands or waits for its own drain."""
        return self.streaming + self.wait_drain

    @property
    def utilization(self) -> float:
        """Steps over cycles of the array in its steady state, without the first fill and the last drain."""
        return self.array_tiles * self.steps / (self.total - self.wait_dram_bytes - self.tail - self.first_fill)

    @property
    def overlapped(self) -> int:
        """Cycles of the fill that hide under the array's work."""
        return max(0, self.fill - self.wait_activations - self.wait_dram_activations)

    @property
    def exposed(self) -> int:
        """Cycles of the fill that do not: the array stands still meanwhile."""
        return self.fill - self.overlapped


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
    late = Arrivals(task, hw, parts, rates.memory.i)
    # The second behind the same gates, if the memory gave a beat in every cycle.
    fronts = [late] if rates.memory.i.full else [late, Arrivals(task, hw, parts, FULL)]
    freed = free_cycles(params)
    # The first tile is issued without another one's drain in front of it.
    state = State(last=rates.span - rates.tile - 1, load=rates.begin)
    first_fill = 0
    for index, part in enumerate(parts):
        # A super-tile is complete once the next one has been taken, which waits for the half of the one before it.
        for gate in (NEVER, NEVER) if index == 0 else (state.last + freed,):
            for front in fronts:
                front.take(gate)
        full, short = (Behind.of(task, part, params, beats) for beats in (params.chunks, last_beats))
        completes = part.order[part.ready]
        one_pass(state, rates, part.array_tiles, full if columns > 1 else short, fronts[-1].ready[completes],
                 late.ready[completes])
        if index == 0:
            first_fill = state.last + 1 + rates.tile - rates.span - part.array_tiles * rates.tile
        more_passes(state, rates, part.array_tiles, full, columns - 2)
        if columns > 1:
            one_pass(state, rates, part.array_tiles, short)
        # Now it is known whether another super-tile follows.
        state.load = max(state.load, int(late.ready[part.order[-1]])) + 1
    array_tiles = sum(part.array_tiles for part in parts) * columns
    total = state.free[1] + params.finish.latency
    slow = max(0, dram.cycles(memory.dram_bytes(task, hw, len(parts)).total, hw) - total)
    streaming = array_tiles * task.k
    return EngineCycles(
        total=total + slow, streaming=streaming,
        wait_drain=array_tiles * rates.tile - (rates.tile - rates.span) - streaming,
        **{f"wait_{cause}": cycles for cause, cycles in state.waits.items()}, wait_dram_bytes=slow,
        tail=total - state.last - 1, first_fill=first_fill, fill=_fill(task, hw, parts, rates.memory.i),
        array_tiles=array_tiles, steps=task.k, super_tiles=len(parts), column_tiles=columns,
        bottleneck=name_bottleneck(state.paced, rates.tile > task.k, total - state.last - 1, slow),
    )


def _fill(task: Task, hw: HwConfig, parts: Sequence[SuperTile], rate: Rate) -> int:
    """From when the last token's codes are there when no gate is ever closed."""
    front = Arrivals(task, hw, parts, rate)
    front.take_all()
    return int(front.ready.max())


def name_bottleneck(paced: dict[str, int], drains: bool, tail: int, slow: int) -> str:
    """What most of a layer's cycles go with: `array`, `drain`, `activations`, `weights`, `output`, `tail`, or, of the
    memory's `dram_activations`, `dram_weights`, `dram_bytes`, the largest.

    Parameters
    ----------
    paced : cycles of passes by what paced them (`sim.engine_passes.State`)
    drains : a tile has fewer steps than its drain takes, so that the drain paces what the array paces otherwise
    tail : cycles behind the last operand
    slow : cycles by which the layer's bytes take longer; where there are any, the memory paces all of it
    """
    late = {name: cycles for name, cycles in paced.items() if name.startswith("dram_")} | {"dram_bytes": slow}
    others = {("drain" if name == "array" and drains else name): cycles for name, cycles in paced.items()
              if name not in late} | {"tail": tail}
    if slow or sum(late.values()) > max(others.values()):
        return max(late, key=lambda name: late[name])
    return max(others, key=lambda name: others[name])
