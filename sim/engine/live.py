"""The engine a cycle at a time, for what must go on beside it: who feeds its streams does not know beforehand when a
beat comes, since that hangs on when others were taken.

The stages are those of the oracle (`sim.engine.timing`), asked in another order: there each is followed as far as the
others need it, here all of them up to the same cycle. Nothing that a stage decides shows before it is known.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.engine.array import NEVER, Passes
from sim.engine.back import liftings
from sim.engine.front import Scales, Source, lift, start_cycles
from sim.engine.live_back import LiveBack
from sim.engine.live_front import UNKNOWN, LiveFront, LiveHadamard
from sim.engine.weight_loads import beats
from sim.pipeline import always
from stamp_hw.engine import super_tile
from stamp_hw.engine.job import EngineJob
from stamp_hw.engine.params import EngineParams


class LiveEngine:
    """One job from rest, whose registers are taken in `cycle`.

    For each cycle behind that one, in order: `wants` and `offers` say what its streams do, then `step` ends it.
    """

    def __init__(self, params: EngineParams, job: EngineJob, cycle: int) -> None:
        self._params, self._job = params, job
        start = cycle + start_cycles(params, job.height)
        self._parts = super_tile.divide(job.resolved, job.tile_width, job.tile_height, params.rows)
        self._ready = np.full(job.n_sink + job.width * job.height, -1, np.int64)
        self._front = LiveFront(lift(params, job, self._parts, start, self._ready, Scales(params.scale)))
        assert job.hadamard is False or params.rotation is not None
        self._mixed = LiveHadamard(params.rotation, job, start) if params.rotation and job.hadamard else None
        self._back = LiveBack(params, start, self._freed_out)
        self._passes = Passes(params, Source(always), Source(always))
        self._passes.start(start)
        self._known = 0  # super-tiles whose tokens' codes are all on their way
        self._freed: list[int] = []  # of each super-tile: when its half of the activation buffer is free
        self._out_free = [NEVER, NEVER]  # of each pass: when its half of the output buffer is free
        self._loaded: list[int] = []  # of each pass: from when on its weights are there
        self._last: list[int] = []  # of each pass: its last step
        self._load: _Load | None = None
        self._processes = (self._loading(), self._issuing())
        self._advance()

    @property
    def offers(self) -> bool:
        """Whether a result is offered in this cycle."""
        return self._back.offers

    @property
    def idle(self) -> bool:
        """Whether the job is over, and another one would find everything at rest."""
        return len(self._last) == len(self._parts) * self._job.columns and self._back.idle

    def wants(self, cycle: int) -> tuple[bool, bool, bool]:
        """Whether a beat of `i`, `w`, `p` that is offered is taken in this cycle."""
        lifts, load = self._front.asks <= cycle, self._load
        i = lifts if self._mixed is None else self._mixed.wants(cycle, lifts)
        return (i, False, False) if load is None else (i, load.weights <= cycle, load.words <= cycle)

    def step(self, cycle: int, i: bool, w: bool, p: bool, o: bool) -> None:
        """The end of a cycle, in which beats of these inputs were taken, and a result would be."""
        if self._mixed is not None:
            i = self._mixed.step(cycle, self._front.asks <= cycle, i)
        moved = i and self._front.take(cycle)
        if self._load is not None and (w or p):
            moved |= self._load.take(cycle, w, p)
        self._back.step(cycle, o)
        if moved:
            self._advance()

    def _freed_out(self, cycle: int) -> None:
        self._out_free.append(cycle)
        self._advance()

    def _advance(self) -> None:
        """What has happened lets some process go on, and that another one."""
        before: tuple[int, ...] = ()
        while before != (now := (self._known, len(self._loaded), len(self._last))):
            before = now
            while self._known < len(self._parts) and (self._ready[self._parts[self._known].order] >= 0).all():
                self._known += 1
            for process in self._processes:
                next(process, None)
        self._front.free(self._freed)

    def _loading(self) -> Iterator[None]:
        """Weights and parameters, a pass after the other."""
        loader, job, (k, _) = self._passes.loader, self._job, self._job.channels(self._params)
        for number, part in enumerate(self._parts):
            for column in range(job.columns):
                before = number * job.columns + column - 2  # whose half of the weight buffer it takes
                while len(self._last) <= before:
                    yield
                begin = loader.begin(self._last[before] if before >= 0 else NEVER)
                self._load = load = _Load(job, k, self._params.cols, begin)
                while not load.done:
                    yield
                self._load = None
                self._loaded.append(loader.loaded(load.written, load.last_word))
            while self._known <= number:
                yield
            loader.decide(int(self._ready[part.order[-1]]), ends=part is self._parts[-1])

    def _issuing(self) -> Iterator[None]:
        """The array's passes."""
        job, (k, _) = self._job, self._job.channels(self._params)
        for number, part in enumerate(self._parts):
            while self._known <= number:
                yield
            ready = self._ready[part.order][part.ready]
            for column in range(job.columns):
                at = len(self._last)
                while len(self._loaded) <= at or len(self._out_free) <= at:
                    yield
                complete = self._passes.issue(k, ready, self._loaded[at], self._out_free[at])
                self._last.append(self._passes.last)
                self._back.lift(complete, self._params.chunks if column + 1 < job.columns else job.out_beats,
                                liftings(job, part))
            self._freed.append(self._passes.freed)


class _Load:
    """A pass's weights and parameters: `weights`, `words` first cycle in which the next beat of each is taken;
    `written`, `last_word` cycle in which the last step is written and the last parameters come, when it is `done`."""

    def __init__(self, job: EngineJob, k: int, words: int, begin: int) -> None:
        self._asks = beats(job.weights, k, begin)
        self.weights, self.words = next(self._asks), begin
        self.written = self.last_word = UNKNOWN
        self._left = words

    @property
    def done(self) -> bool:
        """Whether all of it came."""
        return not self._left and self.written < UNKNOWN

    def take(self, cycle: int, weight: bool, word: bool) -> bool:
        """Beats in this cycle; whether that was all."""
        if weight:
            try:
                self.weights = self._asks.send(cycle)
            except StopIteration as stop:
                self.weights, self.written = UNKNOWN, stop.value
        if word:
            self._left -= 1
            if not self._left:
                self.words, self.last_word = UNKNOWN, cycle
        return self.done
