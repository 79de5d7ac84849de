"""Column passes of one layer as a recursion over their last steps: `sim.engine.array` and the back of the engine for a
single job whose output never stalls, and what each pass waited for.

A pass ends with the latest of what it needs. Its cycles are counted for causes in a fixed order: its own tiles first,
then in the order of `CAUSES`; a cause gets the cycles by which it is later than those before it. What would have been
there in time, had the memory given a beat in every cycle, is a cause of its own and comes last: the memory is blamed
for no more than it alone explains.

Beside it every event knows its critical path: of the stages that it waited for, one after the other back to the job's
start, how many cycles each worked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import add, sub

import numpy as np

from sim import haar
from sim.engine.array import LOAD_SETUP, LOADED, NEVER, OUT_FREE, START, word_cycles
from sim.engine.front import start_cycles
from sim.engine.loads import Loads
from sim.task import Task
from stamp_hw.config import HwConfig
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.super_tile import SuperTile
from stamp_hw.haar_slots import HaarJob

#: What a pass may wait for: row slots to fill; weights; a half of the output buffer; tokens and weights that are late
#: because of the memory.
CAUSES = ("activations", "weights", "output", "dram_activations", "dram_weights")
#: Stages of a critical path: array tiles, tokens (memory, lifting, scale unit), loads of weights and parameters, and
#: what is behind the array.
STAGES = ("tiles", "tokens", "loads", "back")
TILES, TOKENS, LOADS, BACK = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Cycle constants of a layer's passes.

    `tile` from a tile's last step to the next one's; `span` from its first step to its last, both included; `load` of a
    pass if the memory gives a beat whenever one is taken; `begin` first cycle in which loader and array work on the
    job.
    """

    tile: int
    span: int
    load: int
    begin: int

    @classmethod
    def of(cls, task: Task, hw: HwConfig, params: EngineParams) -> Rates:
        """From the blocks' own figures."""
        span, tile = params.tile_cycles(task.k)
        return cls(tile=tile, span=span, load=max(task.k + (task.weights.group is not None), hw.cols),
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


@dataclass(frozen=True, slots=True)
class Event:
    """A cycle, and the cycles of each of STAGES on the critical path that led to it, which add up to it."""

    cycle: int
    path: tuple[int, ...] = (0,) * len(STAGES)

    def after(self, stage: int, cycles: int) -> Event:
        """That much later, because of a stage."""
        path = self.path
        return Event(self.cycle + cycles, (*path[:stage], path[stage] + cycles, *path[stage + 1 :]))

    def moved(self, cycles: int, path: tuple[int, ...]) -> Event:
        """Later by all of this."""
        return Event(self.cycle + cycles, tuple(map(add, self.path, path)))


def latest(*events: Event) -> Event:
    """The last of them, of several the first named."""
    return max(events, key=lambda event: event.cycle)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The array tiles of a super-tile's first pass: `ready` int64[tiles] first cycle in which each can begin; `prompt`
    the same if the memory had given every token without delay; `since` of each the event from which on the tokens were
    followed without a wait for the array."""

    ready: np.ndarray
    prompt: np.ndarray
    since: list[Event]


@dataclass(slots=True)
class State:
    """Latest events: last step issued; when the loader can begin a pass; ends of the last two passes; when the inverse
    unit can begin a job; when the halves of the output buffer are free. Newest last. `loads` weights and parameters
    that were taken; `waits` cycles by CAUSES."""

    load: Event
    loads: Loads
    last: Event = Event(0)
    releases: tuple[Event, Event] = (Event(NEVER), Event(NEVER))
    lifting: Event = Event(0)
    free: tuple[Event, Event] = (Event(NEVER), Event(NEVER))
    waits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))

    def relative(self) -> tuple[object, ...]:
        """The events and their paths seen from the last step, and so the memory: when this repeats, so does
        everything behind it."""
        last, found = self.last, list[object]()
        for event in (self.load, self.releases[0], self.lifting, *self.free):
            found += event.cycle - last.cycle, *map(sub, event.path, last.path)
        return (*found, *self.loads.seen_from(last.cycle))

    def copy(self) -> State:
        """As it is now."""
        return State(self.load, self.loads, self.last, self.releases, self.lifting, self.free, dict(self.waits))

    def repeat(self, before: State, times: int) -> None:
        """What has happened since `before` happens so many times more."""
        cycles = times * (self.last.cycle - before.last.cycle)
        path = tuple(times * (now - then) for now, then in zip(self.last.path, before.last.path, strict=True))
        self.last, self.load, self.lifting = (
            event.moved(cycles, path) for event in (self.last, self.load, self.lifting))
        self.releases = self.releases[0].moved(cycles, path), self.releases[1].moved(cycles, path)
        self.free = self.free[0].moved(cycles, path), self.free[1].moved(cycles, path)
        self.loads = self.loads.moved(cycles)
        self.waits = {cause: now + times * (now - before.waits[cause]) for cause, now in self.waits.items()}


def one_pass(state: State, rates: Rates, tiles: int, behind: Behind, rows: Rows | None = None) -> None:
    """One column pass of `tiles` array tiles; `rows` where they wait for theirs."""
    work = tiles * rates.tile
    lead = rates.span - 1 + work - rates.tile  # from the first tile's first step to the last tile's last
    begin = latest(state.releases[0].after(TILES, 1), state.load).after(LOADS, LOAD_SETUP)
    state.loads, written, words = state.loads.take(begin.cycle)
    loaded = begin.after(LOADS, max(written, words) + LOADED - begin.cycle)
    at_once = begin.cycle + rates.load - 1 + LOADED
    after_tiles, after_load = state.last.after(TILES, work), loaded.after(TILES, lead)
    after_output = state.free[0].after(BACK, OUT_FREE).after(TILES, work - rates.tile)
    after_rows, prompt = (after_tiles, after_tiles.cycle) if rows is None else _filled(rows, rates, lead)
    end = after_tiles.cycle
    for cause, cycle in (("activations", prompt), ("weights", at_once + lead), ("output", after_output.cycle),
                         ("dram_activations", after_rows.cycle), ("dram_weights", after_load.cycle)):
        state.waits[cause] += max(0, cycle - end)
        end = max(cycle, end)
    state.last = latest(after_tiles, after_rows, after_load, after_output)
    accepted = latest(state.last.after(BACK, behind.word), state.lifting)
    state.load, state.lifting = loaded, accepted.after(BACK, behind.lifting)
    state.releases = state.releases[1], state.last
    state.free = state.free[1], accepted.after(BACK, behind.free)


def _filled(rows: Rows, rates: Rates, lead: int) -> tuple[Event, int]:
    """(last step of a pass as its tiles become ready, its cycle with a prompt memory): tile j follows tile j − 1 by at
    least `tile`, and what is left after the latest wait runs back to back."""
    steps = np.arange(len(rows.ready)) * rates.tile
    tile = int((rows.ready - steps).argmax())
    ready = int(rows.ready[tile])
    event = rows.since[tile].after(TOKENS, ready - rows.since[tile].cycle)
    return event.after(TILES, lead - int(steps[tile])), int((rows.prompt - steps).max()) + lead


def more_passes(state: State, rates: Rates, tiles: int, behind: Behind, count: int) -> None:
    """`count` passes whose activations are there; once one leaves a relative state that an earlier one left, all that
    was between them repeats."""
    seen: dict[tuple[object, ...], tuple[int, State]] = {}
    left = count
    while left > 0:
        where = state.relative()
        if where in seen:
            before, then = seen[where]
            period, cycles = before - left, state.last.cycle - then.last.cycle
            until = then.loads.until()
            # All that a pass needs is asked for before its last step.
            times = left // period if until is None else min(left // period, (until - 1 - state.last.cycle) // cycles)
            if times > 0:
                state.repeat(then, times)
                left -= times * period
            seen = {}
        else:
            seen[where] = left, state.copy()
        if left > 0:
            one_pass(state, rates, tiles, behind)
            left -= 1
