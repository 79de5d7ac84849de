"""Loader, array and drain of the engine: which pass is loaded, issued and drained when (`rtl_gen/engine/loader.py`,
`rtl_gen/engine/issue.py`, `rtl_gen/engine/drain.py`).

A pass is one column tile of one super-tile. Its weights and parameters go into one half of the weight buffer while the
array reads the other. Array tiles run in the order of their rows; a tile's first step waits for its rows and for the
pass's weights, its last step until the MAC array is certain to take it, and in a pass's first tile for a half of the
output buffer. Nothing waits behind the issue of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from sim.engine.front import Stream
from sim.engine.weight_loads import take_packed
from stamp_hw.engine.params import EngineParams
from stamp_hw.engine.wire import WeightFormat

LOAD_SETUP = 1  # cycles from a free half of the weight buffer to the first beat that is taken
LOADED = 2  # cycles from the last k-step written to `loaded`: the stream is complete, then the pass
START = 1  # cycles from a stage's start to the exchange of its registers, and from that to its first work
OUT_FREE = 1  # cycles from a free half of the output buffer to the first step that it lets end a tile
NEVER = -(1 << 60)


def word_cycles(params: EngineParams) -> int:
    """Cycles from the issue of a pass's last step until its last word counts as written: the drain, the way of its last
    beat to the output buffer, and the flag."""
    return params.drain_cycles + params.word_latency + 1


def free_cycles(params: EngineParams) -> int:
    """Cycles from the issue of a super-tile's last step until its half of the activation buffer counts as free: the
    half's flag, the gate."""
    return params.drain_cycles + 2


def issue(last: int, ready: Sequence[int], span: int, least: int, out_free: int = NEVER) -> int:
    """The tiles of a pass one after the other: cycle of the last one's last step.

    Parameters
    ----------
    last : cycle of the last step before them
    ready : first cycle in which each tile can begin
    span, least : cycles from a tile's first step to its last; from one tile's last step to the next one's, at least
        (`EngineParams.tile_cycles`)
    out_free : first cycle in which the first tile can end
    """
    for tile, cycle in enumerate(ready):
        first = max(cycle, last + 1)
        last = max(first + span - 1, last + least)
        if tile == 0:
            last = max(last, out_free)
    return last


@dataclass(slots=True)
class Registers:
    """The registers of a stage: `swap` cycle in which it took its job's, `end` first cycle without a job."""

    swap: int = NEVER
    end: int = NEVER

    def start(self, cycle: int) -> int:
        """A job whose registers come in `cycle`: first cycle in which the stage works on it."""
        self.swap = max(cycle + START, self.end)
        return self.swap + START

    @property
    def room(self) -> int:
        """First cycle in which another job's registers can come."""
        return self.swap + START


@dataclass(slots=True)
class Loader:
    """Weights and parameters, a pass at a time."""

    params: EngineParams
    weights: Stream
    words: Stream
    registers: Registers = field(default_factory=Registers)
    _next: int = NEVER  # first cycle in which the next pass can be begun

    def start(self, cycle: int) -> None:
        self._next = self.registers.start(cycle)

    def load(self, k: int, weights: WeightFormat, released: int) -> int:
        """A pass; `released`: cycle in which the pass before the last left its half. First cycle with `loaded`."""
        begin = self.begin(released)
        written = (take_packed(lambda cycle: self.weights.take(cycle, 1), begin, k, weights.group) if weights.packed
                   else self.weights.take(begin, k))
        return self.loaded(written, self.words.take(begin, self.params.cols))

    def begin(self, released: int) -> int:
        """First cycle in which a beat of the next pass can be taken."""
        return max(self._next, released + 1) + LOAD_SETUP

    def loaded(self, written: int, words: int) -> int:
        """First cycle with `loaded` of a pass whose last step is written, whose last parameters come, in these."""
        self._next = max(written, words) + LOADED
        return self._next

    def decide(self, closed: int, ends: bool) -> None:
        """Behind a super-tile's last pass: `closed`, from when on it is known whether the job `ends` with it."""
        self._next = max(self._next, closed) + 1
        if ends:
            self.registers.end = self._next


#: Is told of every pass: cycle of the last step before it, first cycle in which each of its array tiles can begin, and
#: in which the first of them can end.
Issued = Callable[[int, Sequence[int], int], None]


class Passes:
    """All passes of all jobs in order.

    Parameters
    ----------
    params : EngineParams
    weights, words : the streams `w` and `p`
    watch : who is told of every pass, or None
    """

    def __init__(self, params: EngineParams, weights: Stream, words: Stream, watch: Issued | None = None) -> None:
        self._params, self._word, self._freed = params, word_cycles(params), free_cycles(params)
        self._watch = watch
        self.loader = Loader(params, weights, words)
        self.registers = Registers()
        self._begin = NEVER  # first cycle in which the array works on this job
        self._last = NEVER  # cycle of the last step that was issued
        self._releases = [NEVER, NEVER]  # of the last two passes

    def start(self, cycle: int) -> None:
        """A job's registers come in `cycle`."""
        self.loader.start(cycle)
        self._begin = self.registers.start(cycle)

    @property
    def released(self) -> int:
        """Cycle in which the pass before the last left its half of the weight buffer."""
        return self._releases[0]

    def super_tile(self, k: int, weights: WeightFormat, columns: int, ready: np.ndarray, closed: int, ends: bool,
                   drained: Callable[[int], None], out_free: Callable[[], int]) -> int:
        """The passes of a super-tile: cycle from which its half of the activation buffer is free.

        Parameters
        ----------
        k, weights, columns : steps of a tile, how its weights travel, passes
        ready, closed : cycle from which each array tile (int64[array tiles]) and the super-tile count as complete
        ends : it is the job's last one
        drained : told of each pass the cycle from which it counts as complete in the output buffer
        out_free : gives the cycle from which the next pass's half of the output buffer is free
        """
        for column in range(columns):
            loaded = self.loader.load(k, weights, self.released)
            complete = self.issue(k, ready, loaded, out_free())
            if column + 1 == columns:
                self.loader.decide(closed, ends)
            drained(complete)
        if ends:
            self.registers.end = self._last + 1
        return self.freed

    def issue(self, k: int, ready: np.ndarray, loaded: int, out_free: int) -> int:
        """The next pass, whose weights are there from `loaded` on: cycle from which it counts as complete."""
        span, least = self._params.tile_cycles(k)
        complete = np.maximum(np.maximum(ready, self._begin) + self._params.order_cycles, loaded).tolist()
        free = out_free + OUT_FREE
        if self._watch is not None:
            self._watch(self._last, complete, free)
        self._last = issue(self._last, complete, span, least, free)
        self._releases = [self._releases[1], self._last]
        return self._last + self._word

    @property
    def last(self) -> int:
        """Cycle of the last step that was issued."""
        return self._last

    @property
    def freed(self) -> int:
        """Cycle from which the half of the activation buffer of the last pass is free, where no other one reads it."""
        return self._last + self._freed
