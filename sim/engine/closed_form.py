"""Cycles of one layer on the linear engine: `sim.engine.timing` for a job whose output never stalls, alone or behind
another one whose results its tokens wait for, in closed forms.

The engine (`rtl_gen/engine/top.py`) has gates and no back-pressure inside, so that one layer is a recursion over its
column passes (one column tile, C outputs, of one super-tile). Everything is counted from the cycle in which the job's
registers are taken, or from that in which the results are there that its tokens wait for, to the last output beat:

- Tokens come as the memory gives them (`sim.dram`, or `sim.port` where `hw.memory` says more), sinks first; the lifting
  unit lets coefficients go in its own order, a token in at least `recip_width` cycles, and the scale unit passes them
  on. The token that opens a super-tile waits until the array has left the super-tile before the last one and drained;
  everything behind it waits as well.
- Weights and parameters of a pass are loaded while the array works on the pass before, each stream as the memory gives
  it.
- An array tile takes K steps, or `min_tile_cycles` where its drain takes longer. In the first pass of a super-tile it
  waits for its rows, in every pass for the weights, and for a half of the output buffer.
- Behind a pass: drain and rescale, then the inverse lifting of that rectangle, from one half of the output buffer while
  the array fills the other.

The layer as a whole takes at least as long as the memory takes for all its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sim.dram import FULL
from sim.engine.array import NEVER, free_cycles
from sim.engine.arrivals import Arrivals
from sim.engine.early import Early
from sim.engine.handover import ENOUGH, Handover
from sim.engine.passes import (
    BACK,
    LOADS,
    STAGES,
    TILES,
    TOKENS,
    Behind,
    Event,
    Rates,
    Rows,
    State,
    latest,
    more_passes,
    one_pass,
)
from sim.engine.supply import Supply, early_of, least, simplest
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine import super_tile
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import Size, SuperTile

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
    over all passes, `steps` of each.

    `critical_path` (stage, cycles) of `sim.engine.passes.STAGES`: what the last output beat waited for, one after the
    other from the job's start; they add up to `total` less `wait_dram_bytes`. `bottleneck` the largest of them by what
    limits that stage: `array` or `drain`, `activations` or `dram_activations`, `weights` or `dram_weights`, `back`; or
    the largest share of the memory's, where the layer's bytes take longer (`dram_bytes`) than all else.
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
    critical_path: tuple[tuple[str, int], ...]
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


def simulate(task: Task, hw: HwConfig, limit: int | Size | None = None) -> EngineCycles:
    """Cycles of one layer alone. Needs shapes only, no data; repeated shapes are remembered.

    Parameters
    ----------
    limit : tokens of a super-tile, or its (width, height); None takes the job's own (`super_tile.token_limit`)

    Raises
    ------
    ConfigError : a Haar tile does not fit the activation buffer, blocks that the hardware does not have
    """
    return follow(task, hw, limit, None)[0]


def follow(task: Task, hw: HwConfig, limit: int | Size | None, before: Handover | None
           ) -> tuple[EngineCycles, Handover]:
    """The same behind another job, `before` what that has left, from the cycle on in which its results are there; and
    what this one leaves. None: alone."""
    size = _size(task, hw, limit)
    twin = alike(task, hw)
    return _behind(task, twin, hw, size, None if before is None else simplest(twin, hw, size, before))


def _size(task: Task, hw: HwConfig, limit: int | Size | None) -> Size:
    """Of its super-tiles."""
    return super_tile.tile_size(task.job, hw, super_tile.token_limit(task.job, hw) if limit is None else limit)


@lru_cache(maxsize=2048)  # asked for with every job in a row
def alike(task: Task, hw: HwConfig) -> Task:
    """A layer whose cycles are the same but for those that the memory takes for all of its bytes: of whole beats of
    outputs; a token alone has a row slot for itself, of 8 bits or of 4; nobody is warned."""
    columns, last_beats = task.columns(hw)
    n_hi = 1 if task.tokens == task.job.tokens == 1 else task.job.n_hi
    return replace(task, n=(columns - 1) * hw.cols + last_beats * hw.drain_lanes,
                   job=replace(task.job, n_hi=n_hi, warnings=()))


def in_a_row(jobs: Sequence[tuple[Task, int | Size | None]], hw: HwConfig, wanted: Sequence[Early]
             ) -> list[tuple[EngineCycles, Early]]:
    """Layers (task, limit) behind each other: cycles of each, from the results of the one before on, and what of it
    came early, at most what is `wanted`."""
    found: list[tuple[EngineCycles, Early]] = []
    before: Handover | None = None
    for (task, limit), early in zip(jobs, wanted, strict=True):
        if before is not None:
            before = simplest(alike(task, hw), hw, _size(task, hw, limit), replace(before, early=early))
            early = before.early
        cycles, before = follow(task, hw, limit, before)
        found.append((cycles, early))
    return found


def _behind(task: Task, twin: Task, hw: HwConfig, size: Size, before: Handover | None
            ) -> tuple[EngineCycles, Handover]:
    """Of a layer and one that is `alike`, with the cycles that the memory takes for all of the layer's bytes."""
    cycles, left, early, names = _simulate(twin, hw, size, before)
    bytes_take = least(task, hw, super_tile.divide(task.job, *size, hw.rows), early)
    left = replace(left, slack=max(0, cycles.total - bytes_take))
    slow = bytes_take - cycles.total
    if slow <= 0:
        return cycles, left
    # The memory's largest share.
    shares = {names[stage]: cycles.critical_path[stage][1] for stage in (TOKENS, LOADS)
              if names[stage].startswith("dram_")}
    shares["dram_bytes"] = slow
    return replace(cycles, total=bytes_take, wait_dram_bytes=slow,
                   bottleneck=max(shares, key=lambda name: shares[name])), left


