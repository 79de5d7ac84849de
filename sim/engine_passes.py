"""Column passes of one layer as a recursion over their last steps: `sim.engine_array` and the back of the engine for a
single job whose output never stalls, and what each pass waited for.

A pass ends with the latest of what it needs. Its cycles are counted for causes in a fixed order: its own tiles first,
then in the order of `CAUSES`; a cause gets the cycles by which it is later than those before it. What would have been
there in time, had the memory given a beat in every cycle, is a cause of its own and comes last: the memory is blamed
for no more than it alone explains.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim import haar
from sim.dram import Memory
from sim.engine_array import LOAD_SETUP, LOADED, NEVER, START, word_cycles
from sim.engine_front import start_cycles
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine_params import EngineParams
from stamp_hw.haar_slots import HaarJob
from stamp_hw.super_tile import SuperTile

#: What a pass may wait for: row slots to fill; weights; a half of the output buffer; tokens and weights that are late
#: because of the memory.
CAUSES = ("activations", "weights", "output", "dram_activations", "dram_weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Cycle constants of a layer's passes.

    `tile` from a tile's last step to the next one's; `span` from its first step to its last, both included; `weights`,
    `words` beats of a pass's weights and parameters, which come from `memory`; `begin` first cycle in which loader and
    array work on the job.
    """

    tile: int
    span: int
    weights: int
    words: int
    memory: Memory
    begin: int

    @classmethod
    def of(cls, task: Task, hw: HwConfig, params: EngineParams) -> Rates:
        """From the blocks' own figures. A group of channels has parameters of its own."""
        least = params.mac.min_tile_cycles
        later = sum(max(steps, least) for steps in task.groups[1:])
        return cls(tile=max(task.groups[0], least) + later, span=task.groups[0] + later, weights=task.k,
                   words=hw.cols * len(task.groups), memory=Memory.of(hw),
                   begin=start_cycles(params, task.job.grid[0] if task.job.grid else 1) + 2 * START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Cycles behind a pass: from its last step until it counts as complete (`word`); from the acceptance of its first
    lifting job until the inverse unit can take another one (`lifting`), until its half of the output buffer is free
    (`free`)."""

    word: int
    lifting: int
    free: int

    @classmethod
    def of(cls, task: Task, part: SuperTile, params: EngineParams, beats: int) -> Behind:
        """A pass of `beats` beats a token: the sinks' lifting job, if there are any, and that of the rectangle."""
        grid = (part.height, part.width) if task.job.grid else None
        jobs = [HaarJob(tokens=part.tokens, levels=task.job.levels, beats=beats, grid=grid)]
        if task.job.n_sink and not part.first_tile:
            jobs.insert(0, HaarJob(tokens=task.job.n_sink, levels=0, beats=beats))
        unit = params.inverse
        return cls(word=word_cycles(params), lifting=sum(haar.period(unit, job) for job in jobs),
                   free=haar.cycles(unit, jobs))


@dataclass(slots=True)
class State:
    """Latest events: last step issued; ends of the last two passes; first cycle in which the loader can begin a pass
    and the inverse unit a job; halves of the output buffer, free from; last weights and parameters taken. Newest last.

    `waits` cycles by CAUSES; `paced` cycles of passes by what came last: `array` (their own tiles), `weights`,
    `output`, `dram_weights`.
    """

    last: int
    load: int
    releases: tuple[int, int] = (NEVER, NEVER)
    lifting: int = 0
    free: tuple[int, int] = (NEVER, NEVER)
    taken: tuple[int, int] = (-1, -1)
    waits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    paced: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("array", *CAUSES), 0))

    def relative(self, memory: Memory) -> tuple[int, ...]:
        """The events seen from the last step, and where that is in the memory's periods: when this repeats, so does
        everything after it."""
        return (self.releases[0] - self.last, self.load - self.last, self.lifting - self.last,
                self.free[0] - self.last, self.free[1] - self.last, self.taken[0] - self.last,
                self.taken[1] - self.last, self.last % memory.w.den, self.last % memory.p.den)

    def shift(self, cycles: int) -> None:
        """Everything `cycles` later."""
        self.last += cycles
        self.load += cycles
        self.lifting += cycles
        self.releases = (self.releases[0] + cycles, self.releases[1] + cycles)
        self.free = (self.free[0] + cycles, self.free[1] + cycles)
        self.taken = (self.taken[0] + cycles, self.taken[1] + cycles)


def one_pass(state: State, rates: Rates, tiles: int, behind: Behind, prompt: np.ndarray | None = None,
             ready: np.ndarray | None = None) -> None:
    """One column pass of `tiles` array tiles.

    Parameters
    ----------
    ready : where the tiles wait for their rows, first cycle in which each can begin
    prompt : the same if the memory had given the tokens without delay
    """
    before, work = state.last, tiles * rates.tile
    lead = rates.span - 1 + work - rates.tile  # from the first tile's first step to the last tile's last
    begin = max(state.load, state.releases[0] + 1) + LOAD_SETUP
    state.taken = (rates.memory.w.take(state.taken[0], begin, rates.weights),
                   rates.memory.p.take(state.taken[1], begin, rates.words))
    loaded = max(state.taken) + LOADED
    at_once = begin + max(rates.weights, rates.words) - 1 + LOADED
    ends = {
        "activations": before if prompt is None else _filled(prompt, rates, lead),
        "weights": at_once + lead,
        "output": state.free[0] + work - rates.tile,
        "dram_activations": before if ready is None else _filled(ready, rates, lead),
        "dram_weights": loaded + lead,
    }
    pacer, state.last = "array", before + work
    for cause, end in ends.items():
        wait = max(0, end - state.last)
        state.waits[cause] += wait
        state.last += wait
        if cause.endswith("activations"):
            state.paced[cause] += wait  # a pass fills once, whatever follows runs at the array's own pace
            before += wait
        elif wait:
            pacer = cause
    state.paced[pacer] += state.last - before
    accepted = max(state.last + behind.word, state.lifting)
    state.load, state.lifting = loaded, accepted + behind.lifting
    state.releases = (state.releases[1], state.last)
    state.free = (state.free[1], accepted + behind.free)


def _filled(ready: np.ndarray, rates: Rates, lead: int) -> int:
    """Last step of a pass whose tiles can begin in these cycles: tile j follows tile j − 1 by at least `tile`, and what
    is left after the latest wait runs back to back."""
    return int((ready - np.arange(len(ready)) * rates.tile).max()) + lead


def more_passes(state: State, rates: Rates, tiles: int, behind: Behind, count: int) -> None:
    """`count` passes whose activations are there; once one leaves a relative state that an earlier one left, all that
    was between them repeats."""
    seen: dict[tuple[int, ...], tuple[int, int, tuple[int, ...]]] = {}
    done = 0
    while done < count:
        where = state.relative(rates.memory)
        if where in seen:
            number, last, counted = seen[where]
            times = (count - done) // (done - number)
            done += times * (done - number)
            state.shift(times * (state.last - last))
            _set_counts(state, tuple(now + times * (now - then)
                                     for now, then in zip(_counts(state), counted, strict=True)))
            for _ in range(count - done):
                one_pass(state, rates, tiles, behind)
            return
        seen[where] = done, state.last, _counts(state)
        one_pass(state, rates, tiles, behind)
        done += 1


def _counts(state: State) -> tuple[int, ...]:
    return (*state.waits.values(), *state.paced.values())


def _set_counts(state: State, values: tuple[int, ...]) -> None:
    state.waits = dict(zip(state.waits, values, strict=False))
    state.paced = dict(zip(state.paced, values[len(state.waits):], strict=True))