@lru_cache(maxsize=2048)
def _simulate(task: Task, hw: HwConfig, size: Size, before: Handover | None
              ) -> tuple[EngineCycles, Handover, int, dict[int, str]]:
    """(cycles and what is left, as if no byte took the memory longer; passes that came early; what limits a stage)."""
    params = EngineParams.of(hw)
    parts = super_tile.divide(task.job, *size, hw.rows)
    known = None if before is None else early_of(task, hw, size, before)
    columns, last_beats = task.columns(hw)
    rates, supply = Rates.of(task, hw, params), Supply.of(task, hw, parts, before, known)
    if before is None:
        accepted, state = 0, State(load=Event(0).after(LOADS, rates.begin), loads=supply.loads)
    else:
        accepted = before.accept
        state = State(load=Event(0).after(LOADS, before.begin(task, params)), loads=supply.loads,
                      releases=before.ended, lifting=Event(0).after(BACK, before.lifting))
    late = Arrivals(task, hw, parts, supply.tokens, accepted)
    # The same behind the same gates, if the memory gave a beat in every cycle.
    prompt = late if supply.tokens == FULL else Arrivals(task, hw, parts, FULL, accepted)
    since = [Event(0)] * len(parts)  # of each super-tile: from when on its tokens were followed without a wait
    # The first tile is issued without another one's drain in front of it.
    state.last = Event(rates.span - rates.tile - 1)
    first_fill, gated = 0, False

    def take(number: int, gate: Event) -> None:
        nonlocal gated
        if number < len(parts):
            waited = late.take(gate.cycle)
            gated |= waited
            since[number] = gate if waited else since[number - 1]
            if prompt is not late:
                prompt.take(gate.cycle)

    take(0, Event(NEVER))
    for index, part in enumerate(parts):
        # A super-tile is complete once the next one has been taken, which waits for the half of the one before it.
        take(index + 1, state.last.after(TILES, free_cycles(params)) if index else Event(NEVER))
        full, short = (Behind.of(task, part, params, beats) for beats in (params.chunks, last_beats))
        completes = part.order[part.ready]
        rows = Rows(late.ready[completes] + params.order_cycles, prompt.ready[completes] + params.order_cycles,
                    [since[number] for number in late.behind[completes].tolist()])
        one_pass(state, rates, part.array_tiles, full if columns > 1 else short, rows)
        if index == 0:
            first_fill = state.last.cycle + 1 + rates.tile - rates.span - part.array_tiles * rates.tile
        more_passes(state, rates, part.array_tiles, full, columns - 2)
        if columns > 1:
            one_pass(state, rates, part.array_tiles, short)
        # Now it is known whether another super-tile follows.
        closing, start = int(late.ready[part.order[-1]]), since[int(late.behind[part.order[-1]])]
        state.load = latest(state.load, start.after(TOKENS, closing - start.cycle)).after(LOADS, 1)
    array_tiles = sum(part.array_tiles for part in parts) * columns
    end = state.free[1].after(BACK, params.finish.latency)
    streaming = array_tiles * task.k
    fill = _fill(task, hw, parts, before, known) if gated else int(late.ready.max())
    names = {TILES: "drain" if rates.tile > task.k else "array",
             TOKENS: "dram_activations" if late.memory_paced else "activations",
             LOADS: "dram_weights" if state.loads.longer_than(rates.load) else "weights", BACK: "back"}
    cycles = EngineCycles(
        total=end.cycle, streaming=streaming,
        wait_drain=array_tiles * rates.tile - (rates.tile - rates.span) - streaming,
        **{f"wait_{cause}": cycles for cause, cycles in state.waits.items()}, wait_dram_bytes=0,
        tail=end.cycle - state.last.cycle - 1, first_fill=first_fill, fill=fill,
        array_tiles=array_tiles, steps=task.k, super_tiles=len(parts), column_tiles=columns,
        critical_path=tuple(zip(STAGES, end.path, strict=True)),
        bottleneck=names[max(names, key=lambda stage: end.path[stage])],
    )
    return cycles, Handover(
        accept=late.over - end.cycle, loader=state.load.cycle - end.cycle,
        releases=(state.releases[0].cycle - end.cycle, state.last.cycle - end.cycle),
        lifting=state.lifting.cycle - end.cycle, left=state.loads.left(end.cycle),
        slack=ENOUGH, early=Early.WEIGHTS), supply.early, names


def _fill(task: Task, hw: HwConfig, parts: Sequence[SuperTile], before: Handover | None,
          known: tuple[int, bool] | None) -> int:
    """From when the last token's codes are there when no gate is ever closed, as none is for two super-tiles."""
    front = Arrivals(task, hw, parts, Supply.of(task, hw, parts, before, known).tokens,
                     0 if before is None else before.accept)
    front.take_all()
    return int(front.ready.max())
